"""What Kueue says of queues and of what waits in them, in the words that it uses itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairway.errors import FairwayError, ForbiddenError, InfraError, NotFoundError
from fairway.kube.queues import explain_eviction, explain_queue, explain_workload, list_kueue, read_bounds, read_queues

LACKS = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default-flavor, 1 more needed"
PREEMPTED = "Preempted to accommodate a workload (UID: 1b4f, JobUID: 9c) due to prioritization in the ClusterQueue"


def condition(name: str, status: bool, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": name, "status": str(status), "reason": reason, "message": message}


def workload(*conditions: dict[str, Any], active: bool = True, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "job-fit-1"}, "spec": {"active": active}, "status": {"conditions": list(conditions), **status}}


def job(queue: str = "team") -> dict[str, Any]:
    return {"metadata": {"namespace": "lab", "labels": {"kueue.x-k8s.io/queue-name": queue} if queue else {}}, "spec": {"suspend": True}}


EVICTED = (condition("Evicted", True, "Preempted", PREEMPTED), condition("Preempted", True, "InClusterQueue", PREEMPTED))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (workload(), ""),
        (workload(condition("QuotaReserved", False, "Pending", LACKS)), LACKS),
        (workload(condition("QuotaReserved", False, "Inadmissible", "LocalQueue taem doesn't exist")), "LocalQueue taem doesn't exist"),
        (workload(condition("QuotaReserved", False, "Pending", "two\nlines")), "two lines"),
        (workload(condition("QuotaReserved", True), condition("Admitted", True), *EVICTED), ""),
        (workload(condition("QuotaReserved", False, "Pending", PREEMPTED), *EVICTED), PREEMPTED),
        (workload(condition("QuotaReserved", False, "Pending", LACKS), *EVICTED), f"{LACKS}; before, it was {PREEMPTED}"),
        (
            workload(condition("QuotaReserved", True), admissionChecks=[{"name": "grow", "state": "Pending", "message": "nodes come"}]),
            "it has its quota, and waits for the admission check 'grow': nodes come",
        ),
        (
            workload(condition("Evicted", True, "Deactivated", "The workload is deactivated"), active=False),
            "it was deactivated, and waits until somebody sets spec.active of its Workload (The workload is deactivated)",
        ),
    ],
)
def test_why_it_waits_is_told_as_kueue_says_it(found: dict[str, Any], said: str) -> None:
    assert explain_workload(found) == said


def test_what_took_its_room_is_told() -> None:
    assert explain_eviction(workload(*EVICTED)) == PREEMPTED
    ended = condition("Evicted", True, "PodsReadyTimeout", "Exceeded the PodsReady timeout lab/job-fit-1")
    assert explain_eviction(workload(ended, EVICTED[1])) == "Exceeded the PodsReady timeout lab/job-fit-1"
    again = condition("Evicted", False, "QuotaReserved", f"Previously: {PREEMPTED}") | {"lastTransitionTime": "2026-11-29T12:00:05Z"}
    assert explain_eviction(workload(again)) == ""
    assert explain_eviction(workload(again), since="2026-11-29T12:00:05Z") == "", "that was before its pods were made"
    assert explain_eviction(workload(again), since="2026-11-29T12:00:04Z") == PREEMPTED


def test_a_gang_says_its_queue_and_as_much_as_may_be_seen() -> None:
    waits = workload(condition("QuotaReserved", False, "Pending", LACKS))
    assert explain_queue(job(), 3, [waits]) == f"waits in the queue 'team': {LACKS}"
    assert explain_queue(job(), 3, [workload()]) == "waits in the queue 'team': its turn has not come"
    assert "is it running, and does it manage Jobs?" in explain_queue(job(), 3, [])
    hidden = "waits until the queue 'team' has room for all 3 pods (kubectl describe workloads -n lab)"
    assert explain_queue(job(), 3, None) == hidden
    assert explain_queue(job(""), 3, [waits]) == "waits: its Job was suspended by somebody"


def queue(name: str, *conditions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A LocalQueue or a ClusterQueue."""
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": list(conditions)}}


def quota(resource: str, nominal: str | int, **more: Any) -> dict[str, Any]:
    return {"name": resource, "nominalQuota": nominal, **more}


def group(*flavors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"flavors": [{"name": f"flavor-{place}", "resources": quotas} for place, quotas in enumerate(flavors)]}


IDLE = condition("Active", False, "ClusterQueueIsInactive", "Can't submit new workloads to clusterQueue")


