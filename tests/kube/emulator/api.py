"""The API server's HTTP: routes, verbs, lists in pages, watches. Discovery, errors' form and the listening server are kmock's."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import kmock
from aiohttp import web

from tests.kube.emulator import subresources
from tests.kube.emulator.authority import Ask
from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.kinds import ALL, CUSTOM, POD, REVIEWS, Kind, find_kind
from tests.kube.emulator.memory import Change, Object
from tests.kube.emulator.patches import json_patch, merge, strategic
from tests.kube.emulator.selectors import parse_selectors
from tests.kube.emulator.wire import Request, Route, read_body

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
_NAMESPACES = re.compile(r"/api/v1/namespaces(?:/(?P<name>[^/]+)(?:/(?P<sub>status|finalize))?)?")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Watch:
    """One open watch: the changes it has still to send."""

    def __init__(self, kind: Kind, namespace: str, matches: Callable[[Object], bool], bookmarks: bool) -> None:
        self.kind, self.namespace, self.matches, self.bookmarks = kind, namespace, matches, bookmarks
        self.pending: deque[Change | None] = deque()
        self.wake = asyncio.Event()
        self.cut = self.frozen = False

    def offer(self, change: Change | None) -> None:
        self.pending.append(change)
        self.wake.set()

    def render(self, change: Change) -> tuple[str, Object] | None:
        """What this watch sees of a change: an object that comes into the selection is added, one that leaves it deleted."""
        if self.namespace and change.new["metadata"].get("namespace") != self.namespace:
            return None
        before = change.old is not None and change.type != "ADDED" and self.matches(change.old)
        after = change.type != "DELETED" and self.matches(change.new)
        if not before and not after:
            return None
        type_ = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        return type_, change.new


class Api(kmock.KubernetesScaffold):
    """The whole API; kmock serves what is not an object."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.requests: list[Request] = []
        self.watches: set[Watch] = set()
        self._pages: dict[str, tuple[list[Object], str]] = {}
        for kind in (*ALL, *(kind for kind in CUSTOM if kind.group in cluster.groups)):
            subs = {name for name, there in (("status", kind.status), ("scale", kind.scale)) if there}
            subs |= {"log", "portforward", "eviction"} if kind is POD else set()
            verbs = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
            info = {"kind": kind.kind, "namespaced": kind.namespaced, "verbs": verbs, "subresources": subs}
            self.resources[f"{kind.api_version}/{kind.plural}"] = info
        cluster.memory.written.append(self._tell_watches)
        self["get /version"] << self._version

    async def _version(self, request: Any) -> Any:
        major, minor = self.cluster.version.split(".")
        return {"major": major, "minor": minor, "gitVersion": f"v{major}.{minor}.0", "platform": "linux/amd64"}

    async def __call__(self, raw: web.BaseRequest) -> web.StreamResponse:
        route = None
        try:
            user = self.cluster.authority.identify(raw.headers.get("Authorization", ""))
            if raw.path.startswith(("/readyz", "/livez", "/healthz")):
                return web.Response(text="ok")
            if review := re.fullmatch(r"/apis/auth(?:oriz|entic)ation\.k8s\.io/v1/(\w+)", raw.path):
                return await self._review(raw, user, review[1])
            route = self._route(raw)
            if route is None:
                return await super().__call__(raw)
            resource = f"{route.kind.plural}/{route.sub}" if route.sub else route.kind.plural
            await self.cluster.faults.before(route.verb, route.label, route.name)
            verb = "patch" if route.verb == "apply" else route.verb
            self.cluster.authority.check(user, Ask(verb, route.kind.group, resource, route.namespace, route.name))
            response = await self._serve(raw, route)
            if self.cluster.faults.loses(route.verb, route.label, route.name):
                self._note(raw, route, 0)
                assert raw.transport is not None
                raw.transport.abort()
            elif not response.prepared:
                self._note(raw, route, response.status)
            return response
        except ApiError as error:
            if route:
                self._note(raw, route, error.code)
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
            return web.json_response(error.to_status(), status=error.code, headers=headers)

    def _note(self, raw: web.BaseRequest, route: Route, code: int) -> None:
        agent = raw.headers.get("User-Agent", "")
        self.requests.append(Request(route.verb, route.label, route.name, code, raw.content_length or 0, agent))

    def _route(self, raw: web.BaseRequest) -> Route | None:
        if found := _NAMESPACES.fullmatch(raw.path):
            kind, namespace, name, sub = find_kind("", "v1", "namespaces"), "", found["name"] or "", found["sub"] or ""
        elif found := _PATH.fullmatch(raw.path):
            kind = find_kind(found["group"] or "", found["core"] or found["version"], found["plural"])
            namespace, name, sub = found["namespace"] or "", found["name"] or "", found["sub"] or ""
        else:
            return None
        if kind is None or (kind in CUSTOM and kind.group not in self.cluster.groups):
            raise ApiError(404, "the server could not find the requested resource", details={"kind": raw.path.rsplit("/", 1)[-1]})
        verb = _VERBS.get(raw.method, "")
        if raw.method == "DELETE":
            verb = "delete" if name else "deletecollection"
        elif raw.method == "GET":
            watching = raw.query.get("watch") in ("1", "true")
            verb = "watch" if watching else "get" if name else "list"
        if raw.method == "PATCH" and raw.content_type == "application/apply-patch+yaml":
            verb = "apply"
        return Route(kind, namespace, name, sub, verb)

    async def _serve(self, raw: web.BaseRequest, route: Route) -> web.StreamResponse:
        if route.sub and route.sub not in ("status", "finalize"):
            return await subresources.serve(self.cluster, raw, route)
        if route.verb == "list":
            return self._list(raw, route)
        if route.verb == "watch":
            return await self._watch(raw, route)
        if route.verb == "get":
            return self._answer(self.cluster.memory.get(route.kind, route.namespace, route.name))
        if route.verb == "delete":
            return await self._delete(raw, route)
        if route.verb == "deletecollection":
            return await self._delete_collection(raw, route)
        body = await read_body(raw)
        if route.verb == "create":
            made = self.cluster.memory.create(route.kind, route.namespace, checked(route, body), dry_run=dry(raw))
            return self._answer(made, 201)
        return self._write(raw, route, body)

    def _write(self, raw: web.BaseRequest, route: Route, body: Any) -> web.Response:
        memory, owners = self.cluster.memory, self.cluster.owners
        manager = raw.query.get("fieldManager") or raw.headers.get("User-Agent", "unknown").split("/")[0]
        old = memory.find(route.kind, route.namespace, route.name)
        if route.verb == "apply":
            body = checked(route, body)
            if not raw.query.get("fieldManager"):
                raise ApiError(422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch')
            new, taken = owners.apply(old, body, manager, force=raw.query.get("force") in ("true", "1"))
            if old is None:
                stored = memory.create(route.kind, route.namespace, new, dry_run=dry(raw))
            else:
                stored = memory.update(route.kind, new, subresource=route.sub, dry_run=dry(raw))
            if not dry(raw):
                owners.note_applied(stored, body, manager, taken)
            return self._answer(stored, 201 if old is None else 200)
        if old is None:
            old = memory.get(route.kind, route.namespace, route.name)
        new = checked(route, body) if route.verb == "update" else _patched(raw.content_type, old, body)
        stored = memory.update(route.kind, new, subresource=route.sub, dry_run=dry(raw))
        if not dry(raw):
            owners.note_update(old, stored, manager)
        return self._answer(stored)

    def _answer(self, found: Object, status: int = 200) -> web.Response:
        fields = self.cluster.owners.managed_fields(found)
        if fields:
            found = found | {"metadata": found["metadata"] | {"managedFields": fields}}
        return web.json_response(found, status=status)

    # ---- lists

    def _list(self, raw: web.BaseRequest, route: Route) -> web.Response:
        query, memory = raw.query, self.cluster.memory
        limit = int(query.get("limit", 0))
        if token := query.get("continue"):
            rest, version = self._pages.pop(token, (None, ""))
            if rest is None:
                raise ApiError(410, "The provided continue parameter is too old to display a consistent list result.")
        else:
            matches = parse_selectors(query.get("labelSelector", ""), query.get("fieldSelector", ""))
            rest, version = [found for found in memory.list(route.kind, route.namespace) if matches(found)], str(memory.version)
        meta: dict[str, Any] = {"resourceVersion": version}
        if limit and len(rest) > limit:
            token = base64.urlsafe_b64encode(f"{version}/{rest[limit]['metadata']['name']}/{len(self._pages)}".encode()).decode()
            self._pages[token] = (rest[limit:], version)
            meta |= {"continue": token, "remainingItemCount": len(rest) - limit}
            rest = rest[:limit]
        items = [{key: value for key, value in found.items() if key not in ("kind", "apiVersion")} for found in rest]
        return web.json_response({"kind": f"{route.kind.kind}List", "apiVersion": route.kind.api_version, "metadata": meta, "items": items})

    def forget_pages(self) -> None:
        self._pages.clear()

    # ---- watches

    async def _watch(self, raw: web.BaseRequest, route: Route) -> web.StreamResponse:
        query, memory = raw.query, self.cluster.memory
        fields = f"metadata.name={route.name}" if route.name else query.get("fieldSelector", "")
        matches = parse_selectors(query.get("labelSelector", ""), fields)
        watch = Watch(route.kind, route.namespace, matches, query.get("allowWatchBookmarks") in ("1", "true"))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        start = query.get("resourceVersion", "")
        try:
            if start in ("", "0"):
                for found in memory.list(route.kind, route.namespace):
                    watch.offer(Change(0, "ADDED", route.kind, None, found))
            else:
                for change in memory.since(route.kind, int(start)):
                    watch.offer(change)
        except ApiError as error:
            self._note(raw, route, 410)
            await response.prepare(raw)
            await _send(response, "ERROR", error.to_status())
            return response
        self._note(raw, route, 200)
        self.watches.add(watch)
        try:
            await response.prepare(raw)
            await self._feed(raw, response, watch, float(query.get("timeoutSeconds") or 1800))
        except ConnectionError:
            pass  # the client has gone
        finally:
            self.watches.discard(watch)
        return response

    async def _feed(self, raw: web.BaseRequest, response: web.StreamResponse, watch: Watch, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not watch.cut:
            while watch.pending and not watch.frozen:
                change = watch.pending.popleft()
                if change is None:
                    await self._send_bookmark(response, watch)
                elif seen := watch.render(change):
                    await _send(response, *seen)
            watch.wake.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await watch.wake.wait()
            except TimeoutError:
                if not watch.frozen:
                    await self._send_bookmark(response, watch)
                    return
        assert raw.transport is not None
        raw.transport.abort()

    async def _send_bookmark(self, response: web.StreamResponse, watch: Watch) -> None:
        if watch.bookmarks:
            meta = {"resourceVersion": str(self.cluster.memory.version), "creationTimestamp": None}
            await _send(response, "BOOKMARK", {"kind": watch.kind.kind, "apiVersion": watch.kind.api_version, "metadata": meta})

    def _tell_watches(self, change: Change) -> None:
        for watch in self.watches:
            if watch.kind is change.kind:
                watch.offer(change)

    def cut_watches(self, kind: str) -> None:
        for watch in self._open(kind):
            watch.cut = True
            watch.wake.set()

    def freeze_watches(self, kind: str) -> None:
        for watch in self._open(kind):
            watch.frozen = True

    def send_bookmarks(self) -> None:
        for watch in self._open("*"):
            watch.offer(None)

    def _open(self, kind: str) -> list[Watch]:
        return [watch for watch in self.watches if kind in ("*", watch.kind.kind)]

    # ---- deletion

    async def _delete(self, raw: web.BaseRequest, route: Route) -> web.Response:
        options = await _delete_options(raw)
        if dry(raw):
            return self._answer(self.cluster.memory.get(route.kind, route.namespace, route.name))
        found, gone = self.cluster.memory.delete(route.kind, route.namespace, route.name, **options)
        if not gone or route.kind is POD:
            return self._answer(found)
        details = {"name": route.name, "kind": route.kind.plural, "uid": found["metadata"]["uid"]}
        details |= {"group": route.kind.group} if route.kind.group else {}
        return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    async def _delete_collection(self, raw: web.BaseRequest, route: Route) -> web.Response:
        options = await _delete_options(raw)
        options.pop("uid", None)
        matches = parse_selectors(raw.query.get("labelSelector", ""), raw.query.get("fieldSelector", ""))
        found = [each for each in self.cluster.memory.list(route.kind, route.namespace) if matches(each)]
        for each in found:
            self.cluster.memory.delete(route.kind, each["metadata"].get("namespace", ""), each["metadata"]["name"], **options)
        meta = {"resourceVersion": str(self.cluster.memory.version)}
        body = {"kind": f"{route.kind.kind}List", "apiVersion": route.kind.api_version, "metadata": meta, "items": found}
        return web.json_response(body)

    # ---- rights

    async def _review(self, raw: web.BaseRequest, user: str, plural: str) -> web.Response:
        if plural not in REVIEWS:
            raise ApiError(404, "the server could not find the requested resource")
        body = await read_body(raw)
        self.requests.append(
            Request("create", body.get("kind", plural), "", 201, raw.content_length or 0, raw.headers.get("User-Agent", ""))
        )
        if plural == "selfsubjectreviews":
            body["status"] = {"userInfo": {"username": user, "groups": ["system:authenticated"]}}
            return web.json_response(body, status=201)
        if plural == "selfsubjectrulesreviews":
            everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            rules = [everything] if user == "tester" else list(self.cluster.authority.rules(user, body["spec"].get("namespace", "")))
            body["status"] = {"resourceRules": rules, "nonResourceRules": [], "incomplete": False}
            return web.json_response(body, status=201)
        wanted = body["spec"].get("resourceAttributes") or {}
        resource = "/".join(filter(None, (wanted.get("resource", ""), wanted.get("subresource", ""))))
        ask = Ask(wanted.get("verb", ""), wanted.get("group", ""), resource, wanted.get("namespace", ""), wanted.get("name", ""))
        allowed = self.cluster.authority.allows(user, ask)
        body["status"] = {"allowed": True, "reason": "RBAC: allowed"} if allowed else {"allowed": False}
        return web.json_response(body, status=201)


def checked(route: Route, body: Any) -> Object:
    """A body whose kind, name and namespace are those of the URL."""
    if not isinstance(body, dict) or body.get("kind", route.kind.kind) != route.kind.kind:
        kind = body.get("kind") if isinstance(body, dict) else type(body).__name__
        raise ApiError(400, f"{kind} in version {route.kind.api_version!r} cannot be handled as a {route.kind.kind}")
    meta = body.setdefault("metadata", {})
    if meta.get("namespace", route.namespace) != route.namespace:
        raise ApiError(400, f"the namespace of the provided object does not match the namespace sent on the request ({route.namespace})")
    if route.name and meta.setdefault("name", route.name) != route.name:
        raise ApiError(400, f"the name of the object ({meta['name']}) does not match the name on the URL ({route.name})")
    if route.kind.namespaced:
        meta["namespace"] = route.namespace
    return body


def dry(raw: web.BaseRequest) -> bool:
    return raw.query.get("dryRun") == "All"


def _patched(content_type: str, old: Object, body: Any) -> Object:
    if content_type == "application/merge-patch+json":
        return merge(old, body)
    if content_type == "application/strategic-merge-patch+json":
        return strategic(old, body)
    if content_type == "application/json-patch+json":
        return json_patch(old, body)
    raise ApiError(415, f"the body of the request was in an unknown format - accepted media types include: {content_type}")


async def _delete_options(raw: web.BaseRequest) -> dict[str, Any]:
    body = await read_body(raw) or {}
    conditions = body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", raw.query.get("gracePeriodSeconds"))
    options: dict[str, Any] = {"propagation": body.get("propagationPolicy") or raw.query.get("propagationPolicy") or "Background"}
    options["grace_s"] = None if grace is None else int(grace)
    return options | {"uid": conditions.get("uid") or "", "version": conditions.get("resourceVersion") or ""}


async def _send(response: web.StreamResponse, type_: str, found: Object) -> None:
    await response.write(json.dumps({"type": type_, "object": found}).encode() + b"\n")
