"""A real folder store and a scratch folder; `keep` saves a value and loads it again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore

sys.path.insert(0, str(Path(__file__).parent))  # for `shapes`, whose classes stored values name


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "blobs")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def keep(store: FolderArtifactStore, scratch: Path) -> Callable[..., Any]:
    def keep(value: Any, wanted: str = "", **options: Any) -> Any:
        ref = artifacts.save(value, store, scratch, **options)
        return artifacts.load(ref, store, scratch, wanted=wanted, trust=options.get("trust", False))

    return keep
