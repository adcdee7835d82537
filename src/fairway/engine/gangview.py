"""How the ranks of a gang get on now: how far and how fast each is, what it waits for, what it uses. From the ends of their streams.

A line of "samples.RANK" is `[time, rss, cpu_s, {"input": s, "checkpoint": s, "network": s, "steps": n, "host": …, "pid": n, "gpu": […]}]`:
seconds waited so far by kind, "batches" and "samples" that `fw.shard` has given, and how its devices did (`fairway.step.gpu.Sample`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from fairway.engine.ranks import stream_of
from fairway.engine.reading import TAIL_BYTES
from fairway.spec.gang import mean_of
from fairway.spec.ports import StreamStore
from fairway.spec.record import Record, field, record, replace

HEAD_BYTES = 1024
"""In so many bytes the first line of a stream is."""
WINDOW_S = 20.0
"""Over how long a rate is taken."""
WAITS = ("input", "checkpoint", "network")
TOLD_AFTER_S = 3.0
"""For so long a rank's rate must be known before it is compared with those of others."""
STILL_S, STILL_STEPS = 3.0, 5
"""A rank stands still that has made no step for longer than both: seconds, and times of a usual step."""
SLOW = 0.9
"""A rank that is slower than this share of the median holds the others up, or will."""


@record
class RankNow(Record):
    """One rank. `done` of `total`, `rate` a second over the last `over_s` (0: not known); `still_s`: for so long it has made
    no step, if that is not usual; `works`: what it works through a second, by name.
    `waits`: share of the last moments spent waiting, by kind; `waited`: seconds in all. `gpus`: (number, percent busy or -1, bytes used,
    bytes there). `pid`: its process, on its host; `ended`: it is gone. `seen_at`: when it last said anything, 0 for never."""

    rank: int
    done: float = 0.0
    total: float = 0.0
    rate: float = 0.0
    still_s: float = 0.0
    over_s: float = WINDOW_S
    works: dict[str, float] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    waited: dict[str, float] = field(default_factory=dict)
    memory_bytes: int = 0
    cpu: float = 0.0
    gpus: tuple[tuple[int, int, int, int], ...] = ()
    host: str = ""
    pid: int = 0
    ended: bool = False
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
    def still_s(self) -> float:
        """For so long no rank that reports has made a step; 0 if one has, as usual."""
        return 0.0 if self.rate else min((one.still_s for one in self.ranks if one.still_s), default=0.0)

    @property
    def works(self) -> dict[str, float]:
        """What all ranks together work through in a second, by name."""
        names = {name: None for one in self.ranks for name in one.works}
        return {name: sum(one.works.get(name, 0.0) for one in self.ranks) for name in names}

    @property
    def hosts(self) -> int:
        """On how many machines they are, as far as that is known."""
        return len({one.host for one in self.ranks if one.host})

    @property
    def waits(self) -> dict[str, float]:
        """Mean share of time by kind of what is waited for, the most first."""
        known = [one for one in self.ranks if one.seen_at]
        shares = {kind: sum(one.waits.get(kind, 0.0) for one in known) / len(known) for kind in WAITS} if known else {}
        return dict(sorted(((kind, share) for kind, share in shares.items() if share), key=lambda one: -one[1]))


def read_gang(streams: StreamStore, run: str, attempt: str, size: int, *, before: Sequence[str] = (), ended_well: bool = False) -> GangNow:
    """All `size` ranks, from the last kilobytes of their streams. Of one that has `ended_well` a rate is that of its last steps. `before`:
    the task's earlier attempts."""
    ranks = [read_rank(streams, f"{run}/{attempt}", rank, [f"{run}/{earlier}" for earlier in before]) for rank in range(size)]
    return judge([replace(one, still_s=0.0) if ended_well else replace(one, rate=0.0, works={}) if one.still_s else one for one in ranks])


def read_rank(streams: StreamStore, prefix: str, rank: int, before: Sequence[str] = ()) -> RankNow:
    """One rank, as far as its streams tell. Whether its steps count from 0 or from 1 is told by those of the attempts `before`: it may have
    gone on where they were."""
    tails = {kind: list(_lines(streams, f"{prefix}/{stream_of(kind, rank)}")) for kind in ("samples", "progress", "metrics")}
    steps = tails["metrics"]
    heads = (_lines(streams, f"{one}/{stream_of('metrics', rank)}", head=True) for one in (*before, prefix)) if steps else ()
    return sum_up(rank, **tails, first=next((line[1] for lines in heads for line in lines if line[1] is not None), None))


