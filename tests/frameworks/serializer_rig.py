"""What the tests of serializers share: save, load, save again; and modules that stored values name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore


class Rig:
    """A store and a scratch folder."""

    def __init__(self, folder: Path) -> None:
        self.store = FolderArtifactStore(folder / "blobs")
        self.scratch = folder / "scratch"

    def save(self, value: Any, **options: Any) -> ArtifactRef:
        return artifacts.save(value, self.store, self.scratch, **options)

    def load(self, ref: ArtifactRef, **options: Any) -> Any:
        return artifacts.load(ref, self.store, self.scratch, **options)

    def keep(self, value: Any, **options: Any) -> Any:
        """Load what was saved, having checked that saving twice gives one digest."""
        ref = self.save(value, **options)
        assert self.save(value, **options).digest == ref.digest
        return self.load(ref, trust=options.get("trust", False))
