"""Taking a server out of its namespace: exactly what `fairway up` made, and the volume only if that is asked for by name."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.engine.credentials import cluster_key, forget_token
from fairway.engine.deploy import is_ours
from fairway.engine.remote import open_connection
from fairway.engine.rights import rights_to_remove, spell_rights
from fairway.errors import FairwayError, ForbiddenError
from fairway.kube.server_manifests import ServerPlan, pod_labels, render_server
from fairway.spec.record import Record, field, record, replace
from fairway.spec.target import TargetSettings, user_secrets, volume_claim

if TYPE_CHECKING:
    from fairway.engine.project import Project
    from fairway.kube.client import KubeClient

ENDING_S = 10.0
"""How long the pods of runs that have ended get to go: their agents end a second after their outcomes, and then the server deletes them."""
_RUN = "fairway.dev/run"
_GONE_S = 60.0
_PATIENCE_S = 5.0


@record
class Presence(Record):
    """What of a server is there. `objects`: "Kind name" of what `fairway up` made; `live`: how many pods run, or are to run, of which run;
    `volume`, `secrets`: the claim, and the Secret with the users' secrets, are there."""

    objects: tuple[str, ...]
    live: dict[str, int] = field(default_factory=dict)
    volume: bool = False
    secrets: bool = False


async def find_presence(client: KubeClient, target: TargetSettings) -> Presence:
    """What of this target's server is there now."""
    wanted = _objects(target, client.namespace)
    found = await asyncio.gather(*(client.find(kind, name) for kind, name in wanted))
    objects = [f"{kind} {name}" for (kind, name), one in zip(wanted, found, strict=True) if one is not None and is_ours(one, target.app)]
    pods = await client.list("Pod", labels=_pods_of_runs(target))
    live = Counter(pod["metadata"]["labels"][_RUN] for pod in pods if _is_going(pod))
    claim = f"PersistentVolumeClaim {volume_claim(target.app)}"
    secrets = await client.find("Secret", user_secrets(target.app))
    return Presence(tuple(one for one in objects if one != claim), dict(sorted(live.items())), claim in objects, secrets is not None)


async def leave_out_ended(client: KubeClient, project: Project, there: Presence, *, say: Callable[[str], None]) -> Presence:
    """`there` without the runs that the server of the project's target knows to have ended. If all have, waits a little for their pods."""
    ended = await asyncio.to_thread(_find_ended, project, tuple(there.live))
    going = {run: pods for run, pods in there.live.items() if run not in ended}
    if there.live and not going:
        say("waiting for the last pods of runs that have ended")
        await _wait_gone(client, _pods_of_runs(project.targets[project.target]), ENDING_S)
    return replace(there, live=going)


def _find_ended(project: Project, runs: Sequence[str]) -> set[str]:
    """Those that the server says have ended; none if it cannot be asked."""
    ended: set[str] = set()
    with suppress(FairwayError):
        connection = open_connection(project, patience_s=_PATIENCE_S)
        try:
            for run in runs:
                found = connection.api.find(f"/runs/{run}/summary")
                if found is not None and found["status"] != "running":
                    ended.add(run)
        finally:
            connection.close()
    return ended


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
    await _wait_gone(client, ",".join(f"{name}={value}" for name, value in pod_labels(target.app).items()), _GONE_S)  # nobody on the volume
    if volume:
        await client.delete_all("ConfigMap", labels=f"app.kubernetes.io/part-of={target.app},{_RUN}")
    forget_token(cluster_key(client.server, client.namespace, target.app))
    return gone


def _objects(target: TargetSettings, namespace: str) -> list[tuple[str, str]]:
    """(kind, name) of what `fairway up` makes, in its order."""
    plan = ServerPlan(target, namespace, "", signing_key="-")
    return [(one["kind"], one["metadata"]["name"]) for one in render_server(plan)]


def _pods_of_runs(target: TargetSettings) -> str:
    """The label selector of the pods of attempts."""
    return f"app.kubernetes.io/managed-by=fairway,app.kubernetes.io/part-of={target.app},{_RUN}"


def _is_going(pod: dict[str, Any]) -> bool:
    """Whether something of it runs, or is to run: a pod's phase is "Running" until a while after its containers have ended."""
    status = pod.get("status", {})
    if pod["metadata"].get("deletionTimestamp") or status.get("phase") not in ("Pending", "Running"):
        return False
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return not containers or not all("terminated" in one.get("state", {}) for one in containers)


async def _wait_gone(client: KubeClient, selector: str, limit_s: float) -> None:
    """Until no such pod is there; not for ever."""
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
        await asyncio.wait_for(watch(), limit_s)
