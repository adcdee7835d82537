"""Binds pods to nodes, or says in the scheduler's words why it cannot."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.kube.emulator.kinds import CLAIM, NODE, POD
from tests.kube.emulator.memory import Change, Object, now_text
from tests.kube.emulator.quantities import parse_quantity, pod_requests
from tests.kube.emulator.selectors import matches_expression

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster


class Refusal(NamedTuple):
    """Why a node does not take a pod; `hopeless`: nor would it if others went."""

    words: str
    hopeless: bool


class Scheduler:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._waiting: dict[tuple[str, str], str] = {}
        self._used: dict[str, dict[str, tuple[str, dict[str, Decimal]]]] = {}
        self.paused = False

    def see(self, change: Change) -> None:
        if change.kind is POD:
            self._see_pod(change)
        elif change.kind in (NODE, CLAIM):
            self.try_all()

    def try_all(self) -> None:
        for namespace, name in sorted(self._waiting, key=lambda key: self._waiting[key]):
            pod = self._cluster.memory.find(POD, namespace, name)
            if pod:
                self._try(pod)

    def _see_pod(self, change: Change) -> None:
        pod = change.new
        meta = pod["metadata"]
        key = (meta["namespace"], meta["name"])
        ended = change.type == "DELETED" or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        node = pod["spec"].get("nodeName")
        if node:
            self._waiting.pop(key, None)
            used = self._used.setdefault(node, {})
            if not ended:
                used[meta["uid"]] = (meta["name"], pod_requests(pod["spec"]))
            elif used.pop(meta["uid"], None) and self._waiting:
                self.try_all()
        elif ended:
            self._waiting.pop(key, None)
        elif not meta.get("deletionTimestamp") and (change.type == "ADDED" or (change.old or {}).get("spec") != pod["spec"]):
            self._waiting.setdefault(key, f"{len(self._waiting):09}")
            self._try(pod)

    def _try(self, pod: Object) -> None:
        if self.paused or pod["spec"].get("schedulingGates") or pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp"):
            return
        words = self._claims_missing(pod)
        if words:
            self._refuse(pod, words)
            return
        nodes = self._cluster.memory.list(NODE)
        refusals = {node["metadata"]["name"]: self._refusals(pod, node) for node in nodes}
        fitting = [name for name, found in refusals.items() if not found]
        if not fitting:
            self._refuse(pod, unschedulable(refusals))
            return
        chosen = min(fitting, key=lambda name: (len(self._used.get(name, {})), name))
        meta = pod["metadata"]
        self._used.setdefault(chosen, {})[meta["uid"]] = (meta["name"], pod_requests(pod["spec"]))
        self._waiting.pop((meta["namespace"], meta["name"]), None)

        def bind(found: Object) -> None:
            found["spec"]["nodeName"] = chosen
            _set_condition(found, {"type": "PodScheduled", "status": "True"})

        self._cluster.memory.change(POD, meta["namespace"], meta["name"], bind, subresource="all")
        self._cluster.record(
            pod, "Scheduled", f"Successfully assigned {meta['namespace']}/{meta['name']} to {chosen}", source="default-scheduler"
        )

    def _claims_missing(self, pod: Object) -> str:
        nodes = len(self._cluster.memory.list(NODE))
        for volume in pod["spec"].get("volumes") or ():
            if claim := volume.get("persistentVolumeClaim"):
                name = claim["claimName"]
                found = self._cluster.memory.find(CLAIM, pod["metadata"]["namespace"], name)
                if found is None:
                    return f'0/{nodes} nodes are available: persistentvolumeclaim "{name}" not found. not found'
                if (found.get("status") or {}).get("phase") != "Bound":
                    return f"0/{nodes} nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
        return ""

    def _refusals(self, pod: Object, node: Object) -> list[Refusal]:
        spec = node.get("spec") or {}
        tolerations = pod["spec"].get("tolerations") or []
        if spec.get("unschedulable") and not _tolerates(tolerations, {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}):
            return [Refusal("node(s) were unschedulable", hopeless=True)]
        for taint in spec.get("taints") or ():
            if taint["effect"] in ("NoSchedule", "NoExecute") and not _tolerates(tolerations, taint):
                return [Refusal("node(s) had untolerated taint(s)", hopeless=True)]
        if not _selected(pod["spec"], node):
            return [Refusal("node(s) didn't match Pod's node affinity/selector", hopeless=True)]
        return self._short(pod, node)

    def _short(self, pod: Object, node: Object) -> list[Refusal]:
        allocatable = {name: parse_quantity(value) for name, value in node["status"]["allocatable"].items()}
        others = self._used.get(node["metadata"]["name"], {})
        found: list[Refusal] = []
        if len(others) + 1 > allocatable.get("pods", 110):
            found.append(Refusal("Too many pods", hopeless=False))
        for name, wanted in pod_requests(pod["spec"]).items():
            there = allocatable.get(name, Decimal(0))
            used = sum((asked.get(name, Decimal(0)) for _, asked in others.values()), Decimal(0))
            if wanted > there - used:
                found.append(Refusal(f"Insufficient {name}", hopeless=wanted > there))
        return found

    def _refuse(self, pod: Object, words: str) -> None:
        meta = pod["metadata"]
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
        self._cluster.memory.change(
            POD, meta["namespace"], meta["name"], lambda found: _set_condition(found, condition), subresource="status"
        )
        self._cluster.record(pod, "FailedScheduling", words, warning=True, source="default-scheduler")


def unschedulable(refusals: dict[str, list[Refusal]]) -> str:
    """The scheduler's message."""
    number = len(refusals)
    if not number:
        return "no nodes available to schedule pods"
    reasons = Counter(refusal.words for found in refusals.values() for refusal in found)
    listed = ", ".join(sorted(f"{count} {words}" for words, count in reasons.items()))
    hopeless = sum(any(refusal.hopeless for refusal in found) for found in refusals.values())
    victims = [f"{number - hopeless} No preemption victims found for incoming pod"] if number > hopeless else []
    victims += [f"{hopeless} Preemption is not helpful for scheduling"] if hopeless else []
    both = f"0/{number} nodes are available: "
    return f"{both}{listed}. no new claims to deallocate, preemption: {both}{', '.join(sorted(victims))}."


def _set_condition(pod: Object, condition: dict[str, Any]) -> None:
    status = pod.setdefault("status", {})
    old = next((each for each in status.get("conditions") or () if each["type"] == condition["type"]), {})
    same = {key: old.get(key) for key in condition} == condition
    others = [each for each in status.get("conditions") or () if each["type"] != condition["type"]]
    since = old["lastTransitionTime"] if same or old.get("status") == condition["status"] else now_text()
    status["conditions"] = [condition | {"lastProbeTime": None, "lastTransitionTime": since}, *others]
    status.setdefault("phase", "Pending")


def _tolerates(tolerations: list[dict[str, Any]], taint: dict[str, Any]) -> bool:
    for each in tolerations:
        if each.get("effect") and each["effect"] != taint["effect"]:
            continue
        if each.get("operator") == "Exists" and each.get("key", taint["key"]) == taint["key"]:
            return True
        if each.get("operator", "Equal") == "Equal" and each.get("key") == taint["key"] and each.get("value", "") == taint.get("value", ""):
            return True
    return False


def _selected(spec: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not affinity:
        return True
    return any(
        all(matches_expression(labels, expression) for expression in term.get("matchExpressions") or ())
        for term in affinity["nodeSelectorTerms"]
    )
