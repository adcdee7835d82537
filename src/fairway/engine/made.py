"""Which task of a run made what: a small index by digest, read from the text of its journal."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.spec import event as ev
from fairway.spec.record import to_plain
from fairway.store.wire import parse_events, render_json

if TYPE_CHECKING:
    from fairway.engine.overview import Overview

Index = tuple[int, ...]
_DIGITS = 16


class _Ref(msgspec.Struct, gc=False):
    digest: str


class _Item(msgspec.Struct, gc=False):
    index: Index = ()
    outputs: dict[str, _Ref] = {}


class _Outcome(msgspec.Struct, gc=False):
    items: list[_Item] = []


class AttemptEnded(msgspec.Struct, gc=False):
    """What its items made."""

    outcome: _Outcome


class TasksCached(msgspec.Struct, gc=False):
    """What was there already."""

    scope: str
    node: str
    items: list[_Item]


class ScopeEnded(msgspec.Struct, gc=False):
    """What the graph of a dynamic task gave it."""

    scope: str
    node: str
    index: Index = ()
    outputs: dict[str, _Ref] = {}


_READ: dict[str, Any] = {cls.__name__: cls for cls in (AttemptEnded, TasksCached, ScopeEnded)}


class Made:
    """Outputs by the beginnings of their digests: 12 bytes each. `head`: the last event that was read.

    It may name tasks that have something else by now, or did not make just this: whoever asks looks at them.
    """

    __slots__ = ("head", "prefixes", "slots")

    def __init__(self) -> None:
        self.head = 0
        self.prefixes: array[int] = array("Q")
        self.slots: array[int] = array("I")

    @property
    def size_bytes(self) -> int:
        """About what it takes of memory."""
        return 12 * len(self.slots) + 500

    def dump(self) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) of both columns, in this machine's byte order."""
        yield "made_prefixes", self.prefixes.tobytes()
        yield "made_slots", self.slots.tobytes()

    def load(self, head: int, parts: Mapping[str, bytes | memoryview]) -> None:
        """The inverse of `dump`. Raises KeyError, ValueError for what it did not make."""
        self.prefixes.frombytes(parts["made_prefixes"])
        self.slots.frombytes(parts["made_slots"])
        if len(self.prefixes) != len(self.slots):
            raise ValueError("an index that is cut off")
        self.head = head

    def read(self, overview: Overview, first: int, text: str, rows: array[int]) -> None:
        """Take in a batch that begins with event number `first`, as far as the overview has it; `rows`: see `attempts_by_end`."""
        for number, event in _decode(text, first):
            if self.head < number <= overview.head:
                self.head = number
                if isinstance(event, AttemptEnded):
                    row = rows[number] if number < len(rows) else 0
                    if row:
                        slots = overview.columns.slots_of(row - 1)
                        for slot, item in zip(slots, event.outcome.items, strict=False):
                            self._add(slot, item.outputs)
                elif event is not None:
                    self._read_told(overview, event)

    def _read_told(self, overview: Overview, event: TasksCached | ScopeEnded) -> None:
        scope = overview.scopes.get(event.scope)
        node = scope.nodes.get(event.node) if scope is not None else None
        if node is not None:
            for item in event.items if isinstance(event, TasksCached) else (event,):
                slot = node.find_slot(item.index)
                if slot >= 0:
                    self._add(slot, item.outputs)

    def _add(self, slot: int, outputs: dict[str, _Ref]) -> None:
        for ref in outputs.values():
            self.prefixes.append(_prefix(ref.digest))
            self.slots.append(slot)

    def find(self, digests: Collection[str]) -> set[int]:
        """Slots of the tasks that may have made one of these."""
        wanted = {_prefix(digest) for digest in digests}
        slots = self.slots
        return {slots[at] for at, prefix in enumerate(self.prefixes) if prefix in wanted}


def attempts_by_end(overview: Overview, after: int) -> array[int]:
    """By number of event, the row + 1 of the attempt that ended with it, 0 for none; of events above `after`."""
    rows: array[int] = array("I", bytes(4 * (overview.head + 1)))
    for row, number in enumerate(overview.columns.ended_no, 1):
        if number > after:
            rows[number] = row
    return rows


def _prefix(digest: str) -> int:
    try:
        return int(digest[:_DIGITS], 16)
    except ValueError:
        return zlib.crc32(digest.encode("utf-8", "surrogatepass"))


@cache
def _decoder() -> Any:
    union: Any = None
    for name in ev.EVENTS:
        tagged = msgspec.defstruct(name, [("fields", _READ.get(name, msgspec.Raw))], tag=name, array_like=True, gc=False)
        union = tagged if union is None else union | tagged
    batch: Any = list[union]
    return msgspec.json.Decoder(batch)


def _decode(text: str, first: int) -> Iterator[tuple[int, Any]]:
    """(number, event), None for events that make nothing."""
    try:
        found = _decoder().decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):  # lone surrogates, which only the standard library reads
        for number, event in parse_events(text, first):
            cls = _READ.get(type(event).__name__)
            yield number, None if cls is None else msgspec.json.decode(render_json(to_plain(event)), type=cls)
        return
    for number, one in enumerate(found, first):
        yield number, None if type(one.fields) is msgspec.Raw else one.fields
