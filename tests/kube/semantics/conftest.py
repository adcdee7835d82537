"""One cluster and server for all semantic tests; each test is a project of its own with that cluster as its target."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.semantics.rig import Campus, ClusterRig

# Here each attempt has a pod of its own; elsewhere steps share warm workers.
ONE_POD = {"test_outputs", "test_retries", "test_timeouts", "test_cancel", "test_checkpoint", "test_context"}


@pytest.fixture(scope="session")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    made = Campus(tmp_path_factory.mktemp("campus"))
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, campus: Campus, request: pytest.FixtureRequest) -> Iterator[ClusterRig]:
    for name in ("FAIRWAY_HOME", "FAIRWAY_JOURNAL", "FAIRWAY_PROJECT", "FAIRWAY_TOKEN", "FORCE_COLOR", "FAIRWAY_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in campus.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    made = ClusterRig(tmp_path, campus, pooled=request.module.__name__.rsplit(".", 1)[-1] not in ONE_POD)
    yield made
    made.close()
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]