def sum_up(rank: int, samples: Sequence[Any], progress: Sequence[Any], metrics: Sequence[Any], first: float | None = None) -> RankNow:
    """A rank from the last lines of its streams; `first` is the step that it logged first of all, if they do not reach back to it. Pure."""
    found = RankNow(rank)
    points = [(float(at), float(done)) for at, done, *_ in progress if done is not None]
    steps = [(float(at), float(step)) for at, step, _ in metrics if step is not None]
    if points:
        found.done, found.total = points[-1][1], float(progress[-1][2] or 0.0)
        found.done = min(found.done, found.total) if found.total else found.done
    elif steps:
        found.done = _count_steps(steps[-1][1], steps[0][1] if first is None else first, samples[-1] if samples else ())
    found.rate = rate_of(points) or rate_of(steps)
    told = points or steps
    found.over_s = min(WINDOW_S, told[-1][0] - told[0][0]) if told else WINDOW_S
    for _, _, values in metrics:
        found.metrics.update({name: float(value) for name, value in values.items() if isinstance(value, int | float)})
    known = [(float(line[0]), float(line[1]), float(line[2]), line[3] if len(line) > 3 else {}) for line in samples]
    if known:
        now, recent = known[-1], [one for one in known if one[0] >= known[-1][0] - WINDOW_S]
        found.memory_bytes, counts = int(now[1]), now[3]
        found.cpu = rate_of([(at, cpu) for at, _, cpu, _ in recent])
        found.gpus = tuple(tuple(int(part) for part in one[:4]) for one in counts.get("gpu", ()))  # type: ignore[misc]
        found.pid = int(counts.get("pid", 0))
        found.host, found.ended = str(counts.get("host", "")), bool(counts.get("ended"))
        given = {name: [(at, float(more[name])) for at, _, _, more in recent if name in more] for name in ("batches", "samples")}
        batches = [(at, float(more["batches"])) for at, _, _, more in known if "batches" in more]
        still = (
            []
            if found.ended or 0 < found.total <= found.done
            else [
                *(still_of(one, now[0]) for one in (points, steps)),
                still_of(batches, now[0], each=True),
            ]
        )
        found.still_s = min((one for one in still if one is not None), default=0.0)
        found.rate, found.done = found.rate or rate_of(given["batches"]), found.done or float(counts.get("batches", 0))
        found.works = {"samples": rate_of(given["samples"])}
        for kind in WAITS:
            found.waited[kind] = float(counts.get(kind, 0.0))
            found.waits[kind] = min(1.0, rate_of([(at, float(more.get(kind, 0.0))) for at, _, _, more in recent]))
    worked: dict[str, list[tuple[float, float]]] = {}
    for at, _, _, counts in (line for line in progress if len(line) > 3):
        for name, count in counts.items():
            worked.setdefault(name, []).append((float(at), float(count)))
    found.works |= {name: rate_of(points) for name, points in worked.items()}
    found.works = {name: rate for name, rate in found.works.items() if rate}
    found.seen_at = max((float(lines[-1][0]) for lines in (samples, progress, metrics) if lines), default=0.0)
    return found


def _count_steps(last: float, first: float, sample: Sequence[Any]) -> float:
    """How many steps are done when `last` was logged last: people count from 0 as well as from 1. `fw.shard` knows, as far as its count
    is in the last sample; else the first step that was logged tells."""
    taken = float(sample[3].get("taken", 0)) if len(sample) > 3 else 0.0
    return min(last + 1, max(last, taken)) if taken else last + (first == 0)


def judge(ranks: Sequence[RankNow]) -> GangNow:
    """The gang of these ranks: what they have in common, and who is behind. Pure."""
    return GangNow(tuple(ranks), mean_of(one.metrics for one in ranks), *find_slowest(ranks))


def find_slowest(ranks: Sequence[RankNow]) -> tuple[int, str]:
    """The rank that holds the others up, and how that is known; (-1, "") if there is none.

    Ranks that go on by themselves differ in their rates. Those that wait for each other in every step do not: there the others wait for the
    network, and the slow one hardly does.
    """
    ranks = [one for one in ranks if not one.ended]
    rates = {one.rank: one.rate for one in ranks if one.rate and one.over_s >= TOLD_AFTER_S}
    silent = [one.rank for one in ranks if not one.done]
    if silent and len(rates) > len(silent):  # where most report progress, all are to
        return silent[0], "it has not reported any progress, the others have"
    still = {one.rank: one.still_s for one in ranks if one.still_s}
    if still and len(rates) > len(still):  # where most go on, all are to
        stillest = max(still, key=lambda rank: still[rank])
        return stillest, f"{spell_still(still[stillest])}, the others go on"
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


