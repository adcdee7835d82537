"""When the Kubernetes executor makes a gang's Job, removes it and tries again: room, queues, limits, refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairway.errors import QuotaExceeded, UnschedulableError
from fairway.spec.target import Limits, TargetSettings
from tests.kube.executorrig import play
from tests.kube.fakecluster import FakeCluster
from tests.kube.ganghall import Hall, gang_of, in_queue, unschedulable


def test_what_did_not_come_together_in_time_is_removed_and_made_again_later() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1)
        await hall.meet(spec, names[0])
        hall.rig.now += 99.0
        await hall.rig.executor.tend()
        assert ("Job", spec.id) in hall.cluster.objects
        hall.rig.now += 2.0
        await hall.gone(spec)
        assert (await hall.meet(spec, names[0]))["stop"] == "over"
        await hall.rig.told(view, spec, "queued", "1 of 3 replicas came within 100 s")
        await hall.rig.tended(lambda: not hall.rig.executor.gangs.pods())
        assert ("Job", spec.id) not in hall.cluster.objects, "it is not made again at once"
        hall.rig.now += 6.0
        names = await hall.pods(spec, 0, 1, 2)
        for name in names:
            await hall.meet(spec, name)
        await hall.rig.told(view, spec, "running")
        await hall.rig.executor.close()

    play(story())


def test_two_gangs_that_want_the_same_room_come_together_one_after_the_other() -> None:
    async def story() -> None:
        hall = Hall()
        view, one, two = await hall.start(), gang_of(1), gang_of(2)
        await view.submit([one, two])
        names = await hall.pods(one, 0, 1)
        await hall.rig.told(view, two, "queued", "waits until another gang has come together")
        assert ("Job", two.id) not in hall.cluster.objects
        names += await hall.pods(one, 2)
        await hall.job(two)
        await hall.rig.executor.close()

    play(story())


def test_of_two_gangs_that_hold_each_others_room_the_later_gives_way() -> None:
    async def story() -> None:
        hall = Hall()
        view, one, two = await hall.start(), gang_of(1), gang_of(2)
        await view.submit([one])
        names = await hall.pods(one, 0, 1, 2)
        hall.rig.now += 1.0
        await view.submit([two])
        await hall.pods(two, 0, 1)
        (missing,) = await hall.pods(two, 2, placed=False)
        unschedulable(hall.cluster, missing)
        hall.cluster.objects["Pod", names[0]]["spec"].pop("nodeName")  # it was put out, and its Job's next pod has no place
        unschedulable(hall.cluster, names[0])
        hall.rig.now += 4.0
        await hall.gone(two)
        assert ("Job", one.id) in hall.cluster.objects
        await hall.rig.told(view, two, "queued", "gives way to a gang that has waited for longer")
        await hall.rig.executor.close()

    play(story())


def test_a_gang_waits_until_a_quota_holds_all_of_it() -> None:
    async def story() -> None:
        hall = Hall()
        quota: dict[str, Any] = {"kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {}}
        quota["status"] = {"hard": {"requests.cpu": "4"}, "used": {"requests.cpu": "2"}}
        hall.cluster.objects["ResourceQuota", "small"] = quota
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        await hall.rig.told(view, spec, "queued", "waits for room for all 3 replicas: 2 would have a place now (quota small: requests.cpu)")
        assert ("Job", spec.id) not in hall.cluster.objects
        quota["status"]["used"]["requests.cpu"] = "1"
        hall.rig.now += 5.0
        await hall.job(spec)
        await hall.rig.executor.close()

    play(story())


def test_a_gang_waits_for_the_nodes_that_can_hold_it_and_tries_where_others_would_have_to_come() -> None:
    def node(name: str, cpu: str) -> dict[str, Any]:
        ready = [{"type": "Ready", "status": "True"}]
        return {
            "kind": "Node",
            "metadata": {"name": name},
            "spec": {},
            "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "10"}, "conditions": ready},
        }

    async def story() -> None:
        hall = Hall()
        hall.cluster.objects["Node", "n1"] = node("n1", "4")
        await hall.cluster.create(
            {
                "kind": "Pod",
                "metadata": {"name": "busy", "labels": {"fairway.dev/role": "x"}},
                "spec": {"nodeName": "n1", "containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]},
            }
        )
        view, small, large = await hall.start(), gang_of(1), gang_of(2, replicas=9)
        await view.submit([small, large])
        await hall.rig.told(view, small, "queued", "waits for room for all 3 replicas: 2 would have a place now")
        await hall.job(large)
        assert ("Job", small.id) not in hall.cluster.objects
        hall.cluster.vanish("busy")
        hall.rig.now += 5.0
        await hall.pods(large, *range(9))
        await hall.job(small)
        await hall.rig.executor.close()

    play(story())


def test_kueue_and_a_scheduler_that_knows_gangs_see_to_it_themselves() -> None:
    async def story() -> None:
        one, two = gang_of(1), gang_of(2, min_replicas=2)
        hall, view = await in_queue(one, two)
        job = await hall.job(one)
        assert job["spec"]["suspend"] is True
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]
        admitted = await hall.job(two)
        assert admitted["metadata"]["annotations"]["kueue.x-k8s.io/job-min-parallelism"] == "2"
        await hall.rig.tended(lambda: hall.cluster.requests["list Workload"] > 1)
        await hall.rig.told(view, one, "starting", "waits in the queue 'team': Kueue has not seen its Job yet")
        admitted["spec"] |= {"suspend": False, "parallelism": 2}
        names = await hall.pods(two, 0, 1)
        for name in names:
            await hall.meet(two, name)
        hall.rig.now += 6.0
        await hall.rig.tended(lambda: hall.rig.executor.gangs.find_pod(names[0]) is not None)
        await hall.rig.told(view, two, "running")
        assert hall.cluster.objects["Job", one.id]["spec"]["suspend"] is True
        await view.cancel(one.id, 1.0)
        await hall.rig.tended(lambda: not {kind for kind, name in hall.cluster.objects if name == one.id})
        await hall.rig.executor.close()

    play(story())


LACKS = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default-flavor, 1 more needed"


async def queued(hall: Hall, job: dict[str, Any], *conditions: tuple[str, bool, str, str]) -> None:
    """What Kueue says of a Job."""
    meta: dict[str, Any] = {"name": f"job-{job['metadata']['name']}", "labels": {"kueue.x-k8s.io/job-uid": job["metadata"]["uid"]}}
    said = [{"type": name, "status": str(so), "reason": reason, "message": text} for name, so, reason, text in conditions]
    hall.cluster.objects.pop(("Workload", meta["name"]), None)
    await hall.cluster.create({"kind": "Workload", "metadata": meta, "spec": {}, "status": {"conditions": said}})


def test_why_a_gang_waits_in_its_queue_is_told_in_kueues_own_words() -> None:
    async def story() -> None:
        spec, other = gang_of(1), gang_of(2)
        hall, view = await in_queue(spec, other)
        job = await hall.job(spec)
        await queued(hall, await hall.job(other), ("QuotaReserved", False, "Pending", "of another"))
        await queued(hall, job, ("QuotaReserved", False, "Pending", LACKS))
        hall.rig.now += 6.0
        await hall.rig.tended(lambda: hall.cluster.requests["list Workload"] > 1)
        await hall.rig.told(view, spec, "starting", f"waits in the queue 'team': {LACKS}")
        await queued(hall, job, ("QuotaReserved", False, "Pending", LACKS.replace("1 more", "2 more")))
        asked = hall.cluster.requests["list Workload"]
        hall.rig.now += 6.0
        await hall.rig.tended(lambda: hall.cluster.requests["list Workload"] > asked + 1)
        seen = (await view.observe([spec.id]))[spec.id]
        assert "1 more" in seen.reason, "each telling is an event of the run: the same cause is not told with each new number"
        hall.rig.now += 30.0
        await hall.rig.tended(lambda: hall.cluster.requests["list Workload"] > asked + 3)
        await hall.rig.told(view, spec, "starting", "2 more needed")
        await hall.rig.executor.close()

    play(story())


def test_a_server_that_may_not_see_workloads_says_what_the_job_shows() -> None:
    async def story() -> None:
        spec, cluster = gang_of(), FakeCluster()
        cluster.forbidden.add("list Workload")
        hall, view = await in_queue(spec, cluster=cluster)
        job = await hall.job(spec)
        await hall.rig.tended(lambda: hall.cluster.requests["get Job"] > 0)
        more = f"kubectl describe workloads -n {job['metadata']['namespace']}"
        await hall.rig.told(view, spec, "starting", f"waits until the queue 'team' has room for all 3 pods ({more})")
        hall.rig.now += 60.0
        await hall.rig.tended(lambda: hall.cluster.requests["get Job"] > 1)
        assert hall.cluster.requests["list Workload"] == 1, "what is forbidden is not asked for each time"
        cluster.forbidden.clear()
        await queued(hall, job, ("QuotaReserved", False, "Pending", LACKS))
        hall.rig.now += 300.0
        await hall.rig.tended(lambda: hall.cluster.requests["list Workload"] > 1)
        await hall.rig.told(view, spec, "starting", f"waits in the queue 'team': {LACKS}")
        await hall.rig.executor.close()

    play(story())


PREEMPTED = "Preempted to accommodate a workload (UID: 1b4f) due to prioritization in the ClusterQueue"


def test_a_gang_whose_queue_takes_its_room_back_has_not_failed() -> None:
    async def story() -> None:
        spec = gang_of()
        hall, view = await in_queue(spec)
        job, names = await hall.job(spec), await hall.admitted(spec)
        await hall.rig.told(view, spec, "running")
        job["spec"]["suspend"] = True
        await queued(hall, job, ("Evicted", True, "Preempted", PREEMPTED), ("Preempted", True, "InClusterQueue", PREEMPTED))
        hall.fail(spec, names[1], "a collective was torn")
        for name in (names[0], names[2]):
            hall.cluster.vanish(name)
        outcome = await hall.rig.settled(view, spec)
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.code) == ("lost", "FW-REQUEUED")
        assert outcome.error.message == f"the queue 'team' took its room back: {PREEMPTED}"
        assert "counts as no restart" in outcome.error.hint
        await hall.gone(spec)
        await hall.rig.executor.close()

    play(story())


def test_a_queued_gang_that_fails_of_its_own_says_why() -> None:
    async def story() -> None:
        spec, stopped = gang_of(1), gang_of(2)
        hall, view = await in_queue(spec, stopped)
        names = await hall.admitted(spec)
        await hall.admitted(stopped)
        for name in names:
            hall.fail(spec, name, "this rank is bad")
        outcome = await hall.rig.settled(view, spec)
        assert outcome.error is not None and outcome.error.kind == "ValueError"
        hall.cluster.objects["Job", stopped.id]["spec"]["suspend"] = True
        await view.cancel(stopped.id, 1.0)
        for name in list(hall.cluster.pods()):
            if name.startswith(stopped.id):
                hall.cluster.vanish(name)
        outcome = await hall.rig.settled(view, stopped)
        assert outcome.error is not None and outcome.error.kind == "cancelled", "what somebody wished is the outcome"
        await hall.rig.executor.close()

    play(story())


class Slow(FakeCluster):
    """One in which who asks for a Job waits as long as `held`."""

    def __init__(self) -> None:
        super().__init__()
        self.held, self.waiting = False, asyncio.Event()
        self.answers = asyncio.Event()

    async def find(self, kind: str, name: str, *, namespace: str = "") -> dict[str, Any] | None:
        if kind == "Job" and self.held:
            self.waiting.set()
            await self.answers.wait()
        return await super().find(kind, name, namespace=namespace)


@pytest.mark.parametrize("evicted", [False, True])
def test_a_gang_that_is_cancelled_while_its_queue_is_asked_why_it_failed_is_cancelled(evicted: bool) -> None:
    async def story() -> None:
        spec, cluster = gang_of(), Slow()
        hall, view = await in_queue(spec, cluster=cluster)
        names = await hall.admitted(spec)
        await hall.rig.told(view, spec, "running")
        cluster.held = True
        (await hall.job(spec))["spec"]["suspend"] = evicted
        for name in names:
            hall.fail(spec, name, "this rank is bad")
        await cluster.waiting.wait()
        await view.cancel(spec.id, 1.0)
        cluster.answers.set()
        outcome = await hall.rig.settled(view, spec)
        assert outcome.error is not None and outcome.error.kind == "cancelled", "what somebody wished is the outcome"
        await hall.gone(spec)
        await hall.rig.executor.close()

    play(story())


def test_a_gang_whose_room_is_taken_back_before_all_have_met_waits_in_its_queue_again() -> None:
    async def story() -> None:
        spec = gang_of()
        hall, view = await in_queue(spec)
        job = await hall.job(spec)
        job["spec"]["suspend"] = False
        names = await hall.pods(spec, 0, 1)
        await hall.meet(spec, names[0])
        job["spec"]["suspend"] = True
        await queued(hall, job, ("QuotaReserved", False, "Pending", LACKS), ("Evicted", True, "Preempted", PREEMPTED))
        for name in names:
            hall.cluster.vanish(name)
        hall.rig.now += 6.0
        await hall.rig.tended(lambda: hall.cluster.requests["list Workload"] > 0)
        await hall.rig.told(view, spec, "starting", f"waits in the queue 'team': {LACKS}; before, it was {PREEMPTED}")
        hall.rig.now += 500.0
        await hall.rig.executor.tend()
        assert hall.cluster.objects["Job", spec.id]["metadata"]["uid"] == job["metadata"]["uid"], "nobody is late for what has no room"
        await hall.admitted(spec)
        await hall.rig.told(view, spec, "running")
        await hall.rig.executor.close()

    play(story())


def test_a_job_that_fails_as_its_queue_takes_its_room_back_is_made_again() -> None:
    """Its pods, told to go, have ended badly: with a limit of no retries that is the end of the Job."""

    async def story() -> None:
        spec = gang_of()
        hall, view = await in_queue(spec)
        job = await hall.job(spec)
        job["spec"]["suspend"] = False
        await hall.pods(spec, 0)
        job["spec"]["suspend"] = True
        job["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
        hall.rig.now += 6.0
        await hall.gone(spec)
        await hall.rig.told(view, spec, "queued", "its queue took its room back; it is tried again")
        hall.rig.now += 6.0
        await hall.job(spec)
        await hall.rig.executor.close()

    play(story())


def test_a_pod_group_is_made_where_the_scheduler_knows_them() -> None:
    async def story(version: str, kind: str) -> None:
        hall = Hall()
        hall.cluster.groups.add(f"scheduling.k8s.io/{version}")
        view, one, two = await hall.start(), gang_of(1, min_replicas=2), gang_of(2)
        await view.submit([one, two])
        job = await hall.job(one)
        await hall.job(two)
        group = hall.cluster.objects[kind, one.id]
        if version == "v1alpha2":
            assert group["spec"] == {"schedulingPolicy": {"gang": {"minCount": 2}}}
            assert job["spec"]["template"]["spec"]["schedulingGroup"] == {"podGroupName": one.id}
        else:
            (named,) = group["spec"]["podGroups"]
            assert named["policy"] == {"gang": {"minCount": 2}}
            assert job["spec"]["template"]["spec"]["workloadRef"] == {"name": one.id, "podGroup": named["name"]}
        await view.cancel(one.id, 1.0)
        await hall.rig.tended(lambda: ("Job", one.id) not in hall.cluster.objects)
        await hall.rig.executor.close()

    play(story("v1alpha2", "PodGroup"))
    play(story("v1alpha1", "Workload"))


def test_a_scheduler_that_the_server_may_not_tell_is_done_without() -> None:
    async def story() -> None:
        hall = Hall()
        hall.cluster.groups.add("scheduling.k8s.io/v1alpha2")
        hall.cluster.forbidden.add("create podgroups.scheduling.k8s.io")
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        assert "schedulingGroup" not in (await hall.job(spec))["spec"]["template"]["spec"]
        assert ("PodGroup", spec.id) not in hall.cluster.objects
        await hall.rig.executor.close()

    play(story())


def test_a_gang_takes_all_its_replicas_of_the_targets_limits() -> None:
    async def story() -> None:
        hall = Hall(target=TargetSettings(limits=Limits(max_pods=4)))
        view, one, two = await hall.start(), gang_of(1), gang_of(2)
        await view.submit([one, two])
        names = await hall.pods(one, 0, 1, 2)
        await hall.rig.executor.tend()
        assert ("Job", two.id) not in hall.cluster.objects
        try:
            await view.submit([gang_of(3, replicas=5)])
        except UnschedulableError as error:
            assert "5 pods" in error.message
        else:
            raise AssertionError("a gang that can never start was taken on")
        for name in names:
            await hall.meet(one, name)
        for name in names:
            hall.end(one, name)
        await hall.gone(one)
        await hall.job(two)
        await hall.rig.executor.close()

    play(story())


def test_a_refusal_that_passes_is_told_and_the_gang_is_made_later() -> None:
    async def story() -> None:
        hall = Hall()
        hall.cluster.refuse = lambda obj: (
            QuotaExceeded("exceeded quota: jobs, requested: count/jobs.batch=1") if obj["kind"] == "Job" else None
        )
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        await hall.rig.told(view, spec, "queued", "count/jobs.batch=1")
        hall.cluster.refuse = lambda obj: None
        hall.rig.now += 6.0
        await hall.job(spec)
        await hall.rig.executor.close()

    play(story())


def test_a_job_that_somebody_deletes_before_all_have_met_is_made_again() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        await hall.pods(spec, 0, 1)
        hall.cluster.vanish(spec.id, kind="Job")
        hall.rig.now += 6.0
        await hall.gone(spec)
        await hall.rig.told(view, spec, "queued", "its Job was deleted")
        hall.rig.now += 6.0
        await hall.job(spec)
        await hall.rig.executor.close()

    play(story())


def test_an_image_that_cannot_be_pulled_fails_the_attempt() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2, placed=False)
        state = {"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image name"}}
        hall.cluster.set_status(names[1], {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]})
        outcome = await hall.rig.settled(view, spec)
        assert outcome.error is not None
        assert outcome.error.code == "FW-IMAGE-UNAVAILABLE"
        await hall.gone(spec)
        await hall.rig.executor.close()

    play(story())
