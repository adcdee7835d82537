"""What NetworkPolicies let through, as a cluster's network plugin reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.kube.emulator.selectors import matches_labels

Object = dict[str, Any]


def lets_in(policies: Iterable[Object], to: Object, source: Object) -> bool:
    """May a pod connect to another of its namespace? One that no policy of ingress selects is open to all."""
    about = [one["spec"] for one in policies if _selects(one["spec"]["podSelector"], to) and "Ingress" in one["spec"]["policyTypes"]]
    return not about or any(_admits(rule, source) for spec in about for rule in spec.get("ingress") or ())


def _admits(rule: Object, source: Object) -> bool:
    assert not rule.get("ports"), "every port of a gang is meant"
    return any(set(peer) == {"podSelector"} and _selects(peer["podSelector"], source) for peer in rule["from"])


def _selects(selector: Object, pod: Object) -> bool:
    return matches_labels(pod["metadata"].get("labels") or {}, selector)
