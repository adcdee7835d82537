"""What is done to an endpoint from its page: traffic, rollouts, keys, a request that is sent. The doing is the keeper's."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.responses import Response

from fairway.errors import ConfigError
from fairway.serve.control.view import Asked
from fairway.web import endpointviews as views
from fairway.web.access import check_role
from fairway.web.pages.endpoint import target_of
from fairway.web.pages.endpoints import named_endpoint
from fairway.web.pages.page import Page, Visit

WEIGHT = "w."
"""What the names of the fields with weights begin with."""
FOR_ADMINS = ("key", "remove-key", "delete")
KINDS = {"json": "application/json", "csv": "text/csv"}
SHOWN_BYTES = 256 << 10

Number = Annotated[int, Meta(ge=0)]
Line = Annotated[str, Meta(max_length=1000)]


class ActQuery(msgspec.Struct, kw_only=True):
    """What is wished, for which `revision` or `key`."""

    what: Literal[
        "rollback", "promote", "rollout", "pause-rollout", "resume-rollout", "shadow", "pause", "resume", "key", "remove-key", "delete"
    ]
    revision: Number = 0
    key: Line = ""


class RevisionForm(msgspec.Struct, kw_only=True):
    """Which revision; 0: none, or the one before."""

    revision: Number = 0


class PauseForm(msgspec.Struct, kw_only=True):
    """Is it to rest?"""

    paused: bool


class TrafficForm(msgspec.Struct, kw_only=True):
    """Beside this there is a field "w.NUMBER" for each revision."""

    csrf: str = ""


class KeyForm(msgspec.Struct, kw_only=True):
    """`name`: of who calls; `rate`: requests a second (0: no limit), `burst`: at once."""

    name: Annotated[str, Meta(min_length=1, max_length=63, pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")]
    rate: Annotated[float, Meta(ge=0)] = 0.0
    burst: Number = 0


class NameForm(msgspec.Struct, kw_only=True):
    """What was named once more: what is taken away is never guessed."""

    confirm: Line = ""


class TryForm(msgspec.Struct, kw_only=True):
    """A request as it is sent: `body` is of the kind `kind`; `revision` 0: whichever the traffic is meant for."""

    body: str
    kind: Literal["json", "csv"] = "json"
    revision: Number = 0


async def show_act(visit: Visit) -> Response:
    """What is about to be done, and the command that does the same; as a dialog, or as a page."""
    _, view = await named_endpoint(visit)
    query = visit.query
    if query.what in FOR_ADMINS:
        check_role(visit.request, visit.identity, "admin")
    return _dialog(visit, view, query.what, revision=query.revision or _meant(view, query.what), key=query.key)


async def post_traffic(visit: Visit) -> Response:
    """Set the weights."""
    keeper, view = await named_endpoint(visit)
    await keeper.set_traffic(view.name, read_weights(visit.items), by=visit.user)
    return _done(visit, "The traffic is shared out anew")


async def post_rollback(visit: Visit) -> Response:
    """Back to a revision."""
    keeper, view = await named_endpoint(visit)
    await keeper.rollback(view.name, visit.form.revision, by=visit.user)
    return _done(visit, "It went back")


async def post_promote(visit: Visit) -> Response:
    """All traffic to a revision."""
    keeper, view = await named_endpoint(visit)
    await keeper.promote(view.name, visit.form.revision, by=visit.user)
    return _done(visit, f"Revision {visit.form.revision} takes all the traffic")


async def post_rollout(visit: Visit) -> Response:
    """Begin to roll a revision out."""
    keeper, view = await named_endpoint(visit)
    await keeper.start_rollout(view.name, visit.form.revision, by=visit.user)
    return _done(visit, f"The rollout of revision {visit.form.revision} has begun")


async def post_pause_rollout(visit: Visit) -> Response:
    """Halt a rollout where it is, or let it go on."""
    keeper, view = await named_endpoint(visit)
    await keeper.pause_rollout(view.name, visit.form.paused, by=visit.user)
    return _done(visit, "The rollout is paused" if visit.form.paused else "The rollout goes on")


async def post_shadow(visit: Visit) -> Response:
    """Let a revision get a copy of every request."""
    keeper, view = await named_endpoint(visit)
    await keeper.set_shadow(view.name, visit.form.revision, by=visit.user)
    return _done(visit, f"Revision {visit.form.revision} gets a copy of every request" if visit.form.revision else "The shadow is gone")


async def post_pause(visit: Visit) -> Response:
    """Take no requests, or take them again."""
    keeper, view = await named_endpoint(visit)
    await keeper.pause(view.name, visit.form.paused, by=visit.user)
    return _done(visit, "It takes no requests" if visit.form.paused else "It takes requests again")


async def post_key(visit: Visit) -> Response:
    """Make a key; it is shown now and never again."""
    keeper, view = await named_endpoint(visit)
    form: KeyForm = visit.form
    made = await keeper.add_key(view.name, form.name, form.rate, form.burst, by=visit.user)
    response = _dialog(visit, view, "key-made", key=form.name, made=made)
    response.headers["cache-control"] = "no-store"
    return response


async def post_remove_key(visit: Visit) -> Response:
    """Take a key away."""
    keeper, view = await named_endpoint(visit)
    if not any(key.name == visit.form.confirm for key in view.endpoint.keys):
        raise ConfigError(f"there is no key {visit.form.confirm!r}", hint="the page lists those that there are", where="form.confirm")
    await keeper.remove_key(view.name, visit.form.confirm, by=visit.user)
    return _done(visit, f"The key {visit.form.confirm} opens nothing any more", tab="keys")


async def post_delete(visit: Visit) -> Response:
    """Take the endpoint away."""
    keeper, view = await named_endpoint(visit)
    if visit.form.confirm != view.name:
        raise ConfigError("what was to be deleted is not certain", hint="the form names the endpoint once more", where="form.confirm")
    await keeper.delete(view.name, by=visit.user)
    return visit.go("/endpoints")


async def post_try(visit: Visit) -> Response:
    """Send a request through the gateway; the answer as JSON for the page's script."""
    keeper, view = await named_endpoint(visit)
    form: TryForm = visit.form
    answer = await keeper.send(view.name, Asked(form.body.encode(), KINDS[form.kind], revision=form.revision))
    text = answer.body[:SHOWN_BYTES].decode("utf-8", "replace")
    return visit.json(
        {
            "status": answer.status,
            "id": answer.id,
            "revision": answer.revision,
            "took_ms": round(answer.took_ms, 2),
            "content_type": answer.content_type,
            "body": text,
            "cut": max(len(answer.body) - SHOWN_BYTES, 0),
        }
    )


