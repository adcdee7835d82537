"""Gangs of the Kubernetes executor over a cluster that does only what a test says: when they are made, met, removed, tried again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairway.errors import QuotaExceeded, UnschedulableError
from fairway.executors.meeting import Coming
from fairway.executors.runview import RunView
from fairway.kube.gangs import INDEX
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import Gang
from fairway.spec.graph import StepDef
from fairway.spec.outcome import ItemOutcome, Outcome
from fairway.spec.resources import Resources
from fairway.spec.target import Limits, TargetSettings
from tests.kube.executorrig import Rig, play, spec_of


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

    async def meet(self, spec: AttemptSpec, name: str, *, met: bool = False, wait_s: float = 0.0) -> Any:
        """What a pod is told that is there."""
        index = int(name.removeprefix(f"{spec.id}-").partition("-")[0])
        coming = Coming(index, name, f"10.0.0.{index}", (4000 + index, 5000 + index))
        return await self.rig.executor.gangs.meet(spec.id, coming, met, wait_s)

    async def gone(self, spec: AttemptSpec) -> None:
        """Wait until its Job is deleted, and delete its pods as the garbage collector does."""
        await self.rig.tended(lambda: ("Job", spec.id) not in self.cluster.objects)
        for name in list(self.cluster.pods()):
            if name.startswith(spec.id):
                self.cluster.vanish(name)

    def end(self, spec: AttemptSpec, name: str, *, status: str = "succeeded") -> None:
        index = int(name.removeprefix(f"{spec.id}-").partition("-")[0])
        self.rig.executor.gangs.end(spec.id, index, name, Outcome(spec.id, "ended", (ItemOutcome(status),)), False)


def unschedulable(cluster: Any, name: str) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    cluster.set_status(name, {"phase": "Pending", "conditions": [condition]}, node="")


def test_all_get_the_same_world_once_all_are_there_and_the_attempt_ends_when_all_have() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2)
        assert await hall.meet(spec, names[0]) == {}
        waiting = asyncio.create_task(hall.meet(spec, names[1], wait_s=30.0))
        await asyncio.sleep(0)
        worlds = [(await hall.meet(spec, names[2]))["world"], (await waiting)["world"], (await hall.meet(spec, names[0]))["world"]]
        assert [world.pop("replica") for world in worlds] == [2, 1, 0]
        assert worlds[0] == worlds[1] == worlds[2]
        assert worlds[0]["hosts"] == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]
        assert worlds[0]["key"]
        await hall.rig.told(view, spec, "running")
        for name in names:
            hall.end(spec, name)
        assert (await hall.rig.settled(view, spec)).items[0].status == "succeeded"
        await hall.gone(spec)
        assert [key for key in hall.rig.artifacts.list("outcome/") if ".gang." in key.key] == []
        await hall.rig.executor.close()

    play(story())


@pytest.mark.parametrize("image", ["", "trainer:1"], ids=["python", "a program"])
def test_a_lost_node_ends_the_gang_before_it_confirms_anything(image: str) -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(image=image)
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2)
        for name in names:
            await hall.meet(spec, name)
        pod = hall.cluster.pod(names[2])
        pod["metadata"]["deletionTimestamp"] = "2026-11-29T00:00:00Z"
        gone = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "Taint manager: deleting"}
        hall.cluster.set_status(names[2], {"phase": "Running", "conditions": [gone]}, node="n9")
        await hall.rig.until(lambda: hall.rig.executor.gangs.find_pod(names[2]).noted)  # type: ignore[union-attr]
        assert (await hall.meet(spec, names[0], met=True))["stop"] == "over"
        for name in names[:2]:
            hall.end(spec, name, status="failed")
        outcome = await hall.rig.settled(view, spec)
        assert outcome.error is not None
        assert outcome.error.kind == "lost"
        assert "its node is lost on n9" in outcome.error.message
        await hall.rig.executor.close()

    play(story())


def test_after_a_restart_of_the_server_a_gang_still_takes_all_its_replicas_of_the_limits() -> None:
    async def story() -> None:
        hall = Hall(target=TargetSettings(limits=Limits(max_pods=4)))
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2)
        for name in names:
            await hall.meet(spec, name)
        hall.end(spec, names[1])
        await hall.rig.executor.close()
        hall.rig.executor = hall.rig.fresh()
        view = await hall.start()
        await view.submit([spec, gang_of(2, replicas=2)])
        await hall.rig.told(view, spec, "running")
        await hall.rig.tended(lambda: True)
        assert ("Job", gang_of(2).id) not in hall.cluster.objects, "there is room for one pod"
        assert "world" in await hall.meet(spec, names[0]), "who takes part is remembered"
        hall.end(spec, names[0])
        hall.end(spec, names[2])
        assert (await hall.rig.settled(view, spec)).items[0].status == "succeeded"
        await hall.rig.executor.close()

    play(story())


def test_a_pod_that_is_not_of_the_gangs_job_is_kept_waiting() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(replicas=1)
        await view.submit([spec])
        await hall.job(spec)
        assert await hall.meet(spec, f"{spec.id}-0-x") == {}
        await hall.rig.executor.close()

    play(story())


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


def test_a_gang_that_may_go_on_with_fewer_begins_with_those_that_came_and_grows_at_a_checkpoint() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(min_replicas=2)
        await view.submit([spec])
        names = await hall.pods(spec, 0, 2)
        (missing,) = await hall.pods(spec, 1, placed=False)
        unschedulable(hall.cluster, missing)
        await hall.rig.told(view, spec, "starting", "2 of 3 pods have a place; replica 1: no node has room for")
        for name in names:
            assert await hall.meet(spec, name) == {}
        hall.rig.now += 101.0
        await hall.rig.executor.tend()
        assert [(await hall.meet(spec, name))["world"]["replica"] for name in names] == [0, 1]
        assert ("Job", spec.id) in hall.cluster.objects
        hall.rig.executor.gangs.note_checkpoint(spec.id)
        assert await hall.meet(spec, names[0], met=True) == {}, "nobody else has come: it goes on"
        hall.cluster.run(missing)
        assert await hall.meet(spec, missing) == {}
        assert await hall.meet(spec, names[0], met=True) == {}, "it goes on until its next checkpoint"
        hall.rig.executor.gangs.note_checkpoint(spec.id)
        assert (await hall.meet(spec, names[0], met=True))["stop"] == "over"
        for name in names:
            hall.end(spec, name, status="failed")
        outcome = await hall.rig.settled(view, spec)
        assert outcome.error is not None
        assert (outcome.error.kind, outcome.error.code) == ("lost", "FW-RESIZED")
        await hall.rig.executor.close()

    play(story())


def test_after_a_loss_a_gang_that_may_go_on_with_fewer_does_not_wait_long() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(min_replicas=2, tries=2)
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1)
        for name in names:
            await hall.meet(spec, name)
        hall.rig.now += 16.0
        await hall.rig.tended(lambda: True)
        assert "world" in await hall.meet(spec, names[0])
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
        hall = Hall(target=TargetSettings(queue="team"))
        hall.cluster.groups.add("kueue.x-k8s.io")
        view, one, two = await hall.start(), gang_of(1), gang_of(2, min_replicas=2)
        await view.submit([one, two])
        job = await hall.job(one)
        assert job["spec"]["suspend"] is True
        assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        assert "kueue.x-k8s.io/queue-name" not in job["spec"]["template"]["metadata"]["labels"]
        admitted = await hall.job(two)
        assert admitted["metadata"]["annotations"]["kueue.x-k8s.io/job-min-parallelism"] == "2"
        await hall.rig.tended(lambda: hall.cluster.requests["get Job"] > 0)
        await hall.rig.told(view, one, "starting", "waits in its queue")
        admitted["spec"] |= {"suspend": False, "parallelism": 2}
        names = await hall.pods(two, 0, 1)
        for name in names:
            await hall.meet(two, name)
        hall.rig.now += 6.0
        await hall.rig.tended(lambda: hall.rig.executor.gangs.find_pod(names[0]) is not None)
        await hall.rig.told(view, two, "running")
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


def test_programs_end_by_their_exit_codes_and_one_that_fails_ends_the_others() -> None:
    async def story() -> None:
        hall = Hall()
        view, fine, bad = await hall.start(), gang_of(1, image="trainer:1"), gang_of(2, image="trainer:1", min_replicas=1)
        await view.submit([fine])
        names = await hall.pods(fine, 0, 1, 2)
        for name in names:
            await hall.meet(fine, name)
        hall.rig.executor.note_outputs(fine.id, {}, [])
        for name in names:
            hall.cluster.finish(name)
        outcome = await hall.rig.settled(view, fine)
        assert [item.status for item in outcome.items] == ["succeeded"], outcome.error
        await hall.gone(fine)
        await view.submit([bad])
        names = await hall.pods(bad, 0, 1, 2)
        assert await hall.meet(bad, names[0]) == {}
        hall.rig.now += 99.0
        await hall.rig.executor.tend()
        assert await hall.meet(bad, names[0]) == {}, "what programs were told they are is not changed: all must come"
        for name in names:
            await hall.meet(bad, name)
        hall.cluster.finish(names[1], 4)
        outcome = await hall.rig.settled(view, bad)
        error = outcome.error or outcome.items[0].error
        assert error is not None
        assert error.kind == "exit:4"
        assert hall.cluster.grace[names[0]] == hall.cluster.grace[names[2]] == 10
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
