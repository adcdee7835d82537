"""What a setting of the autoscaler would have done with a load that was recorded: replicas, latencies, refusals and cost. Pure, and the
same every time.

Requests are treated as the gateway and the replicas treat them: one goes to the replica that has the fewest, waits there if that is busy,
is held while there is none, and is answered with others in one batch where the model takes rows. `autoscale.decide` decides.
"""

from __future__ import annotations

import random
from array import array
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from typing import Any

from fairway.errors import ConfigError
from fairway.serve.control.autoscale import Load, ScaleState, check_scaling, decide
from fairway.spec.endpoint import Scaling
from fairway.spec.record import Record, field, record

_MOST_TICKS = 100_000
_POINTS = 240
_load_of = attrgetter("load")


@record
class Recording(Record):
    """When requests came (seconds, in order) and, where that is known, how long the model took for each (else none). `zero`: seconds since
    1970 of the first, for schedules; `sampled`: the share of all requests that were recorded."""

    arrivals: Sequence[float]
    seconds: Sequence[float] = ()
    zero: float = 0.0
    sampled: float = 1.0


@record
class Setting(Record):
    """What is tried. `service_s`: of one request in the model, if the recording does not say. `start_s`: until a new replica answers.
    `slots`: requests that a replica works on at once; `batch`: requests that the model takes at once, each after the first for `batch_cost`
    of what the first takes. `queue`: that wait in a replica at most; `deadline_s`: nobody waits longer; `price`: of a replica's hour."""

    name: str
    scaling: Scaling = field(default_factory=Scaling)
    service_s: float = 0.05
    start_s: float = 2.0
    slots: int = 1
    batch: int = 1
    batch_cost: float = 0.05
    queue: int = 1_000
    deadline_s: float = 30.0
    price: float = 0.0


@record
class Moment(Record):
    """A stretch that ends at `at` (seconds since the first request). `wanted` and `ready`: replicas on average; `p95_ms`: the worst."""

    at: float
    rate: float
    wanted: float
    ready: float
    p95_ms: float
    refused: int = 0


@record
class Outcome(Record):
    """What became of the load. `cold`: requests that waited for a replica to start; `starts`: of replicas; `changes`: of their number;
    `hours`: of replicas, from the wish to the end of their last request."""

    setting: Setting
    requests: int
    refused: int
    cold: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    wait_ms: float
    most: int
    mean: float
    starts: int
    changes: int
    hours: float
    cost: float
    moments: tuple[Moment, ...] = ()


def check_setting(setting: Setting) -> None:
    """Raises ConfigError for what cannot be tried."""
    check_scaling(setting.scaling)
    for name, value, least in (
        ("time of a request", setting.service_s, 1e-9),
        ("start", setting.start_s, 0.0),
        ("number of requests at once", setting.slots, 1),
        ("batch", setting.batch, 1),
        ("cost of a batch", setting.batch_cost, 0.0),
        ("queue", setting.queue, 0),
        ("deadline", setting.deadline_s, 1e-3),
        ("price", setting.price, 0.0),
    ):
        if not least <= value < inf:
            raise ConfigError(f"the {name} cannot be {value:g}", hint=f"it is {least:g} or more")


def unfold(recording: Recording, seed: int = 1) -> Recording:
    """All requests of a sample: each stands for `1 / sampled`, the others near it by chance (the same chance every time)."""
    if recording.sampled >= 1.0 or not recording.arrivals:
        return recording
    chance = random.Random(seed)
    span = recording.arrivals[-1] - recording.arrivals[0]
    gap = span / max(1, len(recording.arrivals) - 1)
    pairs: list[tuple[float, float]] = []
    for n, at in enumerate(recording.arrivals):
        took = recording.seconds[n] if recording.seconds else 0.0
        copies = int(1 / recording.sampled) + (chance.random() < 1 / recording.sampled % 1)
        pairs.append((at, took))
        pairs += [(min(max(0.0, at + (chance.random() - 0.5) * 2 * gap), span), took) for _ in range(copies - 1)]
    pairs.sort()
    seconds = array("d", (took for _, took in pairs)) if recording.seconds else ()
    return Recording(array("d", (at for at, _ in pairs)), seconds, recording.zero)


def simulate(recording: Recording, setting: Setting) -> Outcome:
    """Replay the recording; a million requests take some seconds. Raises ConfigError for an empty one, or a setting that cannot be."""
    check_setting(setting)
    if not len(recording.arrivals):
        raise ConfigError("there is no request in the recording", hint="record some traffic, or name another file")
    return _Replay(recording, setting).run()


