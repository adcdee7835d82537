"""How an endpoint changes: its document before, what is wanted, its document after. Pure: who calls says who does it and when.

What cannot be raises ConfigError, NotFoundError or ConflictError with a hint, before anything is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairway.errors import ConfigError, ConflictError, NotFoundError
from fairway.serve.control import autoscale, rollout
from fairway.serve.control.keys import make_key
from fairway.spec.endpoint import Capture, Endpoint, Revision, Rollout, ServeSpec, find_revision
from fairway.spec.record import Record, record, replace, to_plain

Weights = Sequence[tuple[int, float]]
Faults = Mapping[int, Sequence[str]]
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
_STICKY = re.compile(r"key|header:[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_TAKEN = frozenset({"v1", "v2", "health", "healthz", "livez", "readyz", "metrics", "docs", "table", "news", "state", "feedback"})
"""What the gateway answers itself."""
HISTORY = 200
_SHARE = 100.0


@record
class Doing(Record):
    """Who does it, and when (seconds since 1970)."""

    by: str = ""
    at: float = 0.0


Change = Callable[[Endpoint, Doing], Endpoint]
"""Any of the functions below, with what it wants to know filled in."""


@record
class Deployed(Record):
    """`number`: of the revision; `key`: a first key, shown once, "" where none was made; `is_new`: the endpoint was not there before."""

    endpoint: Endpoint
    number: int
    key: str = ""
    is_new: bool = False


def check_name(name: str) -> None:
    """Raises ConfigError for what cannot be the name of an endpoint: it stands in URLs and in the names of a cluster's objects."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{name!r} cannot be an endpoint's name",
            hint="use up to 40 small letters, digits and hyphens; begin with a letter, such as risk or churn-eu",
        )
    if name in _TAKEN:
        raise ConfigError(
            f"an endpoint cannot be named {name!r}: that is a path of the gateway", hint=f"take another, such as {name}-model"
        )


def add_revision(endpoint: Endpoint | None, name: str, spec: ServeSpec, doing: Doing, *, note: str = "") -> tuple[Endpoint, int]:
    """The endpoint (new if it is None) with a revision of this spec, and its number. The same spec again is the revision that is there.
    No traffic moves, but to the first revision of all."""
    if endpoint is None:
        check_name(name)
        endpoint = Endpoint(name, created_at=doing.at, created_by=doing.by)
    plain = to_plain(spec)
    same = next((one for one in reversed(endpoint.revisions) if to_plain(one.spec) == plain), None)
    if same is not None:
        return endpoint, same.number
    number = 1 + max((one.number for one in endpoint.revisions), default=0)
    added = replace(endpoint, revisions=(*endpoint.revisions, Revision(number, spec, doing.at, doing.by, note)))
    if not endpoint.traffic:
        added = replace(added, traffic=((number, _SHARE),))
    return _noted(added, doing, f"revision {number}: {spec.source}"), number


def configure(endpoint: Endpoint, doing: Doing, *, what: str = "settings changed", **settings: Any) -> Endpoint:
    """With other settings: `scaling`, `capture`, `is_open`, `expose`, `sticky`, `notify`, `project`. Unchanged: the very same document."""
    changed = replace(endpoint, **settings)
    if changed == endpoint:
        return endpoint
    autoscale.check_scaling(changed.scaling)
    if changed.expose != endpoint.expose and changed.expose:
        from fairway.kube.serving_routes import check_expose  # a server of one's own has no cluster

        check_expose(changed.expose)
    _check_capture(changed.capture)
    _check_sticky(changed.sticky)
    return _noted(changed, doing, what)


def set_traffic(endpoint: Endpoint, weights: Weights, doing: Doing) -> Endpoint:
    """Weights that add up to 100. It ends a rollout."""
    traffic = check_weights(endpoint, weights)
    if traffic == endpoint.traffic and not _is_going(endpoint):
        return endpoint
    return _noted(_with_traffic(endpoint, traffic, _ended(endpoint, "the traffic was set by hand")), doing, spell_traffic(traffic))


