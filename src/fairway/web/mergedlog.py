"""The log of all ranks of a gang, from its end backwards: so many lines, and those before them, as far back as there are any."""

from __future__ import annotations

from collections.abc import Sequence

from fairway.engine.ranks import LEADER, merge, parse_lines, stream_of
from fairway.engine.reading import LogLine, parse_log_line
from fairway.spec.ports import StreamStore

RANKS_READ = 256
"""Of a larger gang the first ones are looked at."""
_TAIL_BYTES, _TAILS_BYTES = 64 << 10, 2 << 20  # of one rank, of all together
_MOST_BYTES = 64 << 20  # of all, where much was written at one moment
_PROBE_BYTES = 4096


def read_merged(streams: StreamStore, prefix: str, ranks: int, last: int, before: str = "") -> tuple[list[LogLine], bool]:
    """The last lines (from before the time `before`) and whether there are more before them: `last` or a few more of one moment; fewer, but
    one at least, where one read of the streams' ends holds no more.

    No line is shown without all that other ranks wrote after it, nor one of several of the same time without the others.
    """
    names = {rank: f"{prefix}/{stream_of('log', rank)}" for rank in range(LEADER, min(ranks, RANKS_READ))}
    ends = {rank: find_end(streams, name, before) if before else streams.size(name) for rank, name in names.items()}
    tail = max(4096, min(_TAIL_BYTES, _TAILS_BYTES // len(names)))
    most = max(_TAIL_BYTES, _MOST_BYTES // len(names))
    merged, cut = _read(streams, names, ends, tail)
    while cut and not merged and tail < most:  # one long line, or many of one moment
        tail *= 4
        merged, cut = _read(streams, names, ends, tail, anyway=tail >= most)
    begin = max(0, len(merged) - last)
    while 0 < begin < len(merged) and merged[begin - 1].at in ("", merged[begin].at):
        begin -= 1
    return merged[begin:], cut or begin > 0


def _read(
    streams: StreamStore, names: dict[int, str], ends: dict[int, int], tail: int, *, anyway: bool = False
) -> tuple[list[LogLine], bool]:
    """The lines of the last `tail` bytes of each that are whole, and whether there is more. `anyway`: even if that cannot be told."""
    parts: list[Sequence[LogLine]] = []
    since, cut = "", False
    for rank, name in names.items():
        begin = max(0, ends[rank] - tail)
        data = streams.read(name, begin, ends[rank] - begin) if ends[rank] else b""
        if begin:
            data, cut = data[data.find(b"\n") + 1 :], True
        lines = parse_lines(data, "", "", rank)
        if begin and not anyway:  # of the time of the first line there may be others before it
            since = max(since, f"{lines[0].at}\0" if lines else "\uffff")
        parts.append(lines)
    return [line for line in merge(parts) if line.at >= since or not line.at], cut


def find_end(streams: StreamStore, name: str, before: str) -> int:
    """Where the first line begins that was written at `before` or later; the stream's size if there is none."""
    low, high = 0, streams.size(name)
    end = high
    while high - low > _TAIL_BYTES:
        middle = (low + high) // 2
        at, begin = _next_time(streams, name, middle, high)
        if at and at < before:
            low = begin
        else:
            high, end = middle, begin if at else end
    position = low
    for raw in streams.read(name, low, high - low + _PROBE_BYTES).split(b"\n"):
        at = parse_log_line(raw, "", "").at
        if position >= high:
            break
        if at and at >= before:
            return position
        position += len(raw) + 1
    return end


def _next_time(streams: StreamStore, name: str, offset: int, end: int) -> tuple[str, int]:
    """(its time, where it begins) of the first line with a time that begins behind `offset`; ("", end) if there is none."""
    size = _PROBE_BYTES
    while True:
        data = streams.read(name, offset, min(size, end - offset))
        position = data.find(b"\n") + 1
        while position and (stop := data.find(b"\n", position)) >= 0:
            at = parse_log_line(data[position:stop], "", "").at
            if at:
                return at, offset + position
            position = stop + 1
        if offset + size >= end:
            return "", end
        size *= 4
