"""Amounts as Kubernetes spells them: "500m", "2Gi", "1e3". Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip


def parse_quantity(text: str | int | float) -> float:
    """The number that a quantity stands for. Raises ValueError."""
    if not isinstance(text, str):
        return float(text)
    text = text.strip()
    for length in (2, 1):
        factor = _FACTORS.get(text[-length:]) if len(text) > length else None
        if factor is not None:
            return float(text[:-length]) * factor
    return float(text)


def parse_amounts(quantities: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by resource name. Raises ValueError."""
    return {name: parse_quantity(amount) for name, amount in quantities.items()}


def asked_by(pod: Mapping[str, Any]) -> dict[str, float]:
    """What the scheduler reserves for a pod, by resource name: its containers and sidecars together, or its largest init container if that
    is more; what the pod asks for as one; the overhead of its runtime class. A limit without a request is the request."""
    spec = pod.get("spec", {})
    together: dict[str, float] = {}
    most: dict[str, float] = {}
    for container in spec.get("initContainers") or ():
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            add_amounts(together, asked)
            asked = {}
        for name in {**together, **asked}:
            most[name] = max(most.get(name, 0.0), together.get(name, 0.0) + asked.get(name, 0.0))
    for container in spec.get("containers") or ():
        add_amounts(together, _asked(container))
    whole = {name: max(together.get(name, 0.0), most.get(name, 0.0)) for name in {**together, **most}}
    whole.update(parse_amounts((spec.get("resources") or {}).get("requests") or {}))  # of the pod as one, from Kubernetes 1.34 on
    add_amounts(whole, parse_amounts(spec.get("overhead") or {}))
    return whole


def add_amounts(to: dict[str, float], more: Mapping[str, float]) -> None:
    """Add `more` to `to`, resource by resource."""
    for name, amount in more.items():
        to[name] = to.get(name, 0.0) + amount


def _asked(container: Mapping[str, Any]) -> dict[str, float]:
    resources = container.get("resources") or {}
    return parse_amounts({**(resources.get("limits") or {}), **(resources.get("requests") or {})})
