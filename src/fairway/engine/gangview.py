"""How the ranks of a gang get on now: how far and how fast each is, what it waits for, what it uses. From the ends of their streams.

A line of "samples.RANK" is `[time, rss, cpu_s, {"input": s, "checkpoint": s, "network": s, "steps": n, "gpu": […]}]`: seconds waited so far
by kind, and how its devices did (`fairway.step.gpu.Sample`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from fairway.engine.ranks import stream_of
from fairway.engine.reading import TAIL_BYTES
from fairway.spec.ports import StreamStore
from fairway.spec.record import Record, field, record

WINDOW_S = 20.0
"""Over how long a rate is taken."""
WAITS = ("input", "checkpoint", "network")
SLOW = 0.9
"""A rank that is slower than this share of the median holds the others up, or will."""


@record
class RankNow(Record):
    """One rank. `done` of `total`, `rate` a second (0: not known). `waits`: share of the last moments spent waiting, by kind; `waited`:
    seconds in all. `gpus`: (number, percent busy, bytes used, bytes there). `seen_at`: when it last said anything, 0 for never."""

    rank: int
    done: float = 0.0
    total: float = 0.0
    rate: float = 0.0
    waits: dict[str, float] = field(default_factory=dict)
    waited: dict[str, float] = field(default_factory=dict)
    memory_bytes: int = 0
    cpu: float = 0.0
    gpus: tuple[tuple[int, int, int, int], ...] = ()
    host: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seen_at: float = 0.0

    @property
    def waiting(self) -> float:
        """Share of its time that it waits, 0 to 1."""
        return min(1.0, sum(self.waits.values()))


@record
class GangNow(Record):
    """All of them. `metrics`: mean over ranks of what each logged last. `slowest`: a rank that holds the others up, and `why`; -1: none."""

    ranks: tuple[RankNow, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    slowest: int = -1
    why: str = ""

    @property
    def come(self) -> int:
        """How many ranks have said anything."""
        return sum(1 for one in self.ranks if one.seen_at)

    @property
    def done(self) -> float:
        """As far as all have come that report."""
        return min((one.done for one in self.ranks if one.done), default=0.0)

    @property
    def total(self) -> float:
        return max((one.total for one in self.ranks), default=0.0)

    @property
    def rate(self) -> float:
        """Of the ranks that report, by the middle one."""
        return median([one.rate for one in self.ranks if one.rate])

    @property
    def waits(self) -> dict[str, float]:
        """Mean share of time by kind of what is waited for, the most first."""
        known = [one for one in self.ranks if one.seen_at]
        shares = {kind: sum(one.waits.get(kind, 0.0) for one in known) / len(known) for kind in WAITS} if known else {}
        return dict(sorted(((kind, share) for kind, share in shares.items() if share), key=lambda one: -one[1]))


def read_gang(streams: StreamStore, run: str, attempt: str, size: int) -> GangNow:
    """All `size` ranks, from the last kilobytes of their streams."""
    return judge([read_rank(streams, f"{run}/{attempt}", rank) for rank in range(size)])


def read_rank(streams: StreamStore, prefix: str, rank: int) -> RankNow:
    """One rank, as far as its streams tell."""
    tails = {kind: list(_lines(streams, f"{prefix}/{stream_of(kind, rank)}")) for kind in ("samples", "progress", "metrics")}
    return sum_up(rank, **tails)


def sum_up(rank: int, samples: Sequence[Any], progress: Sequence[Any], metrics: Sequence[Any]) -> RankNow:
    """A rank from the last lines of its streams. Pure."""
    found = RankNow(rank)
    points = [(float(at), float(done)) for at, done, _ in progress if done is not None]
    steps = [(float(at), float(step)) for at, step, _ in metrics if step is not None]
    if points:
        found.done, found.total = points[-1][1], float(progress[-1][2] or 0.0)
    elif steps:
        found.done = steps[-1][1] + 1
    found.rate = rate_of(points) or rate_of(steps)
    for _, _, values in metrics:
        found.metrics.update({name: float(value) for name, value in values.items() if isinstance(value, int | float)})
    known = [(float(line[0]), float(line[1]), float(line[2]), line[3] if len(line) > 3 else {}) for line in samples]
    if known:
        now, recent = known[-1], [one for one in known if one[0] >= known[-1][0] - WINDOW_S]
        found.memory_bytes, counts = int(now[1]), now[3]
        found.cpu = rate_of([(at, cpu) for at, _, cpu, _ in recent])
        found.gpus = tuple(tuple(int(part) for part in one[:4]) for one in counts.get("gpu", ()))  # type: ignore[misc]
        found.host = str(counts.get("host", ""))
        for kind in WAITS:
            found.waited[kind] = float(counts.get(kind, 0.0))
            found.waits[kind] = min(1.0, rate_of([(at, float(more.get(kind, 0.0))) for at, _, _, more in recent]))
    found.seen_at = max((float(lines[-1][0]) for lines in (samples, progress, metrics) if lines), default=0.0)
    return found


def judge(ranks: Sequence[RankNow]) -> GangNow:
    """The gang of these ranks: what they have in common, and who is behind. Pure."""
    names = {name: None for one in ranks for name in one.metrics}
    values = {name: [one.metrics[name] for one in ranks if name in one.metrics] for name in names}
    return GangNow(tuple(ranks), {name: sum(some) / len(some) for name, some in values.items()}, *find_slowest(ranks))


def find_slowest(ranks: Sequence[RankNow]) -> tuple[int, str]:
    """The rank that holds the others up, and how that is known; (-1, "") if there is none.

    Ranks that go on by themselves differ in their rates. Those that wait for each other in every step do not: there the others wait for the
    network, and the slow one hardly does.
    """
    rates = {one.rank: one.rate for one in ranks if one.rate}
    if len(rates) > 1:
        slow, usual = min(rates, key=lambda rank: rates[rank]), median(list(rates.values()))
        if rates[slow] < SLOW * usual:
            return slow, f"{1 - rates[slow] / usual:.0%} slower than the others"
    shares = sorted((one.waits.get("network", 0.0), one.rank) for one in ranks if one.seen_at)
    if len(shares) > 1 and shares[1][0] - shares[0][0] >= 1 - SLOW:
        return shares[0][1], f"the others wait for it {shares[1][0]:.0%} of the time"
    return -1, ""


def rate_of(points: Sequence[tuple[float, float]]) -> float:
    """How much the value grows in a second over the last `WINDOW_S` of (time, value); 0 if that cannot be told. Begun again: from there."""
    first = last = len(points) - 1
    while first > 0 and points[first - 1][0] >= points[last][0] - WINDOW_S and points[first - 1][1] <= points[first][1]:
        first -= 1
    if first >= last or points[last][0] <= points[first][0]:
        return 0.0
    return (points[last][1] - points[first][1]) / (points[last][0] - points[first][0])


def median(values: Sequence[float]) -> float:
    """The middle one, the upper of two; 0 of none."""
    return sorted(values)[len(values) // 2] if values else 0.0


def spell_gang(now: GangNow, size: int, spell: Any) -> str:
    """The gang in one line: "2 ranks  12/40  35 steps/s  loss 0.31  waits 12% (input)  rank 1 slow". Facts that are not known are
    left out; `spell` writes a number."""
    facts = [f"{size} ranks" if now.come in (0, size) else f"{now.come} of {size} ranks"]
    if now.total:
        facts.append(f"{spell(now.done)}/{spell(now.total)}")
    elif now.done:
        facts.append(spell(now.done))
    if now.rate:
        facts.append(f"{now.rate:.3g} steps/s")
    facts += [f"{name} {spell(value)}" for name, value in list(now.metrics.items())[:3]]
    waits = now.waits
    if waits and (share := sum(waits.values())) >= 0.01:
        facts.append(f"waits {share:.0%} ({next(iter(waits))})")
    busy = [gpu[1] for one in now.ranks for gpu in one.gpus]
    if busy:
        facts.append(f"GPU {sum(busy) / len(busy):.0f}%")
    if now.slowest >= 0:
        facts.append(f"rank {now.slowest} slow")
    return "  ".join(facts)


def _lines(streams: StreamStore, name: str) -> Iterable[Any]:
    """The last lines of a stream, as far as they are JSON."""
    size = streams.size(name)
    data = streams.read(name, max(0, size - TAIL_BYTES)) if size else b""
    if size > TAIL_BYTES:
        data = data[data.find(b"\n") + 1 :]
    for raw in data.split(b"\n"):
        try:
            line = json.loads(raw) if raw else None
        except ValueError:  # cut off by a kill in the middle of a write
            continue
        if isinstance(line, list) and len(line) >= 3:
            yield line
