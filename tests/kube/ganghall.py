"""A gang of the Kubernetes executor over a cluster that does only what a test says."""

from __future__ import annotations

from typing import Any

from fairway.executors.meeting import Coming
from fairway.executors.runview import RunView
from fairway.kube.gangs import INDEX
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import Gang
from fairway.spec.graph import StepDef
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome
from fairway.spec.resources import Resources
from fairway.spec.target import TargetSettings
from tests.kube.executorrig import Rig, spec_of
from tests.kube.fakecluster import FakeCluster


def gang_of(n: int = 1, replicas: int = 3, *, tries: int = 1, image: str = "", **more: Any) -> AttemptSpec:
    gang = Gang(replicas, start_timeout_s=100.0, **more)
    step = StepDef("fit", kind="container", image=image, argv=("train",), gang=gang) if image else StepDef("fit", gang=gang)
    spec = spec_of(n, step=step, resources=Resources(cpu=1.0))
    spec.n = tries
    return spec


class Hall:
    """A rig in which the test is the Job controller, the scheduler and the pods' agents."""

    def __init__(self, **settings: Any) -> None:
        self.rig = Rig(**settings)
        self.cluster = self.rig.cluster
        self.made = 0

    async def start(self) -> RunView:
        return await self.rig.start()

    async def job(self, spec: AttemptSpec) -> dict[str, Any]:
        """Its Job, once it is there."""
        await self.rig.tended(lambda: ("Job", spec.id) in self.cluster.objects)
        return self.cluster.objects["Job", spec.id]

    async def pods(self, spec: AttemptSpec, *replicas: int, placed: bool = True) -> list[str]:
        """Make pods of its Job."""
        job, names = await self.job(spec), []
        for index in replicas:
            self.made += 1
            template = job["spec"]["template"]
            name = f"{spec.id}-{index}-{self.made}"
            meta = {**template["metadata"], "name": name, "annotations": {**template["metadata"]["annotations"], INDEX: str(index)}}
            meta["ownerReferences"] = [{"kind": "Job", "uid": job["metadata"]["uid"]}]
            await self.cluster.create({"kind": "Pod", "metadata": meta, "spec": dict(template["spec"])})
            if placed:
                self.cluster.set_status(name, {"phase": "Running"}, node="n9")
            names.append(name)
        await self.rig.until(lambda: all(self.rig.executor.gangs.find_pod(name) for name in names))
        return names

    async def admitted(self, spec: AttemptSpec) -> list[str]:
        """Its queue starts its Job, and its pods meet."""
        (await self.job(spec))["spec"]["suspend"] = False
        names = await self.pods(spec, *range(spec.step.gang.replicas))
        for name in names:
            await self.meet(spec, name)
        return names

    async def meet(self, spec: AttemptSpec, name: str, *, met: bool = False, wait_s: float = 0.0, still: bool = False) -> Any:
        """What a pod is told that is there."""
        index = int(name.removeprefix(f"{spec.id}-").partition("-")[0])
        coming = Coming(index, name, f"10.0.0.{index}", (4000 + index, 5000 + index))
        return await self.rig.executor.gangs.meet(spec.id, coming, met, wait_s, still)

    async def gone(self, spec: AttemptSpec) -> None:
        """Wait until its Job is deleted, and delete its pods as the garbage collector does."""
        await self.rig.tended(lambda: ("Job", spec.id) not in self.cluster.objects)
        for name in list(self.cluster.pods()):
            if name.startswith(spec.id):
                self.cluster.vanish(name)

    def end(self, spec: AttemptSpec, name: str, *, status: str = "succeeded") -> None:
        self._end(spec, name, Outcome(spec.id, "ended", (ItemOutcome(status),)))

    def fail(self, spec: AttemptSpec, name: str, message: str) -> None:
        self._end(spec, name, Outcome(spec.id, "failed", error=ErrorInfo("ValueError", "FW-TASK-FAILED", message)))

    def _end(self, spec: AttemptSpec, name: str, outcome: Outcome) -> None:
        index = int(name.removeprefix(f"{spec.id}-").partition("-")[0])
        self.rig.executor.gangs.end(spec.id, index, name, outcome, False)


async def in_queue(*specs: AttemptSpec, cluster: FakeCluster | None = None) -> tuple[Hall, RunView]:
    """A hall that has Kueue, and gangs that were submitted to its queue "team"."""
    hall = Hall(cluster=cluster, target=TargetSettings(queue="team"))
    hall.cluster.groups.add("kueue.x-k8s.io")
    view = await hall.start()
    await view.submit(specs)
    return hall, view


def unschedulable(cluster: Any, name: str) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    cluster.set_status(name, {"phase": "Pending", "conditions": [condition]}, node="")
