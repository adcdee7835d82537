"""Nodes, pods and budgets as the API server gives them, cut down to what is looked at."""

from __future__ import annotations

from typing import Any


def node(name: str = "n1", *, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A node of 4 cores and 16Gi. `more`: accelerators and other amounts by name with "/" and "." as "__" and "_", `ready`, `taints`,
    `unschedulable`, `annotations`."""
    ready, spec, annotations = more.pop("ready", True), {}, more.pop("annotations", {})
    if taints := more.pop("taints", None):
        spec["taints"] = taints
    if more.pop("unschedulable", False):
        spec["unschedulable"] = True
    allocatable = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110", "hugepages-2Mi": "0"}
    allocatable |= {key.replace("__", "/").replace("_", "."): str(value) for key, value in more.items()}
    condition = (
        {"type": "Ready", "status": "True"}
        if ready
        else {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
    )
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}, "annotations": annotations},
        "spec": spec,
        "status": {"allocatable": allocatable, "conditions": [condition]},
    }


def pod(name: str = "p", *, on: str = "n1", requests: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A running pod of one container. `more`: `phase`, `limits`, `labels`, `annotations`, `namespace`, `owner` (kind), `spec`, `status`."""
    metadata: dict[str, Any] = {"name": name, "namespace": more.get("namespace", "team"), "labels": more.get("labels", {})}
    metadata["annotations"] = more.get("annotations", {})
    metadata["creationTimestamp"] = more.get("created", "2026-11-24T18:00:00Z")
    if owner := more.get("owner"):
        metadata["ownerReferences"] = [{"kind": owner, "name": "owner", "controller": True}]
    resources = {"requests": requests or {}, "limits": more.get("limits", {})}
    spec = {"nodeName": on, "containers": [{"name": "main", "resources": resources}], **more.get("spec", {})}
    return {"metadata": metadata, "spec": spec, "status": {"phase": more.get("phase", "Running"), **more.get("status", {})}}


def budget(
    name: str, labels: dict[str, str], *, allowed: int = 0, namespace: str = "team", own: dict[str, str] | None = None
) -> dict[str, Any]:
    """A disruption budget over pods with these labels that allows so many disruptions now."""
    metadata = {"name": name, "namespace": namespace, "labels": own or {}}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": labels}}, "status": {"disruptionsAllowed": allowed}}
