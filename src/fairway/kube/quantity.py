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


def asked_by(pod: Mapping[str, Any]) -> dict[str, float]:
    """What a pod asks for, by resource name: its containers and sidecars together, or what one init container needs if that is more."""
    together: dict[str, float] = {}
    most: dict[str, float] = {}
    spec = pod.get("spec", {})
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        wanted = {**(container.get("resources", {}).get("limits") or {}), **(container.get("resources", {}).get("requests") or {})}
        stays = container.get("restartPolicy") == "Always" or container in spec["containers"]
        for name, amount in wanted.items():
            if stays:
                together[name] = together.get(name, 0.0) + parse_quantity(amount)
            else:
                most[name] = max(most.get(name, 0.0), together.get(name, 0.0) + parse_quantity(amount))
    return {name: max(together.get(name, 0.0), most.get(name, 0.0)) for name in {**together, **most}}
