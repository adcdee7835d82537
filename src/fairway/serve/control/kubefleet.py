"""Replicas as pods: a Deployment and a Service for each revision, followed by watches. Nothing is kept here that the cluster does not tell.

A pod counts as ready when its inference server says so, which is asked here directly as soon as the pod runs: the kubelet's own looks are
a second apart. It counts as draining from the moment that somebody wants it gone, and still answers then for `NOTICE_S`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, ForbiddenError, NotFoundError, UnsupportedError
from fairway.kube import serving_others as others
from fairway.kube.diagnose import explain_refusal
from fairway.kube.manifests import Link
from fairway.kube.serving_diagnose import (
    address_of,
    explain_replica,
    is_over,
    is_ready,
    is_running,
    restarts_of,
    seconds_of,
    since_of,
    waits_of,
)
from fairway.kube.serving_manifests import (
    CPU_PERCENT,
    ENDPOINT,
    GRPC,
    MAIN,
    READY,
    REPLICA,
    REVISION,
    Served,
    Way,
    render_fence,
    render_revision,
    revision_name,
    serving_selector,
    token_id,
)
from fairway.kube.target import ClusterSettings
from fairway.serve.control.fleet import Replica, parse_ready, phases_of
from fairway.spec.endpoint import Endpoint, Revision

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
SCALER = "fairway-scale"
"""Another name for ourselves: who holds a Deployment's number of replicas until its HPA takes it over."""
_METRICS = "metrics.k8s.io"
_MADE = ("Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")
_OPTIONAL = ("PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy")
_LOOK_S = 0.05  # between questions to a pod that runs and is not ready
_ANSWER_S = 1.0
_EVENTS_KEPT = 8
_FAILED_SHOWN_S = 120.0
_FRESH_S = 2.0
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")