def promote(endpoint: Endpoint, number: int, doing: Doing) -> Endpoint:
    """All traffic to the revision at once. A rollout of it is done; one of another ends."""
    get_revision(endpoint, number)
    if endpoint.rollout is not None and endpoint.rollout.revision == number and _is_going(endpoint):
        return _noted(rollout.promote(endpoint, doing.at), doing, f"all traffic to revision {number}")
    traffic, ended = ((number, _SHARE),), _ended(endpoint, f"revision {number} got all traffic")
    if traffic == endpoint.traffic and ended == endpoint.rollout:
        return endpoint
    return _noted(_with_traffic(endpoint, traffic, ended), doing, f"all traffic to revision {number}")


def set_shadow(endpoint: Endpoint, number: int, doing: Doing) -> Endpoint:
    """`number` gets a copy of every request; 0: none does."""
    if number:
        get_revision(endpoint, number)
        if dict(endpoint.traffic).get(number):
            raise ConfigError(
                f"revision {number} answers requests already: it cannot be the shadow too",
                hint=f"take its traffic away first: fairway traffic {endpoint.name} …",
            )
    if number == endpoint.shadow:
        return endpoint
    what = f"revision {number} gets a copy of every request" if number else "no shadow any more"
    return _noted(replace(endpoint, shadow=number), doing, what)


def start_rollout(endpoint: Endpoint, wanted: Rollout, doing: Doing) -> Endpoint:
    """Begin to move traffic to `wanted.revision`; of `wanted` all but `previous`, `state`, `step` counts. The clock of the first step
    starts (`step_began_at`) when a replica of it is ready."""
    get_revision(endpoint, wanted.revision)
    if _is_going(endpoint):
        assert endpoint.rollout is not None
        raise ConflictError(
            f"revision {endpoint.rollout.revision} is being rolled out",
            hint=f"promote it (fairway rollout {endpoint.name} --all) or take it back (fairway rollback {endpoint.name}) first",
        )
    if dict(endpoint.traffic).get(wanted.revision) == _SHARE:
        raise ConfigError(
            f"revision {wanted.revision} has all the traffic already", hint=f"what serves now: fairway endpoints {endpoint.name}"
        )
    started = rollout.start(endpoint, replace(wanted, state="going", step=0, why=""), doing.at)
    assert started.rollout is not None
    if started.rollout.state == "going":
        started = replace(started, rollout=replace(started.rollout, step_began_at=0.0))
    steps = ", ".join(f"{step:g}" for step in wanted.steps)
    return _noted(_with_traffic(endpoint, started.traffic, started.rollout), doing, f"rollout of revision {wanted.revision} by {steps} %")


def pause_rollout(endpoint: Endpoint, paused: bool, doing: Doing) -> Endpoint:
    """Stay at this step, or go on; the step's time begins anew."""
    if endpoint.rollout is None or not _is_going(endpoint):
        raise ConflictError(f"{endpoint.name!r} has no rollout under way", hint=f"begin one: fairway rollout {endpoint.name} SOURCE")
    if (endpoint.rollout.state == "paused") == paused:
        return endpoint
    changed = rollout.pause(endpoint) if paused else rollout.go_on(endpoint, doing.at)
    return _noted(changed, doing, f"rollout {'paused' if paused else 'goes on'}")


