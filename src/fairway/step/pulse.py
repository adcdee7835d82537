"""How far each rank of a gang has come, in memory that its leader shares: who reports progress beats, and a beat costs a tenth of a
microsecond.

A rank is *coming* until the user's function is called, *running* until it has returned, then *done*. Outside a gang the same calls go
nowhere. Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Any

COMING, RUNNING, DONE = 0.0, 1.0, 2.0
UNKNOWN, ALONE, TOGETHER = 0.0, 1.0, 2.0
WAITS = ("input", "checkpoint", "network")
_BEAT_AT, _BEATS, _PHASE, _WAIT_SINCE, _WAIT_KIND, _WAITED, _BATCHES, _SAMPLES, _TAKEN, _COMPANY = 0, 1, 2, 3, 4, 5, 8, 9, 10, 11
_CELLS = 16  # numbers of eight bytes: two cache lines, so that no rank slows its neighbour
_SLOT_BYTES = _CELLS * 8

_cells: list[float] | memoryview[float] = [0.0] * _CELLS


def beat() -> None:
    """This rank goes on: it has reported something, begun a batch, saved a checkpoint."""
    cells = _cells
    cells[_BEAT_AT] = monotonic()
    cells[_BEATS] += 1.0


def go_on() -> None:
    """This rank has heard of the others and goes on, which is no step of its own."""
    cells = _cells
    cells[_COMPANY], cells[_BEAT_AT] = TOGETHER, monotonic()


def take(samples: int, steps: int = 0) -> None:
    """This rank has its next batch, of so many samples: the shard's `steps`-th, restarts counted in. It beats."""
    cells = _cells
    cells[_BATCHES] += 1.0
    cells[_SAMPLES] += samples
    if steps > cells[_TAKEN]:
        cells[_TAKEN] = steps
    cells[_BEAT_AT] = monotonic()
    cells[_BEATS] += 1.0


@contextmanager
def waiting(kind: str) -> Generator[None]:
    """Around a wait for "input", "checkpoint" or "network": its seconds are counted apart. The outermost of several counts."""
    cells = _cells
    if cells[_WAIT_SINCE]:
        yield
        return
    number = WAITS.index(kind)
    began = monotonic()
    cells[_WAIT_KIND], cells[_WAIT_SINCE] = float(number), began
    try:
        yield
    finally:
        cells[_WAIT_SINCE] = 0.0
        cells[_WAITED + number] += monotonic() - began


def counting(kind: str, function: Any) -> Any:
    """The function, a collective, whose time counts as a wait, and whose return as `go_on`. It costs a microsecond a call."""
    number = WAITS.index(kind)

    def counted(*args: Any, **options: Any) -> Any:
        cells = _cells
        if cells[_WAIT_SINCE]:
            return function(*args, **options)
        began = monotonic()
        cells[_WAIT_KIND], cells[_WAIT_SINCE] = float(number), began
        try:
            result = function(*args, **options)
        except BaseException:
            cells[_WAIT_SINCE] = 0.0
            cells[_WAITED + number] += monotonic() - began
            raise
        cells[_COMPANY], ended = TOGETHER, monotonic()
        cells[_BEAT_AT] = ended
        cells[_WAIT_SINCE] = 0.0
        cells[_WAITED + number] += ended - began
        return result

    return counted


def waited(kind: str, seconds: float) -> None:
    """Count a wait that somebody else has measured."""
    _cells[_WAITED + WAITS.index(kind)] += seconds


def enter(path: str, rank: int) -> None:
    """Be the rank `rank` of the gang whose pulses are in the file `path`."""
    global _cells
    _cells = _map(path)[rank * _CELLS : (rank + 1) * _CELLS]


def set_phase(phase: float) -> None:
    """RUNNING counts as a beat."""
    cells = _cells
    if phase == RUNNING:
        cells[_BEAT_AT] = monotonic()
    cells[_PHASE] = phase


def look_for_company() -> None:
    """From now on it is known whether this rank hears of others: ALONE until it has."""
    cells = _cells
    cells[_COMPANY] = cells[_COMPANY] or ALONE


class Pulses:
    """The leader's side: the pulses of `count` ranks, in a file that is made anew."""

    def __init__(self, path: str, count: int) -> None:
        self.path = path
        with open(path, "wb") as file:
            file.truncate(max(1, count) * _SLOT_BYTES)
        self._cells = _map(path)

    def beat(self, rank: int) -> None:
        """On behalf of a rank that cannot: a program that prints goes on."""
        self._cells[rank * _CELLS + _BEAT_AT] = monotonic()

    def beat_at(self, rank: int) -> float:
        """When it last went on; 0 if it has not begun."""
        return self._cells[rank * _CELLS + _BEAT_AT]

    def phase(self, rank: int) -> float:
        """COMING, RUNNING or DONE."""
        return self._cells[rank * _CELLS + _PHASE]

    def company(self, rank: int) -> float:
        """UNKNOWN where nobody watches, else ALONE or TOGETHER."""
        return self._cells[rank * _CELLS + _COMPANY]

    def counts(self, rank: int) -> dict[str, float | int]:
        """Seconds waited by kind, a wait under way among them; how often it has beaten ("steps"); batches and samples, if any, and the
        steps that its longest shard has "taken", those before a restart among them."""
        at = rank * _CELLS
        cells = self._cells[at : at + _CELLS].tolist()
        found: dict[str, float | int] = {kind: cells[_WAITED + number] for number, kind in enumerate(WAITS)}
        if cells[_WAIT_SINCE]:
            found[WAITS[int(cells[_WAIT_KIND])]] += monotonic() - cells[_WAIT_SINCE]
        had = {"batches": int(cells[_BATCHES]), "samples": int(cells[_SAMPLES]), "taken": int(cells[_TAKEN])} if cells[_BATCHES] else {}
        return {**{kind: round(seconds, 3) for kind, seconds in found.items()}, "steps": int(cells[_BEATS]), **had}


def _map(path: str) -> memoryview[float]:
    import mmap  # only gangs need it

    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return memoryview(mmap.mmap(fd, 0)).cast("d")
    finally:
        os.close(fd)
