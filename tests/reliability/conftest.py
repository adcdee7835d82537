"""A project's folder whose processes must all be gone when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.rig import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "project"
    folder.mkdir()
    made = Shell(folder)
    yield made
    made.check_nothing_left()
