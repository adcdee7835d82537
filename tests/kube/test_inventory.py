"""What is read of a cluster's nodes, pods and quotas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.kube.inventory import is_accelerator, shorten_scheduling, take_inventory, why_waiting
from fairway.kube.quantity import asked_by, parse_quantity
from tests.kube.objects import node, pod

GI = 1024.0**3


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("100m", 0.1),
        ("16Gi", 16 * GI),
        ("1500M", 1.5e9),
        ("1e3", 1000),
        ("1E", 1e18),
        ("0.5", 0.5),
        ("128974848", 128974848),
        ("2Ki", 2048),
    ],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, number: float) -> None:
    assert parse_quantity(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "much", "1KiB", "Gi", "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quantity(text)


def test_a_node_has_what_is_allocatable_less_what_its_pods_ask_for() -> None:
    inventory = take_inventory([node("n1")], [pod("a", requests={"cpu": "500m", "memory": "2Gi"}), pod("b", requests={"cpu": "1"})])
    (stock,) = inventory.nodes
    assert stock.used["cpu"] == 1.5
    assert stock.free == {"cpu": 2.5, "memory": 14 * GI, "ephemeral-storage": 100 * GI, "pods": 108}
    assert inventory.free["cpu"] == 2.5


def test_pods_that_have_ended_use_nothing() -> None:
    ended = [pod("a", requests={"cpu": "2"}, phase="Succeeded"), pod("b", requests={"cpu": "2"}, phase="Failed")]
    assert take_inventory([node()], ended).used == {"cpu": 0, "memory": 0, "ephemeral-storage": 0, "pods": 0}


def test_a_node_that_is_asked_for_more_than_it_has_is_full_not_negative() -> None:
    assert take_inventory([node()], [pod("a", requests={"cpu": "6"})]).nodes[0].free["cpu"] == 0


def test_a_cordoned_or_lost_node_gives_nothing_to_what_is_free_in_all() -> None:
    inventory = take_inventory([node("a"), node("b", unschedulable=True), node("c", ready=False)], [])
    assert [one.state for one in inventory.nodes] == ["", "cordoned", "not ready: Kubelet stopped posting node status."]
    assert (inventory.total["cpu"], inventory.free["cpu"]) == (12, 4)


@pytest.mark.parametrize(
    ("resource", "labels", "model"),
    [
        ("nvidia.com/gpu", {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, "NVIDIA-H100-80GB-HBM3"),
        ("nvidia.com/mig-1g.10gb", {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, "NVIDIA-H100-80GB-HBM3"),
        ("nvidia.com/gpu", {"cloud.google.com/gke-accelerator": "nvidia-l4"}, "nvidia-l4"),
        ("amd.com/gpu", {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, "AMD_Instinct_MI300X_OAM"),
        ("gpu.intel.com/i915", {"gpu.intel.com/product": "Flex_170"}, "Flex_170"),
        ("google.com/tpu", {"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice"}, "tpu-v5-lite-podslice"),
        ("fpga.intel.com/af-d8424dc4a4a3c413f89e433683f9040b", {}, ""),
        ("xilinx.com/fpga-xilinx_u250", {}, ""),
    ],
)
def test_accelerators_of_every_maker_are_counted_with_their_model(resource: str, labels: dict[str, str], model: str) -> None:
    one = node(labels=labels)
    one["status"]["allocatable"][resource] = "8"
    (stock,) = take_inventory([one], [pod("a", limits={resource: "3"})]).nodes
    assert (stock.total[resource], stock.free[resource]) == (8, 5)
    assert stock.models.get(resource, "") == model


@pytest.mark.parametrize(
    "resource", ["cpu", "memory", "hugepages-1Gi", "attachable-volumes-csi-ebs", "example.org/licence", "node.kubernetes.io/gpu"]
)
def test_other_resources_are_no_accelerators(resource: str) -> None:
    assert not is_accelerator(resource)


def test_spot_machines_pools_and_topologies_are_seen_by_the_labels_of_their_clouds() -> None:
    labels = {"cloud.google.com/gke-spot": "true", "cloud.google.com/gke-nodepool": "tpus", "cloud.google.com/gke-tpu-topology": "2x4"}
    (stock,) = take_inventory([node(labels=labels)], []).nodes
    assert (stock.spot, stock.pool, stock.topology) == (True, "tpus", "2x4")


def test_only_taints_that_keep_pods_away_are_told() -> None:
    taints = [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "PreferNoSchedule"}, {"key": "c", "effect": "NoExecute"}]
    (stock,) = take_inventory([node(taints=taints)], []).nodes
    assert [taint["key"] for taint in stock.taints] == ["a", "c"]


def test_a_pod_reserves_its_containers_and_sidecars_or_its_largest_init_container() -> None:
    def container(cpu: str, **more: str) -> dict[str, object]:
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {"initContainers": [container("1", restartPolicy="Always"), container("3")], "containers": [container("1"), container("500m")]}
    assert asked_by({"spec": spec}) == {"cpu": 4}  # the second init container beside the sidecar
    spec["initContainers"][1] = container("1")
    assert asked_by({"spec": spec}) == {"cpu": 2.5}
    assert asked_by({"spec": {**spec, "overhead": {"cpu": "250m"}}}) == {"cpu": 2.75}
    assert asked_by({"spec": {**spec, "resources": {"requests": {"cpu": "8"}}}}) == {"cpu": 8}


def test_a_limit_without_a_request_is_the_request() -> None:
    assert asked_by(pod("a", limits={"cpu": "2", "nvidia.com/gpu": "1"}, requests={"cpu": "1"})) == {"cpu": 1, "nvidia.com/gpu": 1}


def test_waiting_pods_are_listed_oldest_first_with_the_schedulers_words() -> None:
    message = (
        "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }, 2 Insufficient nvidia.com/gpu. "
        "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."
    )
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    late = pod("late", on="", phase="Pending", created="2026-11-24T19:00:00Z")
    early = pod("early", on="", phase="Pending", requests={"nvidia.com/gpu": "1"}, status={"conditions": conditions})
    inventory = take_inventory([node()], [late, early])
    assert [(one.name, one.reason) for one in inventory.waiting] == [
        ("early", "0/3 nodes are available: 1 node(s) had untolerated taint {gpu: }, 2 Insufficient nvidia.com/gpu"),
        ("late", "waits for the scheduler"),
    ]
    assert inventory.waiting[0].asks == {"nvidia.com/gpu": 1}


def test_a_pod_whose_image_does_not_come_says_so_and_one_that_starts_says_that() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "no/such:1"'}}
    stuck = pod("a", phase="Pending", status={"containerStatuses": [{"name": "main", "state": waiting}]})
    assert why_waiting(stuck) == 'ImagePullBackOff: Back-off pulling image "no/such:1"'
    creating = {"waiting": {"reason": "ContainerCreating"}}
    assert why_waiting(pod("b", phase="Pending", status={"containerStatuses": [{"name": "main", "state": creating}]})) == "is starting"
    assert why_waiting(pod("c")) == ""


def test_a_pod_that_is_being_deleted_is_not_said_to_wait_for_the_scheduler() -> None:
    going = pod("a", on="", phase="Pending")
    going["metadata"]["deletionTimestamp"] = "2026-11-24T19:00:00Z"
    assert why_waiting(going) == "is being deleted"


@given(st.text(max_size=200))
def test_the_schedulers_sentence_is_never_cut_to_nothing(message: str) -> None:
    assert bool(shorten_scheduling(message)) == bool(message)


def test_without_nodes_the_tightest_quota_says_what_there_is() -> None:
    def quota(name: str, hard: str, used: str) -> dict[str, object]:
        bounds = {"hard": {"requests.cpu": hard, "count/jobs.batch": "9"}, "used": {"requests.cpu": used}}
        return {"metadata": {"name": name}, "status": bounds}

    inventory = take_inventory([], [], [quota("wide", "100", "10"), quota("tight", "20", "18")], unseen=["no nodes"])
    assert (inventory.total, inventory.used, inventory.free) == ({"cpu": 20}, {"cpu": 18}, {"cpu": 2})
    assert inventory.unseen == ("no nodes",)
    assert [(one.name, one.resource, one.free) for one in inventory.quotas][2:] == [
        ("tight", "requests.cpu", 2),
        ("tight", "count/jobs.batch", 9),
    ]
