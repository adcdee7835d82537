"""How many replicas there are to be. Pure: what is measured and what was decided before go in, a decision and why come out.

Growing looks at the mean over the window, and at the newest sample alone when that is more than twice what the replicas can bear.
Shrinking waits, and longer after it had been a mistake. Between "too many for these" and "few enough for one less" lies a band of a fifth
in which nothing changes, so that a steady load never makes replicas come and go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from fairway.errors import ConfigError
from fairway.spec.endpoint import Floor, Scaling
from fairway.spec.record import Record, record, replace

_BAND = 0.1
_BURST = 2.0
_SOON = 5.0  # delays of shrinking
_MOST_REGRETS = 4
_LONGEST_DELAY_S = 600.0
_ROOM = 0.8  # of the load at which a replica was once too slow; below it one dares to shrink
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_REPLICAS = 1_000


@record
class Load(Record):
    """What was measured since the last decision. `in_flight`: the mean of requests that were inside (answered, queued, or held for want of
    a replica); `waiting`: held for want of a replica now; `requests`: that came or ended; `p95_ms`: of the answers, 0 for none; `ready`:
    replicas that answer now (-1: not known)."""

    in_flight: float = 0.0
    waiting: int = 0
    requests: int = 0
    p95_ms: float = 0.0
    ready: int = -1


@record
class Sample(Record):
    """A load that was seen, for as long as the window remembers it."""

    at: float
    span_s: float
    in_flight: float
    requests: int
    p95_ms: float


@record
class ScaleState(Record):
    """What a decision has to know of those before it. `replicas`: what was wanted last. Plain data: it may be kept and read again."""

    replicas: int = 0
    samples: tuple[Sample, ...] = ()
    decided_at: float = 0.0
    busy_at: float = 0.0
    grown_at: float = 0.0
    fewer_since: float = 0.0
    fewer_most: int = 0
    shrunk_at: float = 0.0
    regrets: int = 0
    """How often it had to grow soon after it had shrunk; each doubles the delay of shrinking, until it has shrunk well."""
    slow_at: float = 0.0
    """Requests in flight for each replica when the latency was last too high; 0: never seen."""


@record
class Decision(Record):
    """`why`: one line for people."""

    replicas: int
    state: ScaleState
    why: str


@record
class _Wish(Record):
    grow: int
    """This many are needed."""
    shrink: int
    """This many would be enough."""
    why: str


def decide(scaling: Scaling, state: ScaleState, load: Load | None, now: float) -> Decision:
    """How many replicas there are to be from `now` (epoch seconds) on. Always between the floor (at most `maximum`) and `maximum`.

    `load` None: nothing is known (no gateway speaks); then replicas stay as they are, within the bounds.
    """
    least = min(find_floor(scaling, now), scaling.maximum)
    before = state.replicas
    if load is None:
        kept = min(max(before, least), scaling.maximum)
        why = "nothing is heard of its traffic: the replicas stay" if kept == before else _bound_why(scaling, kept, least, now)
        return Decision(kept, replace(state, replicas=kept, decided_at=now), why)
    state = _remember(scaling, state, load, now)
    is_busy = load.in_flight > 0 or load.waiting > 0 or load.requests > 0
    if is_busy or not state.busy_at:
        state = replace(state, busy_at=now)
    if not least and not is_busy and (before == 0 or now - state.busy_at >= scaling.idle_s):
        why = "no requests" if before == 0 else f"no request for {_seconds(scaling.idle_s)}"
        return Decision(0, replace(state, replicas=0, fewer_since=0.0, fewer_most=0), f"{why}: none")
    least = max(least, min(1, scaling.maximum))  # not yet idle, or somebody waits
    wish = _wish_by_latency(scaling, state, load) if scaling.on == "latency" else _wish_by_concurrency(scaling, state, load)
    return _move(scaling, state, wish, least, now)


def find_floor(scaling: Scaling, now: float) -> int:
    """The least number at `now`: `minimum`, or what a schedule asks for if that is more."""
    return max([scaling.minimum, *(floor.replicas for floor in scaling.floors if is_active(floor, now))])


def is_active(floor: Floor, now: float) -> bool:
    """Does the schedule hold at `now`? By the clock on the wall in its time zone, whatever summer time does to it."""
    there = datetime.fromtimestamp(now, _zone(floor.zone))
    begins, ends = _minutes(floor.begins), _minutes(floor.ends)
    minute = there.hour * 60 + there.minute
    if begins < ends:
        return begins <= minute < ends and _on_day(floor, there)
    if minute >= begins:  # past midnight: it belongs to the day on which it began
        return _on_day(floor, there)
    return minute < ends and _on_day(floor, there - timedelta(days=1))


def check_scaling(scaling: Scaling) -> None:
    """Raises ConfigError for what cannot be meant."""
    if not 0 <= scaling.minimum <= scaling.maximum:
        raise ConfigError(
            f"at least {scaling.minimum} and at most {scaling.maximum} replicas cannot be", hint="--min is 0 or more, and not above --max"
        )
    if not 1 <= scaling.maximum <= MOST_REPLICAS:
        raise ConfigError(f"at most {scaling.maximum} replicas cannot be", hint=f"--max is between 1 and {MOST_REPLICAS}")
    if scaling.on not in ("concurrency", "latency"):
        raise ConfigError(f"cannot scale on {scaling.on!r}", hint='"concurrency" (requests in flight) or "latency" (p95 in ms)')
    for name, value, least in (
        ("target", scaling.target, 1e-3),
        ("window", scaling.window_s, 1.0),
        ("idle", scaling.idle_s, 1.0),
        ("shrink delay", scaling.shrink_delay_s, 0.0),
        ("grow step", scaling.grow_step, 0),
        ("shrink step", scaling.shrink_step, 0),
    ):
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"the {name} cannot be {value:g}", hint=f"it is {least:g} or more")
    for floor in scaling.floors:
        _check_floor(floor)


def _check_floor(floor: Floor) -> None:
    _minutes(floor.begins)
    _minutes(floor.ends)
    _zone(floor.zone)
    if floor.replicas < 0:
        raise ConfigError(f"a floor of {floor.replicas} replicas cannot be", hint="it is 0 or more")
    unknown = sorted(set(floor.days) - set(_DAYS))
    if unknown:
        raise ConfigError(f"there is no day {unknown[0]!r}", hint=f"days are {', '.join(_DAYS)}")


def _remember(scaling: Scaling, state: ScaleState, load: Load, now: float) -> ScaleState:
    """With the new sample, without those that left the window."""
    span = now - state.decided_at if state.decided_at and now > state.decided_at else 1.0
    level = max(load.in_flight, float(load.waiting))
    sample = Sample(now, min(span, scaling.window_s), level, load.requests, load.p95_ms)
    kept = tuple(one for one in state.samples if one.at > now - scaling.window_s)
    return replace(state, samples=(*kept, sample), decided_at=now)


def _wish_by_concurrency(scaling: Scaling, state: ScaleState, load: Load) -> _Wish:
    before, newest = state.replicas, state.samples[-1].in_flight
    mean = _mean(state.samples)
    bears = before * scaling.target
    grow = math.ceil(mean / scaling.target) if mean > bears * (1 + _BAND) else before
    seen = mean
    if newest > _BURST * bears:  # too much to wait for the mean
        seen = max(mean, newest)
        grow = max(grow, math.ceil(seen / scaling.target))
    shrink = min(before, math.ceil(max(mean, newest) / (scaling.target * (1 - _BAND))))
    if before:
        text = f"{_number(seen / before)} {_requests(seen / before)} in flight for {_each(before)}, target {scaling.target:g}"
    else:
        text = f"{_number(seen)} {_requests(seen)} {'waiting' if load.waiting else 'in flight'} and no replica, target {scaling.target:g}"
    return _Wish(grow, shrink, text)


def _wish_by_latency(scaling: Scaling, state: ScaleState, load: Load) -> _Wish:
    before = state.replicas
    if not before:
        return _Wish(1, 1, f"{load.waiting or load.requests} {_requests(load.waiting or load.requests)} and no replica")
    if 0 <= load.ready < before:
        return _Wish(before, before, f"{before - load.ready} of {before} still starting")
    fresh = tuple(one for one in state.samples if one.at - one.span_s >= state.grown_at) or state.samples[-1:]
    answered = sum(one.requests for one in fresh if one.p95_ms)
    p95 = sum(one.p95_ms * one.requests for one in fresh if one.p95_ms) / answered if answered else 0.0
    mean = _mean(fresh)
    text = f"p95 {_number(p95)} ms with {_number(mean / before)} {_requests(mean / before)} in flight for {_each(before)}"
    text += f", target {scaling.target:g} ms"
    if p95 > scaling.target * (1 + _BAND):
        useful = max(before, math.ceil(mean))  # with less than one request each, more of them make nothing faster
        grow = min(math.ceil(before * min(p95 / scaling.target, _BURST)), useful)
        if grow == before:
            text += "; more replicas would not help, each has one request at most"
        return _Wish(grow, before, text)
    if p95 > scaling.target * (1 - 2 * _BAND):
        return _Wish(before, before, text)
    enough = math.ceil(mean / (state.slow_at * _ROOM)) if state.slow_at else min(before - 1, math.ceil(before * p95 / scaling.target))
    return _Wish(before, min(before, enough), text)


def _move(scaling: Scaling, state: ScaleState, wish: _Wish, least: int, now: float) -> Decision:
    """From the wish to what is done: bounds, steps, and the delay of shrinking."""
    before, maximum = state.replicas, scaling.maximum
    if not least <= before <= maximum:  # a bound has moved, or the first request has come
        bounded = min(max(before, least), maximum)
        if before > maximum or wish.grow <= bounded:
            why = f"{wish.why}: {_replicas(bounded)}" if not before and wish.grow else _bound_why(scaling, bounded, least, now)
            return Decision(bounded, replace(state, replicas=bounded, fewer_since=0.0, fewer_most=0), why)
    wanted = min(wish.grow, maximum)
    if wanted > before:
        return _grow(scaling, state, wish, wanted, least, now)
    per_replica = state.samples[-1].in_flight / before if before else 0.0
    if state.slow_at and scaling.on == "latency" and per_replica > state.slow_at and wish.shrink < before:
        state = replace(state, slow_at=0.0)  # it bears more than it once did
    fewer = max(wish.shrink, least)
    if fewer >= before:
        limits = ", the most" if wish.grow > maximum else ""
        return Decision(before, replace(state, fewer_since=0.0, fewer_most=0), f"{wish.why}: {_replicas(before)}{limits}")
    most = max(state.fewer_most, fewer) if state.fewer_since else fewer
    since, delay = state.fewer_since or now, _shrink_delay(scaling, state)
    if now - since < delay:
        left = delay - (now - since)
        text = f"{wish.why}: {_replicas(before)}, {most} if that lasts for {_seconds(left)} more"
        return Decision(before, replace(state, fewer_since=since, fewer_most=most), text)
    after = max(most, before - scaling.shrink_step) if scaling.shrink_step else most
    regrets = max(0, state.regrets - 1) if state.shrunk_at and now - state.shrunk_at > _SOON * delay else state.regrets
    changed = replace(state, replicas=after, fewer_since=now, fewer_most=0, shrunk_at=now, regrets=regrets)
    return Decision(after, changed, f"{wish.why}, for {_seconds(now - since)}: {_replicas(after)}")


def _grow(scaling: Scaling, state: ScaleState, wish: _Wish, wanted: int, least: int, now: float) -> Decision:
    before = state.replicas
    is_stepped = bool(scaling.grow_step) or scaling.on == "latency"  # what was added last has to show what it does
    if before >= least and is_stepped and state.grown_at and now - state.grown_at < scaling.window_s:
        left = scaling.window_s - (now - state.grown_at)
        why = f"{wish.why}: {_replicas(before)}, {wanted} are wanted, the next in {_seconds(left)}"
        return Decision(before, replace(state, fewer_since=0.0, fewer_most=0), why)
    after = max(least, min(wanted, before + scaling.grow_step)) if scaling.grow_step else wanted
    slow_at = _mean(state.samples) / before if scaling.on == "latency" and before else state.slow_at
    was_wrong = before and state.shrunk_at > state.grown_at and now - state.shrunk_at < _SOON * _shrink_delay(scaling, state)
    regrets = min(_MOST_REGRETS, state.regrets + 1) if was_wrong else state.regrets
    changed = replace(state, replicas=after, grown_at=now, fewer_since=0.0, fewer_most=0, slow_at=slow_at, regrets=regrets)
    limits = ", the most" if after == scaling.maximum and wish.grow > after else f" of the {wanted} wanted" if after < wanted else ""
    return Decision(after, changed, f"{wish.why}: {_replicas(after)}{limits}")


def _shrink_delay(scaling: Scaling, state: ScaleState) -> float:
    return min(scaling.shrink_delay_s * 2**state.regrets, max(scaling.shrink_delay_s, _LONGEST_DELAY_S))


def _bound_why(scaling: Scaling, replicas: int, least: int, now: float) -> str:
    if replicas > least or least < find_floor(scaling, now):
        return f"{_replicas(replicas)}, the most"
    if replicas > scaling.minimum and replicas == find_floor(scaling, now):
        return f"the schedule asks for {_replicas(replicas)}"
    return f"{_replicas(replicas)}, the least" if replicas == scaling.minimum else f"not yet idle: {_replicas(replicas)}"


def _mean(samples: Sequence[Sample]) -> float:
    span = sum(one.span_s for one in samples)
    return sum(one.in_flight * one.span_s for one in samples) / span if span else 0.0


def _on_day(floor: Floor, day: datetime) -> bool:
    return not floor.days or _DAYS[day.weekday()] in floor.days


@lru_cache(maxsize=64)
def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    if hours.isdigit() and minutes.isdigit() and len(minutes) == 2:
        found = int(hours) * 60 + int(minutes)
        if int(minutes) < 60 and found <= 24 * 60:
            return found
    raise ConfigError(f"{clock!r} is no time of a day", hint='write it as "08:30"; "24:00" is the end of a day')


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise ConfigError(
            f"there is no time zone {name!r} here", hint='as "Europe/Berlin"; if none is known here, pip install tzdata'
        ) from error


def _each(count: int) -> str:
    return "the one replica" if count == 1 else f"each of {count} replicas"


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _requests(count: float) -> str:
    return "request" if _number(count) == "1" else "requests"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 120 else f"{value / 60:.0f} min"