class _Replica:
    __slots__ = ("begun", "free", "last", "load", "waiting")

    def __init__(self, slots: int, begun: float) -> None:
        self.free, self.load, self.begun, self.last = slots, 0, begun, begun
        self.waiting: deque[int] = deque()


class _Replay:
    """One run through the recording."""

    def __init__(self, recording: Recording, setting: Setting) -> None:
        self.arrivals, self.seconds, self.setting = recording.arrivals, recording.seconds, setting
        self.zero = recording.zero or 1.0
        self.now, self.sequence = 0.0, 0
        self.state = ScaleState()
        self.active: list[_Replica] = []
        self.starting: deque[tuple[float, _Replica]] = deque()
        self.held: deque[int] = deque()
        self.ends: list[tuple[float, int, _Replica, tuple[int, ...]]] = []
        self.inside, self.area, self.area_at = 0, 0.0, 0.0
        self.latencies = array("d")
        self.fresh: list[float] = []  # latencies of this tick
        self.waits = self.replica_s = self.wanted_s = 0.0
        self.refused = self.cold = self.starts = self.changes = self.most = self.came = 0
        self.tick_refused = 0
        self.moments: list[Moment] = []

    def run(self) -> Outcome:
        """Requests, ends and ticks in the order of their times."""
        last = self.arrivals[-1]
        step = max(1.0, last / _MOST_TICKS)
        self._decide(0.0, Load(requests=0), step)
        tick, ends = step, self.ends
        for n, at in enumerate(self.arrivals):
            while tick <= at:
                self._pass(tick)
                self._tick(tick, step)
                tick += step
            while ends and ends[0][0] <= at:
                self._end()
            self._wake(at)
            self._come(n, at)
        while self.inside:
            self._pass(tick)
            self._tick(tick, step)
            tick += step
        return self._sum_up(max(tick - step, last))

    def _pass(self, until: float) -> None:
        """All that happens before `until` besides new requests."""
        ends = self.ends
        while (ends and ends[0][0] <= until) or (self.starting and self.starting[0][0] <= until):
            if self.starting and (not ends or self.starting[0][0] <= ends[0][0]):
                self._wake(self.starting[0][0])
            else:
                self._end()
        while self.held and self.arrivals[self.held[0]] + self.setting.deadline_s <= until:
            self.held.popleft()
            self._refuse()

    def _come(self, n: int, at: float) -> None:
        self.area += self.inside * (at - self.area_at)
        self.area_at = at
        self.inside += 1
        self.came += 1
        if not self.active:
            self.held.append(n)
            self.cold += 1
            if not self.state.replicas:  # the gateway tells at once that somebody waits
                self._decide(at, Load(in_flight=len(self.held), waiting=len(self.held), requests=1), 0.0)
            return
        self._give(n, at)

    def _give(self, n: int, at: float) -> None:
        """To the replica that has the fewest."""
        active = self.active
        chosen = active[0] if len(active) == 1 else min(active, key=_load_of)
        if len(chosen.waiting) >= self.setting.queue:
            self._refuse()
            return
        chosen.load += 1
        if chosen.free:
            self._begin(chosen, (n,), at)
        else:
            chosen.waiting.append(n)

    def _begin(self, replica: _Replica, batch: tuple[int, ...], at: float) -> None:
        replica.free -= 1
        seconds = self.seconds
        took = max(seconds[n] for n in batch) if seconds else self.setting.service_s
        if len(batch) > 1:
            took *= 1 + (len(batch) - 1) * self.setting.batch_cost
        self.sequence += 1
        for n in batch:
            self.waits += at - self.arrivals[n]
        heappush(self.ends, (at + took, self.sequence, replica, batch))

    def _end(self) -> None:
        """A batch is answered; the replica goes on with what waits."""
        at, _, replica, batch = heappop(self.ends)
        self.area += self.inside * (at - self.area_at)
        self.area_at = at
        self.inside -= len(batch)
        replica.load -= len(batch)
        replica.free += 1
        replica.last = at
        for n in batch:
            latency = at - self.arrivals[n]
            self.latencies.append(latency)
            self.fresh.append(latency)
        waiting, limit = replica.waiting, self.setting.deadline_s
        while waiting and self.arrivals[waiting[0]] + limit < at:
            waiting.popleft()
            replica.load -= 1
            self._refuse()
        if waiting:
            count = min(self.setting.batch, len(waiting))
            self._begin(replica, tuple(waiting.popleft() for _ in range(count)), at)

    def _refuse(self) -> None:
        self.inside -= 1
        self.refused += 1
        self.tick_refused += 1

    def _wake(self, until: float) -> None:
        """Replicas that have started by `until` take what was held."""
        while self.starting and self.starting[0][0] <= until:
            at, replica = self.starting.popleft()
            self.active.append(replica)
            while self.held:
                self._give(self.held.popleft(), at)

    def _tick(self, at: float, step: float) -> None:
        self.area += self.inside * (at - self.area_at)
        self.area_at = at
        fresh = self.fresh
        p95 = sorted(fresh)[int(0.95 * (len(fresh) - 1))] * 1000 if fresh else 0.0
        load = Load(self.area / step, len(self.held), self.came or len(fresh), p95, len(self.active))
        self.wanted_s += self.state.replicas * step
        self.moments.append(Moment(at, self.came / step, self.state.replicas, len(self.active), p95, self.tick_refused))
        self.area, self.came, self.tick_refused, self.fresh = 0.0, 0, 0, []
        self._decide(at, load, step)

    def _decide(self, at: float, load: Load, step: float) -> None:
        before = self.state.replicas
        made = decide(self.setting.scaling, self.state, load, self.zero + at)
        self.state = made.state
        if made.replicas != before and at > 0:
            self.changes += 1
        self.most = max(self.most, made.replicas)
        for _ in range(made.replicas - before):
            self.starts += 1
            replica = _Replica(self.setting.slots, at)
            if at or step == 0.0 or not self.setting.scaling.minimum:
                self.starting.append((at + self.setting.start_s, replica))
            else:  # those of the minimum ran before the recording began
                self.active.append(replica)
        for _ in range(before - made.replicas):
            self._stop(at)

    def _stop(self, at: float) -> None:
        """The newest goes; it answers what it has."""
        if self.starting:
            replica = self.starting.pop()[1]
            self.replica_s += at - replica.begun
            return
        replica = self.active.pop(min(range(len(self.active)), key=lambda n: (self.active[n].load, -n)))
        waiting = (len(replica.waiting) + self.setting.batch - 1) // self.setting.batch
        tail = (waiting / self.setting.slots + bool(replica.load)) * self.setting.service_s
        self.replica_s += at - replica.begun + tail

    def _sum_up(self, until: float) -> Outcome:
        for _, replica in self.starting:
            self.replica_s += until - replica.begun
        for replica in self.active:
            self.replica_s += until - replica.begun
        latencies = array("d", sorted(self.latencies))
        hours = self.replica_s / 3600

        def quantile(share: float) -> float:
            return latencies[min(len(latencies) - 1, int(share * len(latencies)))] * 1000 if latencies else 0.0

        count = len(latencies)
        return Outcome(
            self.setting, len(self.arrivals), self.refused, self.cold,
            sum(latencies) / count * 1000 if count else 0.0,
            quantile(0.5), quantile(0.95), quantile(0.99), latencies[-1] * 1000 if count else 0.0,
            self.waits / count * 1000 if count else 0.0,
            self.most, self.wanted_s / until if until else 0.0, self.starts, self.changes, hours, hours * self.setting.price,
            thin(self.moments),
        )  # fmt: skip


def thin(moments: Sequence[Moment], count: int = _POINTS) -> tuple[Moment, ...]:
    """At most `count` of them: each stands for several, with their mean rate and replicas, and their worst latency."""
    size = -(-len(moments) // count) or 1
    out: list[Moment] = []
    for begin in range(0, len(moments), size):
        part = moments[begin : begin + size]
        out.append(
            Moment(
                part[-1].at,
                sum(one.rate for one in part) / len(part),
                sum(one.wanted for one in part) / len(part),
                sum(one.ready for one in part) / len(part),
                max(one.p95_ms for one in part),
                sum(one.refused for one in part),
            )
        )
    return tuple(out)


def describe(outcome: Outcome) -> dict[str, Any]:
    """One row of the comparison, as plain data."""
    names = (
        "requests",
        "refused",
        "cold",
        "mean_ms",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "wait_ms",
        "most",
        "mean",
        "starts",
        "changes",
    )
    figures = {name: round(getattr(outcome, name), 3) for name in names}
    return {"setting": outcome.setting.name, **figures, "replica_hours": round(outcome.hours, 4), "cost": round(outcome.cost, 4)}
