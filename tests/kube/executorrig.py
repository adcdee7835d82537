"""A Kubernetes executor over a cluster that does only what a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from fairway.executors.kubernetes import KubernetesExecutor
from fairway.executors.runview import RunView
from fairway.kube.manifests import Link
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.graph import StepDef
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.record import from_plain, to_plain
from fairway.spec.target import TargetSettings
from fairway.testing.memory import MemoryArtifactStore, MemoryStreamStore
from tests.kube.fakecluster import FakeCluster

RUN = "20261124-182105-ffc6j"


def spec_of(n: int = 1, run: str = RUN, *, step: StepDef | None = None, items: int = 1, **more: Any) -> AttemptSpec:
    step = step or StepDef("train")
    names = tuple(AttemptItem(f"train[{i}]") for i in range(items))
    return AttemptSpec(attempt_id(run, f"train[{n}]", 1), run, "train", 1, step, "", names, **more)


class Rig:
    """An executor over a fake cluster. Time stands still until a test moves it."""

    def __init__(self, cluster: FakeCluster | None = None, target: TargetSettings | None = None, **settings: Any) -> None:
        self.cluster = cluster or FakeCluster()
        self.artifacts, self.streams = MemoryArtifactStore(), MemoryStreamStore()
        self.now = 10_000.0
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway", "uid": "u-0"}}
        self.cluster.objects["Service", "fairway"] = service
        self.target, self.settings = target or TargetSettings(), settings
        self.executor = self.fresh()

    def fresh(self) -> KubernetesExecutor:
        """What a server that was started anew has."""
        return KubernetesExecutor(
            self.cluster,  # type: ignore[arg-type]
            self.artifacts,
            self.streams,
            ClusterSettings(self.target, "lab", **self.settings),
            link=Link("http://10.0.0.1:8080", "http://10.0.0.1:8081", "ab" * 32),
            sign=lambda id: f"w1.{id}.9.aa",
            clock=lambda: self.now,
        )

    async def start(self, run: str = RUN) -> RunView:
        await self.executor.start()
        return self.executor.view(run, pipeline="churn", user="ada")

    async def until(self, true: Callable[[], Any]) -> None:
        """Let everything else happen until something is so."""
        async with asyncio.timeout(60):
            while not true():
                await asyncio.sleep(0)

    async def tended(self, true: Callable[[], Any]) -> None:
        """Look after what only time tells until something is so."""
        async with asyncio.timeout(60):
            while not true():
                await self.executor.tend()
                await asyncio.sleep(0)

    async def placed(self, view: RunView, *specs: AttemptSpec) -> None:
        await view.submit(specs)
        await self.until(lambda: all(spec.id in self.cluster.pods() for spec in specs))

    async def settled(self, view: RunView, spec: AttemptSpec) -> Outcome:
        """The driver hears that the attempt has ended; its outcome."""
        async with asyncio.timeout(60):
            while spec.id in await view.observe([spec.id]):
                await view.wait(10)
        return self.outcome(spec)

    async def told(self, view: RunView, spec: AttemptSpec, phase: str, reason: str = "") -> None:
        async with asyncio.timeout(60):
            while True:
                seen = (await view.observe([spec.id])).get(spec.id)
                if seen is not None and seen.phase == phase and reason in seen.reason:
                    return
                await view.wait(10)

    def outcome(self, spec: AttemptSpec) -> Outcome:
        return from_plain(Outcome, json.loads(self.artifacts.get(outcome_key(spec.run, spec.id))))

    def succeed(self, spec: AttemptSpec) -> None:
        """What the control channel does when a worker stores its outcome."""
        self.artifacts.put(outcome_key(spec.run, spec.id), json.dumps(to_plain(Outcome(spec.id, "ended"))).encode())
        self.executor.note_outcome(spec.run, spec.id)


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))
