"""The gateways of a cluster: their objects, the table from which their pods start, and the way to each pod, so that it has every table."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, ForbiddenError, UnsupportedError
from fairway.kube.manifests import Link
from fairway.kube.serving_diagnose import address_of, explain_replica, is_running
from fairway.kube.serving_gateway import ADMIN, GATEWAY_ID, GatewayPlan, gateway_name, render_gateway, render_table
from fairway.kube.serving_manifests import ENDPOINT, GATEWAY, GRPC, HTTP, Way, serving_selector
from fairway.kube.serving_routes import GATEWAY_API, check_expose, is_routed, render_route, route_name
from fairway.kube.target import ClusterSettings
from fairway.serve.control.gatewaylink import GatewayLink, Tell
from fairway.spec.endpoint import Endpoint

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_OBJECTS = ("Deployment", "Service", "PodDisruptionBudget", "ConfigMap")
_ROUTES = ("Ingress", "HTTPRoute")
_AGAIN_S = 30.0  # what was applied is applied again after that long, in case somebody has changed it


class KubeGateways:
    """See `serve.control.gatewaylink.Gateways`. `token`: of the admin ports. `sign` as in KubeFleet. `table_path`: a file in which the
    table is kept for the next keeper, `spool` the folder into which the server puts what they hand in. Belongs to one event loop."""

    is_local = False

    def __init__(
        self,
        client: KubeClient,
        settings: ClusterSettings,
        *,
        link: Link,
        sign: Callable[[str], str],
        token: str,
        table_path: str,
        spool: str = "",
    ) -> None:
        self.client, self.settings, self.link, self.sign, self.token = client, settings, link, sign, token
        self.table_path, self.spool = table_path, Path(spool)
        self.troubles: dict[str, str] = {}
        """Endpoint -> why it is not exposed as it asks."""
        self._pods: dict[str, Object] = {}
        self._links: dict[str, GatewayLink] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._tell: Tell = lambda name, news: None
        self._table = b""
        self._endpoints: tuple[Endpoint, ...] = ()
        self._applied: dict[tuple[str, str], str] = {}
        self._gone: set[tuple[str, str]] = set()
        self._routed: set[tuple[str, str]] = set()
        self._owner: Object = {}
        self._has_routes = False
        self._applied_at = 0.0
        self._watching: asyncio.Task[None] | None = None

    # What the keeper wants

    async def start(self, tell: Tell) -> None:
        """Learn what there is, and follow it. Its objects are made when there is a table."""
        self._tell = tell
        self._owner = await self.client.get("Service", self.settings.target.app)
        with suppress(FairwayError):
            self._has_routes = await self.client.serves(GATEWAY_API)
        for kind in _ROUTES if self._has_routes else _ROUTES[:1]:
            with suppress(FairwayError):  # without the right to list them, those of endpoints that are gone stay
                for one in await self.client.list(kind, labels=f"{serving_selector(self.settings, GATEWAY)},{ENDPOINT}"):
                    self._routed.add((kind, one["metadata"]["labels"][ENDPOINT]))
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="watch gateways")

    async def publish(self, endpoints: Sequence[Endpoint], table: bytes) -> None:
        """Pods that run get it at once, whatever becomes of the objects."""
        self._endpoints, self._table = tuple(endpoints), table
        await asyncio.gather(
            asyncio.to_thread(_write_whole, Path(self.table_path), table), *(link.put(table) for link in self._links.values())
        )
        await self._apply()

    async def look(self) -> None:
        """Have the objects again, if somebody has changed them."""
        if self._table and time.monotonic() - self._applied_at > _AGAIN_S:
            self._applied.clear()
            await self._apply()

    async def stop(self) -> None:
        """No endpoint, no gateway."""
        self._endpoints, self._table = (), b""
        await self._apply_routes()
        for kind in _OBJECTS:
            await self._drop(kind, gateway_name(self.settings))

    async def close(self) -> None:
        """Let go of them; they go on."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        links, self._links = list(self._links.values()), {}
        await asyncio.gather(*(link.close() for link in links), *self._ending)

    # What there is

    @property
    def inner(self) -> str:
        """One of them that runs."""
        return next((address_of(self._pods[name], HTTP) for name, link in self._links.items() if link.is_heard), "")

    @property
    def heard(self) -> list[str]:
        """Names of the pods that are heard."""
        return [name for name, link in self._links.items() if link.is_heard]

    def unexposed(self, endpoint: Endpoint) -> str:
        """Why its route could not be made."""
        return self.troubles.get(endpoint.name, "")

    def explain(self) -> str:
        """Why none of them answers."""
        if self.heard:
            return ""
        reasons = (explain_replica(pod)[1] for pod in self._pods.values())
        return next((f"the gateway: {reason}" for reason in reasons if reason), "the gateway is starting")

    def url(self, endpoint: Endpoint) -> str:
        """At its own host, else inside the cluster."""
        expose = endpoint.expose
        if expose.get("host") and is_routed(expose):
            secure = expose.get("tls") or expose.get("gateway")
            return f"{'https' if secure else 'http'}://{expose['host']}"
        scheme = "https" if _own_certificate(expose) else "http"
        return f"{scheme}://{gateway_name(self.settings)}.{self.settings.namespace}.svc/{endpoint.name}"

    def grpc(self, endpoint: Endpoint) -> str:
        """Of all endpoints: which is asked for stands in the request."""
        return f"{gateway_name(self.settings)}.{self.settings.namespace}.svc:{GRPC}"

    # Objects

    async def _apply(self) -> None:
        if not self._endpoints:
            return
        self._applied_at = time.monotonic()
        await self._apply_routes()
        await self._put(render_table(json.loads(self._table), self.settings, self._owner))
        made = render_gateway(plan_gateway(self._endpoints, self._owner), self.settings, Way(self.link, self.sign(GATEWAY_ID)))
        if not any(one["kind"] == "PodDisruptionBudget" for one in made):
            await self._drop("PodDisruptionBudget", gateway_name(self.settings))
        for obj in made:
            await self._put(obj)

    async def _apply_routes(self) -> None:
        troubles: dict[str, str] = {}
        wanted: set[tuple[str, str]] = set()
        for one in self._endpoints:
            try:
                check_expose(one.expose)
                if is_routed(one.expose):
                    obj = render_route(one.name, one.expose, self.settings, self._owner)
                    if obj["kind"] == "HTTPRoute" and not self._has_routes:
                        raise UnsupportedError("the cluster has no Gateway API", hint="name an ingress class instead of a gateway")
                    wanted.add((obj["kind"], one.name))
                    await self._put(obj)
            except FairwayError as error:
                troubles[one.name] = f"{error.message}; {error.hint}" if error.hint else error.message
        for name in troubles.keys() - self.troubles.keys():
            print(f"endpoint {name}: not exposed as it asks: {troubles[name]}", file=sys.stderr, flush=True)
        self.troubles = troubles
        for kind, name in self._routed - wanted:
            await self._drop(kind, route_name(self.settings, name))
        self._routed = wanted

    async def _put(self, obj: Object) -> None:
        kind, name = obj["kind"], obj["metadata"]["name"]
        digest = hashlib.sha256(json.dumps(obj, sort_keys=True).encode()).hexdigest()
        if self._applied.get((kind, name)) == digest:
            return
        try:
            await self.client.apply(obj)
        except ForbiddenError as error:
            if kind == "PodDisruptionBudget":
                return
            raise ForbiddenError(
                f"the server may not make the {kind} {name} in {self.settings.namespace}: {error.message}",
                hint=f"`fairway up --on {self.settings.target.name}` gives it the right, if you have it",
            ) from error
        self._applied[kind, name] = digest
        self._gone.discard((kind, name))

    async def _drop(self, kind: str, name: str) -> None:
        self._applied.pop((kind, name), None)
        if (kind, name) not in self._gone:
            with suppress(ForbiddenError):
                await self.client.delete(kind, name)
            self._gone.add((kind, name))

    # Pods

    async def _watch(self) -> None:
        async for change in self.client.watch("Pod", labels=serving_selector(self.settings, GATEWAY)):
            if change.kind == "deleted":
                self._pods.pop(change.name, None)
            elif change.kind != "synced":
                self._pods[change.name] = change.obj
            self._tie()

    def _tie(self) -> None:
        """A way to each pod that runs, and to no other."""
        there = {name: address for name, pod in self._pods.items() if is_running(pod) and (address := address_of(pod, ADMIN))}
        for name in self._links.keys() - there.keys():
            link = self._links.pop(name)
            if link.is_heard:
                self._tell(name, {"gone": True})
            task = asyncio.create_task(link.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        for name in there.keys() - self._links.keys():
            link = self._links[name] = GatewayLink(name, there[name], self._tell, token=self.token)
            if self._table:
                task = asyncio.create_task(_give(link, self._table))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)


def plan_gateway(endpoints: Sequence[Endpoint], owner: Mapping[str, Any]) -> GatewayPlan:
    """What the endpoints ask of the gateway that they share."""
    services = [str(one.expose["service"]) for one in endpoints if one.expose.get("service")]
    certificates = [cert for one in endpoints if (cert := _own_certificate(one.expose))]
    deadlines = [revision.spec.limits.deadline_s for one in endpoints for revision in one.revisions]
    return GatewayPlan(
        replicas=2 if any(one.scaling.maximum > 1 for one in endpoints) else 1,
        longest_s=max(deadlines, default=30.0),
        service=services[0] if services else "ClusterIP",
        tls=certificates[0] if certificates else "",
        owner=dict(owner),
    )


async def _give(link: GatewayLink, table: bytes) -> None:
    """One that does not answer yet gets it when it is heard."""
    await link.put(table)


def _own_certificate(expose: Mapping[str, Any]) -> str:
    """The Secret with which the gateway itself speaks TLS: where nobody stands before it who does."""
    return str(expose.get("tls") or "") if not is_routed(expose) else ""
