"""What a step is given beside its inputs, and what programs in images of their own get."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

from tests.cluster.rig import Rig

pytestmark = pytest.mark.cluster
IMAGES = ["greeting"] + (["copying"] if os.environ.get("FAIRWAY_TEST_STATIC_IMAGE") else [])


def test_a_secret_reaches_the_step_that_names_it_and_nothing_else(rig: Rig):
    rig.fairway("secret", "set", "API_TOKEN", "--on", "test", stdin="hush-hush-4711\n")
    try:
        assert "API_TOKEN" in rig.fairway("secret", "list", "--on", "test").stdout
        done = rig.run("given.py:secretly")
        assert done["outputs"]["result"]["inline"] == json.dumps(hashlib.sha256(b"hush-hush-4711").hexdigest())
        logs = rig.fairway("logs", done["run"], "--on", "test").stdout
        assert "the token is ***" in logs
        (pod,) = rig.pods_of(done["run"])
        assert "hush-hush" not in json.dumps(pod) + logs
    finally:
        rig.fairway("secret", "remove", "API_TOKEN", "--on", "test")


def test_a_secret_that_is_not_there_is_refused_within_a_second_and_before_anything_runs(rig: Rig):
    pods = set(rig.pods)
    rig.use("given.py")
    began = time.monotonic()
    refused = rig.fairway("run", "given.py:without", "--on", "test", expect=2)
    took_s = time.monotonic() - began
    assert "NOWHERE" in refused.stderr
    assert "fairway secret set NOWHERE --on test" in refused.stderr
    assert set(rig.pods) == pods
    assert took_s < 5, "a bar of one second on a quiet machine: see benchmarks"


def test_a_pod_has_the_volumes_variables_and_patches_that_its_step_asks_for(rig: Rig):
    meta = {"namespace": rig.namespace}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    given = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "words"}, "data": {"GREETING": "hello"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**meta, "name": "keys"}, "stringData": {"key": "k"}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {**meta, "name": "data"}, "spec": claim},
    ]
    for one in given:
        rig.wait(rig.kube.create(one))
    done = rig.run("given.py:mounted")
    assert json.loads(done["outputs"]["result"]["inline"]) == {
        "/etc/words/GREETING": "hello",
        "/etc/keys/key": "k",
        "/data/kept": "kept",
        "variable": "hello",
        "host": "patched",
        "user": "65532",
        "home": "/tmp",
        "name": "fairway",
        "shared": "32",
    }
    (pod,) = rig.pods_of(done["run"])
    assert pod["metadata"]["labels"]["team"] == "tests"
    assert pod["metadata"]["annotations"]["example.org/why"] == "to be seen"


@pytest.mark.parametrize("pipeline", IMAGES)
def test_a_program_in_an_image_without_python_reads_inputs_and_leaves_outputs(rig: Rig, pipeline: str):
    done = rig.run(f"programs.py:{pipeline}")
    assert done["outputs"]["result"]["inline"] in ('"hello world"', '"static"')
    assert len(rig.pods_of(done["run"])) == sum(rig.attempts(done["run"]).values()) == 3
    if pipeline == "greeting":
        assert "greeting world" in rig.fairway("logs", done["run"], "greet", "--on", "test").stdout


def test_a_program_that_fails_is_told_with_its_exit_code_and_last_lines(rig: Rig):
    failed = rig.run("programs.py:stopping", expect=3)
    assert "7" in failed["error"]["message"]
    assert "cannot go on" in rig.fairway("logs", failed["run"], "--on", "test").stdout
