"""A user's folder, and this process as it was when the test is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apart import project_folder
from tests.semantics.rig import Rig


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    with project_folder(tmp_path, monkeypatch):
        made = Rig(tmp_path)
        yield made
        made.close()