def still_of(points: Sequence[tuple[float, float]], now: float, *, each: bool = False) -> float | None:
    """For how long the value of (time, value) has stood still, if that is longer than usual, else 0; None where nothing is usual yet.
    Usual is the time from point to point, or with `each` that of one step: every step counts, but the value is looked at now and then."""
    moves = [point for n, point in enumerate(points) if n == 0 or point[1] != points[n - 1][1]]
    if len(moves) < 2:
        return None
    usual = median([(after[0] - before[0]) / (max(1.0, after[1] - before[1]) if each else 1.0) for before, after in pairwise(moves)])
    still = now - moves[-1][0]
    return still if still > max(STILL_S, STILL_STEPS * usual) else 0.0


def median(values: Sequence[float]) -> float:
    """The middle one, the upper of two; 0 of none."""
    return sorted(values)[len(values) // 2] if values else 0.0


def spell_still(seconds: float) -> str:
    """ "no step for 45 s", "no step for 12 min"."""
    return f"no step for {seconds:.0f} s" if seconds < 120 else f"no step for {seconds / 60:.0f} min"


def spell_gang(now: GangNow, size: int, spell: Any, width: int = 0) -> str:
    """The gang in one line: "2 ranks  12/40  35 steps/s  loss 0.31  waits 12% (input)  rank 1 slow". Facts that are not known are
    left out; `spell` writes a number. What would make it wider than `width` (0: any) is left out too: rates first, the rank at fault never.
    """
    facts = list(_facts_of(now, size, spell))
    while width and len(facts) > 1 and len("  ".join(text for _, text in facts)) > width:
        least = max(range(len(facts)), key=lambda n: (facts[n][0], n))
        if not facts[least][0]:
            break
        del facts[least]
    return "  ".join(text for _, text in facts)


def _facts_of(now: GangNow, size: int, spell: Any) -> Iterable[tuple[int, str]]:
    """(how soon it may be left out, words): 0 is never."""
    come = f"{size} ranks" if now.come in (0, size) else f"{now.come} of {size} ranks"
    yield 1, come + (f" on {now.hosts} hosts" if now.hosts > 1 else "")
    if now.total:
        yield 2, f"{spell(now.done)}/{spell(now.total)}"
    elif now.done:
        yield 2, spell(now.done)
    if now.rate:
        yield 6, f"{now.rate:.3g} steps/s"
    elif now.still_s:
        yield 2, spell_still(now.still_s)
    for name, rate in list(now.works.items())[:2]:
        yield 7, f"{spell(float(f'{rate:.3g}'))} {name}/s"
    for name, value in list(now.metrics.items())[:3]:
        yield 3, f"{name} {spell(value)}"
    waits = now.waits
    if waits and (share := sum(waits.values())) >= 0.01:
        yield 4, f"waits {share:.0%} ({next(iter(waits))})"
    busy = [gpu[1] for one in now.ranks for gpu in one.gpus if gpu[1] >= 0]
    if busy:
        yield 5, f"GPU {sum(busy) / len(busy):.0f}%"
    if now.slowest >= 0:
        host = now.ranks[now.slowest].host if now.hosts > 1 else ""
        yield 0, f"rank {now.slowest} slow" + (f" ({host})" if host else "")


def _lines(streams: StreamStore, name: str, *, head: bool = False) -> Iterable[Any]:
    """The last lines of a stream, as far as they are JSON; the first ones with `head`."""
    size = streams.size(name)
    if head:
        data = streams.read(name, 0, HEAD_BYTES)
        data = data[: data.rfind(b"\n") + 1]
    else:
        data = streams.read(name, max(0, size - TAIL_BYTES)) if size else b""
    if size > TAIL_BYTES and not head:
        data = data[data.find(b"\n") + 1 :]
    for raw in data.split(b"\n"):
        try:
            line = json.loads(raw) if raw else None
        except ValueError:  # cut off by a kill in the middle of a write
            continue
        if isinstance(line, list) and len(line) >= 3:
            yield line
