"""What an attempt used of what it had asked for, second by second, out of the stream of its samples. Pure but for the reading."""

from __future__ import annotations

from typing import Any

import msgspec

from fairway.spec.outcome import Usage
from fairway.spec.ports import StreamStore
from fairway.spec.record import Record, record
from fairway.spec.resources import Resources
from fairway.web.curves import Curve, Point

POINTS = 600
NEAR = 0.9
"""From this share of the memory that was asked for on, a little more data may end the step."""
_CHUNK_BYTES = 256 << 10
_SAMPLE = msgspec.json.Decoder(tuple[float, float, float])


@record
class UsageSeries(Record):
    """`memory` are [seconds since the first sample, bytes], `cpu` [seconds, cores that were busy since the sample before]."""

    began_at: float
    memory: tuple[Point, ...]
    cpu: tuple[Point, ...]
    samples: int
    peak_bytes: int


def read_usage(streams: StreamStore, run: str, attempt: str) -> UsageSeries:
    """All samples of an attempt, in a bounded number of points."""
    name = f"{run}/{attempt}/samples"
    memory, cpu = Curve(POINTS), Curve(POINTS)
    began_at = last_at = last_cpu = 0.0
    peak = position = 0
    while data := streams.read(name, position, _CHUNK_BYTES):
        whole, newline, _ = data.rpartition(b"\n")
        if not newline:
            break
        position += len(whole) + 1
        for line in whole.split(b"\n"):
            try:
                at, rss, cpu_s = _SAMPLE.decode(line)
            except msgspec.DecodeError:  # cut off by a kill in the middle of a write
                continue
            if not memory.count:
                began_at = at
            elif at > last_at:
                cpu.add(at - began_at, max(cpu_s - last_cpu, 0.0) / (at - last_at))
            memory.add(at - began_at, rss)
            peak = max(peak, int(rss))
            last_at, last_cpu = at, cpu_s
    return UsageSeries(began_at, tuple(memory.points()), tuple(cpu.points()), memory.count, peak)


def spell_usage(series: UsageSeries, asked: Resources, usage: Usage | None) -> dict[str, Any]:
    """For the page's script."""
    return {
        "memory": [(round(at, 2), value) for at, value in series.memory],
        "cpu": [(round(at, 2), round(value, 3)) for at, value in series.cpu],
        "asked": {"memory": asked.memory_bytes, "cpu": asked.cpu},
        "peak": peak_of(series, usage),
    }


def peak_of(series: UsageSeries, usage: Usage | None) -> int:
    """The most memory that is known of."""
    return max(series.peak_bytes, usage.peak_memory_bytes if usage else 0)


@record
class MemoryVerdict(Record):
    """`kind`: "" (nothing to say), "near" or "over" what was asked for, "plenty" (far below it). `share` of what was asked for."""

    kind: str = ""
    share: float = 0.0


def judge_memory(peak_bytes: int, asked_bytes: int) -> MemoryVerdict:
    """How the peak compares with what was asked for."""
    if not asked_bytes or not peak_bytes:
        return MemoryVerdict()
    share = peak_bytes / asked_bytes
    if share >= 1:
        return MemoryVerdict("over", share)
    if share >= NEAR:
        return MemoryVerdict("near", share)
    return MemoryVerdict("plenty" if share < 0.25 and asked_bytes >= 1 << 30 else "", share)
