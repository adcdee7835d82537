"""What is known of a target, gathered for the comparison with here: from its server, and from the cluster as far as the caller may look."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.engine.parity import Facts, Finding
from fairway.engine.surroundings import describe_here, side_of
from fairway.errors import FairwayError, UnsupportedError
from fairway.spec.record import Record, record, replace

if TYPE_CHECKING:
    from fairway.engine.remote import Connection
    from fairway.kube.inventory import ClusterInventory
    from fairway.spec.target import TargetSettings

_POOLS = (
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "karpenter.sh/nodepool",
    "kubernetes.azure.com/agentpool",
)
_PATIENCE_S = 0.6  # a submission waits no longer for what it can do without


def gather(
    connection: Connection, *, nodes: bool = True, secrets: bool = True, bounds: bool = False, patience_s: float = _PATIENCE_S
) -> Facts:
    """Both sides of the target that is connected to; with `nodes`, what its cluster has, if that is told within `patience_s`; with
    `bounds`, also what its queues can give."""
    target, told = connection.target, connection.facts
    names = tuple(connection.api.get("/secrets")["names"]) if secrets else None
    facts = Facts(side_of(describe_here()), read_side(target, told), target, secrets=names, variables=frozenset(os.environ))
    return with_cluster(facts, patience_s, bounds=bounds) if nodes and target.kind == "kubernetes" else facts


def read_side(target: TargetSettings, told: Mapping[str, Any]) -> Any:
    """The target's side, from what its server says of itself. A server in an image of its own does not know that of the steps."""
    settings = told.get("settings", {})
    side = replace(side_of(settings.get("machine") or {}), fairway=str(told.get("version", "")))
    side = replace(side, python=str(settings.get("python", "") or side.python))
    return replace(side, packages=None, libc="") if target.server_image or settings.get("server_image") else side


def with_cluster(facts: Facts, patience_s: float, *, bounds: bool = False) -> Facts:
    """The facts with nodes, quotas and Kueue, by the caller's own kubeconfig; `unseen` says what that does not show. `bounds`: look at
    cluster queues, too."""
    try:
        seen = asyncio.run(asyncio.wait_for(_look(facts.target, bounds), patience_s))
    except TimeoutError:
        return replace(facts, unseen=(*facts.unseen, f"the cluster did not say within {patience_s:g} s what its nodes are"))
    except FairwayError as error:
        return replace(facts, unseen=(*facts.unseen, f"the cluster's nodes cannot be seen: {error.message}"))
    growing = any(pool in node.labels for node in seen.inventory.nodes for pool in _POOLS)
    found = {"inventory": seen.inventory, "kueue": seen.kueue, "queues": seen.queues, "bounds": seen.bounds}
    return replace(facts, growing=growing, unseen=(*facts.unseen, *seen.inventory.unseen), **found)


@record
class _Seen(Record):
    """As in `Facts`."""

    inventory: ClusterInventory
    kueue: bool | None
    queues: Mapping[str, str] | None
    bounds: Mapping[str, Mapping[str, float]]


async def _look(target: TargetSettings, bounds: bool) -> _Seen:
    from fairway.engine.deploy import connect
    from fairway.errors import ForbiddenError, NotFoundError
    from fairway.kube.inventory import take_inventory
    from fairway.kube.queues import list_kueue, read_bounds, read_queues

    client = connect(target)

    async def read(kind: str) -> list[dict[str, Any]] | None:
        try:
            return await client.list(kind)
        except (ForbiddenError, NotFoundError):
            return None

    async def find_kueue() -> bool | None:
        try:
            return await client.serves("kueue.x-k8s.io")
        except FairwayError:
            return None

    async def find_queues() -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None]:
        queues, above = await list_kueue(client, "LocalQueue"), None
        if bounds and queues:
            with suppress(FairwayError):
                above = await list_kueue(client, "ClusterQueue")
        return queues, above

    try:
        nodes, quotas, kueue, (queues, above) = await asyncio.gather(read("Node"), read("ResourceQuota"), find_kueue(), find_queues())
    finally:
        await client.close()
    unseen = [] if nodes is not None else ["you may not list nodes: what fits is known only as far as quotas say"]
    inventory = take_inventory(nodes or [], [], quotas or [], unseen=unseen)
    state = None if queues is None else read_queues(queues, above)
    return _Seen(inventory, kueue, state, read_bounds(queues or [], above or []))


def refuse(findings: Sequence[Finding]) -> None:
    """Raise UnsupportedError for what would fail, the first in full."""
    problems = [one for one in findings if one.level == "problem"]
    if problems:
        first, more = problems[0], f" (and {len(problems) - 1} more: see fairway doctor)" if len(problems) > 1 else ""
        raise UnsupportedError(first.what + more, hint=first.hint, where=first.where)
