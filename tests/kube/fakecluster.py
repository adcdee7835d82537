"""A cluster of dicts behind KubeClient's interface: pods do only what a test says, requests are counted."""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fairway.errors import ConflictError, FairwayError, ForbiddenError, NotFoundError
from fairway.kube.manifests import merge
from fairway.kube.rights import Right
from fairway.kube.watch import Change

Object = dict[str, Any]


class FakeCluster:
    """`refuse` answers creations: called with the object, it returns an error or None; `late`: the object is made all the same. `largest`
    is the biggest object ever seen (bytes), `most` the most pods at once."""

    def __init__(self, *, obedient: bool = False) -> None:
        self.namespace = "lab"
        self.objects: dict[tuple[str, str], Object] = {}
        self.requests: Counter[str] = Counter()
        self.grace: dict[str, int | None] = {}
        self.output: dict[str, bytes] = {}
        self.followed: dict[str, bytes | FairwayError] = {}  # what who follows a log gets, where that is not all of it
        self.refuse: Any = lambda obj: None
        self.largest = self.most = 0
        self.late = False
        self.groups: set[str] = set()
        self.forbidden: set[str] = set()
        self._obedient = obedient
        self._inboxes: list[tuple[str, asyncio.Queue[Change]]] = []
        self._made = 0

    # KubeClient

    async def create(self, obj: Object) -> Object:
        self.requests[f"create {obj['kind']}"] += 1
        key = (obj["kind"], obj["metadata"]["name"])
        refused: FairwayError | None = self.refuse(obj)
        if refused is not None and not self.late:
            raise refused
        if key in self.objects:
            raise ConflictError(f"{key[1]} already exists")
        self._made += 1
        made = copy.deepcopy(obj)
        made["metadata"]["uid"] = f"uid-{self._made}"
        if obj["kind"] == "Pod":
            made["status"] = {"phase": "Pending"}
        self.objects[key] = made
        self.largest = max(self.largest, len(json.dumps(made)))
        self.most = max(self.most, len(self.pods()))
        self._tell("added", made)
        if refused is not None:
            raise refused
        return copy.deepcopy(made)

    async def get(self, kind: str, name: str, *, namespace: str = "") -> Object:
        self.requests[f"get {kind}"] += 1
        if (kind, name) not in self.objects:
            raise NotFoundError(f'{kind.lower()}s "{name}" not found')
        return copy.deepcopy(self.objects[kind, name])

    async def find(self, kind: str, name: str, *, namespace: str = "") -> Object | None:
        try:
            return await self.get(kind, name, namespace=namespace)
        except NotFoundError:
            return None

    async def events(self, name: str, kind: str = "Pod") -> list[Object]:
        return []

    async def list(self, kind: str, *, labels: str = "", fields: str = "", namespace: str = "", version: str = "") -> list[Object]:
        self.requests[f"list {kind}"] += 1
        if f"list {kind}" in self.forbidden:
            raise ForbiddenError(f'{kind} is forbidden: User "fairway" cannot list resource')
        wanted = dict(label.split("=") for label in labels.split(",") if "=" in label)
        return [
            copy.deepcopy(obj)
            for (other, _), obj in self.objects.items()
            if other == kind and wanted.items() <= obj["metadata"].get("labels", {}).items()
        ]

    async def delete(self, kind: str, name: str, *, grace_s: int | None = None, propagation: str = "", uid: str = "") -> bool:
        self.requests[f"delete {kind}"] += 1
        self.grace[name] = grace_s
        obj = self.objects.get((kind, name))
        if obj is None or (uid and obj["metadata"]["uid"] != uid):
            return False
        self.vanish(name, kind=kind)
        return True

    async def patch(self, kind: str, name: str, patch: Object) -> Object:
        self.requests[f"patch {kind}"] += 1
        obj = self.objects[kind, name] = merge(await self.get(kind, name), patch)
        self._tell("modified", obj)
        return obj

    async def watch(self, kind: str, *, labels: str = "", fields: str = "") -> AsyncIterator[Change]:
        self.requests[f"watch {kind}"] += 1
        inbox: asyncio.Queue[Change] = asyncio.Queue()
        for (other, _), obj in self.objects.items():
            if other == kind:
                inbox.put_nowait(Change("added", copy.deepcopy(obj)))
        inbox.put_nowait(Change("synced", {}))
        self._inboxes.append((kind, inbox))
        while True:
            yield await inbox.get()

    async def logs(self, pod: str, container: str = "", *, follow: bool = False, tail: int = 0, since_s: int = 0) -> AsyncIterator[bytes]:
        self.requests["logs Pod"] += 1
        if pod not in self.output:
            raise NotFoundError("no logs")
        seen = self.followed.get(pod, self.output[pod]) if follow else self.output[pod]
        if isinstance(seen, FairwayError):
            raise seen
        yield seen

    async def serves(self, group: str) -> bool:
        return group in self.groups

    async def can(self, rights: Sequence[Right]) -> list[Right]:
        return [right for right in rights if right.text in self.forbidden]

    # What tests do

    def pods(self) -> dict[str, Object]:
        return {name: obj for (kind, name), obj in self.objects.items() if kind == "Pod"}

    def pod(self, name: str) -> Object:
        return self.objects["Pod", name]

    def set_status(self, name: str, status: Object, *, node: str = "n1") -> None:
        pod = self.pod(name)
        pod["status"] = status
        if node:
            pod["spec"]["nodeName"] = node
        self._tell("modified", pod)

    def run(self, name: str) -> None:
        self.set_status(name, {"phase": "Running", "containerStatuses": [{"name": "main", "state": {"running": {}}}]})

    def finish(self, name: str, code: int = 0, *, reason: str = "", message: str = "") -> None:
        ended = {"exitCode": code, "reason": reason or ("Error" if code else "Completed"), "message": message}
        self.set_status(
            name,
            {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]},
        )

    def vanish(self, name: str, *, kind: str = "Pod") -> None:
        self._tell("deleted", self.objects.pop((kind, name)))

    def event(self, name: str, reason: str, message: str) -> None:
        obj = {
            "kind": "Event",
            "metadata": {"name": f"{name}.{self._made}"},
            "involvedObject": {"kind": "Pod", "name": name, "uid": self.pod(name)["metadata"]["uid"]},
            "reason": reason,
            "message": message,
            "type": "Warning",
        }
        self._tell("added", obj)

    def _tell(self, kind: str, obj: Object) -> None:
        for wanted, inbox in self._inboxes:
            if wanted == obj["kind"]:
                inbox.put_nowait(Change(kind, copy.deepcopy(obj)))
