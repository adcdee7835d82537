"""Gangs on Kubernetes, disturbed: ranks that fail, pods and nodes that go, a server that is killed. All of a gang lives, or none of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.emulator import Node
from tests.kube.gangrig import STANDING, TRAINING, GangStory, result
from tests.kube.policies import lets_in
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus
from tests.semantics.rig import error_of
from tests.waiting import PATIENCE_S


def test_replicas_are_pods_that_meet_at_their_addresses_and_go_when_all_have_ended(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in story.pods()} == {"Job"}
    server, fences = story.cluster.find("Pod", story.server()) or {}, story.fences()
    assert all(lets_in(fences, pod, other) for pod in story.pods() for other in story.pods())
    assert not any(lets_in(fences, pod, server) for pod in story.pods())
    assert lets_in(fences, server, story.pods()[0])
    story.open_gate()
    run = done.result(PATIENCE_S)
    assert result(run) == {"total": 3, "world": 3, "hosts": 3}
    assert sorted(story.noted) == ["begun 0/3", "begun 1/3", "begun 2/3", "ended 0", "ended 1", "ended 2"]
    story.until(story.is_empty)
    streams = run.workspace.streams
    (attempt,) = run.tasks["fit"].attempts
    for rank in range(3):
        assert f"rank {rank} speaks" in streams.read(f"{run.id}/{attempt}/log.{rank}").decode()


def test_one_ranks_exception_stops_the_others_and_is_the_reason(story: GangStory) -> None:
    done = story.begin(bad=1)
    story.begun(3)
    story.open_gate()
    run = done.result(PATIENCE_S)  # the others, which sleep, are stopped
    assert run.status == "failed"
    (error,) = [task.error for task in run.tasks.values()]
    assert error is not None
    assert error.kind == "ValueError"
    assert "rank 1 of 3" in error.message and "failed first" in error.message
    assert "this rank is bad" in error.message
    story.until(story.is_empty)


def test_a_server_that_may_not_make_policies_says_that_the_ports_stand_open(story: GangStory) -> None:
    with story.without("networkpolicies"):
        done = story.begin("replicas=2")
        story.begun(2)
        assert story.fences() == []
        story.hear_server("whoever reaches its pods can connect to its ranks: the server may not make a NetworkPolicy here")
        story.open_gate()
        assert result(done.result(PATIENCE_S))["total"] == 1
        story.until(story.is_empty)


@pytest.mark.parametrize("mishap", ["vanish", "evict", "preempt", "shut_down", "hide"])
def test_a_pod_that_the_cluster_takes_away_costs_no_restart(story: GangStory, mishap: str) -> None:
    done = story.begin("replicas=3, restarts=0")
    story.begun(3)
    getattr(story.cluster.faults, mishap)(story.pod(1))
    story.begun(6)
    story.open_gate()
    assert result(done.result(PATIENCE_S)) == {"total": 3, "world": 3, "hosts": 3}
    assert [line for line in story.noted if line.startswith("ended")] != []
    story.until(story.is_empty)


def test_a_replica_that_is_killed_for_memory_is_said_to_have_failed_first(story: GangStory) -> None:
    done = story.begin("replicas=3, restarts=0")
    story.begun(3)
    story.cluster.faults.out_of_memory(story.pod(2))
    run = done.result(PATIENCE_S)
    (error,) = [task.error for task in run.tasks.values()]
    assert error is not None
    assert error.kind == "oom"
    assert "replica 2 of 3 failed first" in error.message
    story.until(story.is_empty)


def test_a_gang_stands_still_when_the_ranks_of_all_pods_do_and_each_says_where(story: GangStory) -> None:
    started = story.begin("replicas=2, stall_timeout=2, restarts=0", source=STANDING)
    run = started.result(PATIENCE_S)
    assert error_of(run).kind == "stall"
    assert "still 0" in story.noted, "rank 1 says nothing for longer than that while rank 0 goes on"
    (attempt,) = run.tasks["fit"].attempts
    for rank in (0, 1):
        assert "in stand_still" in run.workspace.streams.read(f"{run.id}/{attempt}/stacks.{rank}").decode()


def test_the_server_is_killed_while_the_gang_runs_and_nothing_runs_twice(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    story.kill_server()
    story.open_gate()
    assert result(done.result(PATIENCE_S))["total"] == 3
    assert sorted(story.noted) == ["begun 0/3", "begun 1/3", "begun 2/3", "ended 0", "ended 1", "ended 2"]


def test_a_gang_ends_while_the_server_is_away(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    story.stop_server()
    story.open_gate()
    story.hear("ended", 3)
    story.start_server()
    assert result(done.result(PATIENCE_S))["total"] == 3
    assert len(story.noted) == 6


def test_the_server_is_killed_before_all_pods_had_a_place(story: GangStory) -> None:
    story.cluster.scheduler.paused = True
    done = story.begin()
    story.until(lambda: len(story.pods()) == 3)
    story.kill_server()
    story.cluster.scheduler.paused = False
    story.cluster.call(story.cluster.scheduler.try_all)
    story.open_gate()
    assert result(done.result(PATIENCE_S))["total"] == 3
    assert len(story.noted) == 6


def test_a_run_that_is_cancelled_takes_its_gang_with_it(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    story.rig.last().cancel()
    assert done.result(PATIENCE_S).status == "cancelled"
    story.until(story.is_empty)
    assert not [line for line in story.noted if line.startswith("ended")]


def test_a_gang_goes_on_from_its_newest_checkpoint_on_other_machines(story: GangStory) -> None:
    done = story.begin("replicas=2, restarts=1", source=TRAINING)
    story.sent(4)
    story.cluster.faults.kill_process(story.pod(1))
    story.begun(4)
    story.open_gate()
    assert result(done.result(PATIENCE_S)) == 2
    again = [line for line in story.noted if line.startswith("begun")][2:]
    assert {line.partition(" at ")[0] for line in again} == {"begun 0/2", "begun 1/2"}
    assert all(int(line.partition(" at ")[2]) >= 4 for line in again), "they began where what is kept ends"


@pytest.fixture
def small(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GangStory]:
    """In a cluster in which each node holds one replica that asks for three cores."""
    campus = Campus(tmp_path_factory.mktemp("small"), nodes=[Node(f"n{number}", cpu=4) for number in (1, 2, 3)])
    with project(tmp_path, campus) as rig:
        made = GangStory(rig)
        yield made
        made.close()
    campus.close()


def test_a_gang_shrinks_when_a_node_is_gone_and_grows_at_a_checkpoint_when_there_is_room(small: GangStory) -> None:
    done = small.begin("replicas=3, min_replicas=2, restarts=0", cpu=3.0, source=TRAINING)
    small.begun(3)
    small.sent(1)
    node = next(each for each in small.nodes() if each != small.server_node())
    small.cluster.faults.remove_node(node)
    small.begun(5)
    assert sum("/2 at" in line for line in small.noted) == 2
    small.cluster.call(lambda: small.cluster.add_node(Node(f"{node}-anew", cpu=4)))
    small.begun(8)
    assert sum("/3 at" in line for line in small.noted) == 6
    small.open_gate()
    assert result(done.result(PATIENCE_S)) == 3
    steps = [int(line.partition(" at ")[2]) for line in small.noted if line.startswith("begun")]
    assert 0 == steps[2] < steps[3] == steps[4] < steps[5] == steps[7], "nothing was begun anew"
    small.until(small.is_empty)


def test_two_gangs_that_want_the_same_room_run_one_after_the_other(small: GangStory) -> None:
    both = [small.begin("replicas=2", cpu=3.0), small.begin("replicas=3", cpu=3.0)]
    small.hear("begun", 2)
    small.open_gate()
    assert sorted(result(done.result(PATIENCE_S))["world"] for done in both) == [2, 3]
    assert len(small.noted) == 10, "none of them ran twice"
