"""Read what the inventory is made of, as far as the caller may see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fairway.errors import ForbiddenError, NotFoundError
from fairway.kube.inventory import ClusterInventory, take_inventory
from fairway.spec.record import Record, record, to_plain

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


@record
class Survey(Record):
    """The objects that were read; of one namespace only where the caller may not see them all."""

    inventory: ClusterInventory
    nodes: list[dict[str, Any]]
    pods: list[dict[str, Any]]
    budgets: list[dict[str, Any]]
    whole: bool  # pods and budgets are those of all namespaces


class ServerSurvey:
    """What the server's own rights show, read at most once in `every_s`, however many people look at a page."""

    def __init__(self, client: KubeClient, *, every_s: float = 5.0) -> None:
        self._client, self._every_s = client, every_s
        self._turn = asyncio.Lock()
        self._read_at = float("-inf")
        self._told: dict[str, Any] = {}

    async def tell(self) -> dict[str, Any]:
        """The inventory as plain data; `unseen` says what the server cannot see."""
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if now - self._read_at >= self._every_s:
                self._told = to_plain((await survey_cluster(self._client, who="The server")).inventory)
                self._read_at = now
            return self._told


async def survey_cluster(client: KubeClient, *, who: str = "You") -> Survey:
    """Nodes, pods and disruption budgets of all namespaces where the caller may list them, else of the client's own; its quotas. `who` is
    the caller in the sentences that say what cannot be seen."""
    nodes, pods, budgets, quotas = await asyncio.gather(
        find_all(client, "Node"),
        find_all(client, "Pod", "*", fields=_NOT_ENDED),
        find_all(client, "PodDisruptionBudget", "*"),
        find_all(client, "ResourceQuota"),
    )
    whole = pods is not None
    if pods is None:
        pods = await find_all(client, "Pod", fields=_NOT_ENDED)
    if budgets is None:
        budgets = await find_all(client, "PodDisruptionBudget") or []
    unseen: list[str] = []
    if nodes is None:
        unseen.append(f"{who} may not list nodes: what the cluster has, and where a step fits, is known only as far as quotas say.")
    if nodes is None and pods is not None:
        unseen.append("What the scheduler says of waiting pods is shown as it is.")
    if pods is None:
        unseen.append(f"{who} may not list pods, not even those of {client.namespace}: neither use nor what waits is known.")
    elif not whole:
        unseen.append(f"{who} may not list pods of all namespaces: only those of {client.namespace} are counted as use.")
    if nodes is None and not quotas:
        unseen.append(f"The namespace {client.namespace} has no quota that can be read, so its bounds are not known.")
    inventory = take_inventory(nodes or [], pods or [], quotas or [], unseen=unseen)
    return Survey(inventory, nodes or [], pods or [], budgets, whole)


async def find_all(
    client: KubeClient, kind: str, namespace: str = "", *, labels: str = "", fields: str = ""
) -> list[dict[str, Any]] | None:
    """What is there; None if the caller may not see it, or the cluster has no such kind."""
    try:
        return await client.list(kind, labels=labels, fields=fields, namespace=namespace)
    except (ForbiddenError, NotFoundError):
        return None
