"""What attempts wrote while they ran, read back from their streams: metric points, progress, log lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from fairway.spec.ports import StreamStore
from fairway.spec.record import Record, record

TAIL_BYTES = 8192

P = TypeVar("P", bound=tuple[float, ...])


@record
class LogLine(Record):
    """One line that a task wrote, to stdout or stderr. `at` is UTC as "2026-11-24T08:15:03.250Z", "" if it is not known. `rank`: of a
    gang; -1 what its leader said, and every line of a plain step."""

    task: str
    attempt: str
    text: str
    at: str = ""
    rank: int = -1


def parse_log_line(raw: bytes, task: str, attempt: str) -> LogLine:
    """A line of the stream "RUN/ATTEMPT/log": a time, a space, the text."""
    text = raw.decode("utf-8", "replace")
    at, _, rest = text.partition(" ")
    return LogLine(task, attempt, rest, at) if at[-1:] == "Z" and at[:1].isdigit() else LogLine(task, attempt, text)


def read_log(streams: StreamStore, run: str, attempt: str, task: str) -> Iterator[LogLine]:
    """The attempt's lines so far."""
    lines, _ = read_log_from(streams, run, attempt, task, 0)
    yield from lines


def read_log_from(streams: StreamStore, run: str, attempt: str, task: str, offset: int) -> tuple[list[LogLine], int]:
    """Whole lines from byte `offset`, and the offset to go on from. A last line without its end is given only by `read_rest`."""
    data = streams.read(f"{run}/{attempt}/log", offset)
    whole, end, _ = data.rpartition(b"\n")
    if not end:
        return [], offset
    return [parse_log_line(raw, task, attempt) for raw in whole.split(b"\n")], offset + len(whole) + 1


def find_last_line(streams: StreamStore, run: str, attempt: str) -> str:
    """The last line with something on it, "" if there is none."""
    name = f"{run}/{attempt}/log"
    data = streams.read(name, max(0, streams.size(name) - TAIL_BYTES))
    for raw in reversed(data.split(b"\n")):
        text = parse_log_line(raw, "", attempt).text if raw else ""
        if text.strip():
            return text
    return ""


def find_last_points(streams: StreamStore, run: str, attempt: str, rank: int = 0) -> dict[str, Any]:
    """The latest value of each metric in the last few kilobytes of points, of a gang of one of its ranks."""
    name = f"{run}/{attempt}/metrics{f'.{rank}' if rank else ''}"
    found: dict[str, Any] = {}
    for _, _, values in parse_points(_tail(streams, name)):
        found.update(values)
    return found


def find_progress(streams: StreamStore, run: str, attempt: str) -> tuple[float, float | None] | None:
    """(done, total) as last reported, None if never."""
    for line in reversed(_tail(streams, f"{run}/{attempt}/progress")):
        try:
            _, done, total, *_ = json.loads(line)
        except ValueError:
            continue
        return done, total
    return None


def join_tries(tries: Iterable[Sequence[P]]) -> list[P]:
    """One curve (points, their x first) out of those of several tries: each goes on where it has resumed, and takes the place of what
    earlier ones had from there on. Pure."""
    joined: list[P] = []
    for points in tries:
        if points:
            begin = min(point[0] for point in points)
            joined = [*(point for point in joined if point[0] < begin), *points]
    return joined


def _tail(streams: StreamStore, name: str) -> list[bytes]:
    """The last lines of a stream, without a first one that may be cut."""
    size = streams.size(name)
    lines = streams.read(name, max(0, size - TAIL_BYTES)).split(b"\n")
    return lines if size <= TAIL_BYTES else lines[1:]


def parse_points(lines: Sequence[bytes]) -> Iterator[tuple[float, int | None, dict[str, Any]]]:
    """(time, step, values by metric) of each whole line of a stream "metrics"."""
    for line in lines:
        if not line:
            continue
        try:
            at, step, values = json.loads(line)
        except ValueError:
            continue  # cut off by a kill in the middle of a write
        yield at, step, values
