"""The Kubernetes API as plain dicts: what Fairway needs of it, and nothing that it does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal

from fairway.errors import ConfigError, ConflictError, ForbiddenError, NotFoundError
from fairway.kube.config import ClientSettings, Connection, load_connection
from fairway.kube.errors import Expired
from fairway.kube.kinds import get_kind, kind_of
from fairway.kube.rights import Right, review_for

if TYPE_CHECKING:
    from fairway.kube.portforward import PodStream
    from fairway.kube.watch import Change

Object = dict[str, Any]
FIELD_MANAGER = "fairway"
_PAGE = 500
_PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


class KubeClient:
    """One namespace of one cluster, as its caller may see it. Objects are dicts as in Kubernetes' JSON; kinds are named as objects spell
    them ("Pod"); `namespace="*"` means all of them. Belongs to the event loop that uses it first. Raises FairwayErrors only."""

    def __init__(self, connection: Connection, settings: ClientSettings) -> None:
        from fairway.kube.transport import Transport
        from fairway.kube.watch import Watches

        self.namespace = connection.namespace
        self.context = connection.context
        self.user = connection.user
        self.server = connection.server
        self.settings = settings
        self._transport = Transport(connection, settings)
        self._watches = Watches(self._transport)

    @classmethod
    def connect(cls, *, context: str = "", namespace: str = "", kubeconfig: str = "", requests_per_s: float = 20.0) -> KubeClient:
        """A client by the kubeconfig, else by the pod's own service account. Sends nothing. Raises ConfigError if neither is there."""
        return cls.from_settings(ClientSettings(context, namespace, kubeconfig, requests_per_s))

    @classmethod
    def from_settings(cls, settings: ClientSettings) -> KubeClient:
        return cls(load_connection(settings), settings)

    @property
    def requests(self) -> Counter[str]:
        """How often what was asked: "list Pod" -> 3."""
        return self._transport.requests

    async def get(self, kind: str, name: str, *, namespace: str = "") -> Object:
        """The object. Raises NotFoundError."""
        return await self._call("get", kind, "GET", name, namespace=namespace)

    async def find(self, kind: str, name: str, *, namespace: str = "") -> Object | None:
        """The object, or None."""
        try:
            return await self.get(kind, name, namespace=namespace)
        except NotFoundError:
            return None

    async def list(self, kind: str, *, labels: str = "", fields: str = "", namespace: str = "", version: str = "") -> list[Object]:
        """All objects of a kind that the selectors let through, read in pages; `version`: another than that of the table ("v1beta2")."""
        from fairway.kube.watch import list_pages

        api = get_kind(kind).in_version(version)
        path = api.path(namespace or self.namespace)
        return (await list_pages(self._transport, api, path, {"labelSelector": labels, "fieldSelector": fields}, page=_PAGE))[0]

    async def create(self, obj: Object) -> Object:
        """The object as it was stored. Raises ConflictError if one of that name is there."""
        named = bool(obj.get("metadata", {}).get("name"))
        return await self._write("create", obj, "POST", "", {}, repeatable=named)

    async def apply(self, obj: Object, *, dry_run: bool = False, manager: str = FIELD_MANAGER) -> Object:
        """Make the object what `obj` says of it, by server-side apply; other managers' fields stay. Idempotent."""
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        return await self._write("apply", obj, "PATCH", obj["metadata"]["name"], query, content_type="application/apply-patch+yaml")

    async def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        *,
        kind_of_patch: Literal["merge", "strategic", "json"] = "merge",
        subresource: str = "",
        namespace: str = "",
    ) -> Object:
        """The object after a merge patch (RFC 7386), a strategic merge patch or a JSON patch (RFC 6902). Raises NotFoundError and
        ConflictError."""
        return await self._call(
            "patch", kind, "PATCH", name, subresource=subresource, namespace=namespace,
            query={"fieldManager": FIELD_MANAGER}, body=patch, content_type=_PATCHES[kind_of_patch], repeatable=kind_of_patch != "json",
        )  # fmt: skip

    async def delete(
        self,
        kind: str,
        name: str,
        *,
        grace_s: int | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        uid: str = "",
        namespace: str = "",
    ) -> bool:
        """Have the object deleted. False: it (or, with `uid`, this very one) was not there."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._call("delete", kind, "DELETE", name, namespace=namespace, body=options)
        except NotFoundError:
            return False
        except ConflictError:
            if not uid:
                raise
            return False
        return True

    async def delete_all(self, kind: str, *, labels: str) -> None:
        """Have all objects with these labels deleted; one by one where deleting a collection is not allowed."""
        if not labels:
            raise ConfigError("delete_all needs labels: without, it would empty the namespace")
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self._call("deletecollection", kind, "DELETE", "", query={"labelSelector": labels}, body=options)
        except (ForbiddenError, ConfigError):
            names = [one["metadata"]["name"] for one in await self.list(kind, labels=labels)]
            await asyncio.gather(*(self.delete(kind, name) for name in names))

    def watch(self, kind: str, *, labels: str = "", fields: str = "", namespace: str = "") -> AsyncGenerator[Change]:
        """All changes of a kind, from now and for ever: first what is there ("added"), then "synced", then what happens. Callers with
        the same arguments share one watch. It survives lost connections and expired versions; each full list ends with "synced"."""
        api = get_kind(kind)
        return self._watches.subscribe(api, api.path(namespace or self.namespace), {"labelSelector": labels, "fieldSelector": fields})

    async def logs(
        self,
        pod: str,
        container: str = "",
        *,
        follow: bool = False,
        tail: int = 0,
        since_s: int = 0,
        previous: bool = False,
        timestamps: bool = False,
    ) -> AsyncGenerator[bytes]:
        """What a container wrote, in pieces of any size; with `follow` until it ends; with `timestamps` before each line. Raises
        ConfigError while it has not started."""
        from fairway.kube.transport import Call

        asked = {"container": container, "tailLines": tail, "sinceSeconds": since_s, "previous": previous}
        asked |= {"follow": follow, "timestamps": timestamps}
        query = {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in asked.items() if value}
        call = Call("get", "Pod/log", "GET", get_kind("Pod").path(self.namespace, pod, "log"), pod, query)
        async with self._transport.stream(
            call, silence_s=None if follow else self.settings.timeout_s, headers={"Accept": "*/*"}
        ) as response:
            async for piece in response.aiter_raw():
                yield piece

    async def can(self, rights: Sequence[Right]) -> list[Right]:
        """Those of `rights` that the caller has not."""
        asked = await asyncio.gather(*(self.create(review_for(right, self.namespace)) for right in rights))
        return [right for right, review in zip(rights, asked, strict=True) if not review.get("status", {}).get("allowed")]

    async def version(self) -> tuple[int, int]:
        """The cluster's version: (1, 36)."""
        from fairway.kube.transport import Call

        found = await self._transport.call(Call("get", "version", "GET", "/version"))
        return int(found["major"]), int("".join(c for c in str(found["minor"]) if c.isdigit()))

    async def serves(self, group: str) -> bool:
        """Is the API group installed in the cluster? Everybody may ask."""
        from fairway.kube.transport import Call

        try:
            await self._transport.call(Call("get", "group", "GET", f"/apis/{group}"))
        except NotFoundError:
            return False
        return True

    async def events(self, name: str, kind: str = "Pod") -> list[Object]:
        """What the cluster's components said about an object, oldest first."""
        found = await self.list("Event", fields=f"involvedObject.kind={kind},involvedObject.name={name}")
        return sorted(found, key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or one["metadata"]["creationTimestamp"])

    def dial(self, pod: str, port: int) -> AbstractAsyncContextManager[PodStream]:
        """One TCP connection to a pod's port, through the API server: `async with client.dial(pod, 8080) as stream`."""
        from fairway.kube.portforward import dial

        return dial(self._transport, get_kind("Pod").path(self.namespace, pod, "portforward"), port)

    async def close(self) -> None:
        """End all watches and connections."""
        await self._watches.close()
        await self._transport.close()

    async def _write(self, verb: str, obj: Object, method: str, name: str, query: dict[str, str], **more: Any) -> Object:
        from fairway.kube.transport import Call

        api = kind_of(obj)
        metadata = obj.get("metadata", {})
        path = api.path(metadata.get("namespace") or self.namespace, name)
        query = {"fieldManager": FIELD_MANAGER, **query}
        shown = name or metadata.get("name") or metadata.get("generateName", "")
        return await self._transport.call(Call(verb, api.name, method, path, shown, query, obj, **more))

    async def _call(
        self, verb: str, kind: str, method: str, name: str, *, namespace: str = "", subresource: str = "", **more: Any
    ) -> Object:
        from fairway.kube.transport import Call

        api = get_kind(kind)
        path = api.path(namespace or self.namespace, name, subresource)
        try:
            return await self._transport.call(Call(verb, kind, method, path, name, **more))
        except Expired as error:
            raise ConflictError(str(error)) from error
