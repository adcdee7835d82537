"""The client's artifacts: what runs and tasks have given, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from fairway.engine import notebook
from fairway.engine.workspace import Workspace
from fairway.errors import NotFoundError, UnsupportedError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.layout import SCRATCH


class Output:
    """One artifact: its reference, and the way to its value."""

    def __init__(self, workspace: Workspace, name: str, ref: ArtifactRef) -> None:
        self._workspace = workspace
        self.name = name
        self.ref = ref

    @property
    def type(self) -> str:
        """The type name of the value, such as "pandas.DataFrame"."""
        return self.ref.type or self.ref.format

    @property
    def size_bytes(self) -> int:
        return self.ref.size_bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes: equal digests are equal values."""
        return self.ref.digest

    def load(self, *, wanted: str = "", trust: bool = False) -> Any:
        """The value. `trust` allows formats that can run code when loaded. Raises NotFoundError, UnsupportedError, DefinitionError."""
        from fairway.step.artifacts import load

        return load(self.ref, self._workspace.artifacts, self._scratch(), wanted=wanted, trust=trust)

    def path(self) -> str:
        """A read-only file, or a folder of such, with the artifact in the format it is stored in."""
        from fairway.step import paths

        folder = self.ref.format in ("dir", "model") or self.ref.meta.get("folder")
        return str((paths.open_folder if folder else paths.open_file)(self.ref, self._workspace.artifacts, self._scratch()))

    def _scratch(self) -> str:
        folder = os.path.join(self._workspace.project.home, SCRATCH, "loaded")
        os.makedirs(folder, exist_ok=True)
        return folder

    def __repr__(self) -> str:
        return f"<Output {self.name}: {self.type}, {self.size_bytes:,} bytes, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        """The value as it shows itself where it can, else what is known of it."""
        value = self.ref.inline if self.ref.inline is not None else f"{self.type}, {self.size_bytes:,} bytes"
        shown = f"<b>{notebook.escape(self.name)}</b> <code>{notebook.escape(value)}</code>"
        return shown + self._drawn() if self.size_bytes <= notebook.DRAWN_BYTES else shown

    def _drawn(self) -> str:
        """Tables, figures, pages and models; "" for other values, and where the library that reads one is not installed."""
        if self.type == "fairway.Model":
            facts = {"class": self.ref.meta.get("class", ""), **self.ref.meta.get("metrics", {}), **self.ref.meta.get("versions", {})}
            return notebook.render_table(("model", ""), [(name, str(value)) for name, value in facts.items()])
        if self.type not in notebook.DRAWN:
            return ""
        try:
            value = self.load()
        except UnsupportedError:
            return ""
        if self.type == "fairway.Figure":
            return notebook.render_picture(value.kind, value.data)
        return str(value._repr_html_())


class Outputs(Mapping[str, Output]):
    """Outputs by name."""

    def __init__(self, workspace: Workspace, refs: Mapping[str, ArtifactRef], of: str) -> None:
        self._workspace = workspace
        self._refs = refs
        self._of = of

    def __getitem__(self, name: str) -> Output:
        if name not in self._refs:
            known = ", ".join(self._refs) or "none yet"
            raise NotFoundError(f"{self._of} has no output {name!r}", hint=f"its outputs: {known}")
        return Output(self._workspace, name, self._refs[name])

    def __contains__(self, name: object) -> bool:
        return name in self._refs

    def __iter__(self) -> Iterator[str]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)

    def __repr__(self) -> str:
        return "\n".join(repr(self[name]) for name in self) or "no outputs"

    def _repr_html_(self) -> str:
        return "<br>".join(self[name]._repr_html_() for name in self) or "no outputs"
