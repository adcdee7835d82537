"""What the Kubernetes executor remembers of each attempt and each pod: as little as possible, for there may be thousands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fairway.executors.fair import Ask
from fairway.executors.runview import RunView
from fairway.kube.diagnose import Diagnosis
from fairway.kube.quantity import asked_by
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo
from fairway.spec.ports import Inventory, Observation
from fairway.spec.resources import Resources

GONE_S = 60.0  # how long after its grace a pod that is being deleted may take to be gone
UNCLAIMED_S = 600.0  # how long after the server's start a pod may be there that no driver asks for
UNHEARD_S = 5.0  # the same, where the cluster itself has given its node up
_SAY_AGAIN_S = 30.0


class Tracked:
    """One attempt that a driver waits for. `state`: "held" (by limits, or by the API server for now), "creating", "placed" (it has
    a pod), "pooled", "ending". `told`: its driver knows why it is held."""

    __slots__ = ("observation", "since", "spec", "state", "told", "view")

    def __init__(self, spec: AttemptSpec, view: RunView, now: float) -> None:
        self.spec, self.view, self.since = spec, view, now
        self.state = "held"
        self.told = False
        self.observation = Observation("queued")


class Pod:
    """One pod of ours in the cluster. `obj`: its newest state, where that is still looked at. `settled_at`: when its attempt had its
    outcome. `leaving`: we have asked for its deletion; `dying_at`: somebody has, and its node is to confirm."""

    __slots__ = (
        "dying_at", "events", "found", "leaving", "name", "obj", "phase", "pool", "role", "run", "settled_at", "stuck_at", "told",
        "told_at", "uid", "unheard",
    )  # fmt: skip

    def __init__(self, name: str, run: str, role: str, pool: str = "") -> None:
        self.name, self.run, self.role, self.pool = name, run, role, pool
        self.uid, self.phase = "", "Pending"
        self.obj: dict[str, Any] | None = None
        self.events: list[Mapping[str, Any]] = []
        self.found: Diagnosis | None = None
        self.settled_at = self.stuck_at = self.told_at = self.dying_at = 0.0
        self.told = ""
        self.leaving = self.unheard = False

    def note(self, found: Diagnosis | None, now: float) -> None:
        """Why it does not start. The words for one and the same cause change with every look at the nodes: they are told anew only now and
        then, as each telling is an event of the run."""
        before, self.found = self.found, found
        if found is None or not found.lasting:
            self.stuck_at = 0.0
        elif not self.stuck_at:
            self.stuck_at = now
        if (before.cause if before else "") != (found.cause if found else "") or now - self.told_at > _SAY_AGAIN_S:
            self.told, self.told_at = found.line if found else "", now


def is_pooled(spec: AttemptSpec) -> bool:
    """Does a pool's worker run it? Programs in images of their own have pods of their own."""
    return spec.step.pool.size > 0 and spec.step.kind != "container"


def ask_of_pod(obj: Mapping[str, Any]) -> Ask:
    """What a pod that was there before the server takes of the limits."""
    asked = asked_by(obj)
    devices = {name: int(amount) for name, amount in asked.items() if "/" in name}
    return Ask(1, asked.get("cpu", 0.0), int(asked.get("memory", 0)), devices)


def inventory_of(settings: ClusterSettings) -> Inventory:
    """What the target's limits allow, without bound where they say nothing."""
    most = settings.target.limits
    bound = Resources(most.cpu or math.inf, most.memory_bytes or 1 << 60, 1 << 60, most.accelerators)
    return Inventory(bound, bound, bound, {"namespace": settings.namespace, "kueue": settings.kueue, "open": True})


def cancelled(message: str) -> ErrorInfo:
    """The error of an attempt that was ended because somebody wished it."""
    return ErrorInfo("cancelled", "FW-TASK-CANCELLED", message, retryable=False)


def is_unheard(obj: Mapping[str, Any]) -> bool:
    """Has the cluster given up the pod's node, which may never confirm that the pod has ended?"""
    conditions = obj.get("status", {}).get("conditions") or ()
    return any(one.get("type") == "DisruptionTarget" and one.get("reason") == "DeletionByTaintManager" for one in conditions)
