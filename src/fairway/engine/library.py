"""The store's side of `resolve.Library`: immutable artifacts, read once and remembered."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from fairway.errors import DefinitionError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.graph import Graph
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import from_plain
from fairway.step import artifacts, plainjson

KEPT_LISTS = 16
PUT_AGAIN_S = 600.0
VALUE_LIMIT_BYTES = 1 << 20


class StoreLibrary:
    """Lists, graphs and small values of one artifact store. Holds at most `KEPT_LISTS` split lists."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._lists: OrderedDict[str, Sequence[ArtifactRef]] = OrderedDict()
        self._constants: dict[str, ArtifactRef] = {}
        self._kept: dict[str, tuple[ArtifactRef, float]] = {}

    def split(self, ref: ArtifactRef) -> Sequence[ArtifactRef]:
        """The items of a list artifact. Raises DefinitionError if it is none."""
        known = self._lists.get(ref.digest)
        if known is None:
            known = self._lists[ref.digest] = artifacts.split(ref, self._store)
            if len(self._lists) > KEPT_LISTS:
                self._lists.popitem(last=False)
        else:
            self._lists.move_to_end(ref.digest)
        return known

    def collect(self, refs: Sequence[ArtifactRef]) -> ArtifactRef:
        """One list artifact of many."""
        return artifacts.collect(refs, self._store)

    def graph(self, digest: str) -> Graph:
        """A graph that a dynamic step made."""
        return from_plain(Graph, json.loads(self._store.get(blob_key(digest))))

    def constant(self, value: Any) -> ArtifactRef:
        """A JSON value as an artifact that travels inside its reference, whatever its size."""
        text = plainjson.render(value).decode("utf-8", "surrogatepass")
        kind = type(value).__name__
        known = self._constants.get(text + kind)
        if known is None:
            data = text.encode("utf-8", "surrogatepass")
            known = ArtifactRef(hashlib.sha256(data).hexdigest(), len(data), "json", kind, inline=text)
            if len(text) < 4096:
                self._constants[text + kind] = known
        return known

    def render(self, value: Any) -> str:
        """A JSON value as `constant` spells it."""
        return plainjson.render(value).decode("utf-8", "surrogatepass")

    def written(self, text: str, kind: str) -> ArtifactRef:
        """As `constant`, of JSON that is spelled already."""
        data = text.encode("utf-8", "surrogatepass")
        return ArtifactRef(hashlib.sha256(data).hexdigest(), len(data), "json", kind, inline=text)

    def kept(self, text: str, kind: str) -> ArtifactRef:
        """JSON that is spelled already, with a blob of its own. Who asks for the same text every now and then keeps it from being collected
        as garbage."""
        now = time.monotonic()
        ref, put_at = self._kept.get(text, (None, 0.0))
        if ref is None or now - put_at > PUT_AGAIN_S:
            data = text.encode("utf-8", "surrogatepass")
            ref = ref or ArtifactRef(hashlib.sha256(data).hexdigest(), len(data), "json", kind)
            self._store.put(blob_key(ref.digest), data)
            self._kept[text] = ref, now
        return ref

    def value(self, ref: ArtifactRef) -> Any:
        """The JSON value of a small artifact. Raises DefinitionError for what only a step should look into."""
        if ref.inline is not None:
            return plainjson.parse(ref.inline)
        if ref.format == "json" and ref.size_bytes <= VALUE_LIMIT_BYTES:
            return plainjson.parse(self._store.get(blob_key(ref.digest)))
        raise DefinitionError(
            f"a condition needs a number, a string or a small list, not a {ref.type or ref.format}",
            hint="return the number to compare from a step, and compare that",
        )