def read_weights(items: list[tuple[str, str]]) -> tuple[tuple[int, float], ...]:
    """The weights that a form says, without those that are 0. Raises ConfigError unless they add up to 100."""
    found: list[tuple[int, float]] = []
    for name, text in items:
        if not name.startswith(WEIGHT):
            continue
        try:
            number, weight = int(name.removeprefix(WEIGHT)), round(float(text or 0), 2)
        except ValueError:
            raise ConfigError(
                f"{text[:40]!r} is no share of the traffic", hint="a number from 0 to 100", where=f"form.{name[:40]}"
            ) from None
        if not 0 <= weight <= 100:
            raise ConfigError(f"{text[:40]} is no share of the traffic", hint="a number from 0 to 100", where=f"form.{name[:40]}")
        found.append((number, weight))
    total = round(sum(weight for _, weight in found), 2)
    if total != 100:
        raise ConfigError(f"the shares add up to {total:g}, not to 100", hint="what one revision gives up another takes", where="form")
    return tuple(sorted((number, weight) for number, weight in found if weight > 0))


def _meant(view: Any, what: str) -> int:
    """The revision that is meant where none is named."""
    rollout = view.endpoint.rollout
    if what in ("promote", "rollout") and rollout is not None and views.is_going(rollout):
        return rollout.revision
    whole = {number for number, weight in view.endpoint.traffic if weight == 100}
    return max((one.number for one in view.endpoint.revisions if one.number not in whole), default=0) if what == "rollout" else 0


def _dialog(visit: Visit, view: Any, what: str, *, revision: int = 0, key: str = "", made: str = "") -> Response:
    return visit.html(
        "endpoints/act_dialog.html" if visit.fragment else "endpoints/act_page.html",
        view=view,
        endpoint=view.endpoint,
        what=what,
        revision=revision,
        key=key,
        made=made,
        curl=views.curl_line(view.url, json.dumps(view.example), keyed=True),
        command=lambda *words: views.command(*words, on=target_of(visit)),
    )


def _done(visit: Visit, text: str, *, tab: str = "") -> Response:
    """Say it where the page itself has asked; else lead back to the endpoint."""
    if not visit.fragment:
        return visit.go(f"/endpoints/{quote(visit.path['endpoint'])}" + (f"?tab={tab}" if tab else ""))
    return Response(status_code=204, headers={"hx-trigger": json.dumps({"fairway:done": {"text": text}})})


_ONE = "/endpoints/{endpoint}"
PAGES = (
    Page("GET", f"{_ONE}/act", show_act, role="run", query=ActQuery),
    Page("POST", f"{_ONE}/traffic", post_traffic, role="run", form=TrafficForm),
    Page("POST", f"{_ONE}/rollback", post_rollback, role="run", form=RevisionForm),
    Page("POST", f"{_ONE}/promote", post_promote, role="run", form=RevisionForm),
    Page("POST", f"{_ONE}/rollout", post_rollout, role="run", form=RevisionForm),
    Page("POST", f"{_ONE}/rollout/pause", post_pause_rollout, role="run", form=PauseForm),
    Page("POST", f"{_ONE}/shadow", post_shadow, role="run", form=RevisionForm),
    Page("POST", f"{_ONE}/pause", post_pause, role="run", form=PauseForm),
    Page("POST", f"{_ONE}/try", post_try, role="run", form=TryForm),
    Page("POST", f"{_ONE}/keys", post_key, role="admin", form=KeyForm),
    Page("POST", f"{_ONE}/keys/remove", post_remove_key, role="admin", form=NameForm),
    Page("POST", f"{_ONE}/delete", post_delete, role="admin", form=NameForm),
)
