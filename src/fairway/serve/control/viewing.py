"""From what the keeper remembers of an endpoint to what people see of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairway.serve.control import rollout
from fairway.serve.control.changes import find_faults
from fairway.serve.control.figures import Tally
from fairway.serve.control.view import EndpointView, ReplicaView, RevisionView, RolloutView, ShadowView
from fairway.serve.control.watched import Watched
from fairway.spec.endpoint import Endpoint, Revision
from fairway.spec.record import Record, record


@record
class Around(Record):
    """What of a view is not the keeper's: addresses, memory of the zygote, and of the revision that most requests go to its schema and
    example request."""

    url: str = ""
    grpc: str = ""
    zygote_bytes: int = 0
    trouble: str = ""
    unexposed: str = ""
    scaled_by: str = ""
    schema: dict[str, Any] | None = None
    example: Any = None


def build_view(one: Watched, around: Around, now: float) -> EndpointView:
    """The endpoint as it is at `now` (epoch seconds)."""
    endpoint = one.endpoint
    faults = find_faults(endpoint)
    revisions = tuple(_see_revision(one, revision, faults, now) for revision in reversed(endpoint.revisions))
    state, why = _state_of(endpoint, revisions)
    running = tuple(
        ReplicaView(r.id, r.revision, r.state, r.since, r.reason, r.where, r.memory_bytes, r.cold_start_s)
        for r in sorted(one.replicas, key=lambda r: (-r.revision, r.id))
    )
    return EndpointView(
        endpoint,
        around.url,
        around.grpc,
        state,
        one.trouble or around.trouble or why,
        sum(one.ready().values()),
        sum(one.wanted.values()),
        one.series.last_minute(now),
        revisions,
        running,
        one.series.points(),
        tuple(reversed(one.refused)),
        tuple(reversed(one.cold_starts)),
        _see_rollout(one, now),
        _see_shadow(one, now),
        one.gathered.accuracy,
        one.key_uses(now),
        around.schema,
        around.example,
        around.zygote_bytes,
        around.unexposed,
        around.scaled_by,
        one.gathered.drift,
    )


def main_revision(endpoint: Endpoint) -> Revision | None:
    """The one that most requests go to; the newest where none does."""
    weights: Mapping[int, float] = dict(endpoint.traffic)
    return max(endpoint.revisions, key=lambda one: (weights.get(one.number, 0.0), one.number), default=None)


def _see_revision(one: Watched, revision: Revision, faults: Mapping[int, tuple[str, str]], now: float) -> RevisionView:
    number = revision.number
    weight = dict(one.endpoint.traffic).get(number, 0.0)
    takes = weight or dict(one.traffic).get(number) or one.endpoint.shadow == number
    there = [replica for replica in one.replicas if replica.revision == number]
    ready = sum(replica.state == "ready" for replica in there)
    wanted = one.wanted.get(number, 0)
    failed = next((replica for replica in there if replica.state == "failed"), None)
    why = one.why.get(number, "")
    if ready:
        state = "ready"
    elif failed is not None and wanted:
        state, why = "failed", failed.reason
    elif wanted:
        state = "starting"
    else:
        state = "idle" if takes else "unused"
        if not takes and number in faults:
            state, why = {"back": "went back"}.get(faults[number][0], "failed"), faults[number][1]
    traffic = one.revisions.get(number)
    figures = traffic.last_minute(now) if traffic is not None else Tally().figures(1.0)
    return RevisionView(number, weight, state, why, ready, wanted, figures)


def _state_of(endpoint: Endpoint, revisions: tuple[RevisionView, ...]) -> tuple[str, str]:
    """(state, why) of the whole: as well off as the revision that is best off."""
    if endpoint.paused:
        return "paused", ""
    takes = [one for one in revisions if one.weight]
    if not takes:
        return "empty", ""
    failed = next((one for one in takes if one.state == "failed"), None)
    broken = f"revision {failed.number} does not start: {failed.why}" if failed is not None else ""
    answers = any(one.state == "ready" or (one.state == "idle" and not one.weight and one.number != endpoint.shadow) for one in revisions)
    if broken and answers:
        return "ready" if any(one.state == "ready" for one in revisions) else "idle", broken  # what served before goes on
    for state in ("ready", "failed", "starting", "idle"):
        found = next((one for one in revisions if one.state == state and (one.weight or state == "ready")), None)
        if found is not None:
            return state, found.why if state in ("failed", "starting") else ""
    return "idle", ""


def _see_rollout(one: Watched, now: float) -> RolloutView | None:
    going = one.endpoint.rollout
    if going is None:
        return None
    windows = one.windows()
    span_s = max(1.0, now - going.step_began_at) if going.step_began_at else 1.0
    mine, others = Tally(), Tally()
    for number, traffic in one.revisions.items():
        (mine if number == going.revision else others).merge(traffic.step)
    judgement, ends_at = going.why, 0.0
    if going.state == "going":
        if not going.step_began_at or one.traffic != one.endpoint.traffic:
            judgement = f"waits until revision {going.revision} is ready"
        else:
            ends_at = going.step_began_at + going.step_s
            judgement = rollout.judge(going, windows) or (rollout.find_wait(going, windows) if now > ends_at else "") or going.why
    metric = windows[going.revision].metric if going.revision in windows else None
    if going.state == "going" and going.metric and metric is None and one.gathered.error:
        judgement = f"{judgement}; {going.metric} is not known: {one.gathered.error}"
    return RolloutView(going, mine.figures(span_s), others.figures(span_s), judgement, ends_at, metric)


def _see_shadow(one: Watched, now: float) -> ShadowView | None:
    number, seen = one.endpoint.shadow, one.shadow
    if not number:
        return None
    traffic = one.revisions.get(number)
    figures = traffic.last_minute(now) if traffic is not None else Tally().figures(1.0)
    if seen is None or seen.revision != number:
        return ShadowView(number, figures=figures)
    return ShadowView(number, seen.since, seen.equal, seen.differing, seen.errors, figures, tuple(reversed(seen.examples)))
