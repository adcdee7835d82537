"""The cluster's nodes, for saying which came closest: a server may read them only where somebody has given it that right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, UserError

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

_EVERY_S = 60.0
_PRODUCT_LABELS = ("nvidia.com/gpu.product", "amd.com/gpu.product-name", "gpu.intel.com/product")


class Nodes:
    """`known` is what was last seen; `look` has it seen again, at most once a minute, and never again where that is forbidden."""

    def __init__(self, client: KubeClient, clock: Callable[[], float]) -> None:
        self.known: list[dict[str, Any]] = []
        self.looking: set[asyncio.Task[None]] = set()
        self._client, self._clock = client, clock
        self._next_at = 0.0

    @property
    def products(self) -> tuple[str, ...]:
        """The accelerators' models, as the nodes are labelled."""
        found = {node["metadata"]["labels"].get(label) for node in self.known for label in _PRODUCT_LABELS}
        return tuple(sorted(one for one in found if one))

    def look(self) -> None:
        """Ask for them, if it is time."""
        if self._clock() < self._next_at:
            return
        self._next_at = self._clock() + _EVERY_S
        task = asyncio.create_task(self._look())
        self.looking.add(task)
        task.add_done_callback(self.looking.discard)

    async def _look(self) -> None:
        try:
            self.known = [_slim(node) for node in await self._client.list("Node")]
        except UserError:
            self._next_at = float("inf")
        except FairwayError:
            return


def _slim(node: dict[str, Any]) -> dict[str, Any]:
    status = node.get("status", {})
    return {
        "metadata": {"name": node["metadata"]["name"], "labels": node["metadata"].get("labels", {})},
        "status": {"allocatable": status.get("allocatable", {}), "conditions": status.get("conditions", [])},
    }
