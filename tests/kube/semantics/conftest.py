"""One cluster and server for all semantic tests; each test is a project of its own with that cluster as its target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus, ClusterRig

# Here each attempt has a pod of its own; elsewhere steps share warm workers.
ONE_POD = {"test_outputs", "test_retries", "test_cancel", "test_checkpoint", "test_context", "test_gangs"}


@pytest.fixture(scope="session")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    made = Campus(tmp_path_factory.mktemp("campus"))
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path, campus: Campus, request: pytest.FixtureRequest) -> Iterator[ClusterRig]:
    pooled = request.module.__name__.rsplit(".", 1)[-1] not in ONE_POD
    with project(tmp_path, campus, pooled=pooled) as made:
        yield made
