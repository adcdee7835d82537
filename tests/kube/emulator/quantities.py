"""Quantities as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

_UNITS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(10**3), "M": Decimal(10**6)}
_UNITS |= {"G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15)}
_UNITS |= {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTP", start=1)}


def parse_quantity(text: str | int | float) -> Decimal:
    text = str(text)
    number = text.rstrip("numkKMGTPi")
    return Decimal(number) * _UNITS[text[len(number) :]]


def pod_requests(spec: dict[str, Any]) -> dict[str, Decimal]:
    """What a pod asks a node for: its containers and sidecars in all, or an init container and the sidecars before it if that is more."""
    total: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            total = _sum(total, asked)
            peak = _most(peak, total)
        else:
            peak = _most(peak, _sum(total, asked))
    for container in spec.get("containers") or ():
        total = _sum(total, _asked(container))
    return _most(peak, total)


def _asked(container: dict[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    asked = (resources.get("limits") or {}) | (resources.get("requests") or {})
    return {name: parse_quantity(value) for name, value in asked.items()}


def _sum(left: dict[str, Decimal], right: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: left.get(name, Decimal(0)) + right.get(name, Decimal(0)) for name in left | right}


def _most(left: dict[str, Decimal], right: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: max(left.get(name, Decimal(0)), right.get(name, Decimal(0))) for name in left | right}
