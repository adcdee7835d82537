"""What keeps idle nodes, and what lets them go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fairway.kube.inventory import take_inventory
from fairway.kube.scaledown import (
    DO_NOT_DISRUPT,
    IDLE_SINCE,
    NEVER_DOWN,
    SAFE_TO_EVICT,
    Action,
    find_idle_nodes,
    find_keeper,
    plan_scale_down,
)
from tests.kube.objects import budget, node, pod

OURS = {"app.kubernetes.io/managed-by": "fairway"}


def idle(nodes: list[dict[str, Any]], pods: list[dict[str, Any]], budgets: list[dict[str, Any]] | None = None) -> list[Any]:
    return find_idle_nodes(take_inventory(nodes, pods), nodes, pods, budgets or [])


def reason(one: dict[str, Any], *budgets: dict[str, Any]) -> str:
    keeper = find_keeper(one, budgets)
    return keeper.reason if keeper else ""


def test_a_node_with_daemons_static_and_ended_pods_only_is_free_to_go() -> None:
    pods = [
        pod("daemon", owner="DaemonSet", namespace="kube-system"),
        pod("static", annotations={"kubernetes.io/config.mirror": "x"}, namespace="kube-system"),
        pod("done", phase="Succeeded"),
    ]
    assert [(one.name, one.keepers) for one in idle([node("n1")], pods)] == [("n1", ())]


def test_a_node_half_of_which_is_asked_for_is_not_idle_and_the_emptiest_comes_first() -> None:
    pods = [
        pod("a", on="n1", requests={"cpu": "2"}),
        pod("b", on="n2", requests={"cpu": "1"}, owner="ReplicaSet"),
        pod("c", on="n3", owner="ReplicaSet"),
    ]
    assert [one.name for one in idle([node("n1"), node("n2"), node("n3")], pods)] == ["n3", "n2"]


def test_a_node_with_accelerators_is_idle_when_they_are_whatever_its_cores_do() -> None:
    busy = pod("cpu-hog", requests={"cpu": "4"}, owner="ReplicaSet")
    assert [one.use for one in idle([node("n1", nvidia_com__gpu=8), node("n2")], [busy])] == [0, 0]
    assert idle([node("n1")], [busy]) == []


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (pod("a"), "nothing would start it again elsewhere: it is a bare pod"),
        (pod("a", owner="ReplicaSet", annotations={SAFE_TO_EVICT: "false"}), "is marked as not to be moved"),
        (pod("a", owner="ReplicaSet", annotations={DO_NOT_DISRUPT: "true"}), "is marked as not to be moved"),
        (pod("a", owner="ReplicaSet", spec={"volumes": [{"name": "tmp", "emptyDir": {}}]}), "keeps data on the node (volume tmp)"),
        (pod("a", owner="ReplicaSet", spec={"volumes": [{"name": "logs", "hostPath": {}}]}), "keeps data on the node (volume logs)"),
        (pod("a", owner="ReplicaSet", namespace="kube-system"), "is a part of the cluster without a disruption budget"),
        (pod("a", labels={"fairway.dev/role": "attempt", "fairway.dev/run": "R1"}), "runs a task of R1"),
        (pod("a", owner="ReplicaSet"), ""),
        (pod("a", annotations={SAFE_TO_EVICT: "true"}), ""),
        (pod("a", owner="ReplicaSet", spec={"volumes": [{"name": "c", "configMap": {}}]}), ""),
        (
            pod(
                "a",
                owner="ReplicaSet",
                spec={"volumes": [{"name": "tmp", "emptyDir": {}}]},
                annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "tmp"},
            ),
            "",
        ),
    ],
)
def test_each_reason_that_keeps_a_pod_where_it_is_is_named(one: dict[str, Any], words: str) -> None:
    assert reason(one) == words


def test_a_disruption_budget_that_allows_nothing_keeps_its_pods_and_one_that_allows_some_does_not() -> None:
    one = pod("a", owner="ReplicaSet", labels={"app": "web"})
    assert reason(one, budget("web", {"app": "web"})) == "its disruption budget web allows no disruption now"
    assert reason(one, budget("web", {"app": "web"}, allowed=1)) == ""
    assert reason(one, budget("web", {"app": "db"}), budget("web", {"app": "web"}, namespace="other")) == ""


def test_a_budgets_expressions_select_as_its_labels_do() -> None:
    over = budget("web", {})
    over["spec"]["selector"] = {
        "matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}, {"key": "old", "operator": "DoesNotExist"}]
    }
    assert reason(pod("a", owner="ReplicaSet", labels={"app": "web"}), over)
    assert not reason(pod("a", owner="ReplicaSet", labels={"app": "web", "old": "1"}), over)


def test_a_pod_that_fits_nowhere_else_keeps_its_node() -> None:
    pods = [pod("a", on="n1", requests={"cpu": "1500m"}, owner="ReplicaSet"), pod("b", on="n2", requests={"cpu": "3"}, owner="ReplicaSet")]
    (found,) = idle([node("n1"), node("n2")], pods)
    assert [(one.pod, one.reason) for one in found.keepers] == [("a", "no other node has room for it")]
    assert idle([node("n1"), node("n2"), node("n3")], pods)[1].keepers == ()
    alone = idle([node("n1"), node("n3", unschedulable=True)], pods[:1])[1]
    assert [one.reason for one in alone.keepers] == ["there is no other node for it"]


@pytest.mark.parametrize("mark", [NEVER_DOWN, DO_NOT_DISRUPT])
def test_a_node_marked_as_never_to_be_removed_says_so(mark: str) -> None:
    (found,) = idle([node("n1", annotations={mark: "true"})], [])
    assert [(one.pod, one.reason) for one in found.keepers] == [("", "the node is marked as never to be removed")]


def plan(
    pods: Sequence[dict[str, Any]] = (),
    budgets: Sequence[dict[str, Any]] = (),
    workloads: Sequence[dict[str, Any]] = (),
    running: bool = False,
) -> list[tuple[str, str, str]]:
    return [(one.verb, one.kind, one.name) for one in plan_scale_down(pods, budgets, workloads, running=running)]


def test_pools_and_ended_pods_go_when_no_run_is_under_way_and_stay_when_one_is() -> None:
    pods = [
        pod("w1", labels={**OURS, "fairway.dev/role": "pool"}),
        pod("old", labels={**OURS, "fairway.dev/role": "attempt"}, phase="Failed"),
    ]
    assert plan(pods) == [("delete", "Pod", "w1"), ("delete", "Pod", "old")]
    assert plan(pods, running=True) == []


def test_a_running_attempt_is_never_touched() -> None:
    volumes = {"volumes": [{"name": "tmp", "emptyDir": {}}]}
    assert plan([pod("a", labels={**OURS, "fairway.dev/role": "attempt"}, spec=volumes)]) == []


def test_the_servers_pod_is_marked_as_one_that_may_be_moved() -> None:
    server = pod("fairway-1", owner="ReplicaSet", labels=OURS, spec={"volumes": [{"name": "tmp", "emptyDir": {}}]})
    (action,) = plan_scale_down([server], [], [], running=True)
    assert action == Action(
        "annotate", "Pod", "fairway-1", "keeps data on the node (volume tmp); it may be moved",
        {"metadata": {"annotations": {SAFE_TO_EVICT: "true", DO_NOT_DISRUPT: None}}},
    )  # fmt: skip


def test_what_somebody_marked_on_purpose_and_what_others_made_is_left_alone() -> None:
    marked = pod("a", owner="ReplicaSet", labels=OURS, annotations={SAFE_TO_EVICT: "false"})
    notebook = pod(
        "n", owner="StatefulSet", labels={**OURS, "fairway.dev/role": "notebook"}, spec={"volumes": [{"name": "home", "emptyDir": {}}]}
    )
    assert plan([marked, notebook, pod("b"), pod("c", phase="Failed")], [budget("theirs", {"app": "x"})]) == []


def test_a_budget_of_ours_that_allows_nothing_goes() -> None:
    assert plan(budgets=[budget("ours", {"app": "x"}, own=OURS), budget("fine", {"app": "y"}, own=OURS, allowed=1)]) == [
        ("delete", "PodDisruptionBudget", "ours")
    ]


def test_idle_endpoints_and_notebooks_are_scaled_to_zero_and_used_ones_are_not() -> None:
    def workload(name: str, role: str, *, idle: bool, replicas: int = 1) -> dict[str, Any]:
        annotations = {IDLE_SINCE: "2026-11-24T10:00:00Z"} if idle else {}
        metadata = {"name": name, "labels": {**OURS, "fairway.dev/role": role}, "annotations": annotations}
        return {"kind": "Deployment", "metadata": metadata, "spec": {"replicas": replicas}}

    workloads = [
        workload("e", "endpoint", idle=True), workload("n", "notebook", idle=True), workload("used", "endpoint", idle=False),
        workload("zero", "endpoint", idle=True, replicas=0), workload("server", "", idle=True),
    ]  # fmt: skip
    assert plan(workloads=workloads) == [("scale to zero", "Deployment", "e"), ("scale to zero", "Deployment", "n")]
    assert plan_scale_down([], [], workloads[:1], running=False)[0].patch == {"spec": {"replicas": 0}}
