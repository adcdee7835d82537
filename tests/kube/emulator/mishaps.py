"""What happens to pods and nodes, as the kubelet, the scheduler and the node controller do it and say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.kube.emulator.kinds import NODE, POD
from tests.kube.emulator.memory import Object, now_text
from tests.kube.emulator.pod import PodRun

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster


class Mishaps:
    """Pods are named by name, in the cluster's namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def kill_process(self, pod: str, container: str = "") -> None:
        """SIGKILL to all of a container, by nobody that the cluster knows."""
        self._container(pod, container).kill()

    def out_of_memory(self, pod: str, container: str = "") -> None:
        """The kernel kills the container for its memory."""
        self._container(pod, container).kill("OOMKilled")

    async def evict(self, pod: str, resource: str = "ephemeral-storage", message: str = "") -> None:
        """The kubelet puts a pod out because its node is short of a resource."""
        run = self._run(pod)
        name = run.mains[0].name
        words = f"The node was low on resource: {resource}. Threshold quantity: 100Mi, available: 50Mi. "
        words += f"Container {name} was using 2Gi, request is 0, has larger consumption of {resource}. "
        words = message or words
        self._cluster.record(run.pod, "Evicted", words, warning=True)
        await run.fail("Evicted", words, condition="TerminationByKubelet")

    async def exceed_disk(self, pod: str, limit: str = "1Gi") -> None:
        """A container wrote more than its limit of ephemeral storage."""
        run = self._run(pod)
        await self.evict(pod, message=f'Container {run.mains[0].name} exceeded its local ephemeral storage limit "{limit}". ')

    async def shut_down(self, pod: str) -> None:
        """The node goes down in an orderly way, as a spot machine that is taken back."""
        await self._run(pod).fail(
            "Terminated", "Pod was terminated in response to imminent node shutdown.", condition="TerminationByKubelet", grace_s=1
        )

    async def refuse_admission(
        self, pod: str, reason: str = "OutOfcpu", message: str = "Pod was rejected: Node didn't have enough resource: cpu"
    ) -> None:
        """The kubelet refuses a pod that the scheduler sent."""
        await self._run(pod).fail(reason, message)

    def preempt(self, pod: str) -> None:
        """The scheduler makes room for somebody more important."""
        run = self._run(pod)
        self.disrupt(run.pod, "PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
        self._cluster.record(run.pod, "Preempted", "Preempted by pod 1b4f on node n1", source="default-scheduler")
        self._cluster.memory.delete(POD, run.namespace, run.name)

    async def vanish(self, pod: str) -> None:
        """The pod and its object are gone without a word."""
        run = self._run(pod)
        await run.vanish()
        self._cluster.memory.change(POD, run.namespace, run.name, lambda found: found["metadata"].pop("finalizers", None))
        if self._cluster.memory.find(POD, run.namespace, run.name):
            self._cluster.memory.delete(POD, run.namespace, run.name, grace_s=0)

    def hide(self, pod: str) -> None:
        """Remove a pod's object as `kubectl delete --force` does: its processes are killed after it."""
        self._cluster.memory.delete(POD, self._cluster.namespace, pod, grace_s=0)

    async def lose_node(self, node: str, *, running: bool = False) -> None:
        """The node is not heard of: not ready, tainted, its pods deleted by the taint manager but still there.
        `running`: only its network is gone."""
        await self._cluster.kubelet.lose(node, running=running)
        self._cluster.set_node_ready(node, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        for pod in self._pods(node):
            self._not_ready(pod)
            if not pod["metadata"].get("deletionTimestamp"):
                self.disrupt(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
                self._cluster.record(
                    pod, "TaintManagerEviction", f"Marking for deletion Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
                )
                self._cluster.memory.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])

    async def find_node(self, node: str) -> None:
        """A lost node is back."""
        self._cluster.set_node_ready(node, "True", "KubeletReady", "kubelet is posting ready status")
        await self._cluster.kubelet.find_again(node)

    async def remove_node(self, node: str) -> None:
        """The machine and its object are gone: its pods are failed and removed by the garbage collector of pods."""
        await self._cluster.kubelet.lose(node, running=False)
        self._cluster.memory.delete(NODE, "", node)
        words = "PodGC: node no longer exists"
        for pod in self._pods(node):
            self.disrupt(pod, "DeletionByPodGC", words, phase="Failed")
            self._cluster.memory.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], grace_s=0)

    def disrupt(self, pod: Object, reason: str, message: str, *, phase: str = "") -> None:
        """Set the condition that says who ended a pod."""
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message, "lastTransitionTime": now_text()}

        def edit(found: Object) -> None:
            status = found.setdefault("status", {})
            others = [each for each in status.get("conditions") or () if each["type"] != "DisruptionTarget"]
            status["conditions"] = [*others, condition]
            if phase and status.get("phase") not in ("Succeeded", "Failed"):
                status["phase"] = phase

        self._cluster.memory.change(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], edit, subresource="status")

    def _not_ready(self, pod: Object) -> None:
        def edit(found: Object) -> None:
            for condition in (found.get("status") or {}).get("conditions") or ():
                if condition["type"] == "Ready":
                    condition["status"] = "False"

        self._cluster.memory.change(POD, pod["metadata"]["namespace"], pod["metadata"]["name"], edit, subresource="status")

    def _pods(self, node: str) -> list[Object]:
        return [pod for pod in self._cluster.memory.list(POD) if pod["spec"].get("nodeName") == node]

    def _run(self, pod: str) -> PodRun:
        found = self._cluster.kubelet.find(self._cluster.memory.get(POD, self._cluster.namespace, pod))
        assert found is not None, f"pod {pod} is on no node yet"
        return found

    def _container(self, pod: str, container: str) -> Any:
        run = self._run(pod)
        return run.find(container or run.mains[0].name)
