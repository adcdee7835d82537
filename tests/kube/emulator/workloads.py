"""The controllers of Deployments and ReplicaSets."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import DEPLOYMENT, POD, REPLICA_SET, Kind
from tests.kube.emulator.memory import Change, Object, now_text

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster


def owner_of(kind: Kind, found: Object) -> dict[str, Any]:
    meta = found["metadata"]
    made = {"apiVersion": kind.api_version, "kind": kind.kind, "name": meta["name"], "uid": meta["uid"]}
    return made | {"controller": True, "blockOwnerDeletion": True}


def owned_by(found: Object, uid: str) -> bool:
    return any(each["uid"] == uid and each.get("controller") for each in found["metadata"].get("ownerReferences") or ())


def controller_name(found: Object, kind: str) -> str:
    owners = found["metadata"].get("ownerReferences") or ()
    return next((each["name"] for each in owners if each.get("controller") and each["kind"] == kind), "")


def is_ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in (pod.get("status") or {}).get("conditions") or ())


def has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


class Backoff:
    """When a controller that was refused a pod tries again: later each time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._refused: dict[str, tuple[int, int, bool]] = {}  # generation, times, whether it waits

    def waits(self, found: Object) -> bool:
        """Whether the object's last try was refused and the next is not due; a changed object is tried at once."""
        generation, _, waiting = self._refused.get(found["metadata"]["uid"], (0, 0, False))
        return waiting and generation == found["metadata"].get("generation", 1)

    def refused(self, found: Object, again: Callable[[], None]) -> None:
        uid, generation = found["metadata"]["uid"], found["metadata"].get("generation", 1)
        times = self._refused.get(uid, (0, 0, False))[1] + 1
        self._refused[uid] = (generation, times, True)

        def retry() -> None:
            self._refused[uid] = (generation, times, False)
            again()

        self._cluster.loop.call_later(min(2**times, 300) * self._cluster.pace, retry)

    def accepted(self, found: Object) -> None:
        self._refused.pop(found["metadata"]["uid"], None)


