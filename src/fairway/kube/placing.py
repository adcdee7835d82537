"""Which nodes may hold a pod: accelerators' models and topologies, spot machines, selectors. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from fairway.spec.placement import Placement, Toleration
from fairway.spec.resources import Resources

TPU = "google.com/tpu"
_TPU_MODEL, _TPU_TOPOLOGY = "cloud.google.com/gke-tpu-accelerator", "cloud.google.com/gke-tpu-topology"
_TPU_MODELS = ("tpu-v4-podslice", "tpu-v5-lite-device", "tpu-v5-lite-podslice", "tpu-v5p-slice", "tpu-v6e-slice", "tpu7x")

# What NVIDIA's feature discovery, GKE and Karpenter write on nodes. A selector matches whole values only, so a part of a name ("H100")
# is looked for here and among the products that were seen on the cluster's own nodes.
_NVIDIA_PRODUCTS = (
    "Tesla-K80", "Tesla-P4", "Tesla-P40", "Tesla-P100-PCIE-16GB", "Tesla-P100-SXM2-16GB", "Tesla-T4", "Tesla-V100-SXM2-16GB",
    "Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-16GB", "Tesla-V100-PCIE-32GB", "NVIDIA-A2", "NVIDIA-A10", "NVIDIA-A10G", "NVIDIA-A16",
    "NVIDIA-A30", "NVIDIA-A40", "NVIDIA-A100-PCIE-40GB", "NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-80GB-PCIe", "NVIDIA-A100-SXM4-80GB",
    "NVIDIA-L4", "NVIDIA-L40", "NVIDIA-L40S", "NVIDIA-H100-PCIe", "NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-NVL", "NVIDIA-H200",
    "NVIDIA-H200-NVL", "NVIDIA-GH200-480GB", "NVIDIA-B200", "NVIDIA-GB200", "NVIDIA-B300", "NVIDIA-GB300", "NVIDIA-RTX-A4000",
    "NVIDIA-RTX-A5000", "NVIDIA-RTX-A6000", "NVIDIA-RTX-6000-Ada-Generation", "NVIDIA-GeForce-RTX-3090", "NVIDIA-GeForce-RTX-4090",
    "NVIDIA-GeForce-RTX-5090", "Quadro-RTX-6000", "Quadro-RTX-8000",
)  # fmt: skip
_GKE_MODELS = (
    "nvidia-tesla-k80", "nvidia-tesla-p4", "nvidia-tesla-p100", "nvidia-tesla-t4", "nvidia-tesla-v100", "nvidia-tesla-a100",
    "nvidia-a100-80gb", "nvidia-l4", "nvidia-h100-80gb", "nvidia-h100-mega-80gb", "nvidia-h200-141gb", "nvidia-b200", "nvidia-gb200",
    "nvidia-rtx-pro-6000",
)  # fmt: skip
_KARPENTER_MODELS = ("k80", "m60", "t4", "t4g", "v100", "a10g", "a100", "l4", "l40s", "h100", "h200", "b200")
_AMD_PRODUCTS = (
    "AMD_Instinct_MI100", "AMD_Instinct_MI210", "AMD_Instinct_MI250", "AMD_Instinct_MI250X", "AMD_Instinct_MI300A",
    "AMD_Instinct_MI300X_OAM", "AMD_Instinct_MI325X_OAM", "AMD_Instinct_MI355X_OAM",
)  # fmt: skip
_INTEL_PRODUCTS = ("Flex_140", "Flex_170", "Max_1100", "Max_1550", "Gaudi2", "Gaudi3")
_LABELS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "nvidia.com": (
        ("nvidia.com/gpu.product", _NVIDIA_PRODUCTS),
        ("cloud.google.com/gke-accelerator", _GKE_MODELS),
        ("karpenter.k8s.aws/instance-gpu-name", _KARPENTER_MODELS),
    ),
    "amd.com": (("amd.com/gpu.product-name", _AMD_PRODUCTS),),
    "gpu.intel.com": (("gpu.intel.com/product", _INTEL_PRODUCTS),),
    "habana.ai": (("gpu.intel.com/product", _INTEL_PRODUCTS),),
    "google.com": ((_TPU_MODEL, _TPU_MODELS),),
}

_SPOT_LABELS = (
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("karpenter.sh/capacity-type", "spot"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
_SPOT_TAINTS = ("cloud.google.com/gke-spot", "cloud.google.com/gke-preemptible", "kubernetes.azure.com/scalesetpriority")


def match_models(model: str, known: Sequence[str]) -> list[str]:
    """The whole label values that a model, or a part of one ("H100", "a100-80gb"), stands for; itself where nothing known has it."""
    if model in known:
        return [model]
    wanted = [part for part in _words(model) if part not in ("nvidia", "tesla", "amd", "intel")]
    return [name for name in known if _contains(_words(name), wanted)] if wanted else []


def render_affinity(resources: Resources, placement: Placement, seen: Sequence[str] = ()) -> dict[str, Any]:
    """The pod's affinity: the user's own, and what the accelerator's model and spot machines add to it. {} if nothing is asked.

    `seen`: products by which the cluster's nodes are labelled, where somebody may read those.
    """
    affinity: dict[str, Any] = dict(placement.affinity)
    node: dict[str, Any] = dict(affinity.get("nodeAffinity") or {})
    models = _model_terms(resources, seen)
    if models:
        wanted = dict(node.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
        own = wanted.get("nodeSelectorTerms") or [{}]
        wanted["nodeSelectorTerms"] = [_both(one, term) for one, term in product(own, models)]
        node["requiredDuringSchedulingIgnoredDuringExecution"] = wanted
    if placement.spot:
        preferred = [
            {"weight": 50, "preference": {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}}
            for key, value in _SPOT_LABELS
        ]
        node["preferredDuringSchedulingIgnoredDuringExecution"] = [
            *(node.get("preferredDuringSchedulingIgnoredDuringExecution") or []),
            *preferred,
        ]
    if node:
        affinity["nodeAffinity"] = node
    return affinity


def render_selector(resources: Resources, placement: Placement, target: dict[str, str]) -> dict[str, str]:
    """Labels that a node must have: the target's, the step's over them, and a TPU slice's topology."""
    selector = {**target, **placement.nodes}
    if resources.topology and TPU in resources.accelerators:
        selector[_TPU_TOPOLOGY] = resources.topology
    return selector


