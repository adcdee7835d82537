"""A user's folder for searches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.semantics.rig import Rig


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRWAY_HOME", str(tmp_path / "home"))
    made = Rig(tmp_path)
    yield made
    made.close()
