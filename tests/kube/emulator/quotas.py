"""ResourceQuota: what a namespace may use, counted and enforced."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import ALL, POD, QUOTA, Kind
from tests.kube.emulator.memory import Change, Object
from tests.kube.emulator.quantities import parse_quantity

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

_PLAIN = {"cpu", "memory", "ephemeral-storage"}
_PLURALS = {kind.plural: kind for kind in ALL}


class Quotas:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: str) -> None:
        if old is not None or not kind.namespaced or kind is QUOTA:
            return
        meta = new["metadata"]
        for quota in self._cluster.memory.list(QUOTA, meta["namespace"]):
            self._check(quota, kind, new)

    def _check(self, quota: Object, kind: Kind, new: Object) -> None:
        hard = quota["spec"].get("hard") or {}
        name, quota_name = new["metadata"]["name"], quota["metadata"]["name"]
        asked = {key: value for key, value in usage(kind, new).items() if key in hard}
        if kind is POD:
            for container in new["spec"]["containers"]:
                missing = [key for key in hard if _must_say(key) and _container(container, key) is None]
                if missing:
                    listed = "; ".join(f"{key} for: {container['name']}" for key in sorted(missing))
                    raise ApiError(403, f'{kind.resource} "{name}" is forbidden: failed quota: {quota_name}: must specify {listed}')
        used = self.used(quota)
        over = sorted(key for key, value in asked.items() if used[key] + value > parse_quantity(hard[key]))
        if over:
            words = f"exceeded quota: {quota_name}, requested: {_listed(over, asked)}, used: {_listed(over, used)}, "
            words += "limited: " + ",".join(f"{key}={hard[key]}" for key in over)
            raise ApiError(403, f'{kind.resource} "{name}" is forbidden: {words}', details={"name": name, "kind": kind.plural})

    def used(self, quota: Object) -> dict[str, Decimal]:
        total = dict.fromkeys(quota["spec"].get("hard") or {}, Decimal(0))
        for kind, found in self._cluster.memory.every():
            if found["metadata"].get("namespace") == quota["metadata"]["namespace"]:
                for key, value in usage(kind, found).items():
                    if key in total:
                        total[key] += value
        return total

    def see(self, change: Change) -> None:
        namespace = change.new["metadata"].get("namespace", "")
        for quota in self._cluster.memory.list(QUOTA, namespace) if namespace else ():
            status = {"hard": quota["spec"].get("hard") or {}, "used": {key: plain(value) for key, value in self.used(quota).items()}}
            self._cluster.memory.change(
                QUOTA, namespace, quota["metadata"]["name"], lambda it, s=status: it.update(status=s), subresource="status"
            )


def usage(kind: Kind, found: Object) -> dict[str, Decimal]:
    """What one object counts for."""
    if kind is POD and (found.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return {}
    counted = {f"count/{kind.resource}": Decimal(1), kind.plural: Decimal(1)}
    if kind is not POD:
        return counted
    for container in found["spec"]["containers"]:
        resources = container.get("resources") or {}
        for side in ("requests", "limits"):
            for name, value in (resources.get(side) or {}).items():
                keys = [f"{side}.{name}"] + ([name] if side == "requests" and name in _PLAIN else [])
                for key in keys:
                    counted[key] = counted.get(key, Decimal(0)) + parse_quantity(value)
    return counted


def plain(value: Decimal) -> str:
    if value == value.to_integral_value():
        for unit, size in (("Gi", 1024**3), ("Mi", 1024**2), ("Ki", 1024)):
            if value and value % size == 0:
                return f"{int(value / size)}{unit}"
        return str(int(value))
    return f"{int(value * 1000)}m"


def _must_say(key: str) -> bool:
    return key in {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}


def _container(container: Object, key: str) -> str | None:
    side, _, name = key.rpartition(".")
    return ((container.get("resources") or {}).get(side or "requests") or {}).get(name)


def _listed(keys: list[str], values: dict[str, Decimal]) -> str:
    return ",".join(f"{key}={plain(values[key])}" for key in keys)