def test_queues_by_name_say_why_they_admit_nothing() -> None:
    found = read_queues(
        [
            queue("a", condition("Active", True)),
            queue("b", IDLE),
            queue("c", stopPolicy="Hold"),
            queue("d"),
            queue("e", condition("Active", False, "Stopped")),
        ]
    )
    assert found == {
        "a": "",
        "b": "Can't submit new workloads to clusterQueue (ClusterQueueIsInactive)",
        "c": "somebody has stopped it (stopPolicy: Hold)",
        "d": "",
        "e": "Stopped",
    }


def test_a_queue_is_as_good_as_its_cluster_queue_where_that_may_be_seen() -> None:
    lacks = "Can't admit new workloads: references missing ResourceFlavor(s): [h100]."
    above = [
        queue("all", condition("Active", True), namespaceSelector={}),
        queue("held", IDLE, namespaceSelector={}, stopPolicy="HoldAndDrain"),
        queue("bare", condition("Active", False, "FlavorNotFound", lacks), namespaceSelector={}),
        queue("closed", condition("Active", True)),
    ]
    below = [queue(f"to-{name}", IDLE, clusterQueue=name) for name in ("held", "bare", "gone")]
    below += [queue("to-all", clusterQueue="all"), queue("to-closed", clusterQueue="closed"), queue("to-nothing")]
    assert read_queues(below, above) == {
        "to-held": "its ClusterQueue 'held': somebody has stopped it (stopPolicy: HoldAndDrain)",
        "to-bare": f"its ClusterQueue 'bare': {lacks} (FlavorNotFound)",
        "to-gone": "there is no ClusterQueue 'gone'",
        "to-all": "",
        "to-closed": "its ClusterQueue 'closed': it has no namespaceSelector, and admits nothing of any namespace",
        "to-nothing": "",
    }
    assert read_queues([queue("to-closed", clusterQueue="closed")], None) == {"to-closed": ""}, "who may not see it is not told anything"


@pytest.mark.parametrize(
    ("spec", "bounds"),
    [
        ({}, {}),
        ({"resourceGroups": [group([quota("cpu", "8"), quota("memory", "36Gi")])]}, {"cpu": 8.0, "memory": 36.0 * 2**30}),
        ({"resourceGroups": [group([quota("cpu", 4)], [quota("cpu", 6)]), group([quota("gpu", 0)])]}, {"cpu": 6.0, "gpu": 0.0}),
        ({"cohort": "all", "resourceGroups": [group([quota("cpu", 8), quota("gpu", 2, borrowingLimit="3")])]}, {"gpu": 5.0}),
        ({"cohortName": "all", "resourceGroups": [group([quota("cpu", 8, borrowingLimit="0")], [quota("cpu", 2)])]}, {}),
    ],
)
def test_a_queue_gives_at_most_the_quota_of_one_flavor_and_what_it_may_borrow(spec: dict[str, Any], bounds: dict[str, float]) -> None:
    below = [queue("team", clusterQueue="all"), queue("other", clusterQueue="hidden")]
    assert read_bounds(below, [queue("all", **spec)]) == {"team": bounds}


class Served:
    """A client of a cluster that serves one version of Kueue's kinds."""

    def __init__(self, version: str, error: FairwayError | None = None) -> None:
        self.version, self.error, self.asked = version, error, 0

    async def list(self, kind: str, *, labels: str = "", version: str = "") -> list[dict[str, Any]]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        if version != self.version:
            raise NotFoundError("the server could not find the requested resource")
        return [{"kind": kind, "labels": labels}]


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2", "v1"])
def test_any_version_of_kueue_is_understood(version: str) -> None:
    client: Any = Served(version)
    assert asyncio.run(list_kueue(client, "Workload", labels="a=b")) == [{"kind": "Workload", "labels": "a=b"}]


def test_what_is_not_there_or_may_not_be_seen_is_not_known() -> None:
    nowhere: Any = Served("v9")
    assert asyncio.run(list_kueue(nowhere, "LocalQueue")) is None
    hidden: Any = Served("v1", ForbiddenError("no"))
    assert (asyncio.run(list_kueue(hidden, "LocalQueue")), hidden.asked) == (None, 1)
    failing: Any = Served("v1", InfraError("etcdserver: request timed out"))
    with pytest.raises(InfraError):
        asyncio.run(list_kueue(failing, "LocalQueue"))
