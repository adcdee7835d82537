"""The cluster's database: versioned objects, their history for watches, deletion with grace and finalizers."""

from __future__ import annotations

import copy
import datetime
import json
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.kube.emulator.failure import ApiError, invalid, not_found
from tests.kube.emulator.kinds import NAMESPACE, POD, Kind

Object = dict[str, Any]
MAX_BYTES = 1_572_864  # what etcd takes
HISTORY = 200_000
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Change(NamedTuple):
    """One write. `old` is None for a new object, `new` is the last state of a deleted one."""

    version: int
    type: str  # ADDED, MODIFIED, DELETED
    kind: Kind
    old: Object | None
    new: Object


def now_text() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Memory:
    """Objects by kind, namespace and name. What is handed out is never changed in place: every write stores a new object.

    Everything is called in one thread. `admit` sees each new and each changed object and may change or refuse it; `written` is
    called after each write, in order.
    """

    def __init__(self) -> None:
        self.version = 1000
        self.oldest = 1000
        self.largest: tuple[int, str] = (0, "")
        self.history: deque[Change] = deque()
        self.admit: list[Callable[[Kind, Object, Object | None, str], None]] = []
        self.written: list[Callable[[Change], None]] = []
        self.forget: list[Callable[[str], None]] = []
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {}
        self._random = random.Random(0)

    def suffix(self, length: int = 5) -> str:
        return "".join(self._random.choices(_ALPHABET, k=length))

    # ---- reading

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self._objects.get(kind, {}).get((namespace if kind.namespaced else "", name))

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        found = self.find(kind, namespace, name)
        if found is None:
            raise not_found(kind.plural, name, kind.group)
        return found

    def list(self, kind: Kind, namespace: str = "") -> list[Object]:
        """In the order of etcd: by namespace and name."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def every(self) -> Iterable[tuple[Kind, Object]]:
        for kind, found in self._objects.items():
            for each in found.values():
                yield kind, each

    def since(self, kind: Kind, version: int) -> list[Change]:
        """The writes after a version; 410 if they are forgotten."""
        if version < self.oldest:
            raise ApiError(410, f"too old resource version: {version} ({self.oldest})")
        return [change for change in self.history if change.version > version and change.kind is kind]

    def expire(self) -> None:
        """Forget all history, as compaction does."""
        self.history.clear()
        self.version += 1
        self.oldest = self.version

    # ---- writing

    def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        made = copy.deepcopy(body)
        meta = made.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + self.suffix()
        if not meta.get("name"):
            raise invalid(kind.kind, "", "metadata.name", "Required value: name or generateName is required")
        if meta.get("resourceVersion"):
            raise ApiError(400, "resourceVersion should not be set on objects to be created", reason="BadRequest")
        name = meta["name"]
        if kind.namespaced:
            self._check_namespace(namespace, kind, name)
            meta["namespace"] = namespace
        else:
            namespace = ""
        if self.find(kind, namespace, name):
            details = {"name": name, "kind": kind.plural} | ({"group": kind.group} if kind.group else {})
            raise ApiError(409, f'{kind.resource} "{name}" already exists', reason="AlreadyExists", details=details)
        if kind.status:
            made.pop("status", None)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = now_text()
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
            meta.pop(field, None)
        if "spec" in made and kind is not NAMESPACE:
            meta["generation"] = 1
        made = {"kind": kind.kind, "apiVersion": kind.api_version} | {k: v for k, v in made.items() if k not in ("kind", "apiVersion")}
        for admit in self.admit:
            admit(kind, made, None, "")
        if dry_run:
            return made
        return self._store("ADDED", kind, None, made)

    def update(self, kind: Kind, body: Object, *, subresource: str = "", dry_run: bool = False) -> Object:
        """Put a whole object in the place of the stored one; 409 if the body names a version that is not the stored one."""
        meta = body.get("metadata") or {}
        namespace, name = meta.get("namespace", ""), meta.get("name", "")
        old = self.get(kind, namespace, name)
        version = meta.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            message = f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified; '
            message += "please apply your changes to the latest version and try again"
            raise ApiError(409, message, details={"name": name, "kind": kind.plural})
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            message = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {old['metadata']['uid']}"
            raise ApiError(409, f'Operation cannot be fulfilled on {kind.resource} "{name}": {message}')
        new = copy.deepcopy(body)
        self._keep_fixed(kind, old, new, subresource)
        if "spec" in new and new.get("spec") != old.get("spec") and "generation" in old["metadata"]:
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        for admit in self.admit:
            admit(kind, new, old, subresource)
        if new == old or dry_run:
            return new
        new = self._store("MODIFIED", kind, old, new)
        if new["metadata"].get("deletionTimestamp") and self._may_go(kind, new):
            self._remove(kind, new)
        return new

    def change(self, kind: Kind, namespace: str, name: str, edit: Callable[[Object], None], *, subresource: str = "") -> Object | None:
        """Edit what is stored, as a controller does; None if it is gone. Nothing is written if nothing changed."""
        old = self.find(kind, namespace, name)
        if old is None:
            return None
        new = copy.deepcopy(old)
        edit(new)
        return self.update(kind, new, subresource=subresource)

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        grace_s: int | None = None,
        propagation: str = "Background",
        uid: str = "",
        version: str = "",
    ) -> tuple[Object, bool]:
        """Begin to delete; whether it is gone already."""
        old = self.get(kind, namespace, name)
        meta = old["metadata"]
        if uid and uid != meta["uid"]:
            message = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
            raise ApiError(409, f'Operation cannot be fulfilled on {kind.resource} "{name}": {message}')
        if version and version != meta["resourceVersion"]:
            message = f"Precondition failed: ResourceVersion in precondition: {version}, "
            message += f"ResourceVersion in object meta: {meta['resourceVersion']}"
            raise ApiError(409, f'Operation cannot be fulfilled on {kind.resource} "{name}": {message}')
        new = copy.deepcopy(old)
        self._mark(kind, new, grace_s, propagation)
        if self._may_go(kind, new):
            return self._remove(kind, old), True
        if new != old:
            if "spec" in new and "generation" in meta and not meta.get("deletionTimestamp"):
                new["metadata"]["generation"] += 1
            new = self._store("MODIFIED", kind, old, new)
        return new, False

    def _mark(self, kind: Kind, new: Object, grace_s: int | None, propagation: str) -> None:
        meta = new["metadata"]
        finalizers = list(meta.get("finalizers") or [])
        wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        if wanted and wanted not in finalizers:
            finalizers.append(wanted)
        if finalizers:
            meta["finalizers"] = finalizers
        period = self._grace(kind, new, grace_s)
        if not meta.get("deletionTimestamp"):
            at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=period)
            meta["deletionTimestamp"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            meta["deletionGracePeriodSeconds"] = period
        elif period < meta["deletionGracePeriodSeconds"]:
            meta["deletionGracePeriodSeconds"] = period

    def _grace(self, kind: Kind, found: Object, grace_s: int | None) -> int:
        """Only pods have one, and only on a node, and only while they have not ended."""
        if kind is not POD or not found["spec"].get("nodeName"):
            return 0
        if found.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            return 0
        return found["spec"].get("terminationGracePeriodSeconds", 30) if grace_s is None else grace_s

    def _may_go(self, kind: Kind, found: Object) -> bool:
        meta = found["metadata"]
        if kind is NAMESPACE and (found.get("spec") or {}).get("finalizers"):
            return False
        return not meta.get("finalizers") and not meta.get("deletionGracePeriodSeconds")

    def _keep_fixed(self, kind: Kind, old: Object, new: Object, subresource: str) -> None:
        """What a client cannot change, and what the endpoint it wrote to does not change."""
        kept = (
            "uid",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "generation",
            "namespace",
            "name",
            "resourceVersion",
        )
        meta = new.setdefault("metadata", {})
        for field in kept:
            meta.pop(field, None)
            if field in old["metadata"]:
                meta[field] = old["metadata"][field]
        new["kind"], new["apiVersion"] = old["kind"], old["apiVersion"]
        if subresource == "status":
            status = new.get("status")
            new.clear()
            new.update(copy.deepcopy(old))
            if status is not None:
                new["status"] = status
        elif kind.status and subresource != "all":
            new.pop("status", None)
            if "status" in old:
                new["status"] = copy.deepcopy(old["status"])

    def _store(self, type_: str, kind: Kind, old: Object | None, new: Object) -> Object:
        self.version += 1
        new["metadata"]["resourceVersion"] = str(self.version)
        size = len(json.dumps(new))
        name = f"{kind.kind}/{new['metadata']['name']}"
        if size > MAX_BYTES:
            raise ApiError(
                413, "etcdserver: request is too large" if size > 2 * MAX_BYTES else f"Request entity too large: limit is {MAX_BYTES}"
            )
        self.largest = max(self.largest, (size, name))
        self._objects.setdefault(kind, {})[new["metadata"].get("namespace", ""), new["metadata"]["name"]] = new
        self._publish(Change(self.version, type_, kind, old, new))
        return new

    def _remove(self, kind: Kind, old: Object) -> Object:
        self.version += 1
        del self._objects[kind][old["metadata"].get("namespace", ""), old["metadata"]["name"]]
        last = copy.deepcopy(old)
        last["metadata"]["resourceVersion"] = str(self.version)
        self._publish(Change(self.version, "DELETED", kind, old, last))
        for forget in self.forget:
            forget(old["metadata"]["uid"])
        return last

    def _publish(self, change: Change) -> None:
        self.history.append(change)
        while len(self.history) > HISTORY:
            self.oldest = self.history.popleft().version
        for listener in self.written:
            listener(change)

    def _check_namespace(self, namespace: str, kind: Kind, name: str) -> None:
        found = self.find(NAMESPACE, "", namespace)
        if found is None:
            raise not_found("namespaces", namespace)
        if found["metadata"].get("deletionTimestamp"):
            message = f'{kind.resource} "{name}" is forbidden: unable to create new content in namespace {namespace} '
            message += "because it is being terminated"
            raise ApiError(403, message, details={"name": name, "kind": kind.plural, "causes": [{"reason": "NamespaceTerminating"}]})
