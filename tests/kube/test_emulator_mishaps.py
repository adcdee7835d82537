"""What the emulator can do to pods and nodes shows as a real cluster shows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.emulator import Emulator, Node
from tests.kube.emulator.rig import Caller, Object, container, ended, pod


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Emulator]:
    with Emulator(tmp_path, nodes=(Node("n1"), Node("n2"))) as made:
        yield made


def start(cluster: Emulator, name: str = "victim", **spec: Any) -> Object:
    """A pod that runs for ever."""
    body = pod(name, container(script="sleep 1000"), **({"terminationGracePeriodSeconds": 0} | spec))
    Caller(cluster).create(body)
    cluster.wait(lambda: ready(cluster, name))
    return find(cluster, name)


def find(cluster: Emulator, name: str = "victim") -> Object:
    found = cluster.find("Pod", name)
    assert found is not None
    return found


def ready(cluster: Emulator, name: str) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions(cluster, name))


def conditions(cluster: Emulator, name: str = "victim") -> list[Object]:
    return ((cluster.find("Pod", name) or {}).get("status") or {}).get("conditions") or []


def disruption(found: Object) -> tuple[str, str]:
    condition = next(each for each in found["status"]["conditions"] if each["type"] == "DisruptionTarget")
    assert condition["status"] == "True"
    return condition["reason"], condition["message"]


def main_end(found: Object) -> tuple[int, str]:
    ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
    return ended["exitCode"], ended["reason"]


def processes(cluster: Emulator, name: str = "victim") -> int:
    return cluster.kubelet.runs[find(cluster, name)["metadata"]["uid"]].mains[0].process.pid  # type: ignore[union-attr]


def test_a_container_out_of_memory(cluster: Emulator) -> None:
    start(cluster)
    cluster.faults.out_of_memory("victim")
    cluster.wait(ended(cluster, "victim"))
    assert main_end(find(cluster)) == (137, "OOMKilled")


def test_a_container_killed_by_nobody_known(cluster: Emulator) -> None:
    start(cluster)
    cluster.faults.kill_process("victim")
    cluster.wait(ended(cluster, "victim"))
    assert main_end(find(cluster)) == (137, "Error")


def test_an_eviction_for_disk_or_memory(cluster: Emulator) -> None:
    start(cluster)
    cluster.faults.evict("victim", "memory")
    status = find(cluster)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert status["message"].startswith("The node was low on resource: memory. ")
    assert disruption(find(cluster))[0] == "TerminationByKubelet"


def test_a_container_over_its_disk(cluster: Emulator) -> None:
    start(cluster)
    cluster.faults.exceed_disk("victim", "1Gi")
    assert find(cluster)["status"]["message"] == 'Container main exceeded its local ephemeral storage limit "1Gi". '


def test_a_preemption(cluster: Emulator) -> None:
    body = pod("victim", container(script="sleep 1000"), terminationGracePeriodSeconds=0)
    body["metadata"]["finalizers"] = ["example.org/hold"]
    Caller(cluster).create(body)
    cluster.wait(lambda: ready(cluster, "victim"))
    cluster.faults.preempt("victim")
    assert disruption(find(cluster)) == ("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod")
    assert find(cluster)["metadata"]["deletionTimestamp"]


def test_a_machine_that_is_taken_back(cluster: Emulator) -> None:
    start(cluster)
    cluster.faults.shut_down("victim")
    status = find(cluster)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Terminated")
    assert status["message"] == "Pod was terminated in response to imminent node shutdown."


def test_a_pod_that_a_kubelet_does_not_admit(cluster: Emulator) -> None:
    start(cluster)
    cluster.faults.refuse_admission("victim", "UnexpectedAdmissionError", "Allocate failed due to no healthy devices present")
    status = find(cluster)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "UnexpectedAdmissionError")


def test_a_pod_that_vanishes_takes_its_processes_and_says_nothing(cluster: Emulator) -> None:
    start(cluster)
    pid = processes(cluster)
    cluster.faults.vanish("victim")
    assert cluster.find("Pod", "victim") is None
    assert not Path(f"/proc/{pid}").exists()


def test_a_lost_node_leaves_its_pods_as_they_were_until_it_is_removed(cluster: Emulator) -> None:
    node = start(cluster, terminationGracePeriodSeconds=30)["spec"]["nodeName"]
    pid = processes(cluster)
    cluster.faults.lose_node(node)
    found = find(cluster)
    assert not Path(f"/proc/{pid}").exists()
    assert (found["status"]["phase"], bool(found["metadata"]["deletionTimestamp"])) == ("Running", True)
    assert disruption(found) == ("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    assert not ready(cluster, "victim")
    (condition,) = cluster.find("Node", node)["status"]["conditions"]  # type: ignore[index]
    assert (condition["status"], condition["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert start(cluster, "other")["spec"]["nodeName"] != node
    assert Caller(cluster)("GET", "pods/victim/log").code == 500


def test_the_pods_of_a_removed_node_are_failed_and_gone(cluster: Emulator) -> None:
    body = pod("victim", container(script="sleep 1000"))
    body["metadata"]["finalizers"] = ["example.org/hold"]
    Caller(cluster).create(body)
    cluster.wait(lambda: ready(cluster, "victim"))
    cluster.faults.remove_node(find(cluster)["spec"]["nodeName"])
    assert find(cluster)["status"]["phase"] == "Failed"
    assert disruption(find(cluster)) == ("DeletionByPodGC", "PodGC: node no longer exists")
    Caller(cluster)("PATCH", "pods/victim", {"metadata": {"finalizers": None}}, kind="application/merge-patch+json")
    assert cluster.find("Pod", "victim") is None


def test_a_node_cut_off_runs_on_and_ends_what_was_deleted_when_it_is_back(cluster: Emulator) -> None:
    node = start(cluster, terminationGracePeriodSeconds=30)["spec"]["nodeName"]
    pid = processes(cluster)
    cluster.faults.lose_node(node, running=True)
    assert Path(f"/proc/{pid}").exists()
    assert cluster.find("Pod", "victim") is not None
    cluster.faults.find_node(node)
    cluster.wait(lambda: cluster.find("Pod", "victim") is None)
    assert not Path(f"/proc/{pid}").exists()


def test_an_eviction_by_the_api_heeds_disruption_budgets(cluster: Emulator) -> None:
    start(cluster)
    call = Caller(cluster)
    eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "victim"}}
    budget = {"metadata": {"name": "none"}, "spec": {"maxUnavailable": 0, "selector": {}}}
    call("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", budget)
    assert call("POST", "pods/victim/eviction", eviction).code == 429
    call("DELETE", "/apis/policy/v1/namespaces/default/poddisruptionbudgets/none")
    assert call("POST", "pods/victim/eviction", eviction).code == 201
    cluster.wait(lambda: cluster.find("Pod", "victim") is None)


def test_an_image_can_be_refused_for_a_while(cluster: Emulator) -> None:
    cluster.images.refusals["busybox:1.37"] = "429 Too Many Requests - toomanyrequests: You have reached your pull rate limit"
    Caller(cluster).create(pod("limited"))
    cluster.wait(lambda: "ImagePullBackOff" in str(cluster.find("Pod", "limited")))
    assert "toomanyrequests" in str(find(cluster, "limited")["status"])
    del cluster.images.refusals["busybox:1.37"]
    cluster.call(cluster.kubelet.wake_all)
    cluster.wait(ended(cluster, "limited"))


def test_a_creation_can_be_refused_in_a_webhooks_words(cluster: Emulator) -> None:
    cluster.faults.refuse('admission webhook "policy.example.org" denied the request: no')
    answer = Caller(cluster)("POST", "pods", pod("denied"))
    assert (answer.code, answer.body["message"]) == (403, 'admission webhook "policy.example.org" denied the request: no')
    assert Caller(cluster)("POST", "pods", pod("denied")).code == 201
