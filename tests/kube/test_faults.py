"""What goes wrong in a cluster costs a run time, and nothing else: requests that fail, watches that break, pods and nodes that go, a server
that is killed in each state of an attempt. What has ended is not run again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.client import Run
from fairway.spec.artifact import ArtifactRef
from fairway.spec.layout import BLOBS
from fairway.spec.outcome import ItemOutcome, Outcome, outcome_key
from fairway.spec.record import to_plain
from fairway.step.folder import FolderArtifactStore
from tests.kube.emulator import Node
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import POOL, Campus, ClusterRig
from tests.kube.watched import Watched
from tests.semantics.rig import outputs
from tests.waiting import PATIENCE_S

SOURCE = """
def note(word: str) -> None:
    with open({log!r}, "a") as file:
        file.write(word + "\\n")

@fw.step
def first(x: int) -> int:
    note("first")
    return x + 1

@fw.step{settings}
def held(x: int) -> int:
    note("held")
    with open({bell!r}, "w") as bell:
        bell.write("at the gate")
    with open({gate!r}) as gate:
        gate.read()
    note("passed")
    return x * 2

@fw.step
def last(x: int) -> int:
    note("last")
    return x + 3

@fw.pipeline
def main(x: int = 1) -> int:
    return last(held(first(x)))

@fw.pipeline
def short(x: int = 1) -> int:
    return first(x)
"""
ONCE = ["first", "held", "passed", "last"]


@pytest.fixture
def story(tmp_path: Path, campus: Campus) -> Iterator[Story]:
    with project(tmp_path, campus) as rig:
        made = Story(rig)
        yield made
        made.close()


class Story(Watched):
    """A run with a step that waits at a gate."""

    def __init__(self, rig: ClusterRig) -> None:
        super().__init__(rig, 1)
        os.mkfifo(self.gate)

    def begin(self, name: str = "main", settings: str = "") -> Future[Run]:
        """The run, begun; its end is the future's result."""
        pipeline = self.rig.load(self.fill(SOURCE, settings=settings), name)
        return self.watch(pipeline)

    def pass_gate(self) -> None:
        self.gate.write_text("pass")

    def pods(self) -> list[Any]:
        """Pods of attempts that are there; not those of pools."""
        return [each for each in self.cluster.list("Pod") if "fairway.dev/attempt" in each["metadata"].get("labels", {})]

    def created(self) -> int:
        """How many pods have been made at somebody's request."""
        return sum((each.verb, each.kind, each.code) == ("create", "Pod", 201) for each in self.cluster.requests)

    def pod(self) -> str:
        """The one that runs."""
        (only,) = [each for each in self.pods() if not each["metadata"].get("deletionTimestamp") and each["status"]["phase"] == "Running"]
        return only["metadata"]["name"]


def succeeded(run: Run, result: int) -> bool:
    (output,) = outputs(run).values()
    return output == result


# ---- requests and watches


@pytest.mark.parametrize(
    "fault",
    [
        lambda faults: faults.answer(429, "create", "Pod", times=2, retry_after=1),
        lambda faults: faults.answer(409, "create", "Pod"),
        lambda faults: faults.answer(500, "create", "*", times=3),
        lambda faults: faults.answer(503, "create", "Pod", times=2),
        lambda faults: faults.answer(504, "delete", "Pod"),
        lambda faults: faults.lose_reply("create", "Pod"),
        lambda faults: faults.lose_reply("create", "ConfigMap"),
        lambda faults: faults.lose_reply("delete", "Pod"),
    ],
    ids=[
        "429",
        "409",
        "500",
        "503",
        "504 to a deletion",
        "a created pod unheard of",
        "a created owner unheard of",
        "a deletion unheard of",
    ],
)
def test_requests_that_fail_are_made_again_and_nothing_runs_twice(story: Story, fault: Callable[[Any], Any]) -> None:
    rule = fault(story.cluster.faults)
    assert succeeded(story.begin("short").result(PATIENCE_S), 2)
    story.cluster.wait(lambda: rule.left == 0 and not story.pods())
    assert story.noted == ["first"]


def test_a_run_goes_on_over_watches_that_break_and_versions_that_expire(story: Story) -> None:
    done = story.begin()
    story.bell.wait()
    story.cluster.faults.lose_watches()
    story.cluster.faults.answer(500, "watch", "Pod", times=1)
    story.cluster.faults.expire()
    story.cluster.faults.lose_watches()
    story.pass_gate()
    assert succeeded(done.result(PATIENCE_S), 7)
    assert story.noted == ONCE


def test_a_pod_that_goes_while_no_watch_is_open_is_missed_all_the_same(story: Story) -> None:
    done = story.begin()
    story.bell.wait()
    story.cluster.faults.answer(500, "watch", "Pod", times=1)
    story.cluster.faults.lose_watches("Pod")
    story.cluster.faults.vanish(story.pod())
    story.cluster.faults.expire()
    story.bell.wait()
    story.pass_gate()
    assert succeeded(done.result(PATIENCE_S), 7)
    assert story.noted == ["first", "held", "held", "passed", "last"]


# ---- pods and nodes


