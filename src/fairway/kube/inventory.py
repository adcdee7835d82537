"""What a cluster has, what of it is used, and what waits: from its nodes, pods and quotas as they were read. Pure.

Amounts are dicts from a resource's name to a number: cpu in cores, memory and ephemeral-storage in bytes, all else in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fairway.kube.quantity import add_amounts, asked_by, parse_amounts
from fairway.spec.record import Record, field, record

Object = Mapping[str, Any]
Amounts = dict[str, float]

# Accelerators by the domain of their resource's name; the label that says which model a node has.
_DOMAINS: dict[str, tuple[str, ...]] = {
    "nvidia.com": ("nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name"),
    "amd.com": ("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"),
    "gpu.intel.com": ("gpu.intel.com/product",),
    "habana.ai": ("gpu.intel.com/product",),
    "google.com": ("cloud.google.com/gke-tpu-accelerator",),
    "cloud-tpus.google.com": ("cloud.google.com/gke-tpu-accelerator",),
    "aws.amazon.com": ("node.kubernetes.io/instance-type",),
    "fpga.intel.com": (),
    "xilinx.com": (),
}
_TOPOLOGY = "cloud.google.com/gke-tpu-topology"
_POOLS = (
    "cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup", "karpenter.sh/nodepool", "kubernetes.azure.com/agentpool",
    "node.kubernetes.io/pool",
)  # fmt: skip
_SPOT = (
    ("cloud.google.com/gke-spot", "true"), ("cloud.google.com/gke-preemptible", "true"), ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"), ("kubernetes.azure.com/scalesetpriority", "spot"),
)  # fmt: skip
_SHOWN = ("cpu", "memory", "ephemeral-storage", "pods")
_ENDED = frozenset({"Succeeded", "Failed"})


@record
class Stock(Record):
    """One node. `total` is what pods may have of it, `used` what the pods on it asked for, `free` the rest; `state` "" is ready, else why
    no pod comes here. `models`: accelerator -> model. `taints`: those that keep pods away which do not tolerate them."""

    name: str
    state: str
    total: dict[str, float]
    used: dict[str, float]
    free: dict[str, float]
    models: dict[str, str] = field(default_factory=dict)
    topology: str = ""
    pool: str = ""
    spot: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    taints: tuple[dict[str, str], ...] = ()


@record
class Waiting(Record):
    """A pod that does not run yet: what it asks for, since when, and why in the cluster's own words."""

    name: str
    namespace: str
    asks: dict[str, float]
    reason: str
    since: str


@record
class Quota(Record):
    """One bound of a namespace: `resource` as the quota spells it ("requests.cpu", "pods")."""

    name: str
    resource: str
    hard: float
    used: float

    @property
    def free(self) -> float:
        return max(0.0, self.hard - self.used)


@record
class ClusterInventory(Record):
    """All of it. `unseen`: what the caller may not see, in sentences. Without nodes, `totals` are those that the quotas name."""

    nodes: tuple[Stock, ...]
    total: dict[str, float]
    used: dict[str, float]
    free: dict[str, float]
    waiting: tuple[Waiting, ...]
    quotas: tuple[Quota, ...]
    unseen: tuple[str, ...] = ()


def take_inventory(
    nodes: Sequence[Object], pods: Sequence[Object], quotas: Sequence[Object] = (), *, unseen: Sequence[str] = ()
) -> ClusterInventory:
    """The inventory of what was read: all nodes (none, if they cannot be read), the pods that can be, the namespace's quotas."""
    on_node: dict[str, Amounts] = {}
    waiting: list[Waiting] = []
    for pod in pods:
        if pod.get("status", {}).get("phase") in _ENDED:
            continue
        asked = asked_by(pod)
        node = pod["spec"].get("nodeName", "")
        if node:
            add_amounts(on_node.setdefault(node, {}), {**asked, "pods": 1})
        if why := why_waiting(pod):
            metadata = pod["metadata"]
            waiting.append(Waiting(metadata["name"], metadata.get("namespace", ""), asked, why, metadata.get("creationTimestamp", "")))
    stocks = tuple(sorted((_stock(node, on_node.get(node["metadata"]["name"], {})) for node in nodes), key=lambda one: one.name))
    bounds = tuple(_quotas(quotas))
    total, used, free = (
        ({}, {}, {})
        if not stocks
        else (_sum(s.total for s in stocks), _sum(s.used for s in stocks), _sum(s.free for s in stocks if not s.state))
    )
    if not stocks:
        total, used, free = _from_quotas(bounds)
    return ClusterInventory(stocks, total, used, free, tuple(sorted(waiting, key=lambda one: one.since)), bounds, tuple(unseen))


