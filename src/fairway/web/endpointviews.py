"""What pages tell of endpoints, out of the keeper's views: words, lines to draw, commands that do the same. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairway.serve.control.view import EndpointView, Figures, Point, RefusedView, RevisionView, RolloutView
from fairway.spec.endpoint import Endpoint, Revision, Rollout, Scaling
from fairway.spec.record import Record, field, record
from fairway.spec.summary import RunSummary
from fairway.web.pages.words import spell_duration, spell_ms, spell_number, spell_share

BUCKETS = 60
BUCKET_S = 30.0
REFUSED_SHOWN = 20
TOLD_S = 1800.0
_METRICS_SHOWN = 3


@record
class Made(Record):
    """What a revision goes back to: the artifact `digest` that `run` made ("" where nobody knows), by `task`, called `output`."""

    run: str = ""
    task: str = ""
    output: str = ""
    digest: str = ""
    pipeline: str = ""
    metrics: tuple[tuple[str, Any], ...] = ()


@record
class Row(Record):
    """A revision in a table: its document, how it is now, and what made it."""

    revision: Revision
    now: RevisionView
    made: Made = field(default_factory=Made)

    @property
    def number(self) -> int:
        """Of the revision."""
        return self.revision.number


@record
class Check(Record):
    """One thing that a rollout is judged by: how it is and what is allowed, in words. `state`: "ok", "bad", "open" (too early to say)."""

    name: str
    now: str
    limit: str
    state: str


def made_of(revision: Revision, summaries: Mapping[str, RunSummary]) -> Made:
    """Where the model comes from, as far as the revision's lineage and the run's summary say. A run that is not among them is not named."""
    lineage = revision.spec.lineage
    run = str(lineage.get("run", ""))
    digest = str(lineage.get("artifact") or revision.spec.package.get("digest", ""))
    summary = summaries.get(run)
    told = lineage.get("metrics")
    metrics: dict[str, Any] = dict(told) if isinstance(told, Mapping) else {}  # type: ignore[arg-type]
    if summary is None:
        return Made(digest=digest, metrics=tuple(metrics.items())[:_METRICS_SHOWN])
    metrics = metrics or dict(summary.metrics)
    return Made(
        run,
        str(lineage.get("task", "")),
        str(lineage.get("output", "")),
        digest,
        summary.pipeline,
        tuple(metrics.items())[:_METRICS_SHOWN],
    )


def rows_of(view: EndpointView, summaries: Mapping[str, RunSummary]) -> list[Row]:
    """All revisions, the newest first."""
    known = {one.number: one for one in view.revisions}
    weights = dict(view.endpoint.traffic)
    return [
        Row(one, known.get(one.number) or RevisionView(one.number, weights.get(one.number, 0.0)), made_of(one, summaries))
        for one in sorted(view.endpoint.revisions, key=lambda one: one.number, reverse=True)
    ]


def runs_of(endpoint: Endpoint) -> set[str]:
    """The runs that its revisions say they come from."""
    return {run for one in endpoint.revisions if (run := str(one.spec.lineage.get("run", "")))}


def serving(view: EndpointView) -> list[RevisionView]:
    """Revisions that take traffic, those with most of it first."""
    return sorted((one for one in view.revisions if one.weight > 0), key=lambda one: (-one.weight, -one.number))


def fill_buckets(points: Sequence[Point], now: float, count: int = BUCKETS, span_s: float = BUCKET_S) -> list[float]:
    """Requests a second in each of `count` spans up to `now`, oldest first."""
    requests = [0.0] * count
    for point in points:
        place = count - 1 - int(max(now - point.at, 0.0) // span_s)
        if place >= 0:
            requests[place] += point.figures.requests
    return [one / span_s for one in requests]


def draw_spark(values: Sequence[float], width: float = 120.0, height: float = 24.0) -> str:
    """The values as the path of a line in a box of that size, 0 at its bottom; "" where all are 0."""
    most = max(values, default=0.0)
    if most <= 0 or len(values) < 2:
        return ""
    step = width / (len(values) - 1)
    return "M" + "L".join(f"{n * step:.1f} {1 + (height - 2) * (1 - value / most):.1f}" for n, value in enumerate(values))


def tell_series(points: Iterable[Point], after: float = 0.0) -> dict[str, Any]:
    """The points after `after` as columns for charts; revisions that had requests have a column of their own."""
    some = [point for point in points if point.at > after]
    numbers = sorted({number for point in some for number, _ in point.rates})
    by_number = [dict(point.rates) for point in some]
    return {
        "at": [round(point.at, 1) for point in some],
        "span": [point.span_s for point in some],
        "requests": [point.figures.requests for point in some],
        "rates": {str(number): [_short(rates.get(number, 0.0)) for rates in by_number] for number in numbers},
        "p50": [_short(point.figures.p50_ms) for point in some],
        "p95": [_short(point.figures.p95_ms) for point in some],
        "p99": [_short(point.figures.p99_ms) for point in some],
        "errors": [_short(100 * point.figures.errors) for point in some],
        "refused": [_short(100 * point.figures.refused) for point in some],
        "replicas": [point.replicas for point in some],
        "wanted": [point.wanted for point in some],
        "waiting": [point.waiting for point in some],
        "in_flight": [_short(point.in_flight) for point in some],
    }


def tell_accuracy(view: EndpointView) -> dict[str, Any]:
    """How good the predictions were over time, by revision and measure."""
    lines: dict[tuple[int, str], list[list[float]]] = {}
    for one in sorted(view.accuracy, key=lambda one: one.at):
        lines.setdefault((one.revision, one.measure), []).append([one.at, one.value, one.labels])
    return {"lines": [{"revision": number, "measure": measure, "points": points} for (number, measure), points in sorted(lines.items())]}


def tell_scaling(scaling: Scaling, scaled_by: str = "") -> list[str]:
    """How many replicas there are, and when: a few lines for people. `scaled_by`: see EndpointView."""
    if scaled_by:
        return [f"{scaling.minimum} to {_count(scaling.maximum, 'replica')}", f"scaled by {scaled_by}: other settings do not count"]
    if scaling.minimum == scaling.maximum:
        lines = [f"always {_count(scaling.minimum, 'replica')}"]
    else:
        aim = f"{scaling.target:g} requests in flight" if scaling.on == "concurrency" else f"a p95 of {spell_ms(scaling.target)}"
        lines = [
            f"{scaling.minimum} to {_count(scaling.maximum, 'replica')}, each to bear {aim}",
            f"judged by the mean of the last {spell_duration(scaling.window_s)}",
            f"grows {f'by {scaling.grow_step} at a time' if scaling.grow_step else 'at once by as many as it takes'}",
            f"shrinks by {scaling.shrink_step} when fewer have been enough for {spell_duration(scaling.shrink_delay_s)}",
        ]
    if scaling.minimum == 0:
        lines.append(f"nothing runs after {spell_duration(scaling.idle_s)} without a request; the next one starts it and waits")
    for floor in scaling.floors:
        days = ", ".join(floor.days) or "every day"
        lines.append(f"at least {floor.replicas} from {floor.begins} to {floor.ends}, {days} ({floor.zone})")
    return lines


def tell_rollout(view: RolloutView, now: float) -> str:
    """Where a rollout is and what comes next, in a sentence or two."""
    one = view.rollout
    if one.state == "done":
        return f"Revision {one.revision} has all the traffic."
    if one.state == "back":
        return f"It went back: {one.why or view.judgement or f'revision {one.revision} did not do well'}"
    share = one.steps[min(one.step, len(one.steps) - 1)] if one.steps else 100.0
    said = f"Step {one.step + 1} of {len(one.steps)}: revision {one.revision} gets {share:g} % of the traffic"
    if one.state == "paused":
        return f"{said}. It is paused: nothing moves until it is resumed."
    left = view.ends_at - now
    rest = one.steps[one.step + 1 :]
    then = f"then {rest[0]:g} %" if rest else "then it is done"
    if view.figures.requests < one.least:
        said += f", {view.figures.requests} of {one.least} requests so far"
    told = f"{said}; {f'for another {spell_duration(left)}, ' if left > 0 else ''}{then}."
    more = view.judgement or one.why
    return told if more in ("", f"{share:g} % of the traffic") else f"{told} {more[0].upper()}{more[1:]}."


def judge(view: RolloutView) -> list[Check]:
    """What the rollout is judged by, one by one."""
    one, seen, others = view.rollout, view.figures, view.others
    enough = seen.requests >= one.least
    checks = [
        Check("requests", f"{seen.requests:,}", f"at least {one.least:,} a step", "ok" if enough else "open"),
        _check("errors", seen.errors, one.max_error_rate, spell_share, enough),
    ]
    if one.max_latency_ms:
        checks.append(_check("p95", seen.p95_ms, one.max_latency_ms, spell_ms, enough))
    if one.max_slowdown:
        ratio = seen.p95_ms / others.p95_ms if seen.p95_ms is not None and others.p95_ms else None
        checks.append(_check("p95 beside the others", ratio, one.max_slowdown, lambda value: f"× {value:.2f}", enough))
    if one.metric:
        checks.append(_check_metric(one, view.metric))
    return checks


def _check_metric(one: Rollout, value: float | None) -> Check:
    least, most = one.min_metric, one.max_metric
    words = [f"at least {spell_number(least)}"] if least is not None else []
    words += [f"at most {spell_number(most)}"] if most is not None else []
    if value is None:
        return Check(one.metric, "no labels yet", ", ".join(words), "open")
    is_kept = (least is None or value >= least) and (most is None or value <= most)
    return Check(one.metric, spell_number(value), ", ".join(words) or "any", "ok" if is_kept else "bad")


def _check(name: str, value: float | None, limit: float, spell: Any, enough: bool) -> Check:
    state = "open" if value is None or not enough else "ok" if value <= limit else "bad"
    return Check(name, "–" if value is None else spell(value), f"at most {spell(limit)}", state)


def is_told(endpoint: Endpoint, now: float) -> bool:
    """Is the rollout worth a word: it goes on, or has ended a short while ago and nothing was deployed since?"""
    one = endpoint.rollout
    if one is None or is_going(one):
        return one is not None
    newest = max((each.number for each in endpoint.revisions), default=0)
    return now - one.step_began_at < TOLD_S and newest <= one.revision


def is_going(rollout: Rollout | None) -> bool:
    """Does a rollout go on, or wait to?"""
    return rollout is not None and rollout.state in ("going", "paused")


def spell_weight(weight: float) -> str:
    """ "95", "2.5"."""
    return f"{weight:.2f}".rstrip("0").rstrip(".")


def traffic_command(name: str, traffic: Iterable[tuple[int, float]], on: str = "") -> str:
    """The command line that sets these weights."""
    words = [f"{number}={spell_weight(weight)}" for number, weight in traffic if weight > 0]
    return command("traffic", name, *words, on=on)


def command(*words: str, on: str = "") -> str:
    """A command line of ours, for the target `on`."""
    return shlex.join(["fairway", *words, *(("--on", on) if on not in ("", "local") else ())])


def curl_line(url: str, body: str, *, keyed: bool) -> str:
    """The request as curl sends it; `keyed`: callers need a key."""
    key = ' -H "Authorization: Bearer $FAIRWAY_KEY"' if keyed else ""
    return f"curl {shlex.quote(url + '/predict')}{key} -H 'Content-Type: application/json' -d {shlex.quote(body)}"


@record
class Alike(Record):
    """Requests that were refused for the same: the newest of them, how many, and when the oldest came."""

    newest: RefusedView
    count: int
    since: float


def join_refused(refused: Iterable[RefusedView]) -> list[Alike]:
    """Those with the same status, message, key and revision together, the newest first."""
    found: dict[tuple[int, str, str, int], list[RefusedView]] = {}
    for one in sorted(refused, key=lambda one: -one.at):
        found.setdefault((one.status, one.message, one.key, one.revision), []).append(one)
    return [Alike(some[0], len(some), some[-1].at) for some in found.values()][:REFUSED_SHOWN]


def needs_key(view: EndpointView) -> bool:
    """Do callers need a key? A gateway of this machine answers its users without, as long as there is no key."""
    here = view.url.startswith(("http://127.0.0.1:", "http://localhost:"))
    return not view.endpoint.is_open and (bool(view.endpoint.keys) or not here)


def spark_of(view: EndpointView, now: float) -> str:
    """The rate of the last half hour as a path."""
    return draw_spark(fill_buckets(view.series, now))


def is_bad(figures: Figures) -> bool:
    """Does it deserve a look: one answer in fifty is an error?"""
    return figures.requests > 0 and figures.errors >= 0.02


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