def render_tolerations(resources: Resources, placement: Placement, target: Sequence[Toleration]) -> list[dict[str, Any]]:
    """What the pod tolerates: the target's, the step's, its accelerators' own taints, and those of spot machines if it may run on them."""
    wanted = [*target, *placement.tolerations]
    wanted += [Toleration(name, "Exists", "", "NoSchedule") for name in resources.accelerators]
    if placement.spot:
        wanted += [Toleration(name, "Exists", "", "NoSchedule") for name in _SPOT_TAINTS]
    found: list[dict[str, Any]] = []
    for one in wanted:
        plain: dict[str, Any] = {"operator": one.operator}
        if one.key:
            plain["key"] = one.key
        if one.value:
            plain["value"] = one.value
        if one.effect:
            plain["effect"] = one.effect
        if one.seconds >= 0:
            plain["tolerationSeconds"] = one.seconds
        if plain not in found:
            found.append(plain)
    return found


def _model_terms(resources: Resources, seen: Sequence[str]) -> list[dict[str, Any]]:
    """Node selector terms, of which one must hold."""
    if not resources.model or not resources.accelerators:
        return []
    terms: list[dict[str, Any]] = []
    for domain in sorted({name.partition("/")[0] for name in resources.accelerators}):
        labels = _LABELS.get(domain, ((f"{domain}/gpu.product", ()),))
        for place, (label, known) in enumerate(labels):
            values = match_models(resources.model, [*seen, *known] if place == 0 else known)
            if place == 0 and label == "nvidia.com/gpu.product":
                values += [f"{value}-SHARED" for value in values if not value.endswith("-SHARED")]
            if not values and place == 0:
                values = [resources.model]
            if values:
                terms.append({"matchExpressions": [{"key": label, "operator": "In", "values": list(dict.fromkeys(values))}]})
    return terms


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {**one, **other, "matchExpressions": [*(one.get("matchExpressions") or []), *(other.get("matchExpressions") or [])]}


def _words(name: str) -> list[str]:
    return [part for part in name.lower().replace("_", "-").replace(" ", "-").split("-") if part]


def _contains(words: Sequence[str], wanted: Sequence[str]) -> bool:
    """All of them stand in it, in any order: "a100-80gb" is "NVIDIA-A100-SXM4-80GB"."""
    return all(part in words for part in wanted)
