"""Gangs on Kubernetes, disturbed: ranks that fail, pods and nodes that go, a server that is killed. All of a gang lives, or none of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.emulator import Node
from tests.kube.gangrig import GangStory, result
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    made = Campus(tmp_path_factory.mktemp("campus"), nodes=(Node("n1"), Node("n2"), Node("n3")))
    yield made
    made.close()


@pytest.fixture
def story(tmp_path: Path, campus: Campus) -> Iterator[GangStory]:
    with project(tmp_path, campus) as rig:
        made = GangStory(rig)
        yield made
        made.close()


def test_replicas_are_pods_that_meet_at_their_addresses_and_go_when_all_have_ended(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in story.pods()} == {"Job"}
    story.open_gate()
    run = done.result(60)
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
    began = time.monotonic()
    story.open_gate()
    run = done.result(60)
    took_s = time.monotonic() - began
    assert run.status == "failed"
    (error,) = [task.error for task in run.tasks.values()]
    assert error is not None
    assert error.kind == "ValueError"
    assert "rank 1 of 3" in error.message and "failed first" in error.message
    assert "this rank is bad" in error.message
    assert took_s < 8, "the others, which sleep, were not stopped"
    story.until(story.is_empty)


@pytest.mark.parametrize("mishap", ["vanish", "evict", "preempt", "shut_down", "hide"])
def test_a_pod_that_the_cluster_takes_away_costs_no_restart(story: GangStory, mishap: str) -> None:
    done = story.begin("replicas=3, restarts=0")
    story.begun(3)
    getattr(story.cluster.faults, mishap)(story.pod(1))
    story.begun(6)
    story.open_gate()
    assert result(done.result(60)) == {"total": 3, "world": 3, "hosts": 3}
    assert [line for line in story.noted if line.startswith("ended")] != []
    story.until(story.is_empty)


def test_a_replica_that_is_killed_for_memory_is_said_to_have_failed_first(story: GangStory) -> None:
    done = story.begin("replicas=3, restarts=0")
    story.begun(3)
    story.cluster.faults.out_of_memory(story.pod(2))
    run = done.result(60)
    (error,) = [task.error for task in run.tasks.values()]
    assert error is not None
    assert error.kind == "oom"
    assert "replica 2 of 3 failed first" in error.message
    story.until(story.is_empty)


def test_the_server_is_killed_while_the_gang_runs_and_nothing_runs_twice(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    story.kill_server()
    story.open_gate()
    assert result(done.result(60))["total"] == 3
    assert sorted(story.noted) == ["begun 0/3", "begun 1/3", "begun 2/3", "ended 0", "ended 1", "ended 2"]


def test_a_gang_ends_while_the_server_is_away(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    story.stop_server()
    story.open_gate()
    story.hear("ended", 3)
    story.start_server()
    assert result(done.result(60))["total"] == 3
    assert len(story.noted) == 6


def test_the_server_is_killed_before_all_pods_had_a_place(story: GangStory) -> None:
    story.cluster.scheduler.paused = True
    done = story.begin()
    story.until(lambda: len(story.pods()) == 3)
    story.kill_server()
    story.cluster.scheduler.paused = False
    story.cluster.call(story.cluster.scheduler.try_all)
    story.open_gate()
    assert result(done.result(60))["total"] == 3
    assert len(story.noted) == 6


def test_a_run_that_is_cancelled_takes_its_gang_with_it(story: GangStory) -> None:
    done = story.begin()
    story.begun(3)
    story.rig.last().cancel()
    assert done.result(60).status == "cancelled"
    story.until(story.is_empty)
    assert not [line for line in story.noted if line.startswith("ended")]
