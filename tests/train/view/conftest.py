"""One real run of a gang, recorded once for all tests that only read it."""

from __future__ import annotations

import pytest

from tests.apart import forgotten_settings
from tests.cli.project import Project

SOURCE = """
import os
import time

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="plain"))
def fit(epochs: int = 4) -> dict:
    me = fw.context().rank
    for step in range(epochs):
        print(f"rank {me} says {step}", flush=True)
        fw.log(loss=1.0 / (step + 1) + me, step=step)
        fw.progress(step + 1, epochs)
    return {"rank": me}


@fw.step
def report(found: dict) -> str:
    print("the report")
    return str(found)


@fw.pipeline
def train(epochs: int = 4):
    return report(fit(epochs))
"""


@pytest.fixture(scope="session")
def gang(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which `train` has been run once."""
    project = Project(tmp_path_factory.mktemp("gang"))
    project.write("flow.py", SOURCE)
    with forgotten_settings():
        project.run()
    return project