def why_waiting(pod: Object) -> str:
    """Why a pod does not run yet, in one line; "" if it does or has ended."""
    status = pod.get("status") or {}
    if status.get("phase", "Pending") != "Pending":
        return ""
    if pod["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return shorten_scheduling(condition.get("message") or condition.get("reason") or "not scheduled")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        state = (container.get("state") or {}).get("waiting")
        if state and state.get("reason") not in {None, "PodInitializing", "ContainerCreating"}:
            message = str(state.get("message") or "")
            return f"{state['reason']}: {message}" if message else str(state["reason"])
    return "is starting" if pod["spec"].get("nodeName") else "waits for the scheduler"


def shorten_scheduling(message: str) -> str:
    """The scheduler's sentence without what it adds about preemption, and without repetitions."""
    sentence = re.split(r"\s*(?:preemption: |no new claims to deallocate)", message, maxsplit=1)[0].strip().rstrip(".,")
    return re.sub(r"\s+", " ", sentence) or message


def is_accelerator(resource: str) -> bool:
    """Whether a resource's name is that of an accelerator: NVIDIA (MIG slices too), AMD, Intel, TPU, FPGA …"""
    domain, slash, name = resource.partition("/")
    if not slash or domain.endswith("kubernetes.io") or resource.startswith(("hugepages-", "attachable-volumes-")):
        return False
    return domain in _DOMAINS or any(part in name.lower() for part in ("gpu", "tpu", "npu", "fpga", "accelerator", "neuron", "mig-"))


def spare_pods(total: Amounts, used: Amounts) -> Amounts:
    """`total` less `used`, never below zero."""
    return {name: max(0.0, amount - used.get(name, 0.0)) for name, amount in total.items()}


def _sum(amounts: Iterable[Mapping[str, float]]) -> Amounts:
    whole: Amounts = {}
    for one in amounts:
        add_amounts(whole, one)
    return whole


def _stock(node: Object, used: Amounts) -> Stock:
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    labels: dict[str, str] = metadata.get("labels") or {}
    quantities = parse_amounts(status.get("allocatable") or status.get("capacity") or {})
    total = {name: amount for name, amount in quantities.items() if name in _SHOWN or (amount > 0 and is_accelerator(name))}
    used = {name: used.get(name, 0.0) for name in total}
    taints = tuple(taint for taint in spec.get("taints") or [] if taint.get("effect") in {"NoSchedule", "NoExecute"})
    return Stock(
        name=metadata["name"],
        state=_state(spec, status),
        total=total,
        used=used,
        free=spare_pods(total, used),
        models={name: model for name in total if is_accelerator(name) and (model := _model(name, labels))},
        topology=labels.get(_TOPOLOGY, ""),
        pool=next((labels[label] for label in _POOLS if labels.get(label)), ""),
        spot=any(labels.get(label) == value for label, value in _SPOT),
        labels=labels,
        taints=taints,
    )


def _state(spec: Object, status: Object) -> str:
    conditions = {one.get("type"): one for one in status.get("conditions") or []}
    ready = conditions.get("Ready")
    if ready is None or ready.get("status") != "True":
        return "not ready" + (f": {ready['message']}" if ready and ready.get("message") else "")
    return "cordoned" if spec.get("unschedulable") else ""


def _model(resource: str, labels: Mapping[str, str]) -> str:
    return next((labels[label] for label in _DOMAINS.get(resource.partition("/")[0], ()) if labels.get(label)), "")


def _quotas(quotas: Sequence[Object]) -> Iterable[Quota]:
    for quota in quotas:
        status = quota.get("status") or {}
        used = parse_amounts(status.get("used") or {})
        for resource, hard in parse_amounts(status.get("hard") or quota.get("spec", {}).get("hard") or {}).items():
            yield Quota(quota["metadata"]["name"], resource, hard, used.get(resource, 0.0))


def _from_quotas(quotas: Sequence[Quota]) -> tuple[Amounts, Amounts, Amounts]:
    """What the namespace may have, where no node can be seen: of several quotas on one resource the tightest."""
    total: Amounts = {}
    used: Amounts = {}
    for quota in sorted(quotas, key=lambda one: one.free):
        name = quota.resource.removeprefix("requests.")
        if (name in _SHOWN or is_accelerator(name)) and name not in total:
            total[name], used[name] = quota.hard, quota.used
    return total, used, spare_pods(total, used)
