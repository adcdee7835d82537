"""Where a step of a given size fits, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import ConfigError
from fairway.kube.fitting import count_fits, find_fit, matches_term, parse_size, tolerates
from fairway.kube.inventory import take_inventory
from fairway.spec.placement import Placement, Toleration
from fairway.spec.resources import Resources
from tests.kube.objects import node, pod

GPU = {"nvidia.com/gpu": 1}


def test_a_size_is_written_as_a_step_declares_it() -> None:
    assert parse_size("cpu=4, memory=8Gi,accelerator=nvidia.com/gpu:2,accelerator_type=H100") == Resources(
        4, 8 * 1024**3, 0, {"nvidia.com/gpu": 2}, model="H100"
    )
    assert parse_size("cpu=500m,accelerator=google.com/tpu:4,topology=2x2").topology == "2x2"
    assert parse_size("accelerator=amd.com/gpu:1,accelerator=fpga.intel.com/arria10:2").accelerators == {
        "amd.com/gpu": 1,
        "fpga.intel.com/arria10": 2,
    }


@pytest.mark.parametrize(
    "text", ["", "cpu", "cpu=", "cpu=many", "cpu=nan", "cpu=-1", "memory=8Q", "gpu=1", "accelerator=a/b:x", "cpu=0", "=,=", "topology="]
)
def test_a_size_that_cannot_be_read_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_size(text)
    assert "cpu=4,memory=8Gi" in caught.value.hint


@given(st.text(alphabet="cpumeorygda=,.:/0123456789GiMk ", max_size=30))
def test_any_text_is_a_size_or_refused(text: str) -> None:
    try:
        assert parse_size(text).cpu >= 0
    except ConfigError as error:
        assert error.hint


def test_how_often_it_fits_is_bounded_by_the_scarcest_resource_of_each_node() -> None:
    inventory = take_inventory([node("a"), node("b")], [pod("x", on="b", requests={"cpu": "3"})])
    fit = find_fit(inventory, Resources(cpu=1, memory_bytes=2 * 1024**3))
    assert [(one.node, one.free, one.empty) for one in fit.nodes] == [("a", 4, 4), ("b", 1, 4)]
    assert (fit.free, fit.empty) == (5, 8)


def test_the_number_of_pods_that_a_node_takes_bounds_it_too() -> None:
    small = node("a")
    small["status"]["allocatable"]["pods"] = "3"
    assert find_fit(take_inventory([small], [pod("x", on="a")]), Resources(cpu=0.1)).free == 2


def test_a_node_says_what_it_lacks() -> None:
    inventory = take_inventory([node("full"), node("small"), node("gone", ready=False)], [pod("x", on="full", requests={"cpu": "3500m"})])
    lacks = {one.node: one.lacks for one in find_fit(inventory, Resources(cpu=2)).nodes}
    assert lacks == {"full": "too little free: cpu", "small": "", "gone": "not ready: Kubelet stopped posting node status."}
    lacks = {one.node: one.lacks for one in find_fit(inventory, Resources(cpu=9, accelerators=GPU)).nodes}
    assert lacks["small"] == "too small: cpu, nvidia.com/gpu"


def test_an_accelerators_own_taint_is_tolerated_and_others_are_not() -> None:
    gpu = node("gpu", nvidia_com__gpu=4, taints=[{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}])
    other = node("other", nvidia_com__gpu=4, taints=[{"key": "team", "value": "bio", "effect": "NoSchedule"}])
    inventory = take_inventory([gpu, other], [])
    fit = find_fit(inventory, Resources(accelerators=GPU))
    assert [(one.free, one.lacks) for one in fit.nodes] == [(4, ""), (0, "has a taint that is not tolerated: team=bio")]
    assert find_fit(inventory, Resources(accelerators=GPU), tolerations=[Toleration("team", "Equal", "bio")]).free == 8


def test_a_model_is_found_by_the_labels_of_the_nodes() -> None:
    h100 = node("h", nvidia_com__gpu=8, labels={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"})
    t4 = node("t", nvidia_com__gpu=1, labels={"nvidia.com/gpu.product": "Tesla-T4"})
    fit = find_fit(take_inventory([h100, t4], []), Resources(cpu=0.1, accelerators=GPU, model="H100"))
    assert {one.node: one.free for one in fit.nodes} == {"h": 8, "t": 0}
    assert fit.nodes[1].lacks == "is of another model, or has not the labels asked for"


def test_a_tpu_slice_fits_only_where_its_topology_is() -> None:
    def tpu(name: str, topology: str) -> dict[str, object]:
        return node(name, google_com__tpu=4, labels={"cloud.google.com/gke-tpu-topology": topology})

    fit = find_fit(take_inventory([tpu("a", "2x2"), tpu("b", "2x4")], []), Resources(accelerators={"google.com/tpu": 4}, topology="2x4"))
    assert {one.node: one.free for one in fit.nodes} == {"a": 0, "b": 1}


def test_the_targets_and_the_steps_own_selectors_hold_together() -> None:
    inventory = take_inventory([node("a", labels={"zone": "x", "disk": "ssd"}), node("b", labels={"zone": "x"})], [])
    fit = find_fit(inventory, Resources(), Placement(nodes={"disk": "ssd"}), nodes={"zone": "x"})
    assert {one.node: bool(one.free) for one in fit.nodes} == {"a": True, "b": False}


def test_a_quota_bounds_what_nodes_would_hold_and_is_named() -> None:
    quota = {
        "metadata": {"name": "team"},
        "status": {"hard": {"requests.cpu": "10", "pods": "50"}, "used": {"requests.cpu": "7", "pods": "4"}},
    }
    fit = find_fit(take_inventory([node("a"), node("b")], [], [quota]), Resources(cpu=1))
    assert (fit.free, fit.empty, fit.quota, fit.bound) == (3, 3, 3, "team: requests.cpu")


def test_without_nodes_the_quota_alone_answers() -> None:
    quota = {"metadata": {"name": "q"}, "status": {"hard": {"requests.nvidia.com/gpu": "4"}, "used": {"requests.nvidia.com/gpu": "1"}}}
    fit = find_fit(take_inventory([], [], [quota]), Resources(accelerators=GPU))
    assert (fit.nodes, fit.free, fit.bound) == ((), 3, "q: requests.nvidia.com/gpu")


@given(st.floats(0.001, 64), st.floats(0, 640))
def test_as_many_as_are_said_to_fit_do_fit_and_one_more_does_not(ask: float, room: float) -> None:
    count = count_fits({"cpu": ask}, {"cpu": room})
    assert count * ask <= room * (1 + 1e-6) + 1e-6
    assert (count + 1) * ask > room * (1 - 1e-6)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ({"key": "k", "operator": "In", "values": ["v", "w"]}, True),
        ({"key": "k", "operator": "NotIn", "values": ["v"]}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "none", "operator": "DoesNotExist"}, True),
        ({"key": "none", "operator": "In", "values": ["v"]}, False),
        ({"key": "n", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "n", "operator": "Lt", "values": ["4"]}, False),
        ({"key": "k", "operator": "Gt", "values": ["4"]}, False),
    ],
)
def test_node_expressions_mean_what_the_scheduler_takes_them_to_mean(expression: dict[str, object], holds: bool) -> None:
    (stock,) = take_inventory([node(labels={"k": "v", "n": "8"})], []).nodes
    assert matches_term(stock, {"matchExpressions": [expression]}) is holds


def test_an_empty_term_holds_for_no_node_and_a_name_can_be_asked_for() -> None:
    (stock,) = take_inventory([node("n7")], []).nodes
    assert not matches_term(stock, {})
    assert matches_term(stock, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n7"]}]})


@pytest.mark.parametrize(
    ("toleration", "stands"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "a", "operator": "Exists"}, True),
        ({"key": "b", "operator": "Exists"}, False),
        ({"key": "a", "value": "x"}, True),
        ({"key": "a", "value": "y"}, False),
        ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_tolerations_mean_what_the_scheduler_takes_them_to_mean(toleration: dict[str, str], stands: bool) -> None:
    assert tolerates(toleration, {"key": "a", "value": "x", "effect": "NoSchedule"}) is stands
