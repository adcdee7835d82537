"""Taking a server out of its namespace: exactly what `fairway up` made, and the volume only if that is asked for by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.engine.credentials import cluster_key, forget_token
from fairway.engine.deploy import is_ours
from fairway.engine.rights import rights_to_remove, spell_rights
from fairway.errors import FairwayError, ForbiddenError
from fairway.kube.server_manifests import ServerPlan, pod_labels, render_server
from fairway.spec.record import Record, record
from fairway.spec.target import TargetSettings, user_secrets, volume_claim

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_RUN = "fairway.dev/run"
_GONE_S = 60.0


@record
class Presence(Record):
    """What of a server is there. `objects`: "Kind name" of what `fairway up` made; `live`: ids of runs that have pods; `pods`: how many;
    `volume`, `secrets`: the claim, and the Secret with the users' secrets, are there."""

    objects: tuple[str, ...]
    live: tuple[str, ...] = ()
    pods: int = 0
    volume: bool = False
    secrets: bool = False


async def find_presence(client: KubeClient, target: TargetSettings) -> Presence:
    """What of this target's server is there now."""
    wanted = _objects(target, client.namespace)
    found = await asyncio.gather(*(client.find(kind, name) for kind, name in wanted))
    objects = [f"{kind} {name}" for (kind, name), one in zip(wanted, found, strict=True) if one is not None and is_ours(one, target.app)]
    pods = await client.list("Pod", labels=f"app.kubernetes.io/managed-by=fairway,app.kubernetes.io/part-of={target.app},{_RUN}")
    going = [pod for pod in pods if pod.get("status", {}).get("phase") in ("Pending", "Running")]
    live = sorted({pod["metadata"]["labels"][_RUN] for pod in going})
    claim = f"PersistentVolumeClaim {volume_claim(target.app)}"
    secrets = await client.find("Secret", user_secrets(target.app))
    return Presence(tuple(one for one in objects if one != claim), tuple(live), len(going), claim in objects, secrets is not None)


async def undeploy(client: KubeClient, target: TargetSettings, *, volume: bool = False, say: Callable[[str], None]) -> list[str]:
    """Remove the server; "Kind name" of what went. With `volume` the claim goes too, and what its runs have in the namespace.

    Idempotent. Raises ForbiddenError before anything is removed if the caller may not remove all of it.
    """
    missing = await client.can(rights_to_remove(volume))
    if missing:
        lacks = "; ".join(spell_rights(missing))
        raise ForbiddenError(f"you may not {lacks} in the namespace {client.namespace}", hint="nothing was removed; ask an administrator")
    gone: list[str] = []
    for kind, name in reversed(_objects(target, client.namespace)):  # the Deployment first: nothing starts again
        if kind == "PersistentVolumeClaim" and not volume:
            continue
        there = await client.find(kind, name)
        if there is None:
            continue
        if not is_ours(there, target.app):
            say(f"left alone: {kind} {name}, which `fairway up` did not make")
        elif await client.delete(kind, name, uid=there["metadata"]["uid"]):
            gone.append(f"{kind} {name}")
    await _wait_gone(client, target)
    if volume:
        await client.delete_all("ConfigMap", labels=f"app.kubernetes.io/part-of={target.app},{_RUN}")
    forget_token(cluster_key(client.server, client.namespace, target.app))
    return gone


def _objects(target: TargetSettings, namespace: str) -> list[tuple[str, str]]:
    """(kind, name) of what `fairway up` makes, in its order."""
    plan = ServerPlan(target, namespace, "", signing_key="-")
    return [(one["kind"], one["metadata"]["name"]) for one in render_server(plan)]


async def _wait_gone(client: KubeClient, target: TargetSettings) -> None:
    """Until the server's pod has ended, so that what comes next finds nobody on the volume; not for ever."""
    selector = ",".join(f"{name}={value}" for name, value in pod_labels(target.app).items())
    there: dict[str, Any] = {}

    async def watch() -> None:
        async for change in client.watch("Pod", labels=selector):
            if change.kind == "deleted":
                there.pop(change.name, None)
            elif change.obj:
                there[change.name] = change.obj
            if not there and change.kind in ("synced", "deleted"):
                return

    with suppress(TimeoutError, FairwayError):
        await asyncio.wait_for(watch(), _GONE_S)
