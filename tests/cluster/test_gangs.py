"""Gangs whose replicas are pods: how they meet, how they end, and what holds them back."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from fairway.kube.gangs import INDEX
from tests.cluster.rig import Rig

pytestmark = pytest.mark.cluster
GIB = 1 << 30


def result(done: Any) -> Any:
    return json.loads(done["outputs"]["result"]["inline"])


def names(rig: Rig, run: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in rig.pods_of(run)]


def replica(rig: Rig, run: str, index: int) -> str:
    """The pod of a replica that is there now."""
    (name,) = [
        pod["metadata"]["name"]
        for pod in rig.pods_of(run)
        if pod["metadata"]["annotations"].get(INDEX) == str(index) and pod["metadata"]["name"] not in rig.gone
    ]
    return name


def nothing_is_left(rig: Rig, run: str) -> bool:
    rig.await_gone(names(rig, run))
    rig.await_none("NetworkPolicy", run)
    return not rig.wait(rig.kube.list("Job", labels=f"fairway.dev/run={run}"))


def fenced(rig: Rig, run: str) -> bool:
    """Is there a policy that keeps others off the gang's pods?"""
    (policy,) = rig.wait(rig.kube.list("NetworkPolicy", labels=f"fairway.dev/run={run}"))
    chosen = policy["spec"]["podSelector"]["matchLabels"].items()
    return all(chosen <= pod["metadata"]["labels"].items() for pod in rig.pods_of(run))


def at_the_gate(rig: Rig, run: str, count: int = 2) -> None:
    """Wait until so many ranks wait there."""
    following = rig.start("logs", "-f", run, "--on", "test")
    for _ in range(count):
        following.await_line("at the gate")


def test_ranks_in_pods_of_their_own_find_each_other_without_a_name(rig: Rig):
    done = rig.run("gangs.py:together")
    assert result(done) == {"sum": 10, "pods": 2}
    pods = names(rig, done["run"])
    assert len(pods) == 2
    logs = rig.fairway("logs", done["run"], "meet", "--rank", "3", "--on", "test").stdout
    assert "rank 3 of 4 is in" in logs
    assert "rank 2" not in logs
    assert all(f"rank {rank} of 4" in rig.fairway("logs", done["run"], "--on", "test").stdout for rank in range(4))
    assert nothing_is_left(rig, done["run"])


def test_one_rank_that_fails_stops_the_others_within_seconds_and_is_the_reason(rig: Rig):
    run = rig.detach("gangs.py:failing")
    rig.start("logs", "-f", run, "--on", "test").await_line("this rank is bad")
    since = time.monotonic()
    ended = rig.finish(run)
    assert ended.status == "failed"
    assert time.monotonic() - since < 20, "the other waits for ever"
    shown = rig.show(run)
    assert "ValueError: rank 1 of 2 on" in shown
    assert "failed first: this rank is bad" in shown
    assert "gangs.py" in shown
    assert rig.attempts(run) == {"fail": 1}, "an exception would be raised again"
    assert nothing_is_left(rig, run)


@pytest.mark.parametrize("how", ["killed", "deleted"])
def test_a_gang_that_lost_a_rank_goes_on_from_its_newest_checkpoint(rig: Rig, how: str):
    run = rig.detach("gangs.py:training", *(["--param", "killed=true"] if how == "killed" else []))
    if how == "deleted":
        at_the_gate(rig, run)
        rig.wait(rig.kube.delete("Pod", replica(rig, run, 1), grace_s=0))
    assert rig.finish(run).status == "succeeded", rig.show(run)
    shown = rig.json("show", run, "--on", "test")
    assert json.loads(shown["outputs"]["result"]["inline"]) == [3, 2], "it began after the last checkpoint, in its second try"
    assert rig.attempts(run) == {"train": 2}
    assert len(names(rig, run)) == 4
    assert nothing_is_left(rig, run)


def test_a_gang_that_stands_still_is_ended_and_the_stacks_of_all_ranks_are_kept(rig: Rig):
    failed = rig.run("gangs.py:hanging", expect=3)
    assert failed["error"]["kind"] == "stall"
    stacks = rig.fairway("logs", failed["run"], "hang", "--stacks", "--on", "test").stdout
    assert stacks.count("in stand_still") == 2


