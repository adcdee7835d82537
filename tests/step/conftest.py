"""The bench of `tests/executors/rig.py` and the yard of `tests/step/pods.py` as fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executors.rig import bench as bench
from tests.step.pods import Server, Yard, make_runtime


@pytest.fixture(scope="session")
def runtime() -> tuple[bytes, str]:
    """The runtime zip and its digest."""
    return make_runtime()


@pytest.fixture
def yard(tmp_path: Path, runtime: tuple[bytes, str]) -> Iterator[Yard]:
    """A server, and a place to start pods."""
    made = Yard(tmp_path, runtime)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path, runtime: tuple[bytes, str]) -> Iterator[Server]:
    """A server alone."""
    made = Server(tmp_path / "server", runtime)
    yield made
    made.stop()
