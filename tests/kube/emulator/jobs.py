"""The controller of Jobs: plain and indexed, with a limit of retries and a deadline."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import JOB, POD
from tests.kube.emulator.memory import Change, Object, now_text
from tests.kube.emulator.workloads import Backoff, controller_name, has_ended, is_ready, owned_by, owner_of

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

_INDEX = "batch.kubernetes.io/job-completion-index"
_TRACKING = "batch.kubernetes.io/job-tracking"


class Jobs:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._backoff = Backoff(cluster)
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def see(self, change: Change) -> None:
        meta = change.new["metadata"]
        if change.kind is POD and (name := controller_name(change.new, "Job")):
            self._sync(meta["namespace"], name)
        elif change.kind is JOB:
            if change.type == "DELETED":
                if timer := self._timers.pop(meta["uid"], None):
                    timer.cancel()
                for pod in self._cluster.memory.list(POD, meta["namespace"]):
                    if owned_by(pod, meta["uid"]):
                        self._untrack(pod)
            else:
                self._sync(meta["namespace"], meta["name"])

    def _sync(self, namespace: str, name: str) -> None:
        memory = self._cluster.memory
        job = memory.find(JOB, namespace, name)
        if job is None:
            return
        uid = job["metadata"]["uid"]
        pods = [pod for pod in memory.list(POD, namespace) if owned_by(pod, uid)]
        if job["metadata"].get("deletionTimestamp"):
            for pod in pods:
                self._untrack(pod)
            return
        status: dict[str, Any] = copy.deepcopy(job.get("status") or {})
        if any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in status.get("conditions") or ()):
            for pod in pods:
                if has_ended(pod):
                    self._untrack(pod)
            return
        if not job["spec"].get("suspend") and "startTime" not in status:
            status["startTime"] = now_text()
            self._arm(job)
        self._count(job, pods, status)
        self._decide(job, pods, status)
        memory.change(JOB, namespace, name, lambda it: it.update(status=status), subresource="status")

    def _count(self, job: Object, pods: list[Object], status: dict[str, Any]) -> None:
        """Pods that ended are counted once: they carry a finalizer until then."""
        done = _expand(status.get("completedIndexes", ""))
        for pod in pods:
            if not has_ended(pod) or _TRACKING not in (pod["metadata"].get("finalizers") or ()):
                continue
            succeeded = pod["status"]["phase"] == "Succeeded"
            if job["spec"]["completionMode"] == "Indexed" and succeeded:
                done.add(int(pod["metadata"]["annotations"][_INDEX]))
            else:
                key = "succeeded" if succeeded else "failed"
                status[key] = status.get(key, 0) + 1
            self._untrack(pod)
        if done:
            status["completedIndexes"] = _compact(done)
            status["succeeded"] = len(done)

    def _decide(self, job: Object, pods: list[Object], status: dict[str, Any]) -> None:
        spec = job["spec"]
        active = [pod for pod in pods if not has_ended(pod) and not pod["metadata"].get("deletionTimestamp")]
        wanted, failed = spec.get("completions"), status.get("failed", 0)
        reason = self._policy_verdict(job, pods)
        if reason:
            self._finish(job, status, "Failed", "PodFailurePolicy", reason, active)
        elif failed > spec["backoffLimit"]:
            self._finish(job, status, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit", active)
        elif wanted is not None and status.get("succeeded", 0) >= wanted:
            self._finish(job, status, "Complete", "CompletionsReached", "Reached expected number of succeeded pods", active)
        elif spec.get("suspend"):
            for pod in active:
                self._cluster.memory.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
            active = []
            status["conditions"] = [{"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}]
        else:
            status.pop("conditions", None)
            active += self._start(job, active, status)
        status |= {"active": len(active), "ready": sum(is_ready(pod) for pod in active), "terminating": 0}
        if not status["active"]:
            status.pop("active")

    def _policy_verdict(self, job: Object, pods: list[Object]) -> str:
        rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or ()
        for pod in pods:
            if (pod.get("status") or {}).get("phase") != "Failed":
                continue
            for index, rule in enumerate(rules):
                codes = rule.get("onExitCodes")
                for container in pod["status"].get("containerStatuses") or () if codes and rule["action"] == "FailJob" else ():
                    code = (container["state"].get("terminated") or {}).get("exitCode", 0)
                    if code and (code in codes["values"]) == (codes["operator"] == "In"):
                        meta = pod["metadata"]
                        where = f"Container {container['name']} for pod {meta['namespace']}/{meta['name']} failed with exit code {code}"
                        return f"{where} matching FailJob rule at index {index}"
        return ""

    def _start(self, job: Object, active: list[Object], status: dict[str, Any]) -> list[Object]:
        spec = job["spec"]
        if self._backoff.waits(job):
            return []
        wanted = spec.get("completions")
        left = spec["parallelism"] if wanted is None else min(spec["parallelism"], wanted - status.get("succeeded", 0))
        number = left - len(active)
        if number < 0:
            for pod in active[number:]:
                self._cluster.memory.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
            return []
        taken = _expand(status.get("completedIndexes", "")) | {
            int((pod["metadata"].get("annotations") or {}).get(_INDEX, -1)) for pod in active
        }
        free = (index for index in range(wanted or 0) if index not in taken)
        made: list[Object] = []
        for _ in range(number):
            index = next(free, None) if spec["completionMode"] == "Indexed" else None
            if spec["completionMode"] == "Indexed" and index is None:
                break
            try:
                made.append(self._create(job, index))
                self._backoff.accepted(job)
            except ApiError as error:
                self._cluster.record(job, "FailedCreate", f"Error creating: {error.message}", warning=True, source="job-controller")
                self._backoff.refused(job, lambda: self._sync(job["metadata"]["namespace"], job["metadata"]["name"]))
                break
        return made

    def _create(self, job: Object, index: int | None) -> Object:
        meta = job["metadata"]
        template = copy.deepcopy(job["spec"]["template"])
        own = template.get("metadata") or {}
        own |= {"generateName": f"{meta['name']}-", "ownerReferences": [owner_of(JOB, job)], "finalizers": [_TRACKING]}
        if index is not None:
            own["generateName"] = f"{meta['name']}-{index}-"
            own["annotations"] = (own.get("annotations") or {}) | {_INDEX: str(index)}
            own["labels"] = (own.get("labels") or {}) | {_INDEX: str(index)}
            template["spec"].setdefault("hostname", f"{meta['name']}-{index}")
            for container in template["spec"]["containers"] + (template["spec"].get("initContainers") or []):
                container["env"] = [*(container.get("env") or []), {"name": "JOB_COMPLETION_INDEX", "value": str(index)}]
        return self._cluster.memory.create(POD, meta["namespace"], {"metadata": own, "spec": template["spec"]})

    def _finish(self, job: Object, status: dict[str, Any], type_: str, reason: str, message: str, active: list[Object]) -> None:
        criterion = "SuccessCriteriaMet" if type_ == "Complete" else "FailureTarget"
        status["conditions"] = [
            {
                "type": each,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastProbeTime": now_text(),
                "lastTransitionTime": now_text(),
            }
            for each in (criterion, type_)
        ]
        if type_ == "Complete":
            status["completionTime"] = now_text()
        for pod in active:
            self._cluster.memory.delete(POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
            self._untrack(pod)
        active.clear()
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is not None:
            self._timers[job["metadata"]["uid"]] = self._cluster.loop.call_later(seconds, self._expire, job)

    def _arm(self, job: Object) -> None:
        seconds = job["spec"].get("activeDeadlineSeconds")
        if seconds:
            self._timers[job["metadata"]["uid"]] = self._cluster.loop.call_later(seconds, self._overdue, job)

    def _overdue(self, job: Object) -> None:
        meta, memory = job["metadata"], self._cluster.memory
        found = memory.find(JOB, meta["namespace"], meta["name"])
        if found is None or found["metadata"]["uid"] != meta["uid"] or "completionTime" in (found.get("status") or {}):
            return
        status = copy.deepcopy(found["status"])
        active = [pod for pod in memory.list(POD, meta["namespace"]) if owned_by(pod, meta["uid"]) and not has_ended(pod)]
        status["failed"] = status.get("failed", 0) + len(active)
        self._finish(found, status, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline", active)
        status.pop("active", None)
        memory.change(JOB, meta["namespace"], meta["name"], lambda it: it.update(status=status), subresource="status")

    def _expire(self, job: Object) -> None:
        meta = job["metadata"]
        found = self._cluster.memory.find(JOB, meta["namespace"], meta["name"])
        if found and found["metadata"]["uid"] == meta["uid"]:
            self._cluster.memory.delete(JOB, meta["namespace"], meta["name"])

    def _untrack(self, pod: Object) -> None:
        def edit(found: Object) -> None:
            left = [each for each in found["metadata"].get("finalizers") or () if each != _TRACKING]
            found["metadata"]["finalizers"] = left

        meta = pod["metadata"]
        if _TRACKING in (meta.get("finalizers") or ()):
            self._cluster.memory.change(POD, meta["namespace"], meta["name"], edit)


def _expand(text: str) -> set[int]:
    """ "0-2,5" -> {0, 1, 2, 5}."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _compact(numbers: set[int]) -> str:
    parts: list[str] = []
    ordered = sorted(numbers)
    while ordered:
        size = next((i for i in range(1, len(ordered)) if ordered[i] != ordered[0] + i), len(ordered))
        parts.append(str(ordered[0]) if size == 1 else f"{ordered[0]}-{ordered[size - 1]}")
        ordered = ordered[size:]
    return ",".join(parts)