class KubeFleet:
    """`link`: how pods reach the server (`runtime`: the digest of the serving runtime). `sign` makes the token of a revision's pods: the
    same for the same id, as long as the server has its key. Belongs to one event loop; `start` it there."""

    def __init__(
        self,
        client: KubeClient,
        settings: ClusterSettings,
        *,
        link: Link,
        sign: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client, self.settings, self.link, self.sign, self.clock = client, settings, link, sign, clock
        self.lacking: dict[str, str] = {}
        """Kinds of objects that are left out because the server may not make them, and the cluster's words."""
        self._pods: dict[str, _Pod] = {}
        self._deployments: dict[str, Object] = {}
        self._others: dict[str, Object] = {}
        self._applied: dict[tuple[str, str], str] = {}
        self._wanted: dict[str, int] = {}
        self._handed: set[str] = set()
        self._owner: Object = {}
        self._has_metrics = False
        self._changed = asyncio.Event()
        self._synced = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()

    async def start(self) -> None:
        """Learn what there is, and follow it from now on. Raises FairwayError where the cluster does not let us."""
        self._owner = await self.client.get("Service", self.settings.target.app)
        with suppress(FairwayError):
            self._has_metrics = await self.client.serves(_METRICS)
        watching = self._follow("Pod", self._see_pod, self._synced)
        synced = asyncio.create_task(self._synced.wait())
        await asyncio.wait({watching, synced}, return_when=asyncio.FIRST_COMPLETED)
        synced.cancel()
        if watching.done():
            watching.result()
        self._follow("Deployment", self._see_deployment)
        self._begin(self._watch_events())

    async def close(self) -> None:
        """Let go of them; they go on."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What the keeper wants

    async def apply(self, endpoint: Endpoint, revision: Revision, replicas: int) -> None:
        """See `Fleet.apply`. What stands in the cluster as it should is not written again. Raises UnsupportedError where the endpoint asks
        for what the cluster has not, and FairwayError for what the cluster refuses."""
        served = Served(
            endpoint.name, revision, replicas, endpoint.scaling, self._owner, is_self_scaled=replicas > 0 and self.scales_itself(endpoint)
        )
        way = Way(self.link, self.sign(token_id(endpoint.name, revision.number)))
        which = str(endpoint.expose.get("with") or "")
        if which:
            await self._apply_other(which, served, way)
            return
        await self._put(render_fence(self.settings, self._owner))
        name = revision_name(self.settings, endpoint.name, revision.number)
        made = render_revision(served, self.settings, way)
        if served.is_self_scaled:
            await self._hand_over(name, served, way)
        else:
            self._handed.discard(name)
        for kind in ("PodDisruptionBudget", "HorizontalPodAutoscaler"):
            if not any(one["kind"] == kind for one in made) and (kind, name) in self._applied:
                await self._drop(kind, name)
        self._wanted[name] = replicas
        for obj in made:
            await self._put(obj)

    async def remove(self, endpoint: str, revision: int = 0) -> None:
        """See `Fleet.remove`."""
        numbers = [revision] if revision else sorted(self._numbers(endpoint))
        for number in numbers:
            name = revision_name(self.settings, endpoint, number)
            kinds = [*_MADE, *(kind for kind in others.KINDS.values() if kind in self._watched)]
            await asyncio.gather(*(self._drop(kind, name) for kind in kinds))
            self._handed.discard(name)

    def scales_itself(self, endpoint: Endpoint) -> bool:
        """KServe and Knative do, and an HPA where there is something to scale that its processor time tells of."""
        scaling = endpoint.scaling
        if endpoint.expose.get("with"):
            return True
        wanted = endpoint.expose.get("hpa", True) and scaling.minimum >= 1 and scaling.maximum > scaling.minimum and not scaling.floors
        return bool(wanted) and self._has_metrics and "HorizontalPodAutoscaler" not in self.lacking

    def scaled_by(self, endpoint: Endpoint) -> str:
        """KServe, Knative, or the cluster's own autoscaler."""
        if not self.scales_itself(endpoint):
            return ""
        other = others.SPELT.get(str(endpoint.expose.get("with") or ""), "")
        return other or f"the cluster on CPU, aiming at {CPU_PERCENT} % of what each replica asks for"

    # What there is

    async def observe(self) -> Sequence[Replica]:
        """See `Fleet.observe`."""
        self._changed.clear()
        now = self.clock()
        found = [pod.tell() for pod in self._pods.values() if not pod.is_past(now)]
        return [*found, *self._refused(), *self._other_replicas()]

    async def wait(self, timeout_s: float) -> None:
        """See `Fleet.wait`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()

    async def logs(self, endpoint: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        """See `Fleet.logs`. What a container wrote that ended comes before what its successor writes."""
        pods = [
            pod
            for pod in self._pods.values()
            if pod.endpoint == endpoint and revision in (0, pod.revision) and replica in ("", pod.name) and pod.obj.get("status")
        ]
        texts = await asyncio.gather(*(self._log(pod, lines) for pod in sorted(pods, key=lambda pod: pod.created_at)))
        told = [(_short(line), pod_name) for pod_name, text in texts for line in text.splitlines()]
        told.sort(key=lambda one: one[0][:24])
        return [f"{pod_name}  {line}" for line, pod_name in told[-lines:]]

    def warm_bytes(self, endpoint: str) -> int:
        """Nothing is kept warm in a cluster."""
        return 0

    # Writing

    async def _put(self, obj: Object) -> None:
        """Have the object as it is here, if it is not known to be."""
        kind, name = obj["kind"], obj["metadata"]["name"]
        digest = hashlib.sha256(json.dumps(obj, sort_keys=True).encode()).hexdigest()
        if self._applied.get((kind, name)) == digest or kind in self.lacking:
            return
        try:
            await self.client.apply(obj)
        except ForbiddenError as error:
            if kind not in _OPTIONAL:
                raise ForbiddenError(
                    f"the server may not make the {kind} {name} in {self.settings.namespace}: {error.message}",
                    hint=f"`fairway up --on {self.settings.target.name}` gives it the right, if you have it",
                ) from error
            self.lacking[kind] = error.message
            return
        self._applied[kind, name] = digest

    async def _drop(self, kind: str, name: str) -> None:
        self._applied.pop((kind, name), None)
        with suppress(ForbiddenError, NotFoundError):
            await self.client.delete(kind, name)

    async def _hand_over(self, name: str, served: Served, way: Way) -> None:
        """Kubernetes sets the number of replicas from now on. A number that nobody claims any more would fall back to one: it is claimed
        under another name before we let go of it."""
        if name in self._handed:
            return
        there = await self.client.find("Deployment", name)
        number = int((there or {}).get("spec", {}).get("replicas", 0))
        if there is None:
            fixed = Served(served.endpoint, served.revision, max(1, served.scaling.minimum), served.scaling, served.owner)
            for obj in render_revision(fixed, self.settings, way):
                await self._put(obj)
        least = max(1, served.scaling.minimum, number)
        meta = {"name": name, "namespace": self.settings.namespace}
        await self.client.apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {"replicas": least}}, manager=SCALER
        )
        self._handed.add(name)

    async def _apply_other(self, which: str, served: Served, way: Way) -> None:
        kind, group = others.KINDS[others.check_with(which)], others.GROUPS[which]
        if kind not in self._watched:
            if not await self.client.serves(group):
                raise UnsupportedError(
                    f"the cluster has no {others.SPELT[which]}", hint="leave out --with: Fairway needs neither KServe nor Knative"
                )
            self._watched.add(kind)
            self._follow(kind, lambda obj, gone: self._see_other(kind, obj, gone))
        await self._put_other(kind, others.render_other(which, served, self.settings, way))

    async def _put_other(self, kind: str, obj: Object) -> None:
        """Kinds of the same name are told apart by their group: "KnativeService" is a Service too."""
        name, digest = obj["metadata"]["name"], hashlib.sha256(json.dumps(obj, sort_keys=True).encode()).hexdigest()
        if self._applied.get((kind, name)) != digest:
            try:
                await self.client.apply(obj)
            except ForbiddenError as error:
                hint = "an administrator must give its service account create, get, list, watch, patch and delete of it"
                raise ForbiddenError(
                    f"the server may not make the {kind} {name} in {self.settings.namespace}: {error.message}", hint=hint
                ) from error
            self._applied[kind, name] = digest

    # Following

    def _follow(self, kind: str, see: Callable[[Object, bool], None], synced: asyncio.Event | None = None) -> asyncio.Task[None]:
        return self._begin(self._watch(kind, see, synced))

    async def _watch(self, kind: str, see: Callable[[Object, bool], None], synced: asyncio.Event | None) -> None:
        changes: AsyncGenerator[Any] = self.client.watch(kind, labels=serving_selector(self.settings, REPLICA))
        try:
            async for change in changes:
                if change.kind == "synced":
                    if synced is not None:
                        synced.set()
                else:
                    see(change.obj, change.kind == "deleted")
                self._changed.set()
        except FairwayError as error:
            if synced is not None:
                raise
            print(f"endpoints: {kind} objects are not followed: {error.message}", file=sys.stderr, flush=True)

    def _see_pod(self, obj: Object, gone: bool) -> None:
        name = obj["metadata"]["name"]
        if gone:
            if (pod := self._pods.pop(name, None)) is not None:
                pod.close()
            return
        pod = self._pods.get(name)
        if pod is None:
            pod = self._pods[name] = _Pod(obj, self.clock)
        pod.see(obj)
        if pod.wants_look() and pod.looking is None:
            pod.looking = self._begin(self._look(pod))

    async def _look(self, pod: _Pod) -> None:
        """Ask it until it is ready, or nobody wants to know any more."""
        try:
            while pod.wants_look():
                restarts = restarts_of(pod.obj)
                said = await ask_ready(address_of(pod.obj))
                if said is not None:
                    pod.note_ready(restarts, said)
                    self._changed.set()
                    return
                await asyncio.sleep(_LOOK_S)
        finally:
            pod.looking = None

    def _see_deployment(self, obj: Object, gone: bool) -> None:
        name = obj["metadata"]["name"]
        if gone:
            self._deployments.pop(name, None)
            for kind in _MADE:
                self._applied.pop((kind, name), None)  # whoever deleted it: it is made again if it is still wanted
            self._handed.discard(name)
            return
        self._deployments[name] = obj
        if name not in self._handed and obj["spec"].get("replicas") != self._wanted.get(name):
            self._applied.pop(("Deployment", name), None)  # somebody else has set it

    def _see_other(self, kind: str, obj: Object, gone: bool) -> None:
        name = obj["metadata"]["name"]
        if gone:
            self._others.pop(name, None)
            self._applied.pop((kind, name), None)
        else:
            self._others[name] = obj

    async def _watch_events(self) -> None:
        """What the scheduler and the nodes say about pods that do not start."""
        with suppress(FairwayError):  # without the right to read events one is told less
            async for change in self.client.watch("Event", fields="involvedObject.kind=Pod"):
                about = change.obj.get("involvedObject") or {}
                pod = self._pods.get(about.get("name", ""))
                if change.kind in ("added", "modified") and pod is not None and pod.obj["metadata"]["uid"] == about.get("uid"):
                    again = change.obj["metadata"]["name"]  # what is said again takes the place of what was said before
                    others_said = [one for one in pod.events if one["metadata"]["name"] != again]
                    pod.events = [*others_said[1 - _EVENTS_KEPT :], change.obj]
                    self._changed.set()

    def _begin(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Telling

    def _refused(self) -> list[Replica]:
        """Deployments for which the API server makes no pods: a quota, an admission rule."""
        found: list[Replica] = []
        for name, obj in self._deployments.items():
            for one in (obj.get("status") or {}).get("conditions") or ():
                if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
                    labels = obj["metadata"]["labels"]
                    why = explain_refusal(FairwayError(str(one.get("message", ""))))
                    since = seconds_of(one.get("lastTransitionTime") or "")
                    found.append(Replica(name, labels[ENDPOINT], int(labels[REVISION]), state="failed", since=since, reason=why.line))
        return found

    def _other_replicas(self) -> list[Replica]:
        """What KServe or Knative runs counts as one replica, at the address that they give it."""
        found: list[Replica] = []
        for name, obj in self._others.items():
            labels, address = obj["metadata"]["labels"], others.address_of(obj)
            state = "draining" if obj["metadata"].get("deletionTimestamp") else "ready" if address else "starting"
            reason = "" if address else others.reason_of(obj)
            found.append(Replica(name, labels[ENDPOINT], int(labels[REVISION]), address, state, reason=reason, where=obj["kind"]))
        return found

    def _numbers(self, endpoint: str) -> set[int]:
        every: list[Mapping[str, Any]] = [*self._deployments.values(), *self._others.values(), *(pod.obj for pod in self._pods.values())]
        mine = [one["metadata"]["labels"] for one in every if one["metadata"]["labels"].get(ENDPOINT) == endpoint]
        return {int(labels[REVISION]) for labels in mine}

    async def _log(self, pod: _Pod, lines: int) -> tuple[str, str]:
        text = b""
        for previous in (True, False) if restarts_of(pod.obj) else (False,):
            with suppress(FairwayError):  # one that has not started has no log
                async for piece in self.client.logs(pod.name, MAIN, tail=lines, previous=previous, timestamps=True):
                    text += piece
        return pod.name, text.decode("utf-8", "replace")


class _Pod:
    """One replica's pod, and what was asked of it directly."""

    def __init__(self, obj: Object, clock: Callable[[], float]) -> None:
        self.obj, self.events = obj, list[Object]()
        self.looking: asyncio.Task[None] | None = None
        self.ready_at = 0.0
        self._clock = clock
        self._answered = self._confirmed = -1  # in which life of its container it, and its kubelet, said that it is ready
        self._took: dict[str, float] = {}
        self._seen_since: tuple[str, float] = ("", 0.0)
        labels = obj["metadata"]["labels"]
        self.name: str = obj["metadata"]["name"]
        self.endpoint, self.revision = labels[ENDPOINT], int(labels[REVISION])
        created_at, now = seconds_of(obj["metadata"].get("creationTimestamp") or ""), clock()
        self._is_fresh = not is_ready(obj) and 0 <= now - created_at < _FRESH_S
        self.created_at = now if self._is_fresh else created_at  # Kubernetes' own times are whole seconds

    def see(self, obj: Object) -> None:
        self.obj, life = obj, restarts_of(obj)
        if is_ready(obj):
            self.ready_at = self.ready_at or (self._clock() if self._is_fresh else since_of(obj, "Ready"))
            self._answered = self._confirmed = life
        elif self._confirmed == life:  # it was ready, and does not answer its kubelet any more: ask anew
            self._answered = -1

    def note_ready(self, restarts: int, said: Mapping[str, Any]) -> None:
        self._answered = restarts
        self._took = dict(said.get("phases", ()))
        self.ready_at = self.ready_at or self._clock()

    def close(self) -> None:
        if self.looking is not None:
            self.looking.cancel()

    @property
    def is_dying(self) -> bool:
        return bool(self.obj["metadata"].get("deletionTimestamp"))

    def wants_look(self) -> bool:
        """It runs, and nobody knows yet whether it serves."""
        return is_running(self.obj) and not self.is_dying and not is_ready(self.obj) and self._answered < restarts_of(self.obj)

    def is_past(self, now: float) -> bool:
        """It is over, and was seen as that for long enough."""
        return is_over(self.obj) and now - since_of(self.obj, "Ready") > _FAILED_SHOWN_S

    def tell(self) -> Replica:
        state, reason = self._state()
        if self._seen_since[0] != state:
            known = since_of(self.obj, "Ready") if state == "ready" and is_ready(self.obj) else 0.0
            self._seen_since = (state, known or self._clock())
        node = self.obj["spec"].get("nodeName", "")
        whole_s = max(0.0, self.ready_at - self.created_at) if self.ready_at and self.created_at else 0.0
        return Replica(
            self.name,
            self.endpoint,
            self.revision,
            address_of(self.obj) if state in ("ready", "draining") else "",
            state,
            self._seen_since[1],
            reason,
            f"{self.name} on {node}" if node else self.name,
            address_of(self.obj, GRPC) if state in ("ready", "draining") else "",
            cold_start_s=whole_s,
            phases=phases_of(whole_s, {**waits_of(self.obj), **self._took}) if whole_s else (),
        )

    def _state(self) -> tuple[str, str]:
        if self.is_dying:
            return "draining", ""
        if is_over(self.obj):
            return "failed", explain_replica(self.obj, self.events)[1]
        if is_running(self.obj) and (is_ready(self.obj) or self._answered >= restarts_of(self.obj)):
            return "ready", ""
        return explain_replica(self.obj, self.events)


def _short(line: str) -> str:
    """A line with its time in ms, not in ns."""
    when, blank, text = line.partition(" ")
    return f"{when[:23]:0<23}Z{blank}{text}" if _TIME.fullmatch(when) else line


async def ask_ready(address: str) -> dict[str, Any] | None:
    """What the inference server there says once it is ready; None before."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_S):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(f"GET {READY} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n".encode())
                return parse_ready(await reader.read(-1))
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        return None
