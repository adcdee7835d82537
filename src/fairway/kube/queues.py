"""What Kueue says: which queues a namespace has, how much they give, and why what waits in one waits. In its own words, for they name the
resource, the amount and the rule; nobody can say it better from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from fairway.errors import ForbiddenError, NotFoundError
from fairway.kube.quantity import parse_quantity

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = Mapping[str, Any]
GROUP = "kueue.x-k8s.io"
QUEUE_NAME, JOB_UID = f"{GROUP}/queue-name", f"{GROUP}/job-uid"
"""The labels of what is to be queued, and of the Workload that Kueue makes for it."""
_VERSIONS = ("v1beta1", "v1beta2", "v1")  # what is read here is spelled alike in all of them


async def list_kueue(client: KubeClient, kind: str, *, labels: str = "") -> list[dict[str, Any]] | None:
    """Objects of Kueue, in the client's namespace where they have one; None where it is not installed, or the caller may not see them."""
    for version in _VERSIONS:
        try:
            return await client.list(kind, labels=labels, version=version)
        except NotFoundError:
            continue
        except ForbiddenError:
            return None
    return None


def read_queues(queues: Sequence[Object], cluster_queues: Sequence[Object] | None = None) -> dict[str, str]:
    """Local queues by name: why they admit nothing now, "" if they do. `cluster_queues`: all there are, None if they may not be seen."""
    known = None if cluster_queues is None else _by_name(cluster_queues)
    return {name: _stopped(queue) or _trouble_above(queue, known) or _inactive(queue) for name, queue in _by_name(queues).items()}


def _trouble_above(queue: Object, known: Mapping[str, Object] | None) -> str:
    """What is wrong with its cluster queue, "" if nothing is known to be."""
    name = _parent(queue)
    if known is None or not name:
        return ""
    if name not in known:
        return f"there is no ClusterQueue {name!r}"
    why = _stopped(known[name]) or _inactive(known[name])
    if not why and (known[name].get("spec") or {}).get("namespaceSelector") is None:
        why = "it has no namespaceSelector, and admits nothing of any namespace"
    return f"its ClusterQueue {name!r}: {why}" if why else ""


def _stopped(queue: Object) -> str:
    policy = (queue.get("spec") or {}).get("stopPolicy", "None")
    return "" if policy == "None" else f"somebody has stopped it (stopPolicy: {policy})"


def _inactive(queue: Object) -> str:
    active = _conditions(queue).get("Active") or {}
    if active.get("status") != "False":
        return ""
    said, reason = _words(active), active.get("reason", "")
    return said if reason in said else f"{said} ({reason})"


def read_bounds(queues: Sequence[Object], cluster_queues: Sequence[Object]) -> dict[str, dict[str, float]]:
    """Local queues by name: how much of each resource what waits there can be given at most, if nothing else runs. What has no certain
    bound is left out."""
    known = _by_name(cluster_queues)
    return {name: _bounds(known[_parent(queue)]) for name, queue in _by_name(queues).items() if _parent(queue) in known}


def _bounds(cluster_queue: Object) -> dict[str, float]:
    """By resource, that of the flavor which has most: all pods of a Job get the same one."""
    spec = cluster_queue.get("spec") or {}
    borrows = bool(spec.get("cohort") or spec.get("cohortName"))  # so it is spelled before and from v1beta2 on
    most: dict[str, float] = {}
    for flavor in (one for group in spec.get("resourceGroups") or () for one in group.get("flavors") or ()):
        for quota in flavor.get("resources") or ():
            limit = quota.get("borrowingLimit") if borrows else 0
            bound = inf if limit is None else parse_quantity(quota.get("nominalQuota", 0)) + parse_quantity(limit)
            most[quota["name"]] = max(most.get(quota["name"], 0.0), bound)
    return {name: bound for name, bound in most.items() if bound < inf}


def _parent(queue: Object) -> str:
    return (queue.get("spec") or {}).get("clusterQueue", "")


def _by_name(objects: Sequence[Object]) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects}


def explain_queue(job: Object, expected: int, workloads: Sequence[Object] | None = None) -> str:
    """Why a gang has no pods: its Job is suspended. `workloads`: those of the Job, None if they may not be seen."""
    meta = job["metadata"]
    queue, where = meta.get("labels", {}).get(QUEUE_NAME, ""), meta.get("namespace", "")
    if not queue:
        return "waits: its Job was suspended by somebody"
    if workloads is None:
        return f"waits until the queue {queue!r} has room for all {expected} pods (kubectl describe workloads -n {where})"
    if not workloads:
        return f"waits in the queue {queue!r}: Kueue has not seen its Job yet; is it running, and does it manage Jobs?"
    said = explain_workload(workloads[-1])
    return f"waits in the queue {queue!r}: {said}" if said else f"waits in the queue {queue!r}: its turn has not come"


def explain_workload(workload: Object) -> str:
    """Why Kueue does not start it, in Kueue's words; "" if it says nothing, or has admitted it."""
    found = _conditions(workload)
    if _is_true(found, "Admitted"):
        return ""
    evicted = explain_eviction(workload)
    if not (workload.get("spec") or {}).get("active", True):
        return f"it was deactivated, and waits until somebody sets spec.active of its Workload{f' ({evicted})' if evicted else ''}"
    if _is_true(found, "QuotaReserved"):
        checks = (workload.get("status") or {}).get("admissionChecks") or ()
        waiting = [one for one in checks if one.get("state") != "Ready"]
        return "; ".join(f"it has its quota, and waits for the admission check {one['name']!r}{_said(one)}" for one in waiting[:1])
    said = _words(found.get("QuotaReserved") or {})
    return f"{said}; before, it was {evicted}" if said and evicted and said not in evicted else said or evicted


def explain_eviction(workload: Object, *, since: str = "") -> str:
    """Why Kueue has taken its room away, "" if it has not: "Preempted to accommodate a workload …". `since`: also if it was after that
    time (as the cluster writes times), and it has room again."""
    found = _conditions(workload)
    why = found.get("Evicted") or {}
    if not _is_true(found, "Evicted"):
        was_later = bool(since) and why.get("lastTransitionTime", "") > since
        return _words(why).removeprefix("Previously: ") if was_later else ""
    return _words(found["Preempted"] if _is_true(found, "Preempted") and why.get("reason") == "Preempted" else why)


def _said(check: Object) -> str:
    text = " ".join(str(check.get("message", "")).split())
    return f": {text}" if text else ""


def _conditions(obj: Object) -> dict[str, Object]:
    return {one.get("type", ""): one for one in (obj.get("status") or {}).get("conditions") or ()}


def _is_true(conditions: Mapping[str, Object], name: str) -> bool:
    return conditions.get(name, {}).get("status") == "True"


def _words(condition: Object) -> str:
    """A condition's message in one line; its reason where it has none."""
    return " ".join(str(condition.get("message") or condition.get("reason") or "").split())
