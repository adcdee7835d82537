"""When a window of a stream is full: after so many rows, after so long, or when the time that the rows themselves tell is over. Pure: the
clock's time is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fairway.errors import ConfigError

_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0,
            "h": 3600.0, "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0, "days": 86400.0}  # fmt: skip
_LARGEST_BYTES = 16 << 20
_HINT = 'write window="1000 rows", "10s", or "1000 rows or 10s"'


@dataclass(frozen=True)
class Cut:
    """Full after `rows` rows, or after `seconds`, whichever comes first; 0: that does not matter. `bytes_` bounds the memory."""

    rows: int = 0
    seconds: float = 0.0
    bytes_: int = _LARGEST_BYTES


def parse_cut(window: str | int) -> Cut:
    """`1000`, `"1000 rows"`, `"10s"`, `"1000 rows or 1 min"`. Raises ConfigError."""
    if isinstance(window, int):
        window = f"{window} rows"
    rows, seconds = 0, 0.0
    for part in window.lower().split(" or ") if not window.strip().isdigit() else [f"{window} rows"]:
        found = _PART.fullmatch(part)
        if found is None:
            raise ConfigError(f"{window!r} does not say how large a window is", hint=_HINT)
        amount, unit = found.groups()
        if unit in ("row", "rows", "records"):
            rows = int(float(amount))
        elif unit in _SECONDS:
            seconds = float(amount) * _SECONDS[unit]
        else:
            raise ConfigError(f"a window cannot be counted in {unit!r}", hint=_HINT)
    if rows <= 0 and seconds <= 0:
        raise ConfigError(f"a window of {window!r} holds nothing", hint=_HINT)
    return Cut(rows, seconds)


def parse_seconds(text: str | float) -> float:
    """`"10s"`, `"5 min"`, `2.5`. Raises ConfigError."""
    if isinstance(text, int | float):
        return float(text)
    found = _PART.fullmatch(text)
    if found is None or found[2].lower() not in _SECONDS:
        raise ConfigError(f"{text!r} is no length of time", hint='write for example "10s" or "5 min"')
    return float(found[1]) * _SECONDS[found[2].lower()]


@dataclass
class Held:
    """A window's records: `numbers` are their numbers in the stream, ascending. `late`: how many came after their own window was closed."""

    begin_s: float
    end_s: float = 0.0
    payloads: list[bytes] = field(default_factory=list[bytes])
    numbers: list[int] | range = field(default_factory=list[int])
    late: int = 0

    @property
    def first(self) -> int:
        return self.numbers[0] if self.numbers else -1


TimeOf = Callable[[Sequence[bytes]], list[float | None]]
"""The time that each record tells, in seconds since 1970; None where it tells none."""


class Windowing(Protocol):
    """Takes records as they arrive; gives windows that are full."""

    def add(self, payloads: Sequence[bytes], first: int, now: float) -> None: ...

    def closed(self, now: float) -> list[Held]: ...

    def wait_s(self, now: float) -> float | None: ...

    def flush(self, now: float) -> list[Held]: ...

    def oldest(self) -> int | None:
        """The number of the first record that is in no window that was given away; None: there is none."""
        ...