def rollback(endpoint: Endpoint, number: int, doing: Doing) -> Endpoint:
    """Traffic back to revision `number`; 0: to what served before the rollout, or before the last change of the traffic."""
    going = endpoint.rollout if _is_going(endpoint) else None
    if going is not None and not number:
        why = f"taken back by {doing.by or 'hand'}"
        return _noted(rollout.back(endpoint, why, doing.at), doing, f"back: {spell_traffic(going.previous)}", _fault(going.revision, why))
    if number:
        get_revision(endpoint, number)
    traffic, why = ((number, _SHARE),) if number else _served_before(endpoint), f"taken back by {doing.by or 'hand'}"
    ended = _ended(endpoint, why)
    if traffic == endpoint.traffic and ended == endpoint.rollout:
        return endpoint
    newest = max(kept for kept, _ in traffic)
    left = {one: ["back", why] for one, _ in endpoint.traffic if one > newest and find_faults(endpoint).get(one, ("",))[0] != "failed"}
    return _noted(_with_traffic(endpoint, traffic, ended), doing, f"back: {spell_traffic(traffic)}", left)


def follow_rollout(endpoint: Endpoint, changed: Endpoint, why: str, at: float) -> Endpoint:
    """What the rollout has come to by itself (`rollout.advance`), as it is kept."""
    if changed.traffic == endpoint.traffic and changed.rollout is not None and changed.rollout.state == "going":
        return changed
    ended = changed.rollout
    fault = _fault(ended.revision, why) if ended is not None and ended.state == "back" else {}
    return _noted(_with_traffic(endpoint, changed.traffic, ended), Doing("", at), why, fault)


def note_start(endpoint: Endpoint, number: int, why: str, at: float) -> Endpoint:
    """With it noted that the revision does not start, and `why`; "": that it has started after all. The very same if that is known."""
    is_known = find_faults(endpoint).get(number, ("",))[0] == "failed"
    if is_known == bool(why):
        return endpoint
    what = f"revision {number} does not start: {why}" if why else f"revision {number} has started after all"
    return _noted(endpoint, Doing("", at), what, {number: ["failed", why] if why else []})


def find_faults(endpoint: Endpoint) -> dict[int, tuple[str, str]]:
    """Revisions that did not do, as the history tells: number -> ("failed", why it does not start) or ("back", why traffic was taken from
    it). A later note of a start takes back the one, and traffic that it gets again the other."""
    found: dict[int, tuple[str, str]] = {}
    for entry in endpoint.history:
        for number, _ in entry.get("traffic", ()):
            if found.get(int(number), ("",))[0] == "back":
                del found[int(number)]
        for number, fault in entry.get("faults", {}).items():
            found.pop(int(number), None)
            if fault:
                found[int(number)] = (str(fault[0]), str(fault[1]))
    return found


def pause(endpoint: Endpoint, paused: bool, doing: Doing) -> Endpoint:
    """Take no requests, or take them again."""
    if endpoint.paused == paused:
        return endpoint
    return _noted(replace(endpoint, paused=paused), doing, "paused" if paused else "takes requests again")


def add_key(endpoint: Endpoint, name: str, doing: Doing, *, rate: float = 0.0, burst: int = 0) -> tuple[Endpoint, str]:
    """With a key for the caller `name`, and the key itself. Raises ConflictError if there is one of that name."""
    if any(key.name == name for key in endpoint.keys):
        raise ConflictError(
            f"{endpoint.name!r} has a key {name!r} already", hint=f"remove it first: fairway endpoints key remove {endpoint.name} {name}"
        )
    text, kept = make_key(name, rate=rate, burst=burst, by=doing.by, now=doing.at)
    return _noted(replace(endpoint, keys=(*endpoint.keys, kept)), doing, f"key {name} added"), text


def remove_key(endpoint: Endpoint, name: str, doing: Doing) -> Endpoint:
    """Without the key of that name. Raises NotFoundError."""
    left = tuple(key for key in endpoint.keys if key.name != name)
    if len(left) == len(endpoint.keys):
        there = ", ".join(key.name for key in endpoint.keys) or "none"
        raise NotFoundError(f"{endpoint.name!r} has no key {name!r}", hint=f"there is: {there}")
    return _noted(replace(endpoint, keys=left), doing, f"key {name} removed")


