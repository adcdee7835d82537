"""`fairway cluster`: what is there, what waits, what fits, what keeps a node; with all rights and with hardly any."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from fairway.kube.config import _load_context
from fairway.kube.scaledown import SAFE_TO_EVICT
from tests.cluster.rig import OURS, Rig

pytestmark = pytest.mark.cluster
SAFE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SAFE_POD = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}


def pod(rig: Rig, name: str, labels: dict[str, str], **requests: str) -> dict[str, Any]:
    """A pod that stays until it is deleted."""
    requests = {key.replace("__", "/").replace("_", "."): value for key, value in requests.items()}
    main = {"name": "main", "image": rig.image, "command": ["python3", "-c", "import signal; signal.pause()"], "securityContext": SAFE}
    main["resources"] = {"requests": requests, "limits": requests}
    spec = {"containers": [main], "securityContext": SAFE_POD, "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def remove(rig: Rig, *names: str) -> None:
    for name in names:
        rig.wait(rig.kube.delete("Pod", name, grace_s=0))
    rig.await_gone(list(names))


def is_refused(one: dict[str, Any]) -> bool:
    conditions = one.get("status", {}).get("conditions") or []
    return any(condition["type"] == "PodScheduled" and condition["status"] == "False" for condition in conditions)


def test_nodes_are_shown_with_what_their_pods_ask_for_and_with_what_fits(rig: Rig):
    rig.wait(rig.kube.create(pod(rig, "guest", {"test": "guest"}, cpu="300m", memory="16Mi")))
    guest = rig.await_pods(
        lambda there: there["guest"] if there.get("guest", {}).get("status", {}).get("phase") == "Running" else None, "guest"
    )
    told = rig.json("cluster", "--on", "test")
    assert told["namespace"] == rig.namespace
    node = next(one for one in told["nodes"] if one["name"] == guest["spec"]["nodeName"])
    assert node["used"]["cpu"] >= 0.3
    assert node["free"]["cpu"] <= node["total"]["cpu"] - 0.3
    fit = rig.json("cluster", "--on", "test", "--fits", "cpu=100m,memory=16Mi")
    assert 0 < fit["free"] <= fit["empty"] - 3
    remove(rig, "guest")


def test_what_waits_is_shown_with_the_schedulers_words_and_an_ask_that_no_node_holds_fits_nowhere(rig: Rig):
    rig.wait(rig.kube.create(pod(rig, "wants", {"test": "wants"}, cpu="10m", nvidia_com__gpu="64")))
    rig.await_pods(lambda there: "wants" in there and is_refused(there["wants"]), "pod that cannot be placed")
    said = rig.fairway("cluster", "--on", "test").stdout
    line = next(line for line in said.splitlines() if f"{rig.namespace}/wants" in line)
    assert "64 nvidia.com/gpu" in line
    assert "Insufficient nvidia.com/gpu" in line
    assert "it fits on no node" in rig.fairway("cluster", "--on", "test", "--fits", "accelerator=nvidia.com/gpu:64").stdout
    remove(rig, "wants")


def test_scaling_down_does_what_it_says_to_what_is_ours_and_leaves_the_rest(rig: Rig):
    ours = dict([OURS.split("=")])
    theirs, warm = pod(rig, "theirs", {"test": "theirs"}), pod(rig, "warm", {**ours, "fairway.dev/role": "pool"})
    movable = pod(rig, "movable", ours)
    movable["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    for one in (theirs, warm, movable):
        rig.wait(rig.kube.create(one))
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "never", "labels": ours},
        "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"test": "theirs"}}},
    }
    rig.wait(rig.kube.create(budget))
    rig.await_pods(lambda there: {"theirs", "warm", "movable"} <= set(there), "pods")
    assert "nothing changed" in rig.fairway("cluster", "--on", "test", "--scale-down").stderr
    assert rig.wait(rig.kube.find("Pod", "warm")) is not None

    done = rig.fairway("cluster", "--on", "test", "--scale-down", "--yes")
    assert "pod/warm" in done.stdout
    assert "theirs" not in done.stdout.partition("TO DO")[2]
    rig.await_gone(["warm"])
    assert rig.wait(rig.kube.find("PodDisruptionBudget", "never")) is None
    assert rig.wait(rig.kube.get("Pod", "movable"))["metadata"]["annotations"][SAFE_TO_EVICT] == "true"
    assert "annotations" not in rig.wait(rig.kube.get("Pod", "theirs"))["metadata"]
    remove(rig, "theirs", "movable")


def test_who_may_see_hardly_anything_is_told_what_cannot_be_seen(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
    rig.wait(rig.kube.create(account))
    notes = {"kubernetes.io/service-account.name": "nobody"}
    secret = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"}
    rig.wait(rig.kube.create({**secret, "metadata": {"name": "nobody", "annotations": notes}}))
    token = rig.wait(await_token(rig))

    path = rig.folder / "nobody.yaml"
    path.write_text(yaml.safe_dump(kubeconfig_of(rig, token)))
    monkeypatch.setenv("KUBECONFIG", str(path))
    seen = rig.fairway("cluster", "--on", "test")
    assert "You may not list nodes" in seen.stderr
    assert "You may not list pods, not even those of" in seen.stderr
    assert json.loads(rig.fairway("cluster", "--on", "test", "-o", "json").stdout)["nodes"] == []
    monkeypatch.undo()
    for kind in ("Secret", "ServiceAccount"):
        rig.wait(rig.kube.delete(kind, "nobody"))


async def await_token(rig: Rig) -> str:
    """The account's token, as soon as the cluster has written it."""
    async for change in rig.kube.watch("Secret", fields="metadata.name=nobody"):
        if token := change.obj.get("data", {}).get("token"):
            return base64.b64decode(token).decode()
    raise AssertionError("a watch does not end")


def kubeconfig_of(rig: Rig, token: str) -> dict[str, Any]:
    """The kubeconfig in force, with that token instead of the user's own credentials."""
    found = _load_context(rig.kube.settings)
    return {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": rig.namespace}}],
        "clusters": [{"name": "it", "cluster": found.cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
    }
