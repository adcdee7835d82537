"""Health, target, cluster, secrets."""

from __future__ import annotations

from typing import Any

import fairway
from fairway.web.endpoint import Call, Endpoint
from fairway.web.records import full
from fairway.web.schema.server import Cluster, Health, Secrets, Target


async def get_health(call: Call[Any, None]) -> Health:
    """Is the server up, and do its runs get on?"""
    host = call.site.host
    problems = {run: problem.message for run in host.driven if (problem := host.find_problem(run)) is not None}
    return Health(
        status="ok" if host.taken_up else "starting",
        version=fairway.__version__,
        drivers=len(host.driven),
        driven=sorted(host.driven) if call.user else [],
        problems=problems if call.user else {},
    )


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


ENDPOINTS = (
    Endpoint("GET", "/health", get_health, "Is the server up?", "server", answer=Health, public=True),
    Endpoint("GET", "/target", get_target, "What this server is", "server", answer=Target),
    Endpoint("GET", "/cluster", get_cluster, "What the target has and what is free", "server", answer=Cluster),
    Endpoint("GET", "/secrets", list_secrets, "Names of secrets", "server", answer=Secrets),
)
