"""What tests on a cluster that has a server share; of gangs, unless they tell another story."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.emulator import Node
from tests.kube.gangrig import GangStory
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Campus]:
    """A cluster of three nodes with a server, for all tests of a module; with the API groups that the module's GROUPS names."""
    nodes, groups = (Node("n1"), Node("n2"), Node("n3")), getattr(request.module, "GROUPS", ())
    made = Campus(tmp_path_factory.mktemp("campus"), nodes=nodes, groups=groups)
    yield made
    made.close()


@pytest.fixture
def story(tmp_path: Path, campus: Campus) -> Iterator[GangStory]:
    """A project of a test's own there, and the run of a gang in it."""
    with project(tmp_path, campus) as rig:
        made = GangStory(rig)
        yield made
        made.close()