class Workloads:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._backoff = Backoff(cluster)

    def see(self, change: Change) -> None:
        meta = change.new["metadata"]
        if change.kind is POD:
            name = controller_name(change.new, "ReplicaSet")
            if name:
                self._sync_set(meta["namespace"], name)
                found = self._cluster.memory.find(REPLICA_SET, meta["namespace"], name)
                if found is not None and change.type == "DELETED":  # who recreates waits for the last pod to be gone
                    self._sync_deployment(meta["namespace"], controller_name(found, "Deployment"))
        elif change.kind is REPLICA_SET:
            if change.type != "DELETED":
                self._sync_set(meta["namespace"], meta["name"])
            self._sync_deployment(meta["namespace"], controller_name(change.new, "Deployment"))
        elif change.kind is DEPLOYMENT and change.type != "DELETED":
            self._sync_deployment(meta["namespace"], meta["name"])

    def _sync_set(self, namespace: str, name: str) -> None:
        memory = self._cluster.memory
        found = memory.find(REPLICA_SET, namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        uid, wanted = found["metadata"]["uid"], found["spec"]["replicas"]
        pods = [pod for pod in memory.list(POD, namespace) if owned_by(pod, uid) and not has_ended(pod)]
        live = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        failure: dict[str, Any] | None = None
        if self._backoff.waits(found):
            return
        for _ in range(wanted - len(live)):
            template = copy.deepcopy(found["spec"]["template"])
            body = {"metadata": template.get("metadata") or {}, "spec": template["spec"]}
            body["metadata"] |= {"generateName": f"{name}-", "ownerReferences": [owner_of(REPLICA_SET, found)]}
            try:
                live.append(memory.create(POD, namespace, body))
                self._backoff.accepted(found)
            except ApiError as error:
                failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": error.message}
                self._cluster.record(found, "FailedCreate", f"Error creating: {error.message}", warning=True)
                self._backoff.refused(found, lambda: self._sync_set(namespace, name))
                break
        for pod in sorted(live, key=is_ready)[: max(len(live) - wanted, 0)]:
            memory.delete(POD, namespace, pod["metadata"]["name"])
            live.remove(pod)
        ready = sum(is_ready(pod) for pod in live)
        status = {"replicas": len(live), "fullyLabeledReplicas": len(live), "readyReplicas": ready, "availableReplicas": ready}
        status["observedGeneration"] = found["metadata"].get("generation", 1)
        if failure:
            before = next(iter((found.get("status") or {}).get("conditions") or ()), {})
            same = {key: before.get(key) for key in failure} == failure
            status["conditions"] = [before if same else failure | {"lastTransitionTime": now_text()}]
        memory.change(REPLICA_SET, namespace, name, lambda it: it.update(status=status), subresource="status")

    def _sync_deployment(self, namespace: str, name: str) -> None:
        memory = self._cluster.memory
        found = memory.find(DEPLOYMENT, namespace, name) if name else None
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        spec, uid = found["spec"], found["metadata"]["uid"]
        sets = [each for each in memory.list(REPLICA_SET, namespace) if owned_by(each, uid)]
        number = hashlib.sha256(json.dumps(spec["template"], sort_keys=True).encode()).hexdigest()[:10]
        current = next((each for each in sets if each["metadata"]["labels"]["pod-template-hash"] == number), None)
        old = [each for each in sets if each is not current]
        recreate = spec["strategy"]["type"] == "Recreate"
        for each in old:
            settled = current is not None and (current.get("status") or {}).get("availableReplicas", 0) >= spec["replicas"]
            if each["spec"]["replicas"] and (recreate or settled):
                memory.change(REPLICA_SET, namespace, each["metadata"]["name"], lambda it: it["spec"].update(replicas=0))
        going = {each["metadata"]["uid"] for each in old}
        if recreate and any(any(owned_by(pod, one) for one in going) and not has_ended(pod) for pod in memory.list(POD, namespace)):
            self._report(found, current, old)
            return
        if current is None:
            try:
                current = self._new_set(found, number)
            except ApiError as error:
                self._note_no_set(found, f"{name}-{number}", error.message)
                return
        elif current["spec"]["replicas"] != spec["replicas"]:
            memory.change(REPLICA_SET, namespace, current["metadata"]["name"], lambda it: it["spec"].update(replicas=spec["replicas"]))
        self._report(found, current, old)

    def _note_no_set(self, deployment: Object, name: str, message: str) -> None:
        words = f'Failed to create new replica set "{name}": {message}'
        self._cluster.record(deployment, "ReplicaSetCreateError", words, warning=True)
        stuck = {"type": "Progressing", "status": "False", "reason": "ReplicaSetCreateError", "message": message}
        meta = deployment["metadata"]
        status = {"observedGeneration": meta["generation"], "conditions": [stuck]}
        self._cluster.memory.change(DEPLOYMENT, meta["namespace"], meta["name"], lambda it: it.update(status=status), subresource="status")

    def _new_set(self, deployment: Object, number: str) -> Object:
        meta, spec = deployment["metadata"], deployment["spec"]
        template = copy.deepcopy(spec["template"])
        labels = {**(template["metadata"].get("labels") or {}), "pod-template-hash": number}
        template["metadata"]["labels"] = labels
        selector = {"matchLabels": {**spec["selector"]["matchLabels"], "pod-template-hash": number}}
        body = {
            "metadata": {"name": f"{meta['name']}-{number}", "labels": labels, "ownerReferences": [owner_of(DEPLOYMENT, deployment)]},
            "spec": {"replicas": spec["replicas"], "selector": selector, "template": template},
        }
        return self._cluster.memory.create(REPLICA_SET, meta["namespace"], body)

    def _report(self, deployment: Object, current: Object | None, old: list[Object]) -> None:
        meta, wanted = deployment["metadata"], deployment["spec"]["replicas"]
        mine = (current or {}).get("status") or {}
        ready = mine.get("readyReplicas", 0)
        all_ready = ready + sum((each.get("status") or {}).get("readyReplicas", 0) for each in old)
        total = mine.get("replicas", 0) + sum((each.get("status") or {}).get("replicas", 0) for each in old)
        done = ready >= wanted and total == wanted
        updated = mine.get("replicas", 0)
        available = {
            "type": "Available",
            "status": "True",
            "reason": "MinimumReplicasAvailable",
            "message": "Deployment has minimum availability.",
        }
        if all_ready < wanted:
            available |= {
                "status": "False",
                "reason": "MinimumReplicasUnavailable",
                "message": "Deployment does not have minimum availability.",
            }
        name = (current or {"metadata": {"name": meta["name"]}})["metadata"]["name"]
        progress = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"}
        progress["message"] = f'ReplicaSet "{name}" {"has successfully progressed" if done else "is progressing"}.'
        failures = [each for each in mine.get("conditions") or () if each["type"] == "ReplicaFailure" and not self._cluster.quiet]
        old_conditions = {each["type"]: each for each in (deployment.get("status") or {}).get("conditions") or ()}
        conditions = []
        for each in (available, progress, *failures):
            before = old_conditions.get(each["type"], {})
            same = {key: before.get(key) for key in each} == each
            conditions.append(before if same else {**each, "lastUpdateTime": now_text(), "lastTransitionTime": now_text()})
        status: dict[str, Any] = {
            "observedGeneration": meta["generation"],
            "replicas": total,
            "updatedReplicas": updated,
            "conditions": conditions,
        }
        status |= {"readyReplicas": all_ready, "availableReplicas": all_ready, "unavailableReplicas": max(wanted - all_ready, 0)}
        status = {key: value for key, value in status.items() if value or key == "conditions"}
        self._cluster.memory.change(DEPLOYMENT, meta["namespace"], meta["name"], lambda it: it.update(status=status), subresource="status")