class ArrivalWindows:
    """Windows of records as they arrive, one after the other. Where the cut has a time, a window ends by it, empty or not; and when nothing
    has come for `idle_s` (0: never)."""

    def __init__(self, cut: Cut, now: float, idle_s: float = 0.0) -> None:
        self.cut, self.idle_s = cut, idle_s
        self._payloads: list[bytes] = []
        self._first = 0
        self._size = 0
        self._opened = self._touched = now

    def add(self, payloads: Sequence[bytes], first: int, now: float) -> None:
        if not self._payloads:
            self._first = first
        self._payloads.extend(payloads)
        self._size += sum(map(len, payloads))
        self._touched = now

    def closed(self, now: float) -> list[Held]:
        made: list[Held] = []
        rows = self.cut.rows
        if rows and len(self._payloads) >= rows:
            payloads = self._payloads
            whole = len(payloads) // rows * rows
            made = [self._give(payloads[start : start + rows], now) for start in range(0, whole, rows)]
            self._payloads = payloads[whole:]
        if self._size > self.cut.bytes_:
            made.append(self._take(now))
        if self.cut.seconds and now - self._opened >= self.cut.seconds:
            made.append(self._take(now))
        elif self.idle_s and now - self._touched >= self.idle_s:
            self._touched = now
            made.append(self._take(now))
        return made

    def wait_s(self, now: float) -> float | None:
        waits = [self._opened + self.cut.seconds - now] if self.cut.seconds else []
        waits += [self._touched + self.idle_s - now] if self.idle_s else []
        return max(0.0, min(waits)) if waits else None

    def flush(self, now: float) -> list[Held]:
        return [self._take(now)] if self._payloads else []

    def oldest(self) -> int | None:
        return self._first if self._payloads else None

    def _take(self, now: float) -> Held:
        payloads, self._payloads = self._payloads, []
        return self._give(payloads, now)

    def _give(self, payloads: list[bytes], now: float) -> Held:
        held = Held(self._opened, now, payloads, range(self._first, self._first + len(payloads)))
        self._first += len(payloads)
        self._size -= sum(map(len, payloads))
        self._opened = now
        return held


class EventWindows:
    """Windows by the time that records tell . A window ends when a record tells a time that
    is `lateness_s` after its end, or when nothing has come for `idle_s`. What comes later still is in the next window that closes."""

    def __init__(self, cut: Cut, time_of: TimeOf, lateness_s: float, idle_s: float, now: float) -> None:
        self.cut, self.time_of, self.lateness_s, self.idle_s = cut, time_of, lateness_s, idle_s
        self._open: dict[float, Held] = {}
        self._late = Held(0.0)
        self._latest = float("-inf")
        self._done_until = float("-inf")
        self._touched = now
        self._size = 0

    def add(self, payloads: Sequence[bytes], first: int, now: float) -> None:
        self._touched = now
        for place, (payload, told) in enumerate(zip(payloads, self.time_of(payloads), strict=True)):
            at = told if told is not None else self._latest
            begin = at // self.cut.seconds * self.cut.seconds if at > float("-inf") else None
            if begin is None or begin < self._done_until:
                held = self._late
                held.late += 1
            else:
                held = self._open.setdefault(begin, Held(begin, begin + self.cut.seconds))
            held.payloads.append(payload)
            assert isinstance(held.numbers, list)
            held.numbers.append(first + place)
            self._size += len(payload)
            if told is not None:
                self._latest = max(self._latest, told)

    def closed(self, now: float) -> list[Held]:
        until = self._latest - self.lateness_s
        if now - self._touched >= self.idle_s:
            self._touched = now
            return self.flush(now) or [Held(now - self.idle_s, now)]
        made = [self._give(begin) for begin in sorted(self._open) if begin + self.cut.seconds <= until]
        while self._size > self.cut.bytes_ and self._open:
            made.append(self._give(min(self._open)))
        if self._size > self.cut.bytes_:
            made.append(self._with_late(Held(now, now)))
        return made

    def wait_s(self, now: float) -> float | None:
        return max(0.0, self._touched + self.idle_s - now)

    def flush(self, now: float) -> list[Held]:
        made = [self._give(begin) for begin in sorted(self._open)]
        if self._late.payloads:
            made.append(self._with_late(Held(now, now)))
        return made

    def oldest(self) -> int | None:
        return min((held.first for held in (*self._open.values(), self._late) if held.numbers), default=None)

    def _give(self, begin: float) -> Held:
        held = self._with_late(self._open.pop(begin))
        self._done_until = max(self._done_until, held.end_s)
        return held

    def _with_late(self, held: Held) -> Held:
        """The window with what came too late for its own, in the order in which all of it came."""
        late, self._late = self._late, Held(0.0)
        if late.numbers:
            both = sorted(zip([*held.numbers, *late.numbers], held.payloads + late.payloads, strict=True))
            held.numbers, held.payloads, held.late = [one for one, _ in both], [one for _, one in both], late.late
        self._size -= sum(map(len, held.payloads))
        return held