def get_revision(endpoint: Endpoint, number: int) -> Revision:
    """The revision of that number. Raises NotFoundError."""
    found = find_revision(endpoint, number)
    if found is None:
        there = ", ".join(str(one.number) for one in endpoint.revisions[-10:]) or "none"
        raise NotFoundError(f"{endpoint.name!r} has no revision {number}", hint=f"there is: {there}")
    return found


def check_weights(endpoint: Endpoint, weights: Weights) -> tuple[tuple[int, float], ...]:
    """The weights as they are kept. Raises ConfigError, NotFoundError."""
    seen: dict[int, float] = {}
    for number, weight in weights:
        get_revision(endpoint, number)
        if number in seen:
            raise ConfigError(f"revision {number} is named twice", hint="give each one weight")
        if not (math.isfinite(weight) and 0 <= weight <= _SHARE):
            raise ConfigError(f"revision {number} cannot get {weight:g} % of the traffic", hint="weights are 0 to 100")
        seen[number] = float(weight)
    total = sum(seen.values())
    if not math.isclose(total, _SHARE, abs_tol=0.001):
        raise ConfigError(f"the weights add up to {total:g}, not to 100", hint="such as 3=95 4=5")
    return tuple((number, weight) for number, weight in sorted(seen.items()) if weight)


def spell_traffic(traffic: Weights) -> str:
    """ "revision 3: 95 %, revision 4: 5 %"."""
    if len(traffic) == 1:
        return f"all traffic to revision {traffic[0][0]}"
    return ", ".join(f"revision {number}: {weight:g} %" for number, weight in traffic)


def _with_traffic(endpoint: Endpoint, traffic: tuple[tuple[int, float], ...], going: Rollout | None) -> Endpoint:
    """What answers requests is no shadow any more."""
    return replace(endpoint, traffic=traffic, rollout=going, shadow=0 if endpoint.shadow in dict(traffic) else endpoint.shadow)


def _is_going(endpoint: Endpoint) -> bool:
    return endpoint.rollout is not None and endpoint.rollout.state in ("going", "paused")


def _ended(endpoint: Endpoint, why: str) -> Rollout | None:
    return replace(endpoint.rollout, state="back", why=why) if endpoint.rollout is not None and _is_going(endpoint) else endpoint.rollout


def _served_before(endpoint: Endpoint) -> tuple[tuple[int, float], ...]:
    """The last traffic before the one now that went to nothing that failed or was taken back, as the history tells. Raises
    ConflictError."""
    faults = find_faults(endpoint)
    for entry in reversed(endpoint.history):
        found = tuple((int(number), float(weight)) for number, weight in entry.get("traffic", ()))
        if found and found != endpoint.traffic and all(find_revision(endpoint, one) and one not in faults for one, _ in found):
            return found
    raise ConflictError(
        f"{endpoint.name!r} has served nothing else before that worked", hint=f"name a revision: fairway rollback {endpoint.name} REVISION"
    )


def _fault(number: int, why: str) -> Faults:
    return {number: ["back", why]}


def _noted(endpoint: Endpoint, doing: Doing, what: str, faults: Faults | None = None) -> Endpoint:
    entry: dict[str, Any] = {"at": doing.at, "by": doing.by, "what": what, "traffic": [list(one) for one in endpoint.traffic]}
    if faults:
        entry["faults"] = {str(number): list(fault) for number, fault in faults.items()}
    return replace(endpoint, history=(*endpoint.history, entry)[-HISTORY:])


def _check_capture(capture: Capture) -> None:
    if not 0 <= capture.share <= 1:
        raise ConfigError(f"{capture.share:g} of the requests cannot be kept", hint="a share is 0 to 1, such as 0.1")


def _check_sticky(sticky: str) -> None:
    if sticky and _STICKY.fullmatch(sticky) is None:
        raise ConfigError(f"callers cannot be told apart by {sticky!r}", hint="by key, or by a header: header:x-user-id")
