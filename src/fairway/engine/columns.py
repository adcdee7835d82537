"""What a run's overview keeps of items and attempts: numbers in columns, not objects. About 20 bytes an item, 70 more an attempt."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

NONE = -1.0
"""In a column of seconds: never, or not known."""

_COLUMNS = (
    ("told", "I"),
    ("tried", "H"),
    ("last", "I"),
    ("try_slot", "I"),
    ("try_before", "I"),
    ("planned_at", "d"),
    ("started", "f"),
    ("running", "f"),
    ("writing", "f"),
    ("ended", "f"),
    ("planned_no", "I"),
    ("ended_no", "I"),
    ("observed", "I"),
    ("node", "I"),
    ("first", "I"),
    ("n", "H"),
    ("seen_no", "I"),
    ("seen_before", "I"),
)
_BYTES = ("status", "reason", "outcome", "ids")


class Columns:
    """Four tables whose rows are numbered as they were added.

    Items, by slot: `status` and `reason` (codes), `told` (number of the last event that spoke of it without an attempt: cached, skipped,
    refused, a graph that ended), `tried` (attempts since the last resume), `last` (its last try + 1, 0 for none).

    Tries, one for each item of each attempt, those of an attempt together: `try_slot`, `try_before` (the try before it of the same item
    + 1).

    Attempts: `planned_at`; `started`, `running`, `writing`, `ended` in seconds after it (NONE where not known); numbers of their events
    (`ended_no` 0 while they live); `observed` (last observation + 1); `node` (a row of the overview's nodes), `first` try, `n`; `outcome`,
    the worst status of its items.

    Observations: `seen_no` (number of the event), `seen_before` (the one before it of the same attempt + 1).
    """

    told: array[int]
    tried: array[int]
    last: array[int]
    try_slot: array[int]
    try_before: array[int]
    planned_at: array[float]
    started: array[float]
    running: array[float]
    writing: array[float]
    ended: array[float]
    planned_no: array[int]
    ended_no: array[int]
    observed: array[int]
    node: array[int]
    first: array[int]
    n: array[int]
    seen_no: array[int]
    seen_before: array[int]
    status: bytearray
    reason: bytearray
    outcome: bytearray
    ids: bytearray

    def __init__(self) -> None:
        for name, kind in _COLUMNS:
            setattr(self, name, array(kind))
        for name in _BYTES:
            setattr(self, name, bytearray())
        self.odd_ids: dict[int, str] = {}

    @property
    def size_bytes(self) -> int:
        """Of all columns."""
        return sum(len(getattr(self, name)) for name in _BYTES) + sum(
            len(getattr(self, name)) * getattr(self, name).itemsize for name, _ in _COLUMNS
        )

    def add_items(self, count: int) -> int:
        """Room for so many new items; returns the first slot."""
        start = len(self.status)
        self.status.extend(bytes(count))
        self.reason.extend(bytes(count))
        for column in (self.told, self.tried, self.last):
            column.frombytes(bytes(count * column.itemsize))
        return start

    def add_attempt(self, id: str, n: int, node: int, number: int, at: float, slots: Sequence[int]) -> int:
        """An attempt at these items; returns its row."""
        row = len(self.planned_at)
        self.planned_at.append(at)
        for column in (self.started, self.running, self.writing, self.ended):
            column.append(NONE)
        self.planned_no.append(number)
        self.ended_no.append(0)
        self.observed.append(0)
        self.node.append(node)
        self.n.append(min(n, 65535))
        self.outcome.append(0)
        raw = _pack(id, n)
        if raw is None:
            self.odd_ids[row] = id
        self.ids.extend(raw or bytes(10))
        last, tried = self.last, self.tried
        first = len(self.try_slot)
        self.first.append(first)
        self.try_slot.extend(slots)
        self.try_before.extend([last[slot] for slot in slots])
        for number, slot in enumerate(slots, first + 1):
            last[slot] = number
            if tried[slot] < 65535:
                tried[slot] += 1
        return row

    def add_observation(self, row: int, number: int) -> None:
        """An event that told of an attempt while it lived."""
        self.seen_no.append(number)
        self.seen_before.append(self.observed[row])
        self.observed[row] = len(self.seen_no)

    def id(self, row: int) -> str:
        """The attempt's id."""
        odd = self.odd_ids.get(row)
        return odd if odd is not None else f"a{self.ids[row * 10 : row * 10 + 10].hex()}-{self.n[row]}"

    def find_attempt(self, id: str) -> int:
        """The row of the attempt with this id, -1 if there is none."""
        odd = next((row for row, one in self.odd_ids.items() if one == id), -1)
        head, _, n = id.rpartition("-")
        raw = _pack(id, int(n)) if odd < 0 and head and n.isdecimal() and len(n) < 6 else None
        at = self.ids.find(raw) if raw is not None else -1
        while raw is not None and at >= 0:
            if at % 10 == 0 and self.id(at // 10) == id:
                return at // 10
            at = self.ids.find(raw, at + 1)
        return odd

    def slots_of(self, row: int) -> Sequence[int]:
        """The items of an attempt, in its order."""
        end = self.first[row + 1] if row + 1 < len(self.first) else len(self.try_slot)
        return self.try_slot[self.first[row] : end]

    def attempts_of(self, slot: int) -> list[int]:
        """Rows of the item's attempts, first one first."""
        return [row for row, _ in self.tries_of(slot)]

    def tries_of(self, slot: int) -> list[tuple[int, int]]:
        """(row, position among the attempt's items) of the item's attempts, first one first."""
        tries: list[tuple[int, int]] = []
        found = self.last[slot]
        while found:
            row = bisect_right(self.first, found - 1) - 1
            tries.append((row, found - 1 - self.first[row]))
            found = self.try_before[found - 1]
        return tries[::-1]

    def observations_of(self, row: int) -> list[int]:
        """Numbers of the events that told of the attempt while it lived, in order."""
        numbers: list[int] = []
        found = self.observed[row]
        while found:
            numbers.append(self.seen_no[found - 1])
            found = self.seen_before[found - 1]
        return numbers[::-1]

    def dump(self) -> Iterator[tuple[str, bytes | bytearray]]:
        """(name, bytes) of every column, in this machine's byte order."""
        for name, _ in _COLUMNS:
            yield name, getattr(self, name).tobytes()
        for name in _BYTES:
            yield name, getattr(self, name)

    def load(self, parts: Iterable[tuple[str, bytes | memoryview]]) -> None:
        """The inverse of `dump`. Raises KeyError, ValueError for what it did not make."""
        kinds = dict(_COLUMNS)
        for name, data in parts:
            if name in kinds:
                column = array(kinds[name])
                column.frombytes(data)
                setattr(self, name, column)
            elif name in _BYTES:
                setattr(self, name, bytearray(data))
            else:
                raise KeyError(name)


def _pack(id: str, n: int) -> bytes | None:
    """The ten bytes that tell an attempt's id from others, None if it is not of the usual make."""
    try:
        raw = bytes.fromhex(id[1:21])
    except ValueError:
        return None
    return raw if n < 65536 and f"a{raw.hex()}-{n}" == id else None
