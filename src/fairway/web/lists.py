"""Lists of very many items, of which only those are made that somebody looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, overload

import msgspec

from fairway.engine.library import StoreLibrary
from fairway.errors import UnsupportedError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import from_plain
from fairway.step import plainjson

LIST_LIMIT_BYTES = 32 << 20
_KEPT = 4


class _Manifest(msgspec.Struct):
    items: list[msgspec.Raw]


class LeanLibrary(StoreLibrary):
    """Reads lists for one look at a run. A list of more than `LIST_LIMIT_BYTES` is not taken apart: FairwayError."""

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(store)
        self._lean: dict[str, Items] = {}

    def split(self, ref: ArtifactRef) -> Sequence[ArtifactRef]:
        """As `StoreLibrary.split`, but items are made when they are asked for."""
        if ref.format not in ("json", "list"):
            return super().split(ref)
        known = self._lean.get(ref.digest)
        if known is None:
            if ref.size_bytes > LIST_LIMIT_BYTES:
                raise UnsupportedError(f"a list of {ref.size_bytes:,} bytes is not taken apart here", hint="read it in a step")
            if len(self._lean) >= _KEPT:
                del self._lean[next(iter(self._lean))]
            known = self._lean[ref.digest] = self._read(ref)
        return known

    def _read(self, ref: ArtifactRef) -> Items:
        if ref.format == "list":
            return Items(msgspec.json.decode(self._store.get(blob_key(ref.digest)), type=_Manifest).items)
        value = plainjson.parse(ref.inline if ref.inline is not None else self._store.get(blob_key(ref.digest)))
        if not isinstance(value, list | tuple | range):
            raise UnsupportedError(f"a {ref.type or ref.format} is no list", hint="only lists have items")
        return Items(value)


class Items(Sequence[ArtifactRef]):
    """The items of a list, each as an artifact of its own."""

    def __init__(self, raw: Sequence[Any]) -> None:
        self._raw = raw

    def __len__(self) -> int:
        return len(self._raw)

    @overload
    def __getitem__(self, at: int) -> ArtifactRef: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[ArtifactRef]: ...
    def __getitem__(self, at: int | slice) -> ArtifactRef | Sequence[ArtifactRef]:
        if isinstance(at, slice):
            return [_make(one) for one in self._raw[at]]
        return _make(self._raw[at])


def _make(one: Any) -> ArtifactRef:
    if isinstance(one, msgspec.Raw):
        return from_plain(ArtifactRef, msgspec.json.decode(one))
    data = plainjson.render(one)
    return ArtifactRef(
        hashlib.sha256(data).hexdigest(), len(data), "json", type(one).__name__, inline=data.decode("utf-8", "surrogatepass")
    )
