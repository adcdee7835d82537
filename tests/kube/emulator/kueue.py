"""What Kueue does with Jobs in a cluster that has it: each that names a queue gets a Workload, and starts when the queue's quota holds it.

One queue at a time is looked at, in the order of creation, and the quota is a number of pods: enough to see gangs wait, begin with fewer,
and lose their room. Conditions and messages are those of Kueue 0.13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.kube.emulator.kinds import JOB, LOCAL_QUEUE, POD, WORKLOAD
from tests.kube.emulator.memory import Change, Object, now_text
from tests.kube.emulator.workloads import owned_by, owner_of

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

GROUP = "kueue.x-k8s.io"
_QUEUE, _UID = f"{GROUP}/queue-name", f"{GROUP}/job-uid"
_FEWEST, _SAME = f"{GROUP}/job-min-parallelism", f"{GROUP}/job-completions-equal-parallelism"
_FINISHED = ("Complete", "Failed")


class Kueue:
    """`quota`: how many pods each queue admits at once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.quota = 1_000_000
        self._asked: dict[str, int] = {}  # by the Job's uid: how many pods it was made with

    def see(self, change: Change) -> None:
        if GROUP in self._cluster.groups and change.kind in (JOB, POD, LOCAL_QUEUE):
            self.look()

    def allow(self, quota: int) -> None:
        """Another quota, from now on."""
        self.quota = quota
        self.look()

    def preempt(self, job: str) -> None:
        """Take a Job's room back for one of higher priority."""
        found = self._cluster.memory.get(JOB, self._cluster.namespace, job)
        words = "Preempted to accommodate a workload (UID: 1b4f, JobUID: 9c21) due to prioritization in the ClusterQueue"
        self._note(found, ("Evicted", True, "Preempted", words), ("Preempted", True, "InClusterQueue", words))
        self._note(found, ("QuotaReserved", False, "Pending", words), ("Admitted", False, "NoReservation", words))
        count = self._asked[found["metadata"]["uid"]]
        self._change(found, suspend=True, parallelism=count, **({"completions": count} if _is_elastic(found) else {}))

    def look(self) -> None:
        """At all Jobs: who has not been seen, who may start."""
        memory = self._cluster.memory
        for queue in {one["metadata"]["namespace"] for one in memory.list(JOB)}:
            for job in sorted(memory.list(JOB, queue), key=lambda one: one["metadata"]["creationTimestamp"]):
                if job["metadata"].get("labels", {}).get(_QUEUE):
                    self._look_at(job)

    def _look_at(self, job: Object) -> None:
        self._asked.setdefault(job["metadata"]["uid"], job["spec"]["parallelism"])
        if self._find(job) is None:
            self._make(job)
        if not job["spec"].get("suspend") or _has_finished(job):
            return
        name, asked = job["metadata"]["labels"][_QUEUE], self._asked[job["metadata"]["uid"]]
        if self._cluster.memory.find(LOCAL_QUEUE, job["metadata"]["namespace"], name) is None:
            self._note(job, ("QuotaReserved", False, "Inadmissible", f"LocalQueue {name} doesn't exist"))
            return
        if any(owned_by(pod, job["metadata"]["uid"]) for pod in self._cluster.memory.list(POD, job["metadata"]["namespace"])):
            return  # what it had still ends
        free = self.quota - self._used(job)
        count = min(asked, free)
        if count < int((job["metadata"].get("annotations") or {}).get(_FEWEST, asked)):
            words = f"insufficient unused quota for pods in flavor default, {asked - max(free, 0)} more needed"
            self._note(job, ("QuotaReserved", False, "Pending", f"couldn't assign flavors to pod set main: {words}"))
            return
        self._note(job, ("QuotaReserved", True, "QuotaReserved", "Quota reserved in ClusterQueue all"))
        self._note(
            job, ("Admitted", True, "Admitted", "The workload is admitted"), ("Evicted", False, "QuotaReserved", "Previously: preempted")
        )
        self._change(job, suspend=False, parallelism=count, **({"completions": count} if _is_elastic(job) else {}))

    def _used(self, job: Object) -> int:
        """How many pods hold the quota: what is admitted, and what still ends of what was."""
        memory, namespace = self._cluster.memory, job["metadata"]["namespace"]
        used = 0
        for other in memory.list(JOB, namespace):
            if other["metadata"].get("labels", {}).get(_QUEUE) and other["metadata"]["uid"] != job["metadata"]["uid"]:
                pods = sum(owned_by(pod, other["metadata"]["uid"]) for pod in memory.list(POD, namespace))
                admitted = not other["spec"].get("suspend") and not _has_finished(other)
                used += max(pods, other["spec"]["parallelism"] if admitted else 0)
        return used

    def _find(self, job: Object) -> Object | None:
        return self._cluster.memory.find(WORKLOAD, job["metadata"]["namespace"], _name(job))

    def _make(self, job: Object) -> None:
        meta = job["metadata"]
        own = {"name": _name(job), "labels": {_UID: meta["uid"]}, "ownerReferences": [owner_of(JOB, job)]}
        self._cluster.memory.create(
            WORKLOAD, meta["namespace"], {"metadata": own, "spec": {"queueName": meta["labels"][_QUEUE], "active": True}}
        )

    def _note(self, job: Object, *conditions: tuple[str, bool, str, str]) -> None:
        made = {
            name: {"type": name, "status": str(so), "reason": reason, "message": text, "lastTransitionTime": now_text()}
            for name, so, reason, text in conditions
        }
        found = self._find(job)
        before = {one["type"]: one for one in ((found or {}).get("status") or {}).get("conditions") or ()}
        if all(
            before.get(name, {}).get("message") == one["message"] and before[name]["status"] == one["status"] for name, one in made.items()
        ):
            return
        status = {"conditions": list((before | made).values())}
        self._cluster.memory.change(
            WORKLOAD, job["metadata"]["namespace"], _name(job), lambda it: it.update(status=status), subresource="status"
        )

    def _change(self, job: Object, **spec: Any) -> None:
        self._cluster.memory.change(JOB, job["metadata"]["namespace"], job["metadata"]["name"], lambda it: it["spec"].update(spec))


def _name(job: Object) -> str:
    return f"job-{job['metadata']['name']}-{job['metadata']['uid'][:5]}"


def _is_elastic(job: Object) -> bool:
    return (job["metadata"].get("annotations") or {}).get(_SAME) == "true"


def _has_finished(job: Object) -> bool:
    return any(one["type"] in _FINISHED and one["status"] == "True" for one in (job.get("status") or {}).get("conditions") or ())
