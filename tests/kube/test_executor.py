"""The Kubernetes executor: what it asks the cluster for, what it tells drivers, what it leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairway.errors import AdmissionRefused, InfraError, QuotaExceeded, UnschedulableError
from fairway.kube.queues import QUEUE_NAME
from fairway.spec.graph import StepDef
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.placement import Placement
from fairway.spec.record import to_plain
from fairway.spec.resources import Resources
from fairway.spec.target import Limits, TargetSettings
from tests.kube.executorrig import RUN, Rig, play, spec_of


def unschedulable(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"phase": "Pending", "conditions": [condition]}


def test_an_attempt_is_a_pod_that_goes_when_its_outcome_is_there_and_it_has_ended() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        assert rig.executor.find_attempt(spec.id) == spec
        rig.cluster.run(spec.id)
        await rig.told(view, spec, "running")
        rig.succeed(spec)
        assert spec.id in await view.wait(10)
        assert await view.observe([spec.id]) == {}
        assert rig.executor.find_attempt(spec.id) is None
        assert spec.id in rig.cluster.pods(), "it may still send its last log lines"
        rig.cluster.finish(spec.id)
        await rig.until(lambda: not rig.cluster.pods())
        assert rig.outcome(spec).status == "ended"
        await rig.executor.close()

    play(story())


def test_a_run_costs_one_object_and_each_of_its_attempts_two_requests() -> None:
    async def story() -> None:
        rig = Rig()
        view, specs = await rig.start(), [spec_of(n) for n in range(50)]
        await rig.placed(view, *specs)
        before = sum(rig.cluster.requests.values())
        assert rig.cluster.requests["create ConfigMap"] == 1
        for spec in specs:
            rig.cluster.run(spec.id)
            rig.succeed(spec)
            rig.cluster.finish(spec.id)
        await rig.until(lambda: not rig.cluster.pods())
        assert before <= len(specs) + 5
        assert sum(rig.cluster.requests.values()) - before == len(specs)
        await rig.executor.close()

    play(story())


def test_the_runs_object_goes_when_its_driver_has_gone_and_its_last_pod() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        await view.close()
        await rig.executor.tend()
        assert ("ConfigMap", f"run-{RUN}") in rig.cluster.objects
        rig.succeed(spec)
        rig.cluster.finish(spec.id)
        await rig.tended(lambda: ("ConfigMap", f"run-{RUN}") not in rig.cluster.objects)
        assert not rig.cluster.pods()
        await rig.executor.close()

    play(story())


def test_a_pod_that_ends_without_an_outcome_gets_one_that_says_why() -> None:
    async def story() -> None:
        rig = Rig()
        view, one, two = await rig.start(), spec_of(1), spec_of(2)
        await rig.placed(view, one, two)
        rig.cluster.finish(one.id, 137, reason="OOMKilled")
        failed = await rig.settled(view, one)
        assert failed.error is not None
        assert (failed.status, failed.error.kind, failed.error.code) == ("failed", "oom", "FW-TASK-OOM")
        rig.cluster.output[two.id] = b"first\nlast words\n"
        rig.cluster.finish(two.id, 3)
        crashed = await rig.settled(view, two)
        assert crashed.error is not None
        assert crashed.error.message.endswith("last words")
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())


def test_the_last_lines_in_a_pods_status_spare_a_request_for_its_log() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.cluster.finish(spec.id, 3, message="said at last\n")
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert "said at last" in failed.error.message
        assert rig.cluster.requests["logs Pod"] == 0
        await rig.executor.close()

    play(story())


def test_a_pod_that_vanishes_is_lost_which_is_tried_again() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.cluster.run(spec.id)
        rig.cluster.vanish(spec.id)
        lost = await rig.settled(view, spec)
        assert lost.error is not None
        assert (lost.error.kind, lost.error.retryable) == ("lost", True)
        await rig.executor.close()

    play(story())


def test_an_outcome_that_is_there_stands_whatever_becomes_of_the_pod() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.artifacts.put(outcome_key(RUN, spec.id), json.dumps(to_plain(Outcome(spec.id, "abandoned"))).encode())
        rig.cluster.finish(spec.id, 137)
        assert (await rig.settled(view, spec)).status == "abandoned"
        await rig.executor.close()

    play(story())


def test_a_cancelled_attempt_has_its_grace_and_is_known_until_its_pod_is_gone() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.cluster.run(spec.id)
        await rig.told(view, spec, "running")
        await view.cancel(spec.id, 2.5)
        await rig.settled(view, spec)
        assert rig.cluster.grace[spec.id] == 3
        assert not rig.cluster.pods()
        await view.cancel("a-unknown-1", 1.0)
        await rig.executor.close()

    play(story())


def test_an_attempt_that_is_cancelled_while_its_pod_is_being_made_leaves_none() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await view.submit([spec])
        await view.cancel(spec.id, 1.0)
        cancelled = await rig.settled(view, spec)
        assert cancelled.error is not None
        assert cancelled.error.kind in ("cancelled", "lost")
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())


# ---- why it waits


def test_a_pod_that_cannot_start_says_why_and_fails_after_a_while() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
        rig.cluster.set_status(spec.id, {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": waiting}}]})
        await rig.told(view, spec, "starting", "cannot be pulled: manifest unknown; check the name and the tag")
        rig.now += 61
        await rig.executor.tend()
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert (failed.error.kind, failed.error.code) == ("image", "FW-IMAGE-UNAVAILABLE")
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())


def test_a_cause_that_cures_itself_is_waited_for() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/2 nodes are available: 2 Insufficient cpu.",
        }
        rig.cluster.set_status(spec.id, {"phase": "Pending", "conditions": [condition]}, node="")
        await rig.told(view, spec, "starting", "no node has room for 1 cpu")
        rig.now += 86_400
        await rig.executor.tend()
        assert spec.id in await view.observe([spec.id])
        rig.cluster.run(spec.id)
        await rig.told(view, spec, "running")
        await rig.executor.close()

    play(story())


def test_what_only_events_tell_is_told_too() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        waiting = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}]}
        rig.cluster.set_status(spec.id, waiting)
        rig.cluster.event(spec.id, "FailedMount", 'MountVolume.SetUp failed for volume "v" : secret "db" not found')
        await rig.told(view, spec, "starting", "there is no secret 'db'")
        await rig.executor.close()

    play(story())


def test_the_same_cause_in_other_words_is_not_told_again_and_again() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        for n in range(50):
            rig.cluster.set_status(spec.id, unschedulable(f"0/{n + 1} nodes are available: {n + 1} Insufficient cpu."), node="")
        rig.cluster.run(spec.id)
        heard: list[str] = []
        while (seen := (await view.observe([spec.id]))[spec.id]).phase != "running":
            heard.append(seen.reason)
            await view.wait(10)
        assert len({reason for reason in heard if "Insufficient" in reason}) <= 1
        await rig.executor.close()

    play(story())


def test_nodes_that_may_be_read_are_named_and_say_which_models_there_are() -> None:
    async def story() -> None:
        rig = Rig()
        node = {"kind": "Node", "metadata": {"name": "big", "labels": {"nvidia.com/gpu.product": "NVIDIA-X1"}}}
        rig.cluster.objects["Node", "big"] = {**node, "status": {"allocatable": {"cpu": "8"}}}
        view, spec = await rig.start(), spec_of(resources=Resources(accelerators={"nvidia.com/gpu": 1}, model="X1"))
        await rig.placed(view, spec)
        terms = rig.cluster.pod(spec.id)["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert "NVIDIA-X1" in terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }
        rig.cluster.set_status(spec.id, {"phase": "Pending", "conditions": [condition]}, node="")
        await rig.told(view, spec, "starting", "closest: big has 8 cpu in all")
        await rig.executor.close()

    play(story())


# ---- what the API server refuses


def test_a_quota_is_waited_for_and_told() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        refused = QuotaExceeded(
            'cannot create Pod: pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5, limited: pods=5'
        )
        rig.cluster.refuse = lambda obj: refused if obj["kind"] == "Pod" else None
        await view.submit([spec])
        await rig.told(view, spec, "queued", "quota does not allow it: small, requested: pods=1")
        rig.cluster.refuse = lambda obj: None
        await rig.until(lambda: spec.id in rig.cluster.pods())
        await rig.executor.close()

    play(story())


def test_a_quota_that_refuses_one_is_not_asked_for_all_the_others() -> None:
    async def story() -> None:
        rig = Rig()
        view, specs = await rig.start(), [spec_of(n) for n in range(500)]
        refused = QuotaExceeded('cannot create Pod: pods "x" is forbidden: exceeded quota: small, requested: pods=1, used: pods=5')
        rig.cluster.refuse = lambda obj: refused if obj["kind"] == "Pod" and len(rig.cluster.pods()) >= 5 else None
        await view.submit(specs)
        await rig.told(view, specs[400], "queued", "quota does not allow it")
        assert rig.cluster.requests["create Pod"] < 100
        assert list(rig.cluster.pods()) == [spec.id for spec in specs[:5]]
        rig.succeed(specs[0])
        rig.cluster.finish(specs[0].id)
        await rig.until(lambda: specs[5].id in rig.cluster.pods())
        await rig.executor.close()

    play(story())


def test_a_pod_whose_creation_was_reported_as_failed_is_taken_for_what_it_is() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        rig.cluster.refuse = lambda obj: InfraError("no answer in time") if obj["kind"] == "Pod" else None
        rig.cluster.late = True
        await view.submit([spec])
        await rig.told(view, spec, "starting")
        rig.cluster.run(spec.id)
        await rig.told(view, spec, "running")
        assert rig.cluster.requests["create Pod"] == 1
        await rig.executor.close()

    play(story())


def test_a_pod_whose_node_never_says_that_it_has_gone_is_lost() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.cluster.pod(spec.id)["metadata"]["deletionTimestamp"] = "2026-11-24T18:23:27Z"
        rig.cluster.run(spec.id)
        await rig.told(view, spec, "running")
        await rig.executor.tend()
        assert spec.id in await view.observe([spec.id])
        rig.now += 75
        await rig.executor.tend()
        lost = await rig.settled(view, spec)
        assert lost.error is not None
        assert lost.error.kind == "lost"
        assert "node is lost" in lost.error.message
        await rig.until(lambda: not rig.cluster.pods())
        assert rig.cluster.grace[spec.id] == 0
        await rig.executor.close()

    play(story())


def test_a_pod_whose_node_the_cluster_gave_up_is_lost_soon_after_its_grace() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.cluster.pod(spec.id)["metadata"]["deletionTimestamp"] = "2026-11-24T18:23:27Z"
        taken = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "Taint manager: deleting"}
        rig.cluster.set_status(spec.id, {"phase": "Running", "conditions": [taken]})
        await rig.told(view, spec, "running")
        rig.now += 9
        await rig.executor.tend()
        assert spec.id in await view.observe([spec.id])
        rig.now += 7
        await rig.executor.tend()
        lost = await rig.settled(view, spec)
        assert lost.error is not None
        assert lost.error.kind == "lost"
        await rig.executor.close()

    play(story())


def test_what_admission_refuses_fails_at_once_and_is_not_tried_again() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        rig.cluster.refuse = lambda obj: AdmissionRefused("admission webhook denied the request: no") if obj["kind"] == "Pod" else None
        await view.submit([spec])
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert (failed.error.code, failed.error.retryable) == ("FW-ADMISSION", False)
        assert rig.cluster.requests["create Pod"] == 1
        await rig.executor.close()

    play(story())


def test_a_refused_attempt_can_be_cancelled() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        rig.cluster.refuse = lambda obj: InfraError("the API server is away") if obj["kind"] == "Pod" else None
        await view.submit([spec])
        await rig.told(view, spec, "queued", "the API server is away")
        await view.cancel(spec.id, 1.0)
        cancelled = await rig.settled(view, spec)
        assert cancelled.error is not None
        assert cancelled.error.kind == "cancelled"
        await rig.executor.close()

    play(story())


# ---- limits


def test_never_more_pods_than_the_target_allows() -> None:
    async def story() -> None:
        rig = Rig(target=TargetSettings(limits=Limits(max_pods=3)))
        view, specs = await rig.start(), [spec_of(n) for n in range(12)]
        await view.submit(specs)
        by_id = {spec.id: spec for spec in specs}
        while by_id:
            await rig.until(lambda: any(id in by_id for id in rig.cluster.pods()))
            for id in [id for id in rig.cluster.pods() if id in by_id]:
                rig.succeed(by_id.pop(id))
                rig.cluster.finish(id)
        assert rig.cluster.most == 3
        await rig.executor.close()

    play(story())


def test_what_is_held_back_is_told_once_it_has_waited_a_while() -> None:
    async def story() -> None:
        rig = Rig(target=TargetSettings(limits=Limits(max_pods=1)))
        view, one, two = await rig.start(), spec_of(1), spec_of(2)
        await rig.placed(view, one)
        await view.submit([two])
        assert (await view.observe([two.id]))[two.id].phase == "queued"
        rig.now += 5
        await rig.executor.tend()
        assert two.id in await view.wait(10)
        await rig.told(view, two, "queued", "waits for room: the target may have 1 pod at once")
        await view.cancel(two.id, 1.0)
        assert (await rig.settled(view, two)).error is not None
        await rig.executor.close()

    play(story())


def test_what_can_never_fit_the_limits_is_refused() -> None:
    async def story() -> None:
        rig = Rig(target=TargetSettings(limits=Limits(cpu=2.0)))
        view = await rig.start()
        with pytest.raises(UnschedulableError, match="asks for 3 cores, and the target may have 2 cores"):
            await view.submit([spec_of(resources=Resources(3.0))])
        await rig.executor.close()

    play(story())


def test_where_kueue_is_installed_it_counts_cores_and_pods_carry_their_queue() -> None:
    async def story() -> None:
        rig = Rig(target=TargetSettings(limits=Limits(max_pods=5, cpu=1.0)))
        rig.cluster.groups.add("kueue.x-k8s.io")
        view = await rig.start()
        queued = StepDef("train", placement=Placement(queue="team-a"))
        specs = [spec_of(n, step=queued, resources=Resources(4.0)) for n in range(2)]
        await rig.placed(view, *specs)
        assert all(rig.cluster.pod(spec.id)["metadata"]["labels"][QUEUE_NAME] == "team-a" for spec in specs)
        with pytest.raises(UnschedulableError):
            await view.submit([spec_of(9, resources=Resources(4.0))])
        await rig.executor.close()

    play(story())


def test_a_hundred_thousand_items_grow_no_object_and_no_number_of_pods() -> None:
    async def story() -> None:
        rig = Rig(target=TargetSettings(limits=Limits(max_pods=20)))
        view = await rig.start()
        specs = [spec_of(n, items=1000) for n in range(100)]
        await view.submit(specs)
        by_id = {spec.id: spec for spec in specs}
        while by_id:
            await rig.until(lambda: any(id in by_id for id in rig.cluster.pods()))
            for id in [id for id in rig.cluster.pods() if id in by_id]:
                rig.succeed(by_id.pop(id))
                rig.cluster.finish(id)
        await rig.until(lambda: not rig.cluster.pods())
        assert rig.cluster.most <= 20
        assert rig.cluster.largest < 10_000
        assert sum(rig.cluster.requests.values()) <= 2 * len(specs) + 5
        await rig.executor.close()

    play(story())


# ---- a server that is started anew


def test_a_new_server_takes_up_the_pods_that_are_there_and_runs_nothing_twice() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec, other = await rig.start(), spec_of(1), spec_of(2)
        await rig.placed(view, spec, other)
        rig.cluster.run(spec.id)
        await rig.executor.close()
        rig.executor = rig.fresh()
        view = await rig.start()
        assert await view.observe([spec.id]) == {}, "its driver has to ask for it, so that its worker can"
        await view.submit([spec, other])
        await rig.told(view, spec, "running")
        await rig.told(view, other, "starting")
        assert rig.cluster.requests["create Pod"] == 2
        rig.succeed(spec)
        await rig.settled(view, spec)
        await rig.executor.close()

    play(story())


def test_a_pod_that_ended_while_the_server_was_away_is_explained() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        await rig.executor.close()
        rig.cluster.finish(spec.id, 137, reason="OOMKilled")
        rig.executor = rig.fresh()
        view = await rig.start()
        await view.submit([spec])
        failed = await rig.settled(view, spec)
        assert failed.error is not None
        assert failed.error.kind == "oom"
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())


def test_pods_and_objects_that_nobody_asks_for_any_more_are_cleared_away() -> None:
    async def story() -> None:
        rig = Rig()
        view, gone, done = await rig.start(), spec_of(1), spec_of(2)
        await rig.placed(view, gone, done)
        await rig.executor.close()
        rig.artifacts.put(outcome_key(RUN, done.id), json.dumps(to_plain(Outcome(done.id, "ended"))).encode())
        rig.cluster.finish(done.id)
        rig.executor = rig.fresh()
        await rig.start()
        await rig.until(lambda: done.id not in rig.cluster.pods())
        await rig.executor.tend()
        assert gone.id in rig.cluster.pods()
        rig.now += 601
        await rig.tended(lambda: ("ConfigMap", f"run-{RUN}") not in rig.cluster.objects)
        assert not rig.cluster.pods()
        await rig.executor.close()

    play(story())


def test_a_pod_that_stays_after_its_outcome_is_ended() -> None:
    async def story() -> None:
        rig = Rig()
        view, spec = await rig.start(), spec_of()
        await rig.placed(view, spec)
        rig.cluster.run(spec.id)
        rig.succeed(spec)
        await rig.executor.tend()
        assert rig.cluster.pods()
        rig.now += 61
        await rig.executor.tend()
        await rig.until(lambda: not rig.cluster.pods())
        await rig.executor.close()

    play(story())
