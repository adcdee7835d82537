"""Gangs of the Kubernetes executor once their pods come: who takes part, what they are told, and how the attempt ends."""

from __future__ import annotations

import asyncio

import pytest

from fairway.executors.meeting import Coming
from fairway.kube.gangs import TOLD
from fairway.spec.gang import World, places_of
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.record import from_plain
from fairway.spec.target import Limits, TargetSettings
from tests.kube.executorrig import play
from tests.kube.ganghall import Hall, gang_of, unschedulable


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


def test_pods_with_addresses_of_ipv6_on_two_nodes_meet_at_them() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(replicas=2)
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1)
        for index, name in enumerate(names):
            coming = Coming(index, name, f"fd00:10:{index}::5", (4000 + index, 5000 + index))
            hall.cluster.set_status(name, {"phase": "Running", "podIP": coming.host}, node=f"n{index}")
            await hall.rig.executor.gangs.meet(spec.id, coming, False, 0.0)
        world = from_plain(World, (await hall.meet(spec, names[0]))["world"])
        places = places_of(spec.step.gang, world)
        assert [places[0].endpoint(rank) for rank in (0, 1)] == ["[fd00:10:0::5]:4000", "[fd00:10:1::5]:4001"]
        assert not places[0].on_one_machine
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
        hall.rig.now += 29.0
        await hall.rig.executor.tend()
        assert await hall.meet(spec, names[0]) == {}
        hall.rig.now += 2.0
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


def test_one_that_is_on_its_way_is_waited_for() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(min_replicas=2)
        await view.submit([spec])
        names = await hall.pods(spec, 0, 1, 2)
        for name in names[:2]:
            await hall.meet(spec, name)
        hall.rig.now += 98.0
        await hall.rig.executor.tend()
        assert await hall.meet(spec, names[0]) == {}, "the third has a place: its image is being pulled"
        hall.rig.now += 3.0
        await hall.rig.executor.tend()
        assert "world" in await hall.meet(spec, names[0])
        await hall.rig.executor.close()

    play(story())


def test_after_a_loss_a_gang_is_not_given_up_because_too_few_come_at_once() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(min_replicas=2, tries=2)
        await view.submit([spec])
        (name,) = await hall.pods(spec, 0)
        await hall.meet(spec, name)
        hall.rig.now += 98.0
        await hall.rig.executor.tend()
        assert ("Job", spec.id) in hall.cluster.objects
        (other,) = await hall.pods(spec, 1)
        await hall.meet(spec, other)
        assert "world" in await hall.meet(spec, name)
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


def test_programs_are_told_who_they_are_when_it_is_known_who_has_come() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of(1, image="trainer:1", min_replicas=2)
        await view.submit([spec])
        names = await hall.pods(spec, 1, 2)
        (missing,) = await hall.pods(spec, 0, placed=False)
        for name in names:
            assert await hall.meet(spec, name) == {}
        hall.rig.now += 31.0
        await hall.rig.executor.tend()
        for rank, name in enumerate(names):
            world = (await hall.meet(spec, name))["world"]
            notes = hall.cluster.pod(name)["metadata"]["annotations"]
            assert (notes[f"{TOLD}/RANK"], notes[f"{TOLD}/WORLD_SIZE"], notes[f"{TOLD}/key"]) == (str(rank), "2", world["key"])
        assert f"{TOLD}/key" not in hall.cluster.pod(missing)["metadata"]["annotations"]
        hall.cluster.finish(names[1])
        hall.rig.executor.note_outputs(spec.id, {}, [])
        hall.cluster.finish(names[0])
        outcome = await hall.rig.settled(view, spec)
        assert [item.status for item in outcome.items] == ["succeeded"], outcome.error
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


def test_a_gang_stands_still_when_all_that_have_not_ended_do() -> None:
    async def story() -> None:
        hall = Hall()
        view, spec = await hall.start(), gang_of()
        await view.submit([spec])
        one, two, three = await hall.pods(spec, 0, 1, 2)
        for name in (one, two, three):
            await hall.meet(spec, name)
        assert await hall.meet(spec, one, met=True, still=True) == {}
        waiting = asyncio.create_task(hall.meet(spec, one, met=True, still=True, wait_s=10.0))
        hall.end(spec, three)
        await asyncio.sleep(0)
        assert not waiting.done()
        await hall.meet(spec, two, met=True, still=True)
        assert (await waiting)["stop"] == "stall", "it hears it at once"
        stalled = Outcome(spec.id, "failed", error=ErrorInfo("stall", "FW-TASK-STALLED", "no rank has reported progress"))
        hall.rig.executor.gangs.end(spec.id, 1, two, stalled, False)
        assert (await hall.meet(spec, one, met=True, still=True))["stop"] == "stall", "it is still to say where it stands"
        assert (await hall.meet(spec, one, met=True))["stop"] == "over", "it has gone on in the meantime"
        await hall.rig.executor.close()

    play(story())


@pytest.mark.parametrize("image", ["", "trainer:1"])
def test_parameter_servers_end_when_those_have_that_they_are_there_for(image: str) -> None:
    async def story() -> None:
        hall = Hall()
        roles = {"worker": 2, "server": 1, "scheduler": 1}
        view, spec = await hall.start(), gang_of(image=image, replicas=4, framework="mxnet", roles=roles)
        await view.submit([spec])
        first, worker, server, scheduler = await hall.pods(spec, 0, 1, 2, 3)
        for name in (first, worker, server, scheduler):
            await hall.meet(spec, name)
        if image:
            hall.rig.executor.note_outputs(spec.id, {}, [])
            hall.cluster.finish(first)
            await hall.rig.until(lambda: hall.rig.artifacts.stat(f"{outcome_key(spec.run, spec.id)}.gang.end.0") is not None)
            assert server not in hall.cluster.grace, "the worker is still at work"
            hall.cluster.finish(worker)
            await hall.rig.until(lambda: server in hall.cluster.grace)
        else:
            hall.end(spec, first)
            assert await hall.meet(spec, server, met=True) == {}
            hall.end(spec, worker)
            assert (await hall.meet(spec, server, met=True))["stop"] == "done"
            ended = Outcome(spec.id, "failed", error=ErrorInfo("cancelled", "FW-CANCELLED", "told to end"))
            hall.rig.executor.gangs.end(spec.id, 2, server, ended, True)
            hall.rig.executor.gangs.end(spec.id, 3, scheduler, ended, True)
        outcome = await hall.rig.settled(view, spec)
        assert [item.status for item in outcome.items] == ["succeeded"], outcome.error
        await hall.rig.executor.close()

    play(story())
