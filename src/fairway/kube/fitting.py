"""On which nodes a step of a given size fits, how many at once, and what each of the others lacks. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.dsl.settings import parse_accelerator, parse_cpu
from fairway.errors import ConfigError, DefinitionError
from fairway.kube.inventory import ClusterInventory, Stock, is_accelerator
from fairway.kube.placing import render_affinity, render_selector, render_tolerations
from fairway.spec.placement import Placement, Toleration
from fairway.spec.record import Record, record
from fairway.spec.resources import Resources, parse_memory

_HINT = "write for example --fits cpu=4,memory=8Gi,accelerator=nvidia.com/gpu:1,accelerator_type=H100"
_IN_BYTES = ("memory", "disk", "shared_memory")
_SAYS_WHICH = {"accelerator_type": "model", "topology": "topology"}


@record
class NodeFit(Record):
    """How often the size fits on a node: into what is `free` now, and if it were `empty`. `lacks`: why it does not, if it does not now."""

    node: str
    free: int
    empty: int
    lacks: str = ""


@record
class Fit(Record):
    """On which nodes, and how many at once in all: `free` now, `empty` if nothing else ran; neither is more than `quota` (-1: no bound)."""

    nodes: tuple[NodeFit, ...]
    free: int
    empty: int
    quota: int = -1
    bound: str = ""  # the quota that bounds it


def parse_size(text: str) -> Resources:
    """The resources that "cpu=4,memory=8Gi,accelerator=nvidia.com/gpu:1" asks for, in the words and with the defaults of `@fw.step`. Raises
    ConfigError."""
    values: dict[str, Any] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        key, _, value = (one.strip() for one in part.partition("="))
        try:
            if key == "cpu":
                values["cpu"] = parse_cpu(value)
            elif key.replace("-", "_") in _IN_BYTES:
                values[f"{key.replace('-', '_')}_bytes"] = parse_memory(value)
            elif key == "accelerator":
                values.setdefault("accelerators", {}).update(parse_accelerator(value))
            elif key.replace("-", "_") in _SAYS_WHICH and value:
                values[_SAYS_WHICH[key.replace("-", "_")]] = value
            else:
                raise ConfigError(f"--fits knows no {part!r}", hint=_HINT)
        except DefinitionError as error:
            raise ConfigError(f"--fits cannot read {part!r}: {error.message}", hint=_HINT) from error
    if not values:
        raise ConfigError("--fits needs a size", hint=_HINT)
    return Resources(**values)


def find_fit(
    inventory: ClusterInventory, size: Resources, placement: Placement | None = None, *, nodes: Mapping[str, str] | None = None,
    tolerations: Sequence[Toleration] = (),
) -> Fit:  # fmt: skip
    """Where a step of that size, so placed, fits; `nodes` and `tolerations` are the target's own, which hold for all its steps."""
    placement = placement or Placement()
    products = sorted({model for node in inventory.nodes for model in node.models.values()})
    selector = render_selector(size, placement, dict(nodes or {}))
    affinity = render_affinity(size, placement, products)
    tolerated = render_tolerations(size, placement, tolerations)
    asked = amounts_of(size)
    found: list[NodeFit] = []
    for node in inventory.nodes:
        barred = node.state or _barred(node, selector, affinity, tolerated)
        empty = 0 if barred else count_fits(asked, node.total)
        free = 0 if barred else count_fits(asked, node.free)
        lacks = barred if barred else "" if free else _missing(asked, node.total if not empty else node.free, bool(empty))
        found.append(NodeFit(node.name, free, empty, lacks))
    quota, bound = _quota_bound(inventory, asked)
    free, empty = sum(one.free for one in found), sum(one.empty for one in found)
    if not inventory.nodes:
        free = empty = max(0, quota)
    elif quota >= 0:
        free, empty = min(free, quota), min(empty, quota)
    return Fit(tuple(found), free, empty, quota, bound)


def amounts_of(size: Resources) -> dict[str, float]:
    """What one pod of that size reserves."""
    asked = {
        "cpu": size.cpu,
        "memory": float(size.memory_bytes + size.shared_memory_bytes),
        "ephemeral-storage": float(size.disk_bytes),
        "pods": 1.0,
    }
    asked.update({name: float(count) for name, count in size.accelerators.items()})
    return {name: amount for name, amount in asked.items() if amount > 0}


def count_fits(asked: Mapping[str, float], room: Mapping[str, float]) -> int:
    """How often `asked` fits into `room`; what a node does not tell of (disk, pods) does not bound it."""
    counts = [
        math.floor(room.get(name, 0.0) / amount + 1e-9)
        for name, amount in asked.items()
        if name in room or is_accelerator(name) or name in {"cpu", "memory"}
    ]
    return min(counts, default=0)


def _missing(asked: Mapping[str, float], room: Mapping[str, float], busy: bool) -> str:
    short = [name for name, amount in asked.items() if count_fits({name: amount}, room) < 1]
    return f"{'too little free' if busy else 'too small'}: {', '.join(short)}"


def _barred(node: Stock, selector: Mapping[str, str], affinity: Mapping[str, Any], tolerated: Sequence[Mapping[str, Any]]) -> str:
    """Why the scheduler would not put such a pod there, whatever is free; "" if it would."""
    for label, value in selector.items():
        if node.labels.get(label) != value:
            return f"has not the label {label}={value}"
    required = (affinity.get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or []
    if terms and not any(matches_term(node, term) for term in terms):
        return "is of another model, or has not the labels asked for"
    for taint in node.taints:
        if not any(tolerates(one, taint) for one in tolerated):
            return f"has a taint that is not tolerated: {taint.get('key')}{'=' + taint['value'] if taint.get('value') else ''}"
    return ""


def matches_term(node: Stock, term: Mapping[str, Any]) -> bool:
    """Whether all expressions of a node selector term hold for a node; an empty term holds for none, as the scheduler has it."""
    labels = [_matches(node.labels.get(one["key"]), one) for one in term.get("matchExpressions") or []]
    fields = [_matches({"metadata.name": node.name}.get(one["key"]), one) for one in term.get("matchFields") or []]
    return bool(labels or fields) and all(labels) and all(fields)


def _matches(value: str | None, expression: Mapping[str, Any]) -> bool:
    operator, values = expression["operator"], expression.get("values") or []
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    try:
        here, bound = int(value or ""), int(values[0])
    except (ValueError, IndexError):
        return False
    return here > bound if operator == "Gt" else here < bound


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    """Whether a toleration lets a pod stand a taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def _quota_bound(inventory: ClusterInventory, asked: Mapping[str, float]) -> tuple[int, str]:
    """How many more the namespace's quotas let in, and which of them says so; -1 where none bounds it."""
    least, bound = -1, ""
    for quota in inventory.quotas:
        name = quota.resource.removeprefix("requests.").removeprefix("limits.").removeprefix("count/")
        if amount := asked.get(name):
            count = math.floor(quota.free / amount + 1e-9)
            if least < 0 or count < least:
                least, bound = count, f"{quota.name}: {quota.resource}"
    return least, bound