@pytest.mark.parametrize("mishaps", [("vanish", "evict", "preempt"), ("shut_down", "hide", "refuse_admission")])
def test_what_a_cluster_takes_away_is_done_again_and_what_had_ended_is_not(story: Story, mishaps: tuple[str, ...]) -> None:
    done = story.begin()
    for mishap in mishaps:
        story.bell.wait()
        getattr(story.cluster.faults, mishap)(story.pod())
    story.bell.wait()
    story.pass_gate()
    assert succeeded(done.result(PATIENCE_S), 7)
    assert story.noted == ["first", *["held"] * 4, "passed", "last"]


@pytest.mark.parametrize("way", ["cut off for a while", "removed"])
def test_a_node_that_dies_takes_its_attempts_with_it_and_the_run_goes_on(story: Story, way: str) -> None:
    done = story.begin()
    story.bell.wait()
    node = story.cluster.find("Pod", story.pod())["spec"]["nodeName"]  # type: ignore[index]
    assert node != story.cluster.find("Pod", story.server())["spec"]["nodeName"]  # type: ignore[index]
    if way == "removed":
        story.cluster.faults.remove_node(node)
        story.cluster.call(lambda: story.cluster.add_node(Node(f"{node}-anew")))
    else:
        story.cluster.faults.lose_node(node, running=True)
        story.cluster.faults.find_node(node)
    story.bell.wait()
    story.pass_gate()
    assert succeeded(done.result(PATIENCE_S), 7)
    assert story.noted == ["first", "held", "held", "passed", "last"]


# ---- a server that is killed


def test_killed_before_the_pod_was_made(story: Story) -> None:
    rule = story.cluster.faults.hang("create", "Pod")
    done = story.begin("short")
    story.cluster.wait(lambda: rule.met)
    story.kill_server()
    assert succeeded(done.result(PATIENCE_S), 2)
    assert story.noted == ["first"]


def test_killed_when_the_pod_was_made_and_did_not_run(story: Story) -> None:
    story.cluster.scheduler.paused = True
    before = story.created()
    done = story.begin("short")
    story.cluster.wait(story.pods)
    story.kill_server()
    story.cluster.scheduler.paused = False
    story.cluster.call(story.cluster.scheduler.try_all)
    assert succeeded(done.result(PATIENCE_S), 2)
    assert story.noted == ["first"]
    assert story.created() - before == 1


@pytest.mark.parametrize("settings", ["", f"(pool={POOL})"], ids=["a pod", "a pool"])
def test_killed_while_the_attempt_runs(story: Story, settings: str) -> None:
    done = story.begin(settings=settings)
    story.bell.wait()
    story.kill_server()
    story.pass_gate()
    assert succeeded(done.result(PATIENCE_S), 7)
    assert story.noted == ONCE


@pytest.mark.parametrize("settings", ["", f"(pool={POOL})"], ids=["a pod", "a pool"])
def test_an_attempt_ends_while_the_server_is_away(story: Story, settings: str) -> None:
    done = story.begin(settings=settings)
    story.bell.wait()
    story.stop_server()
    story.pass_gate()
    story.start_server()
    assert succeeded(done.result(PATIENCE_S), 7)
    assert story.noted == ONCE


def test_killed_when_the_outcome_was_written_and_not_recorded(story: Story) -> None:
    done = story.begin()
    story.bell.wait()
    labels = story.cluster.find("Pod", story.pod())["metadata"]["labels"]  # type: ignore[index]
    story.stop_server()
    put_outcome(story, labels["fairway.dev/run"], labels["fairway.dev/attempt"], 40)
    story.cluster.faults.vanish(story.pod())
    story.start_server()
    assert succeeded(done.result(PATIENCE_S), 43)
    assert story.noted == ["first", "held", "last"]


def test_killed_while_a_run_is_being_cancelled(story: Story) -> None:
    done = story.begin()
    story.bell.wait()
    story.rig.last().cancel()
    story.cluster.wait(lambda: story.cluster.find("Pod", story.pods()[0]["metadata"]["name"]))
    story.kill_server()
    assert done.result(PATIENCE_S).status == "cancelled"
    story.cluster.wait(lambda: not story.pods())
    assert story.noted == ["first", "held"]


def test_what_a_test_leaves_in_the_cluster_ends_before_the_next(tmp_path: Path, campus: Campus) -> None:
    with project(tmp_path, campus) as rig:
        left = Story(rig)
        done = left.begin()
        left.bell.wait()
        left.cluster.scheduler.paused = True
        left.close()
        assert done.result(0).status == "cancelled"
        assert not left.pods() and not left.cluster.scheduler.paused


def put_outcome(story: Story, run: str, attempt: str, value: int) -> None:
    """As the attempt itself would have had it written."""
    text = json.dumps(value)
    ref = ArtifactRef(hashlib.sha256(text.encode()).hexdigest(), len(text), "json", "int", inline=text)
    outcome = Outcome(attempt, "ended", (ItemOutcome("succeeded", {"result": ref}),))
    home = story.cluster.volumes.claim_folder(story.cluster.namespace, "fairway-data")
    FolderArtifactStore(str(home / BLOBS)).put(outcome_key(run, attempt), json.dumps(to_plain(outcome)).encode())
