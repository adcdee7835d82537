"""Endpoints: deploy, look, change, call, delete."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from fairway.errors import ConflictError, NotFoundError, UnsupportedError
from fairway.serve.control import changes
from fairway.serve.control.changes import Doing
from fairway.serve.control.driftnews import shown_target
from fairway.serve.control.view import Asked, EndpointView
from fairway.spec.endpoint import Capture, Endpoint, Rollout, Scaling, ServeSpec
from fairway.spec.record import replace
from fairway.web.access import check_project
from fairway.web.operation import Call, Operation
from fairway.web.ports import Endpoints
from fairway.web.records import full, read_record
from fairway.web.reply import Reply
from fairway.web.schema.endpoints import (
    AskAnswer,
    AskBody,
    DeployBody,
    DeployedAnswer,
    Document,
    EndpointLog,
    EndpointLogQuery,
    EndpointsPage,
    KeyBody,
    KeyMade,
    RollbackBody,
    RolloutBody,
    SettingsBody,
    Stats,
    TrafficBody,
    View,
)


async def list_endpoints(call: Call[Any, None]) -> dict[str, Any]:
    """All endpoints, how each is doing now. Without schemas and examples."""
    desk = call.site.settings.endpoints
    found = await desk.views() if desk is not None else ()
    return {"items": [_shown(view) for view in found if call.identity.sees(view.endpoint.project)]}


async def deploy_endpoint(call: Call[Any, DeployBody]) -> Reply:
    """Make an endpoint, or give one a new revision. The model package must be in the store."""
    desk, body = _desk(call), call.body
    check_project(call.identity, body.project)
    there = await desk.view(body.name)
    if there is not None:
        await _view(call, body.name)
        if body.only == "new":
            raise ConflictError(f"there is an endpoint {body.name!r} already", hint="give it a new revision: leave out --new")
    elif body.only == "known":
        raise NotFoundError(f"there is no endpoint {body.name!r}", hint=f"make it: fairway deploy SOURCE --name {body.name}")

    def change(one: Endpoint, doing: Doing) -> Endpoint:
        number = _number_of(one, spec)
        project = {} if there is not None else {"project": body.project}
        changed = _with_settings(changes.configure(one, doing, **project) if project.get("project") else one, body.settings, doing)
        return changes.promote(changed, number, doing) if body.moves and dict(changed.traffic) != {number: 100.0} else changed

    spec: ServeSpec = read_record(ServeSpec, body.spec)
    done = await desk.deploy(body.name, spec, change, by=call.user, note=body.note, with_key=body.with_key)
    url = there.url if there is not None else ""
    answer = {"endpoint": _document(done.endpoint), "revision": done.number, "url": url, "key": done.key, "is_new": done.is_new}
    return Reply(answer, 201 if done.is_new else 200, {"location": f"/api/v1/endpoints/{body.name}"})


async def get_endpoint(call: Call[Any, None]) -> Any:
    """An endpoint as it is now."""
    return _shown(await _view(call))


async def change_endpoint(call: Call[Any, SettingsBody]) -> Any:
    """Change settings: scaling, capture, who may call, pause."""
    return await _change(call, lambda one, doing: _with_settings(one, call.body, doing))


async def delete_endpoint(call: Call[Any, None]) -> Response:
    """Delete an endpoint: its replicas end when they have answered what they have."""
    await _view(call)
    await _desk(call).delete(call.path["endpoint"], by=call.user)
    return Response(status_code=204)


async def set_traffic(call: Call[Any, TrafficBody]) -> Any:
    """Say which share of the requests each revision gets; who gets a copy; who stays with which."""
    body = call.body

    def change(one: Endpoint, doing: Doing) -> Endpoint:
        if body.traffic:
            one = changes.set_traffic(one, body.traffic, doing)
        if body.sticky is not None:
            one = changes.configure(one, doing, what=f"sticky: {body.sticky or 'no'}", sticky=body.sticky)
        return one if body.shadow is None else changes.set_shadow(one, body.shadow, doing)

    return await _change(call, change)


async def steer_rollout(call: Call[Any, RolloutBody]) -> Any:
    """Start a rollout, pause it, go on, or end it with all traffic."""
    body = call.body

    def change(one: Endpoint, doing: Doing) -> Endpoint:
        if body.action == "promote":
            number = body.revision or (one.rollout.revision if one.rollout is not None else 0)
            return changes.promote(one, number, doing)
        if body.action != "start":
            return changes.pause_rollout(one, body.action == "pause", doing)
        names = ("steps", "step_s", "least", "max_error_rate", "max_latency_ms", "max_slowdown", "metric", "min_metric", "max_metric")
        given = {name: value for name in names if (value := getattr(body, name)) is not None}
        return changes.start_rollout(one, replace(Rollout(body.revision, ()), **given), doing)

    return await _change(call, change)


async def roll_back(call: Call[Any, RollbackBody]) -> Any:
    """Send all traffic where it went before, or to a revision."""
    return await _change(call, lambda one, doing: changes.rollback(one, call.body.revision, doing))


async def add_key(call: Call[Any, KeyBody]) -> Reply:
    """Make a key for a caller. It is shown this once."""
    await _view(call)
    body = call.body
    key = await _desk(call).add_key(call.path["endpoint"], body.name, body.rate, body.burst, by=call.user)
    return Reply(KeyMade(key=key), 201)


async def remove_key(call: Call[Any, None]) -> Response:
    """Make a key void."""
    await _view(call)
    await _desk(call).remove_key(call.path["endpoint"], call.path["caller"], by=call.user)
    return Response(status_code=204)


async def get_endpoint_stats(call: Call[Any, None]) -> Any:
    """Figures of the last minute, the series of the last half hour, replicas."""
    shown = _shown(await _view(call))
    kept = {name: shown[name] for name in ("state", "why", "figures", "revisions", "running", "series")}
    return {"name": call.path["endpoint"], **kept, "stand": _desk(call).stand(call.path["endpoint"])}


async def read_endpoint_log(call: Call[EndpointLogQuery, None]) -> EndpointLog:
    """The last lines that replicas wrote."""
    await _view(call)
    asked = call.query
    lines = await _desk(call).logs(call.path["endpoint"], revision=asked.revision, replica=asked.replica, lines=asked.lines)
    return EndpointLog(lines=list(lines))


async def ask_endpoint(call: Call[Any, AskBody]) -> AskAnswer:
    """Send a request through the gateway; no key is needed."""
    await _view(call)
    body = call.body
    asked = Asked(body.body.encode(), body.content_type, body.accept, body.path, body.revision)
    found = await _desk(call).send(call.path["endpoint"], asked)
    text = found.body.decode("utf-8", "replace")
    return AskAnswer(
        status=found.status,
        body=text,
        content_type=found.content_type,
        id=found.id,
        revision=found.revision,
        took_ms=found.took_ms,
    )


def _desk(call: Call[Any, Any]) -> Endpoints:
    if call.site.settings.endpoints is None:
        raise UnsupportedError("this server keeps no endpoints", hint="pip install 'fairway[serve]' where it runs, and start it again")
    return call.site.settings.endpoints


async def _view(call: Call[Any, Any], name: str = "") -> EndpointView:
    """The endpoint of the path. Raises NotFoundError, also for one that is not for these eyes."""
    name = name or call.path["endpoint"]
    desk = call.site.settings.endpoints
    view = await desk.view(name) if desk is not None else None
    if view is None or not call.identity.sees(view.endpoint.project):
        raise NotFoundError(f"there is no endpoint {name!r}", hint="`fairway endpoints` and GET /endpoints list those that there are")
    return view


async def _change(call: Call[Any, Any], change: changes.Change) -> Any:
    await _view(call)
    return _document(await _desk(call).change(call.path["endpoint"], change, by=call.user))


def _with_settings(one: Endpoint, body: SettingsBody, doing: Doing) -> Endpoint:
    names = ("is_open", "sticky", "expose", "notify")
    given: dict[str, Any] = {name: value for name in names if (value := getattr(body, name)) is not None}
    if body.scaling is not None:
        given["scaling"] = read_record(Scaling, body.scaling)
    if body.capture is not None:
        given["capture"] = read_record(Capture, body.capture)
    changed = changes.configure(one, doing, what=f"{', '.join(given)} changed", **given) if given else one
    if body.paused is not None:
        changed = changes.pause(changed, body.paused, doing)
    return changed if body.shadow is None else changes.set_shadow(changed, body.shadow, doing)


def _number_of(one: Endpoint, spec: ServeSpec) -> int:
    return next(revision.number for revision in reversed(one.revisions) if revision.spec == spec)


def _document(endpoint: Endpoint) -> Any:
    """All of it but the digests of keys and what of addresses may be a secret: those are nobody's business."""
    keys = tuple(replace(key, digest="") for key in endpoint.keys)
    return full(replace(endpoint, keys=keys, notify=tuple(map(shown_target, endpoint.notify))))