def test_a_cancelled_gang_leaves_nothing_behind(rig: Rig):
    run = rig.detach("gangs.py:waiting")
    at_the_gate(rig, run)
    assert fenced(rig, run)
    rig.fairway("cancel", run, "--on", "test")
    assert rig.finish(run).status == "cancelled"
    assert len(names(rig, run)) == 2
    assert nothing_is_left(rig, run)


def test_a_gang_goes_on_when_the_server_is_killed(rig: Rig):
    run = rig.detach("gangs.py:waiting")
    at_the_gate(rig, run)
    rig.kill_server()
    for index in (0, 1):
        rig.pass_gate(replica(rig, run, index))
    assert rig.finish(run).status == "succeeded"
    assert rig.attempts(run) == {"wait": 1}
    assert len(names(rig, run)) == 2
    assert nothing_is_left(rig, run)


@contextmanager
def quota(rig: Rig, gib: float) -> Generator[None]:
    """The namespace's disk is bounded to what is there now and so much more."""
    meta = {"name": "disk", "namespace": rig.namespace}
    there = [pod for name, pod in rig.pods.items() if name not in rig.gone]
    of_all = sum(_disk(pod) for pod in there if pod["status"]["phase"] not in ("Succeeded", "Failed"))
    spec = {"hard": {"requests.ephemeral-storage": str(of_all + int(gib * GIB))}}
    rig.wait(rig.kube.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}))
    try:
        yield
    finally:
        rig.wait(rig.kube.delete("ResourceQuota", "disk"))


def _disk(pod: Any) -> int:
    units = {"Mi": 1 << 20, "Gi": GIB}
    asked = [one["resources"].get("requests", {}).get("ephemeral-storage", "0") for one in pod["spec"]["containers"]]
    return sum(int(text[:-2]) * units[text[-2:]] if text[-2:] in units else int(text) for text in asked)


def test_a_gang_waits_until_a_quota_holds_all_of_it(rig: Rig):
    with quota(rig, 1.5):
        run = rig.detach("gangs.py:held")
        assert "quota" in rig.await_reason(run, "waits for room for all 2 replicas")
        assert names(rig, run) == []
    assert rig.finish(run).status == "succeeded"
    assert len(names(rig, run)) == 2
    assert nothing_is_left(rig, run)


def test_a_gang_that_may_begins_with_fewer(rig: Rig):
    with quota(rig, 2.5):
        done = rig.run("gangs.py:fewer")
        assert result(done) == [2, 2]
        assert nothing_is_left(rig, done["run"])


def test_what_does_not_come_together_in_time_is_removed_as_a_whole_and_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAIRWAY_TEST_NODE", rig.pods[rig.server_pod()]["spec"]["nodeName"])
    run = rig.detach("gangs.py:too_large")
    rig.await_reason(run, "1 of 2 replicas came within 5 s; it is tried again")
    first = names(rig, run)  # of several rounds, where pods are slow to start: in those none of the two had come
    assert len(first) >= 2
    rig.await_gone(first)
    rig.await_pods(lambda there: len([name for name in names(rig, run) if name not in first]) >= 2, "next round")
    rig.fairway("cancel", run, "--on", "test")
    assert rig.finish(run).status == "cancelled"
    assert rig.attempts(run) == {"alone": 1}
    assert nothing_is_left(rig, run)


def test_servers_of_a_gang_end_when_its_workers_have(rig: Rig):
    done = rig.run("gangs.py:serving")
    assert result(done) == "worker"
    assert len(names(rig, done["run"])) == 3
    assert nothing_is_left(rig, done["run"])


def test_programs_in_images_are_told_who_they_are(rig: Rig):
    done = rig.run("gangs.py:in_images")
    assert result(done) == "rank-0 slots=1\nrank-1 slots=1\n"
    for rank in (0, 1):
        logs = rig.fairway("logs", done["run"], "programs", "--rank", str(rank), "--on", "test").stdout
        assert f"I am {rank} of 2: rank-0:29500,rank-1:29500" in logs
    assert nothing_is_left(rig, done["run"])


def test_a_program_that_fails_ends_the_others_of_its_gang(rig: Rig):
    failed = rig.run("gangs.py:in_images_badly", expect=3)
    assert failed["error"]["kind"] == "exit:7"
    assert "replica 1 of 2 failed first" in rig.show(failed["run"])
    assert nothing_is_left(rig, failed["run"])
