"""A new revision on its way: step after step as long as it does well, back at once when it does not. Pure.

Whoever keeps an endpoint calls `advance` every second or so with what was measured since the step began, and writes the document that comes
back. The weights of an endpoint always add up to 100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fairway.errors import ConfigError, NotFoundError
from fairway.spec.endpoint import Endpoint, Rollout, find_revision
from fairway.spec.record import Record, record, replace

_NEVER_LESS = 5
"""Errors that a revision is allowed before the least number of requests is there; with more it need not wait to be judged."""


@record
class Window(Record):
    """What a revision did since the step began (`Rollout.step_began_at`). `errors`: answers of 5xx, among `requests`; `p95_ms`: None where
    nothing was answered; `metric`: the quality that the rollout watches, None as long as it is not known, from `labels` values."""

    requests: int = 0
    errors: int = 0
    p95_ms: float | None = None
    metric: float | None = None
    labels: int = 0


def check_rollout(endpoint: Endpoint, rollout: Rollout) -> None:
    """Raises ConfigError or NotFoundError for what cannot be meant."""
    if find_revision(endpoint, rollout.revision) is None:
        known = ", ".join(str(one.number) for one in endpoint.revisions)
        raise NotFoundError(
            f"{endpoint.name} has no revision {rollout.revision}", hint=f"it has {known}" if known else "deploy something first"
        )
    steps = rollout.steps
    if not steps or any(not 0 < step <= 100 for step in steps) or list(steps) != sorted(set(steps)):
        raise ConfigError(
            f"steps of {', '.join(f'{step:g}' for step in steps) or 'nothing'} cannot be",
            hint="they are percents that rise, above 0 and up to 100: --steps 5,25,100",
        )
    if steps[-1] != 100:
        raise ConfigError(f"the last step is {steps[-1]:g} %, so the rollout would never be done", hint="end with 100")
    for name, value, most in (
        ("step's time", rollout.step_s, 86_400.0 * 30),
        ("least number of requests", rollout.least, 1e9),
        ("error rate", rollout.max_error_rate, 1.0),
        ("latency", rollout.max_latency_ms, 1e9),
        ("slowdown", rollout.max_slowdown, 1e6),
    ):
        if not 0 <= value <= most:
            raise ConfigError(f"the {name} of a rollout cannot be {value:g}", hint=f"it is between 0 and {most:g}")
    bounds = [bound for bound in (rollout.min_metric, rollout.max_metric) if bound is not None]
    if bounds and not rollout.metric:
        raise ConfigError("a bound without a metric judges nothing", hint="name it: --metric 'accuracy>=0.9'")
    if any(not math.isfinite(bound) for bound in bounds) or bounds != sorted(bounds):
        raise ConfigError(
            f"no {rollout.metric} is between {' and '.join(f'{bound:g}' for bound in bounds)}", hint="the least comes first, then the most"
        )


def start(endpoint: Endpoint, rollout: Rollout, now: float) -> Endpoint:
    """The endpoint with its first step taken. `rollout.previous` is filled in with the traffic as it is; a rollout that is going ends where
    it is, and going back leads to what was before it. With no traffic yet, the revision gets all of it."""
    check_rollout(endpoint, rollout)
    running = endpoint.rollout
    previous = running.previous if running is not None and running.state in ("going", "paused") else endpoint.traffic
    if all(number == rollout.revision for number, weight in previous if weight > 0):
        done = replace(rollout, previous=previous, state="done", step=len(rollout.steps) - 1, step_began_at=now, why=_first_why(rollout))
        return replace(endpoint, traffic=((rollout.revision, 100.0),), rollout=done)
    begun = replace(rollout, previous=previous, state="going", step=0, step_began_at=now, why=f"{rollout.steps[0]:g} % of the traffic")
    return _with_step(endpoint, begun)


def advance(endpoint: Endpoint, windows: Mapping[int, Window], now: float) -> tuple[Endpoint, str] | None:
    """What becomes of the rollout now: (the changed endpoint, why), or None where nothing changes.

    `windows`: by revision, since the step began. A step is over when its time is, with at least `least` requests and nothing wrong with
    them; until so many came it waits, except that a revision that only fails is not waited for.
    """
    rollout = endpoint.rollout
    if rollout is None or rollout.state != "going":
        return None
    fault = judge(rollout, windows)
    if fault:
        return back(endpoint, fault, now), fault
    if now - rollout.step_began_at < rollout.step_s:
        return None
    waits = find_wait(rollout, windows)
    if waits:
        return None if waits == rollout.why else (replace(endpoint, rollout=replace(rollout, why=waits)), waits)
    if rollout.step >= len(rollout.steps) - 1:
        why = f"revision {rollout.revision} has all of the traffic and does well"
        return _finish(endpoint, rollout, why, now), why
    step = rollout.step + 1
    why = f"{_did_well(rollout, windows)}: {rollout.steps[step]:g} % of the traffic"
    return _with_step(endpoint, replace(rollout, step=step, step_began_at=now, why=why)), why


def judge(rollout: Rollout, windows: Mapping[int, Window]) -> str:
    """What is wrong with the new revision, in words; "" as long as nothing is known to be."""
    new = windows.get(rollout.revision, Window())
    name = f"revision {rollout.revision}"
    allowed = rollout.max_error_rate * max(new.requests, rollout.least)
    enough = new.requests >= rollout.least
    if new.errors > allowed and (enough or new.errors >= min(rollout.least, _NEVER_LESS)):
        return f"{name} failed {new.errors} of {new.requests} requests, {_percent(rollout.max_error_rate)} are allowed"
    if enough and new.p95_ms is not None:
        if rollout.max_latency_ms and new.p95_ms > rollout.max_latency_ms:
            return f"{name} has a p95 of {new.p95_ms:.3g} ms, {rollout.max_latency_ms:g} ms are allowed"
        others = _p95_of_others(rollout, windows)
        if rollout.max_slowdown and others and new.p95_ms > others * rollout.max_slowdown:
            return (
                f"{name} has a p95 of {new.p95_ms:.3g} ms, {new.p95_ms / others:.2g} times the {others:.3g} ms of the others; "
                f"{rollout.max_slowdown:g} times is allowed"
            )
    return _judge_metric(rollout, new)


def _judge_metric(rollout: Rollout, new: Window) -> str:
    if not rollout.metric or new.metric is None or new.labels < rollout.least:
        return ""
    said = f"revision {rollout.revision} has {rollout.metric} {new.metric:.4g} over {new.labels} requests"
    if rollout.min_metric is not None and new.metric < rollout.min_metric:
        return f"{said}, at least {rollout.min_metric:g} is wanted"
    if rollout.max_metric is not None and new.metric > rollout.max_metric:
        return f"{said}, at most {rollout.max_metric:g} is allowed"
    return ""


def find_wait(rollout: Rollout, windows: Mapping[int, Window]) -> str:
    """What a step whose time is over still waits for; "" for nothing."""
    new = windows.get(rollout.revision, Window())
    if new.requests < rollout.least:
        return f"waits for {rollout.least} requests to judge revision {rollout.revision} by"
    if rollout.metric and (new.metric is None or new.labels < rollout.least):
        return f"waits for {rollout.least} values of {rollout.metric} to judge revision {rollout.revision} by"
    return ""


def pause(endpoint: Endpoint) -> Endpoint:
    """The rollout stays at its step, and is not judged. Raises ConfigError if there is none that goes."""
    rollout = _active(endpoint)
    return replace(endpoint, rollout=replace(rollout, state="paused", why=f"paused at {rollout.steps[rollout.step]:g} %"))


def go_on(endpoint: Endpoint, now: float) -> Endpoint:
    """A paused rollout goes on; its step begins anew."""
    rollout = _active(endpoint)
    changed = replace(rollout, state="going", step_began_at=now, why=f"{rollout.steps[rollout.step]:g} % of the traffic")
    return replace(endpoint, rollout=changed)


def promote(endpoint: Endpoint, now: float) -> Endpoint:
    """The new revision gets all of the traffic at once, whatever its step."""
    rollout = _active(endpoint)
    return _finish(endpoint, rollout, f"revision {rollout.revision} was given all of the traffic by hand", now)


def back(endpoint: Endpoint, why: str, now: float) -> Endpoint:
    """The traffic as it was before the rollout began, also after it is done. Raises ConfigError if there is no way back."""
    rollout = endpoint.rollout
    if rollout is None or not rollout.previous or rollout.state == "back":
        raise ConfigError(
            f"{endpoint.name} has no rollout to take back", hint=f"set the traffic by hand: fairway traffic {endpoint.name} REVISION=100"
        )
    return replace(endpoint, traffic=rollout.previous, rollout=replace(rollout, state="back", step_began_at=now, why=why))


def blend(previous: Sequence[tuple[int, float]], revision: int, percent: float) -> tuple[tuple[int, float], ...]:
    """Traffic with `percent` for `revision`, and the rest shared as before by those that had it. Adds up to 100."""
    others = [(number, weight) for number, weight in previous if number != revision and weight > 0]
    total = sum(weight for _, weight in others)
    if not others or percent >= 100:
        return ((revision, 100.0),)
    shared: list[tuple[int, float]] = []
    left = 100.0 - percent
    for place, (number, weight) in enumerate(others):
        part = round((100.0 - percent) * weight / total, 6) if place < len(others) - 1 else round(left, 6)
        left -= part
        shared.append((number, part))
    return (*((number, part) for number, part in shared if part > 0), (revision, round(100.0 - sum(part for _, part in shared), 6)))


def _with_step(endpoint: Endpoint, rollout: Rollout) -> Endpoint:
    share = rollout.steps[rollout.step]
    return replace(endpoint, traffic=blend(rollout.previous, rollout.revision, share), rollout=rollout)


def _finish(endpoint: Endpoint, rollout: Rollout, why: str, now: float) -> Endpoint:
    done = replace(rollout, state="done", step=len(rollout.steps) - 1, step_began_at=now, why=why)
    return replace(endpoint, traffic=((rollout.revision, 100.0),), rollout=done)


def _active(endpoint: Endpoint) -> Rollout:
    rollout = endpoint.rollout
    if rollout is None or rollout.state not in ("going", "paused"):
        raise ConfigError(f"no rollout of {endpoint.name} is going", hint=f"start one: fairway rollout {endpoint.name} REVISION")
    return rollout


def _first_why(rollout: Rollout) -> str:
    return f"revision {rollout.revision} has all of the traffic: no other had any"


def _p95_of_others(rollout: Rollout, windows: Mapping[int, Window]) -> float:
    """The mean over the others, by their requests; 0 where they had too few to compare with."""
    others = [one for number, one in windows.items() if number != rollout.revision and one.p95_ms is not None and one.requests]
    count = sum(one.requests for one in others)
    return sum((one.p95_ms or 0.0) * one.requests for one in others) / count if count >= rollout.least else 0.0


def _did_well(rollout: Rollout, windows: Mapping[int, Window]) -> str:
    new = windows.get(rollout.revision, Window())
    return f"revision {rollout.revision} answered {new.requests} requests with {new.errors} errors" + (
        f", p95 {new.p95_ms:.3g} ms" if new.p95_ms is not None else ""
    )


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
