"""What goes when something else goes: dependents of owners, the contents of a namespace; and claims that are in use stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import CLAIM, CONFIG_MAP, NAMESPACE, POD, SERVICE_ACCOUNT, VOLUME, Kind
from tests.kube.emulator.memory import Change, Object

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

_IN_USE = "kubernetes.io/pvc-protection"


class Garbage:
    """Owner references are followed as the garbage collector does: in the background, the foreground, or leaving orphans."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._dependents: dict[str, set[tuple[Kind, str, str, str]]] = {}

    def see(self, change: Change) -> None:
        meta = change.new["metadata"]
        key = (change.kind, meta.get("namespace", ""), meta["name"], meta["uid"])
        owners = {owner["uid"] for owner in meta.get("ownerReferences") or ()}
        before = {owner["uid"] for owner in ((change.old or {}).get("metadata") or {}).get("ownerReferences") or ()}
        if change.type == "DELETED":
            for uid in owners | before:
                self._dependents.get(uid, set()).discard(key)
                self._release(uid)
            self._owner_gone(meta["uid"])
            return
        for uid in before - owners:
            self._dependents.get(uid, set()).discard(key)
        for uid in owners - before:
            self._dependents.setdefault(uid, set()).add(key)
        if owners - before:
            self._check_owners(change.kind, change.new)
        if meta.get("deletionTimestamp"):
            self._finalize(change.kind, change.new)

    def _owner_gone(self, uid: str) -> None:
        for kind, namespace, name, own in sorted(self._dependents.pop(uid, set()), key=lambda key: key[1:3]):
            found = self._cluster.memory.find(kind, namespace, name)
            if found and found["metadata"]["uid"] == own:
                self._check_owners(kind, found)

    def _check_owners(self, kind: Kind, found: Object) -> None:
        """Delete what has lost its last owner."""
        references = found["metadata"].get("ownerReferences") or []
        if not references or found["metadata"].get("deletionTimestamp"):
            return
        uids = {each["metadata"]["uid"] for _, each in self._cluster.memory.every()}
        if not any(reference["uid"] in uids for reference in references):
            self._cluster.memory.delete(kind, found["metadata"].get("namespace", ""), found["metadata"]["name"])

    def _finalize(self, kind: Kind, found: Object) -> None:
        meta = found["metadata"]
        finalizers = meta.get("finalizers") or []
        uid = meta["uid"]
        if "orphan" in finalizers:
            for kind_, namespace, name, _ in list(self._dependents.get(uid, ())):
                self._cluster.memory.change(kind_, namespace, name, lambda each: _drop_owner(each, uid))
            self._drop_finalizer(kind, found, "orphan")
        elif "foregroundDeletion" in finalizers:
            waiting = False
            for kind_, namespace, name, own in list(self._dependents.get(uid, ())):
                each = self._cluster.memory.find(kind_, namespace, name)
                if each is None or each["metadata"]["uid"] != own:
                    continue
                if not each["metadata"].get("deletionTimestamp"):
                    self._cluster.memory.delete(kind_, namespace, name, propagation="Foreground" if kind_ is not POD else "Background")
                waiting = waiting or self._cluster.memory.find(kind_, namespace, name) is not None
            if not waiting:
                self._drop_finalizer(kind, found, "foregroundDeletion")

    def _release(self, uid: str) -> None:
        """A dependent has gone: an owner that waits for it may go."""
        for kind, each in list(self._cluster.memory.every()):
            if each["metadata"]["uid"] == uid and each["metadata"].get("deletionTimestamp"):
                self._finalize(kind, each)

    def _drop_finalizer(self, kind: Kind, found: Object, name: str) -> None:
        def edit(each: Object) -> None:
            left = [it for it in each["metadata"].get("finalizers") or () if it != name]
            each["metadata"]["finalizers"] = left

        self._cluster.memory.change(kind, found["metadata"].get("namespace", ""), found["metadata"]["name"], edit)


