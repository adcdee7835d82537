"""The bench of `tests/executors/rig.py` and the yard of `tests/step/pods.py` as fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.envs.runtime import build_runtime_zip
from tests.executors.rig import bench as bench
from tests.step.pods import Server, Yard


@pytest.fixture(scope="session")
def runtime() -> tuple[bytes, str]:
    """The runtime zip and its digest."""
    return build_runtime_zip()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, runtime: tuple[bytes, str]) -> Iterator[Server]:
    """The one server of all tests."""
    made = Server(tmp_path_factory.mktemp("server"), runtime)
    yield made
    made.stop()


@pytest.fixture
def server(site: Server) -> Iterator[Server]:
    """The server, running and as if new (but for what is in its store)."""
    site.reset()
    yield site
    site.start()


@pytest.fixture
def yard(tmp_path: Path, server: Server) -> Iterator[Yard]:
    """A server, and a place to start pods."""
    made = Yard(tmp_path, server)
    yield made
    made.close()
