"""The gateway of a cluster: its objects, the table from which its pods start, and where they are, so that it is pushed to them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, ForbiddenError, UnsupportedError
from fairway.kube.manifests import Link
from fairway.kube.serving_diagnose import address_of, explain_replica, is_running
from fairway.kube.serving_gateway import ADMIN, GatewayPlan, gateway_name, render_gateway, render_table
from fairway.kube.serving_manifests import ENDPOINT, GATEWAY, Way, serving_selector
from fairway.kube.serving_routes import GATEWAY_API, check_expose, is_routed, render_route, route_name
from fairway.kube.target import ClusterSettings
from fairway.spec.endpoint import Endpoint

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_OBJECTS = ("Deployment", "Service", "PodDisruptionBudget", "ConfigMap")
_ROUTES = ("Ingress", "HTTPRoute")


class KubeGateway:
    """`token`: of the admin port. `sign` as in KubeFleet. Belongs to one event loop; `start` it there."""

    def __init__(self, client: KubeClient, settings: ClusterSettings, *, link: Link, sign: Callable[[str], str], token: str) -> None:
        self.client, self.settings, self.link, self.sign, self.token = client, settings, link, sign, token
        self.troubles: dict[str, str] = {}
        """Endpoint -> why it is not exposed as it asks."""
        self._pods: dict[str, Object] = {}
        self._applied: dict[tuple[str, str], str] = {}
        self._owner: Object = {}
        self._routed: set[tuple[str, str]] = set()
        self._gone: set[tuple[str, str]] = set()
        self._has_routes = False
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn what there is, and follow it."""
        self._owner = await self.client.get("Service", self.settings.target.app)
        with suppress(FairwayError):
            self._has_routes = await self.client.serves(GATEWAY_API)
        for kind in self._kinds():
            with suppress(FairwayError):  # without the right to list them, those of endpoints that are gone stay
                for one in await self.client.list(kind, labels=f"{serving_selector(self.settings, GATEWAY)},{ENDPOINT}"):
                    self._routed.add((kind, one["metadata"]["labels"][ENDPOINT]))
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Let go of it; it goes on."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def apply(self, endpoints: Sequence[Endpoint], table: Mapping[str, Any]) -> None:
        """Have the gateway, its table and its routes as these endpoints want them; without endpoints there is no gateway."""
        await self._apply_routes(endpoints)
        if not endpoints:
            for kind in _OBJECTS:
                await self._drop(kind, gateway_name(self.settings))
            return
        await self._put(render_table(table, self.settings, self._owner))
        made = render_gateway(self._plan(endpoints), self.settings, Way(self.link, self.sign("gateway")))
        if not any(one["kind"] == "PodDisruptionBudget" for one in made):
            await self._drop("PodDisruptionBudget", gateway_name(self.settings))
        for obj in made:
            await self._put(obj)

    def admins(self) -> list[str]:
        """HOST:PORT of the admin ports of all gateway pods that run."""
        running = (pod for pod in self._pods.values() if is_running(pod))
        return sorted(address for pod in running if (address := address_of(pod, ADMIN)))

    def explain(self) -> str:
        """Why no gateway runs, "" if one does."""
        if self.admins():
            return ""
        reasons = (explain_replica(pod)[1] for pod in self._pods.values())
        return next((reason for reason in reasons if reason), "the gateway is starting")

    def url(self, endpoint: Endpoint) -> str:
        """Where callers reach the endpoint: at its own host, else inside the cluster."""
        expose = endpoint.expose
        if expose.get("host") and is_routed(expose):
            secure = expose.get("tls") or expose.get("gateway")
            return f"{'https' if secure else 'http'}://{expose['host']}/"
        scheme = "https" if _own_certificate(expose) else "http"
        return f"{scheme}://{gateway_name(self.settings)}.{self.settings.namespace}.svc/{endpoint.name}/"

    async def wait(self, timeout_s: float) -> None:
        """Until its pods have changed since the last call, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()

    def _plan(self, endpoints: Sequence[Endpoint]) -> GatewayPlan:
        services = [str(one.expose["service"]) for one in endpoints if one.expose.get("service")]
        certificates = [cert for one in endpoints if (cert := _own_certificate(one.expose))]
        return GatewayPlan(
            replicas=2 if any(one.scaling.maximum > 1 for one in endpoints) else 1,
            longest_s=max(revision.spec.limits.deadline_s for one in endpoints for revision in one.revisions) if endpoints else 30.0,
            service=services[0] if services else "ClusterIP",
            tls=certificates[0] if certificates else "",
            owner=self._owner,
        )

    async def _apply_routes(self, endpoints: Sequence[Endpoint]) -> None:
        self.troubles = {}
        wanted: set[tuple[str, str]] = set()
        for one in endpoints:
            try:
                check_expose(one.expose)
                if not is_routed(one.expose):
                    continue
                obj = render_route(one.name, one.expose, self.settings, self._owner)
                if obj["kind"] == "HTTPRoute" and not self._has_routes:
                    raise UnsupportedError("the cluster has no Gateway API", hint="name an ingress class instead of a gateway")
                await self._put(obj)
                wanted.add((obj["kind"], one.name))
            except FairwayError as error:
                self.troubles[one.name] = f"{error.message}; {error.hint}" if error.hint else error.message
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
                f"the server may not make a {kind} in {self.settings.namespace}: {error.message}",
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

    def _kinds(self) -> tuple[str, ...]:
        return _ROUTES if self._has_routes else _ROUTES[:1]

    async def _watch(self) -> None:
        async for change in self.client.watch("Pod", labels=serving_selector(self.settings, GATEWAY)):
            if change.kind == "deleted":
                self._pods.pop(change.name, None)
            elif change.kind != "synced":
                self._pods[change.name] = change.obj
            self._changed.set()


def _own_certificate(expose: Mapping[str, Any]) -> str:
    """The Secret with which the gateway itself speaks TLS: where nobody stands before it who does."""
    return str(expose.get("tls") or "") if not is_routed(expose) else ""
