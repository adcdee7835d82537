"""One HTTP server for the whole room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.recorded import record_runs
from tests.web.rig import Live


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.close()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home with real runs in it, and their ids by what they are. For reading only: who changes something copies it."""
    return record_runs(tmp_path_factory.mktemp("recorded"))
