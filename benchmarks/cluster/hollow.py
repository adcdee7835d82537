"""Nodes without machines, and one kubelet for all of them: it takes pods through their phases, and tells the server their outcomes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from typing import Any

import httpx2

from benchmarks.cluster.site import Site
from fairway.kube.client import KubeClient
from fairway.spec.artifact import ArtifactRef
from fairway.spec.outcome import ItemOutcome, Outcome
from fairway.spec.record import to_plain
from fairway.spec.tokens import HEADER

LABEL = "fairway.dev/hollow"
_AT_ONCE = 16
_SIZE = {"cpu": "8", "memory": "32Gi", "pods": "110", "ephemeral-storage": "100Gi"}
_READY = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
_RESULT = ArtifactRef(hashlib.sha256(b"1").hexdigest(), 1, "json", "int", name="result", inline="1")

Object = dict[str, Any]


async def make_nodes(kube: KubeClient, count: int) -> None:
    """Register the nodes."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def make(number: int) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"hollow-{number}", "labels": {LABEL: "yes", "kubernetes.io/hostname": f"hollow-{number}"}},
            "spec": {"taints": [{"key": LABEL, "effect": "NoSchedule"}]},
            "status": {
                "capacity": _SIZE,
                "allocatable": _SIZE,
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }
        async with limit:
            await kube.create(node)

    await asyncio.gather(*(make(number) for number in range(count)))


async def remove_nodes(kube: KubeClient) -> None:
    """As if they had never been."""
    await kube.delete_all("Node", labels=f"{LABEL}=yes")


class HollowKubelet:
    """`created`: when each pod was first seen. `largest`: bytes of the largest pod object. Pods wait until `go` is set."""

    def __init__(self, site: Site) -> None:
        self._site, self._kube = site, site.kube
        self.created: dict[str, float] = {}
        self.largest = 0
        self.go = asyncio.Event()
        self.all_there = asyncio.Event()
        self._begun: set[str] = set()
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._http = httpx2.AsyncClient(timeout=60)

    def start(self, count: int) -> None:
        """Look after pods from now on. `all_there` is set with pod number `count`."""
        self._watching = asyncio.create_task(self._watch(count))

    async def _watch(self, count: int) -> None:
        async for change in self._kube.watch("Pod", labels="fairway.dev/run"):
            if change.kind not in ("added", "modified"):
                continue
            pod = change.obj
            if change.name not in self.created:
                self.created[change.name] = time.perf_counter()
                self.largest = max(self.largest, len(json.dumps(pod)))
                if len(self.created) == count:
                    self.all_there.set()
            if pod["spec"].get("nodeName", "").startswith("hollow-") and change.name not in self._begun:
                self._begun.add(change.name)
                task = asyncio.create_task(self._live(pod))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _live(self, pod: Object) -> None:
        """Running, its outcome told, succeeded."""
        await self.go.wait()
        name = pod["metadata"]["name"]
        given = {one["name"]: one.get("value", "") for one in pod["spec"]["containers"][0]["env"]}
        outcome = Outcome(name, "ended", (ItemOutcome("succeeded", {"result": _RESULT}),), worker=name)
        async with self._limit:
            await self._set_phase(name, "Running")
            answer = await self._http.put(
                f"{given['FAIRWAY_URL']}/worker/v1/attempts/{name}/outcome",
                content=json.dumps(to_plain(outcome)),
                headers={HEADER: given["FAIRWAY_TOKEN"], "Content-Type": "application/json"},
            )
            answer.raise_for_status()
            await self._set_phase(name, "Succeeded")

    async def _set_phase(self, name: str, phase: str) -> None:
        await self._kube.patch("Pod", name, {"status": {"phase": phase}}, subresource="status")

    async def close(self) -> None:
        """Stop; the pods stay as they are."""
        for task in (self._watching, *self._tasks):
            task.cancel()
        await self._http.aclose()
