"""The target itself: set up, looked at, exported, taken away."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.cluster.rig import Rig

pytestmark = pytest.mark.cluster


def test_up_says_what_it_did_and_does_nothing_the_second_time(rig: Rig):
    assert "is ready in the namespace" in rig.up
    assert "Deployment fairway" in rig.up
    assert json.loads(rig.up_again)["changed"] == []


def test_what_up_would_apply_is_taken_by_the_api_server(rig: Rig):
    objects = list(yaml.safe_load_all(rig.fairway("up", "--on", "test", "--dry-run").stdout))
    assert sorted(one["kind"] for one in objects) == [
        "Deployment",
        "PersistentVolumeClaim",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
    ]
    for one in objects:
        assert rig.wait(rig.kube.apply(one, dry_run=True))["metadata"]["namespace"] == rig.namespace


def test_an_export_needs_an_image_for_the_server_and_is_taken_by_the_api_server(rig: Rig):
    rig.use("gate.py")
    rig.use("churn.py")
    assert "server-image" in rig.fairway("export", "churn.py", "--on", "test", expect=2).stderr
    rig.settings(server_image=rig.image)
    try:
        text = rig.fairway("export", "churn.py", "--on", "test").stdout
    finally:
        rig.settings()
    objects = [one for one in yaml.safe_load_all(text) if one]
    for one in objects:
        rig.wait(rig.kube.apply(one, dry_run=True))


def test_doctor_finds_nothing_to_mend_and_what_would_fail_before_it_does(rig: Rig):
    rig.use("churn.py")
    assert "Kubernetes 1." in rig.fairway("doctor", "churn.py", "--on", "test").stdout
    rig.use("given.py")
    doubtful = rig.fairway("doctor", "given.py:without", "--on", "test", expect=2)
    assert "NOWHERE" in doubtful.stdout + doubtful.stderr


def test_the_cluster_shows_its_nodes_and_what_fits(rig: Rig):
    shown = rig.json("cluster", "--on", "test")
    assert {node["name"] for node in shown["nodes"]} == {node["metadata"]["name"] for node in rig.wait(rig.kube.list("Node"))}
    assert shown["total"]["cpu"] > 0
    assert "node" in rig.fairway("cluster", "--on", "test", "--fits", "cpu=10m,memory=8Mi").stdout


def test_everything_of_a_run_can_be_asked_for_from_here(rig: Rig):
    done = rig.run("churn.py", "--name", "nightly", "--tag", "first")
    run = done["run"]
    rig.fairway("note", run, "a note", "--on", "test")
    (row,) = [one for one in rig.json("runs", "--on", "test") if one["run"] == run]
    assert (row["name"], row["tags"], row["note"]) == ("nightly", ["first"], "a note")
    assert "train" in rig.fairway("why", run, "train[0]", "--on", "test").stdout
    assert json.loads(rig.fairway("artifacts", "cat", run, "model", "--on", "test").stdout)["depth"] == 1
    other = rig.run("churn.py", "--count", "100")
    assert "count" in rig.fairway("diff", run, other["run"], "--on", "test").stdout
    rig.fairway("archive", other["run"], "--on", "test")
    assert other["run"] not in rig.fairway("runs", "--on", "test").stdout


def test_down_and_up_again_keep_what_was_there(rig: Rig):
    done = rig.run("churn.py")
    said = rig.fairway("down", "--on", "test").stderr
    assert "kept the volume fairway-data" in said
    assert rig.objects("Deployment Service Role RoleBinding ServiceAccount Pod ReplicaSet") == []
    assert rig.objects("PersistentVolumeClaim") == ["PersistentVolumeClaim fairway-data"]
    rig.fairway("up", "--on", "test")
    assert done["run"] in rig.fairway("runs", "--on", "test").stdout
