"""What keeps idle nodes from going away, and what would let an autoscaler remove them. Pure.

The rules are the Cluster Autoscaler's (a node goes when less than half of it is asked for, and all its pods can go elsewhere) and
Karpenter's; both leave daemons, static pods and pods that have ended out of account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.kube.fitting import count_fits
from fairway.kube.inventory import ClusterInventory, Stock, is_accelerator
from fairway.kube.quantity import asked_by
from fairway.spec.record import Record, record

Object = Mapping[str, Any]
SAFE_TO_EVICT, DO_NOT_DISRUPT = "cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"
NEVER_DOWN = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
LOCAL_VOLUMES = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
ROLE, RUN = "fairway.dev/role", "fairway.dev/run"
IDLE_SINCE = "fairway.dev/idle-since"  # on an endpoint's or a notebook's Deployment: nobody has used it since
_MANAGED, _FAIRWAY = "app.kubernetes.io/managed-by", "fairway"
_ANNOTATE = f"annotate it {SAFE_TO_EVICT}=true"
_LOW = 0.5  # the autoscaler's own default for "is hardly used"
_ENDED = frozenset({"Succeeded", "Failed"})


@record
class Keeper(Record):
    """What keeps a node: a pod ("" for the node itself), why, and what would help."""

    pod: str
    namespace: str
    reason: str
    cure: str


@record
class IdleNode(Record):
    """A node that is hardly used: `use`, the largest share of it that is asked for, and what keeps it ((): an autoscaler may remove it)."""

    name: str
    use: float
    keepers: tuple[Keeper, ...]


@record
class Action(Record):
    """One thing to do: `verb` "annotate", "delete", "scale to zero"; `why` in words; `patch` for the first and the last."""

    verb: str
    kind: str
    name: str
    why: str
    patch: dict[str, Any]


def find_idle_nodes(
    inventory: ClusterInventory, nodes: Sequence[Object], pods: Sequence[Object], budgets: Sequence[Object]
) -> list[IdleNode]:
    """The nodes that are hardly used, the emptiest first, with what keeps each of them."""
    found: list[IdleNode] = []
    raw = {node["metadata"]["name"]: node for node in nodes}
    for stock in inventory.nodes:
        use = share_used(stock)
        if use >= _LOW:
            continue
        keepers = list(_node_keepers(raw[stock.name]))
        for pod in pods:
            if pod["spec"].get("nodeName") == stock.name and _counts(pod):
                keepers += [keeper for keeper in (find_keeper(pod, budgets) or _homeless(pod, stock, inventory),) if keeper]
        found.append(IdleNode(stock.name, use, tuple(keepers)))
    return sorted(found, key=lambda one: (one.use, one.name))


def share_used(node: Stock) -> float:
    """The largest share of a node that its pods ask for: of its accelerators where it has any, else of its cores and memory."""
    names = [name for name in node.total if is_accelerator(name)] or ["cpu", "memory"]
    return max((node.used.get(name, 0.0) / node.total[name] for name in names if node.total.get(name)), default=0.0)


def find_keeper(pod: Object, budgets: Sequence[Object] = ()) -> Keeper | None:
    """Why an autoscaler does not move this pod, if it does not."""
    metadata = pod["metadata"]
    annotations: dict[str, str] = metadata.get("annotations") or {}
    if not _counts(pod):
        return None

    def keeper(reason: str, cure: str) -> Keeper:
        return Keeper(metadata["name"], metadata.get("namespace", ""), reason, cure)

    if (metadata.get("labels") or {}).get(ROLE) in {"attempt", "container"}:
        return keeper(f"runs a task of {(metadata.get('labels') or {}).get(RUN, 'a run')}", "it goes when the task ends")
    if annotations.get(SAFE_TO_EVICT) == "false" or annotations.get(DO_NOT_DISRUPT) == "true":
        return keeper(
            "is marked as not to be moved", f"remove its annotation {SAFE_TO_EVICT if SAFE_TO_EVICT in annotations else DO_NOT_DISRUPT}"
        )
    if budget := _blocking_budget(pod, budgets):
        return keeper(f"its disruption budget {budget} allows no disruption now", "run one replica more, or loosen the budget")
    if annotations.get(SAFE_TO_EVICT) == "true":
        return None
    if _controller(pod) is None:
        return keeper("nothing would start it again elsewhere: it is a bare pod", f"delete it, or {_ANNOTATE}")
    if metadata.get("namespace") == "kube-system" and not _covered(pod, budgets):
        return keeper("is a part of the cluster without a disruption budget", "give it a disruption budget")
    if volume := _local_volume(pod, annotations):
        return keeper(f"keeps data on the node (volume {volume})", _ANNOTATE)
    return None


def plan_scale_down(pods: Sequence[Object], budgets: Sequence[Object], workloads: Sequence[Object], *, running: bool) -> list[Action]:
    """What to do in one namespace, to what Fairway itself made there, so that its nodes can go. `running`: whether a run is under way; then
    pools are left alone (their workers go by themselves when they have been idle). `workloads`: Deployments and StatefulSets."""
    plan: list[Action] = []
    for pod in pods:
        metadata = pod["metadata"]
        labels: dict[str, str] = metadata.get("labels") or {}
        if labels.get(_MANAGED) != _FAIRWAY or metadata.get("deletionTimestamp"):
            continue
        name, role = metadata["name"], labels.get(ROLE, "")
        if pod.get("status", {}).get("phase") in _ENDED and not running:
            plan.append(Action("delete", "Pod", name, "has ended, and no run is under way that needs it", {}))
        elif role == "pool" and not running:
            plan.append(Action("delete", "Pod", name, "is a warm worker of a pool, and no run is under way", {}))
        elif role not in {"attempt", "container", "pool", "notebook"} and (keeper := find_keeper(pod)) and _ANNOTATE in keeper.cure:
            patch = {"metadata": {"annotations": {SAFE_TO_EVICT: "true", DO_NOT_DISRUPT: None}}}
            plan.append(Action("annotate", "Pod", name, f"{keeper.reason}; it may be moved", patch))
    for budget in budgets:
        if _is_ours(budget) and _blocks(budget):
            plan.append(Action("delete", "PodDisruptionBudget", budget["metadata"]["name"], "allows no disruption", {}))
    for workload in workloads:
        metadata = workload["metadata"]
        role = (metadata.get("labels") or {}).get(ROLE)
        since = (metadata.get("annotations") or {}).get(IDLE_SINCE)
        if _is_ours(workload) and role in {"endpoint", "notebook"} and since and workload["spec"].get("replicas", 1):
            plan.append(
                Action(
                    "scale to zero",
                    workload["kind"],
                    metadata["name"],
                    f"{role} that nobody has used since {since}",
                    {"spec": {"replicas": 0}},
                )
            )
    return plan


def _counts(pod: Object) -> bool:
    """Whether an autoscaler looks at a pod at all."""
    annotations = pod["metadata"].get("annotations") or {}
    if pod.get("status", {}).get("phase") in _ENDED or "kubernetes.io/config.mirror" in annotations:
        return False
    return (_controller(pod) or {}).get("kind") not in {"DaemonSet", "Node"}


def _controller(pod: Object) -> Object | None:
    return next((one for one in pod["metadata"].get("ownerReferences") or [] if one.get("controller")), None)


def _homeless(pod: Object, here: Stock, inventory: ClusterInventory) -> Keeper | None:
    """A pod that may be moved, and fits on no other node, keeps its node all the same."""
    wanted = pod["spec"].get("nodeSelector") or {}
    asked = {**asked_by(pod), "pods": 1.0}
    others = [node for node in inventory.nodes if node.name != here.name and not node.state]
    for node in others:
        if all(node.labels.get(label) == value for label, value in wanted.items()) and count_fits(asked, node.free):
            return None
    metadata = pod["metadata"]
    reason = "no other node has room for it" if others else "there is no other node for it"
    return Keeper(metadata["name"], metadata.get("namespace", ""), reason, "more room elsewhere, or to delete it")


def _node_keepers(node: Object) -> list[Keeper]:
    annotations = node["metadata"].get("annotations") or {}
    if annotations.get(NEVER_DOWN) == "true":
        return [Keeper("", "", "the node is marked as never to be removed", f"remove its annotation {NEVER_DOWN}")]
    if annotations.get(DO_NOT_DISRUPT) == "true":
        return [Keeper("", "", "the node is marked as never to be removed", f"remove its annotation {DO_NOT_DISRUPT}")]
    return []


def _is_ours(obj: Object) -> bool:
    return (obj["metadata"].get("labels") or {}).get(_MANAGED) == _FAIRWAY


def _blocks(budget: Object) -> bool:
    return (budget.get("status") or {}).get("disruptionsAllowed", 0) < 1


def _blocking_budget(pod: Object, budgets: Sequence[Object]) -> str:
    return next((budget["metadata"]["name"] for budget in budgets if _blocks(budget) and _selects(budget, pod)), "")


def _covered(pod: Object, budgets: Sequence[Object]) -> bool:
    return any(_selects(budget, pod) for budget in budgets)


def _selects(budget: Object, pod: Object) -> bool:
    if budget["metadata"].get("namespace") != pod["metadata"].get("namespace"):
        return False
    selector = budget.get("spec", {}).get("selector")
    if selector is None:
        return False
    labels = pod["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(labels.get(one["key"]), one) for one in selector.get("matchExpressions") or [])


def _holds(value: str | None, expression: Mapping[str, Any]) -> bool:
    values = expression.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(expression["operator"], False)


def _local_volume(pod: Object, annotations: Mapping[str, str]) -> str:
    """The first volume that would be lost with the node; those in memory count too, as the autoscaler has it."""
    spared = annotations.get(LOCAL_VOLUMES, "").split(",")
    for volume in pod["spec"].get("volumes") or []:
        if ("emptyDir" in volume or "hostPath" in volume) and volume["name"] not in spared:
            return volume["name"]
    return ""
