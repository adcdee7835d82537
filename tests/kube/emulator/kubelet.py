"""The kubelets of all nodes: they run what is bound, stop what is deleted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.kube.emulator.container import Container
from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import CLAIM, CONFIG_MAP, POD, SECRET
from tests.kube.emulator.memory import Change, Object
from tests.kube.emulator.pod import PodRun

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster


class Kubelet:
    """Pods by uid. A pod that has ended is kept for its logs until its object is gone."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.runs: dict[str, PodRun] = {}
        self._ended: set[str] = set()
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._lost_nodes: set[str] = set()
        self._count = 0

    def see(self, change: Change) -> None:
        """Called for each write."""
        if change.kind in (SECRET, CONFIG_MAP, CLAIM):
            self.wake_all()
        if change.kind is not POD:
            return
        pod = change.new
        uid = pod["metadata"]["uid"]
        node = pod["spec"].get("nodeName")
        if node in self._lost_nodes:
            return
        if change.type == "DELETED":
            if uid in self.runs:
                self._begin(uid, self._remove(uid, pod))
        elif node and uid not in self.runs and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            if pod["metadata"].get("deletionTimestamp"):
                return
            self.runs[uid] = PodRun(self._cluster, pod, self._address(), self._cluster.folder / "pods" / uid)
        elif uid in self.runs and pod["metadata"].get("deletionTimestamp") and uid not in self._stopping:
            self._begin(uid, self._stop(uid, pod))
        elif uid in self.runs:
            self.runs[uid].refresh(pod)

    def wake_all(self) -> None:
        for run in self.runs.values():
            run.wake()

    def note_end(self, run: PodRun) -> None:
        """A pod has ended by itself: if it is being deleted, it can go now."""
        self._ended.add(run.uid)
        found = self._cluster.memory.find(POD, run.namespace, run.name)
        if found and found["metadata"]["uid"] == run.uid and found["metadata"].get("deletionTimestamp") and run.uid not in self._stopping:
            self._begin(run.uid, self._stop(run.uid, found))

    def find(self, pod: Object) -> PodRun | None:
        return self.runs.get(pod["metadata"]["uid"])

    def get_container(self, pod: Object, name: str) -> Container:
        """For its log; 400 with the API server's words if there is none yet."""
        spec, pod_name = pod["spec"], pod["metadata"]["name"]
        names = [each["name"] for each in spec["containers"]]
        inits = [each["name"] for each in spec.get("initContainers") or ()]
        default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container", "")
        if not name and len(names) > 1 and default not in names:
            words = f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(names)}]"
            raise ApiError(400, words + (f" or one of the init containers: [{' '.join(inits)}]" if inits else ""))
        name = name or (default if default in names else names[0])
        if name not in names + inits:
            raise ApiError(400, f"container {name} is not valid for pod {pod_name}")
        run = self.find(pod)
        if run is None or run.lost:
            if pod["spec"].get("nodeName") in self._lost_nodes:
                raise ApiError(500, f'Get "https://{pod["spec"]["nodeName"]}:10250/containerLogs": dial tcp: i/o timeout')
            raise ApiError(400, f'container "{name}" in pod "{pod_name}" is waiting to start: ContainerCreating')
        container = run.find(name)
        assert container is not None
        waiting = container.state.get("waiting")
        if waiting and not container.restarts:
            problem = "image can't be pulled" if waiting["reason"] in ("ErrImagePull", "ImagePullBackOff") else waiting["reason"]
            raise ApiError(400, f'container "{name}" in pod "{pod_name}" is waiting to start: {problem}')
        return container

    async def lose(self, node: str, *, running: bool) -> None:
        """The node is not heard of any more; its processes die, or run on unseen."""
        self._lost_nodes.add(node)
        for run in [run for run in self.runs.values() if run.pod["spec"]["nodeName"] == node]:
            run.lost = True
            if not running:
                await run.vanish()

    async def find_again(self, node: str) -> None:
        """The node is back: what still runs is seen again, what was deleted meanwhile is stopped."""
        self._lost_nodes.discard(node)
        for run in [run for run in self.runs.values() if run.pod["spec"]["nodeName"] == node]:
            found = self._cluster.memory.find(POD, run.namespace, run.name)
            run.lost = False
            if found is None or found["metadata"]["uid"] != run.uid:
                self._begin(run.uid, self._remove(run.uid, run.pod))
            elif found["metadata"].get("deletionTimestamp"):
                self._begin(run.uid, self._stop(run.uid, found))
            else:
                run.publish()

    async def close(self) -> None:
        for run in list(self.runs.values()):
            await run.vanish()
        for task in list(self._stopping.values()):
            task.cancel()

    def _address(self) -> str:
        self._count += 1
        return self._cluster.network.pod_address(self._count)

    def _begin(self, uid: str, work: object) -> None:
        if previous := self._stopping.get(uid):
            previous.cancel()
        self._stopping[uid] = asyncio.ensure_future(work)  # type: ignore[arg-type]

    async def _stop(self, uid: str, pod: Object) -> None:
        run, meta = self.runs[uid], pod["metadata"]
        if uid not in self._ended:
            await run.terminate(meta.get("deletionGracePeriodSeconds") or 0)
        run.publish()
        found = self._cluster.memory.find(POD, run.namespace, run.name)
        if found and found["metadata"]["uid"] == uid:
            self._cluster.memory.delete(POD, run.namespace, run.name, grace_s=0)

    async def _remove(self, uid: str, pod: Object) -> None:
        """The object is gone: so is what is left of the pod."""
        run = self.runs[uid]
        if uid not in self._ended:
            await run.vanish()
        self.runs.pop(uid, None)
        self._ended.discard(uid)
        self._stopping.pop(uid, None)
        self._cluster.volumes.forget(run.folder)
        self._cluster.ask_waiters()