def _shown(view: EndpointView) -> Any:
    return {**full(replace(view, endpoint=Endpoint(view.name))), "endpoint": _document(view.endpoint)}


_BUSY = {409: "It changes too often just now, or is in another state"}

OPERATIONS = (
    Operation("GET", "/endpoints", list_endpoints, "Endpoints, how each is doing", "endpoints", answer=EndpointsPage),
    Operation(
        "POST", "/endpoints", deploy_endpoint, "Deploy a model", "endpoints", body=DeployBody, answer=DeployedAnswer, status=201,
        also={
            200: "The endpoint was there and has a new revision, or had it",
            404: "It is not there, and was to be known",
            409: "It is there, and was to be new",
        },
    ),
    Operation("GET", "/endpoints/{endpoint}", get_endpoint, "One endpoint", "endpoints", answer=View),
    Operation(
        "PATCH", "/endpoints/{endpoint}", change_endpoint, "Change settings", "endpoints", body=SettingsBody, answer=Document, also=_BUSY,
    ),
    Operation("DELETE", "/endpoints/{endpoint}", delete_endpoint, "Delete an endpoint", "endpoints", status=204, role="admin"),
    Operation(
        "POST", "/endpoints/{endpoint}/traffic", set_traffic, "Spread traffic", "endpoints", body=TrafficBody, answer=Document, also=_BUSY,
    ),
    Operation(
        "POST", "/endpoints/{endpoint}/rollout", steer_rollout, "Roll a revision out", "endpoints", body=RolloutBody, answer=Document,
        also=_BUSY,
    ),
    Operation(
        "POST", "/endpoints/{endpoint}/rollback", roll_back, "Take it back", "endpoints", body=RollbackBody, answer=Document, also=_BUSY,
    ),
    Operation(
        "POST", "/endpoints/{endpoint}/keys", add_key, "Make a key for a caller", "endpoints", body=KeyBody, answer=KeyMade, status=201,
        also=_BUSY,
    ),
    Operation("DELETE", "/endpoints/{endpoint}/keys/{caller}", remove_key, "Make a key void", "endpoints", status=204, also=_BUSY),
    Operation("GET", "/endpoints/{endpoint}/stats", get_endpoint_stats, "Figures and series", "endpoints", answer=Stats),
    Operation(
        "GET", "/endpoints/{endpoint}/logs", read_endpoint_log, "What replicas wrote", "endpoints", query=EndpointLogQuery,
        answer=EndpointLog,
    ),
    Operation(
        "POST", "/endpoints/{endpoint}/ask", ask_endpoint, "Send a request", "endpoints", body=AskBody, answer=AskAnswer, waits=True,
        also={503: "No gateway answers"},
    ),
)  # fmt: skip