class Namespaces:
    """A namespace begins with a service account; a deleted one takes all it has with it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ending: set[str] = set()

    def see(self, change: Change) -> None:
        memory = self._cluster.memory
        name = change.new["metadata"]["name"]
        if change.kind is NAMESPACE and change.type == "ADDED":
            memory.create(SERVICE_ACCOUNT, name, {"metadata": {"name": "default"}})
            memory.create(CONFIG_MAP, name, {"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": ""}})
        elif change.kind is NAMESPACE and change.new["metadata"].get("deletionTimestamp") and change.type != "DELETED":
            self._ending.add(name)
            memory.change(NAMESPACE, "", name, lambda it: it.update(status={"phase": "Terminating"}), subresource="status")
            for kind, each in list(memory.every()):
                if each["metadata"].get("namespace") == name and not each["metadata"].get("deletionTimestamp"):
                    try:
                        memory.delete(kind, name, each["metadata"]["name"])
                    except ApiError as error:
                        assert error.code == 404
            self._release(name)
        elif change.type == "DELETED" and change.new["metadata"].get("namespace") in self._ending:
            self._release(change.new["metadata"]["namespace"])

    def _release(self, name: str) -> None:
        memory = self._cluster.memory
        if name in self._ending and not any(each["metadata"].get("namespace") == name for _, each in memory.every()):
            self._ending.discard(name)
            memory.change(NAMESPACE, "", name, lambda it: it["spec"].update(finalizers=[]))


class Claims:
    """Every claim is bound at once; one that a pod uses is not removed before the pod has ended."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.bind = True

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: str) -> None:
        if kind is CLAIM and old is None:
            finalizers = new["metadata"].setdefault("finalizers", [])
            if _IN_USE not in finalizers:
                finalizers.append(_IN_USE)
            new["spec"].setdefault("storageClassName", "standard")
            new["spec"].setdefault("volumeMode", "Filesystem")
            new["status"] = {"phase": "Pending"}

    def see(self, change: Change) -> None:
        if change.kind is CLAIM:
            if change.type != "DELETED" and change.new["metadata"].get("deletionTimestamp"):
                self._release(change.new["metadata"]["namespace"], change.new["metadata"]["name"])
            elif change.type == "ADDED":
                self.try_bind(change.new)
            elif change.type == "DELETED" and change.new["spec"].get("volumeName"):
                memory = self._cluster.memory
                if memory.find(VOLUME, "", change.new["spec"]["volumeName"]):
                    memory.delete(VOLUME, "", change.new["spec"]["volumeName"])
                self._cluster.volumes.forget(
                    self._cluster.volumes.claim_folder(change.new["metadata"]["namespace"], change.new["metadata"]["name"])
                )
        elif change.kind is POD and (change.type == "DELETED" or _ended(change.new)):
            for name in _claims_of(change.new):
                self._release(change.new["metadata"]["namespace"], name)

    def try_bind(self, claim: Object) -> None:
        if not self.bind or claim["spec"].get("volumeName"):
            return
        meta, memory = claim["metadata"], self._cluster.memory
        name = f"pvc-{meta['uid']}"
        capacity = (claim["spec"].get("resources") or {}).get("requests") or {}
        reference = {"kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
        spec = {
            "capacity": capacity,
            "accessModes": claim["spec"].get("accessModes"),
            "claimRef": reference,
            "persistentVolumeReclaimPolicy": "Delete",
        }
        memory.create(VOLUME, "", {"metadata": {"name": name}, "spec": spec})
        bound = {"phase": "Bound", "capacity": capacity, "accessModes": claim["spec"].get("accessModes")}

        def edit(found: Object) -> None:
            found["spec"]["volumeName"] = name
            found["status"] = bound

        memory.change(CLAIM, meta["namespace"], meta["name"], edit, subresource="all")

    def _release(self, namespace: str, name: str) -> None:
        memory = self._cluster.memory
        found = memory.find(CLAIM, namespace, name)
        if not found or not found["metadata"].get("deletionTimestamp"):
            return
        if not any(name in _claims_of(pod) and not _ended(pod) for pod in memory.list(POD, namespace)):
            left = [each for each in found["metadata"].get("finalizers") or () if each != _IN_USE]
            memory.change(CLAIM, namespace, name, lambda it: it["metadata"].update(finalizers=left))


def _claims_of(pod: Object) -> set[str]:
    volumes = pod["spec"].get("volumes") or ()
    return {each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each}


def _ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _drop_owner(found: Object, uid: str) -> None:
    references = [each for each in found["metadata"].get("ownerReferences") or () if each["uid"] != uid]
    found["metadata"]["ownerReferences"] = references
