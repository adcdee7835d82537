"""How tests talk to the emulator with the real client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fairway.kube.client import KubeClient
from fairway.kube.config import ClientSettings
from tests.kube.emulator import Emulator

T = TypeVar("T")


def settings(cluster: Emulator, **more: Any) -> ClientSettings:
    """A client's settings that do not hold a test up."""
    return ClientSettings(kubeconfig=str(cluster.kubeconfig), **{"requests_per_s": 1000.0, "patience_s": 10.0, **more})


def talk(cluster: Emulator, work: Callable[[KubeClient], Awaitable[T]], **more: Any) -> T:
    """What `work` gives when it is run with a client of its own, in a loop of its own, for ten seconds at most."""

    async def run() -> T:
        client = KubeClient.from_settings(settings(cluster, **more))
        try:
            return await asyncio.wait_for(work(client), 60)
        finally:
            await client.close()

    return asyncio.run(run())


def config_map(name: str, *, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}, "data": data}
