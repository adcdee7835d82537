"""Health, target, cluster, secrets."""

from __future__ import annotations

from typing import Any

import fairway
from fairway.errors import ForbiddenError
from fairway.web.operation import Call, Operation
from fairway.web.records import full
from fairway.web.reply import Reply
from fairway.web.schema.server import Cluster, Health, Secrets, SessionCode, Target
from fairway.web.sessions import CODE_S


async def get_health(call: Call[Any, None]) -> Health:
    """Is the server up, and do its runs get on?"""
    host = call.site.host
    seen = [run for run in sorted(host.driven) if call.user and await call.site.sight.sees_run(call.identity, run)]
    problems = {run: problem.message for run in seen if (problem := host.find_problem(run)) is not None}
    return Health(
        status="ok" if host.taken_up else "starting",
        version=fairway.__version__,
        drivers=len(host.driven),
        driven=seen,
        problems=problems,
    )


async def make_session_code(call: Call[Any, None]) -> Reply:
    """A code that signs a browser in as you, once, within the next minute: `/login#code=CODE`. Only for who has a token."""
    if call.identity.via != "token":
        raise ForbiddenError("a browser's session makes no codes for others", hint="ask with a token: fairway ui")
    return Reply(SessionCode(code=call.site.sessions.make_code(call.identity), expires_in_s=CODE_S), 201)


async def get_target(call: Call[Any, None]) -> Target:
    """What this server is: settings, version, who you are."""
    settings = call.site.settings
    return Target(
        name=str(settings.target.get("name", "")),
        version=fairway.__version__,
        user=call.user,
        blobs_port=settings.blobs_port if settings.signer is not None else 0,
        capabilities=sorted(call.site.services.executor.capabilities),
        settings=settings.target,
    )


async def get_cluster(call: Call[Any, None]) -> dict[str, Any]:
    """What the target has, what is free, what fits."""
    found = await call.site.services.executor.inventory()
    more = await call.site.settings.cluster() if call.site.settings.cluster is not None else {}
    return {**full(found), "more": dict(more)}


async def list_secrets(call: Call[Any, None]) -> Secrets:
    """Names of the secrets that steps may ask for; never their values."""
    names = await call.site.settings.secrets() if call.site.settings.secrets is not None else ()
    return Secrets(names=sorted(names))


OPERATIONS = (
    Operation("GET", "/health", get_health, "Is the server up?", "server", answer=Health, public=True),
    Operation("GET", "/target", get_target, "What this server is", "server", answer=Target),
    Operation(
        "POST", "/session-code", make_session_code, "A code to sign a browser in", "server", answer=SessionCode, status=201, role="view",
    ),
    Operation("GET", "/cluster", get_cluster, "What the target has and what is free", "server", answer=Cluster),
    Operation("GET", "/secrets", list_secrets, "Names of secrets", "server", answer=Secrets),
)  # fmt: skip
