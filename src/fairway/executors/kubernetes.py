"""Attempts as pods: one for each attempt, or warm workers of a pool. One executor serves all runs of a server, each through a view.

Pods are told of by one watch, outcomes by whoever stores them (`note_outcome`): nothing polls. What the target's limits do not let start
waits here, and no object stands for it in the cluster. A pod whose attempt has ended is deleted once it has sent its last log lines.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError, InfraError, NotFoundError, UnschedulableError
from fairway.executors.fair import Ask, FairQueue, ask_of
from fairway.kube.diagnose import Diagnosis, explain_end, explain_refusal, explain_wait
from fairway.kube.manifests import ROLE, RUN, Link, owner_name, render_attempt, render_run_owner, selector
from fairway.kube.quantity import asked_by
from fairway.kube.target import ClusterSettings
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.ports import ArtifactStore, Inventory, Observation, StreamStore
from fairway.spec.record import to_plain
from fairway.spec.resources import Resources

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_BUSY = 32  # calls to the cluster at once; how many a second is the client's business
_TAIL_LINES = 100
_EVENTS_KEPT = 8
_RETRY_S, _RETRY_MOST_S = 1.0, 30.0
_TICK_S = 1.0
_LINGER_S = 60.0  # how long a pod may go on after its outcome before it is ended
_UNCLAIMED_S = 600.0  # how long after the start a pod may run that no driver asks for


class Tracked:
    """One attempt that a driver waits for. `state`: "held" (by limits), "creating", "placed" (it has a pod), "pooled", "ending"."""

    __slots__ = ("observation", "since", "spec", "state", "stuck_since", "tries", "view")

    def __init__(self, spec: AttemptSpec, view: RunView, now: float) -> None:
        self.spec, self.view, self.since = spec, view, now
        self.state = "held"
        self.observation = Observation("queued")
        self.tries = 0
        self.stuck_since = 0.0


class Pod:
    """What is remembered of a pod in the cluster."""

    __slots__ = ("events", "leaving", "name", "phase", "role", "run", "settled_at", "uid", "waiting")

    def __init__(self, name: str, run: str, role: str) -> None:
        self.name, self.run, self.role = name, run, role
        self.uid, self.phase = "", "Pending"
        self.waiting: Object | None = None  # its newest state while it does not run: that is what is explained
        self.events: list[Object] = []
        self.settled_at = 0.0
        self.leaving = False


class KubernetesExecutor:
    """`link` is how pods reach the server, `sign` makes the token of an id. Belongs to one event loop; `start` it there."""

    name = "kubernetes"

    def __init__(
        self,
        client: KubeClient,
        artifacts: ArtifactStore,
        streams: StreamStore,
        settings: ClusterSettings,
        *,
        link: Link,
        sign: Callable[[str], str],
        owner: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client, self.artifacts, self.streams, self.settings = client, artifacts, streams, settings
        self.link, self.sign, self.clock = link, sign, clock
        self._owner = owner
        self._queue = FairQueue(settings.target.limits, settings.target.per_run)
        self._tracked: dict[str, Tracked] = {}
        self._pods: dict[str, Pod] = {}
        self._owners: dict[str, asyncio.Future[Object]] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._busy = asyncio.Semaphore(_BUSY)
        self._synced = asyncio.Event()
        self._started_at = 0.0

    @property
    def capabilities(self) -> frozenset[str]:
        """What a namespace can do; accelerators only the scheduler knows of."""
        return frozenset({"CONTAINER", "IMAGE", "POOL", "VOLUME", "GPU"})

    async def start(self) -> None:
        """Learn which pods there are, and follow them from now on. Raises FairwayError where the cluster does not let us."""
        self._started_at = self.clock()
        watching = asyncio.create_task(self._watch_pods(), name="watch pods")
        synced = asyncio.create_task(self._synced.wait())
        await asyncio.wait({watching, synced}, return_when=asyncio.FIRST_COMPLETED)
        synced.cancel()
        if watching.done():
            watching.result()
        events = asyncio.create_task(self._watch_events(), name="watch events")
        self._loops = [watching, events, asyncio.create_task(self._tick(), name="tend pods")]

    async def close(self) -> None:
        """Stop following. Pods go on: the next server takes them up."""
        for task in (*self._loops, *self._jobs):
            task.cancel()
        for task in (*self._loops, *self._jobs):
            with suppress(asyncio.CancelledError, FairwayError):
                await task
        self._loops = []

    def view(self, run: str, *, pipeline: str = "", user: str = "") -> RunView:
        """The executor as the driver of one run sees it."""
        return RunView(self, run, pipeline=pipeline, user=user)

    def find_attempt(self, id: str) -> AttemptSpec | None:
        """The spec of a live attempt; None for one that has ended, or that no driver has asked for since the server started."""
        tracked = self._tracked.get(id)
        return tracked.spec if tracked else None

    def note_outcome(self, run: str, id: str) -> None:
        """An outcome was stored: its driver hears of it at once, its pod may still send what it has to say."""
        pod = self._pods.get(id)
        if pod is not None and not pod.settled_at:
            pod.settled_at = self.clock()
        self._forget(id)

    # What views call

    async def submit(self, view: RunView, attempts: Sequence[AttemptSpec]) -> None:
        """Take them on; refuses what can never start under the limits."""
        for spec in attempts:
            if spec.id in self._tracked:
                continue
            excess = self._queue.find_excess(ask_of(spec))
            if excess:
                raise UnschedulableError(f"step {spec.step.name!r} {excess}", hint="ask for less, or raise the target's limits")
            tracked = self._tracked[spec.id] = Tracked(spec, view, self.clock())
            if self._has_outcome(spec):
                self.note_outcome(spec.run, spec.id)
            elif spec.id in self._pods:
                tracked.state = "placed"
                self._observe(tracked, Observation("running" if self._pods[spec.id].phase == "Running" else "starting"))
            else:
                self._queue.add(spec.id, spec.run, ask_of(spec))
        self._dispatch()

    def observe(self, ids: Collection[str]) -> dict[str, Observation]:
        """Attempts that somebody has asked for since the server started."""
        seen: dict[str, Observation] = {}
        for id in ids:
            tracked = self._tracked.get(id)
            if tracked is not None:
                held = self._queue.reason(id)
                seen[id] = Observation("queued", held) if held else tracked.observation
        return seen

    async def cancel(self, id: str, grace_s: float) -> None:
        """Its pod gets SIGTERM, then SIGKILL; one that waits is dropped."""
        tracked = self._tracked.get(id)
        if tracked is not None and (self._queue.drop(id) or tracked.state == "refused"):
            self._conclude(tracked.spec, _not_started())
            return
        if tracked is not None:
            tracked.state = "ending"
        pod = self._pods.get(id)
        if pod is not None:
            self._begin(self._delete_pod(pod, grace_s))

    async def inventory(self) -> Inventory:
        """What the target's limits allow; what the nodes have is `fairway cluster`'s business."""
        most = self.settings.target.limits
        bound = Resources(most.cpu or float("inf"), most.memory_bytes or 1 << 60, 1 << 60, most.accelerators)
        return Inventory(bound, bound, bound, {"namespace": self.settings.namespace})

    # Starting pods

    def _dispatch(self) -> None:
        for id in self._queue.take():
            tracked = self._tracked[id]
            tracked.state = "creating"
            self._begin(self._create_pod(tracked))

    async def _create_pod(self, tracked: Tracked) -> None:
        spec = tracked.spec
        try:
            owner = await self._owner_of(tracked)
            if tracked.state != "ending":
                manifest = render_attempt(spec, self.settings, link=self.link, token=self.sign(spec.id), owner=owner)
                await self._create(manifest)
        except InfraError as error:
            self._try_later(tracked, error)
            return
        except FairwayError as error:
            self._queue.give_back(spec.id)
            self._conclude(spec, explain_refusal(error).as_error())
            self._dispatch()
            return
        pod = self._pods.get(spec.id)
        if tracked.state == "ending":
            if pod is None:
                self._queue.give_back(spec.id)
                self._conclude(spec, _not_started())
            else:
                await self._delete_pod(pod, self.settings.target.grace_s)
            return
        tracked.state = "placed"
        if tracked.observation.phase == "queued":
            self._observe(tracked, Observation("starting"))

    async def _create(self, manifest: Object) -> None:
        """One pod; one of that name is this one, from before a restart or a lost answer."""
        meta = manifest["metadata"]
        pod = self._pods.setdefault(meta["name"], Pod(meta["name"], meta["labels"].get(RUN, ""), meta["labels"][ROLE]))
        try:
            made = await self.client.create(manifest)
            pod.uid = made["metadata"]["uid"]
        except ConflictError:
            return
        except BaseException:
            if not pod.uid:
                self._pods.pop(pod.name, None)
            raise

    def _try_later(self, tracked: Tracked, error: InfraError) -> None:
        """Quota, or an API server that does not answer: wait, and say why."""
        self._queue.give_back(tracked.spec.id)
        if tracked.state == "ending":
            self._conclude(tracked.spec, _not_started())
            return
        tracked.state = "refused"
        self._observe(tracked, Observation("queued", explain_refusal(error).line))
        wait_s = min(_RETRY_S * 2**tracked.tries, _RETRY_MOST_S)
        tracked.tries += 1
        asyncio.get_running_loop().call_later(wait_s, self._try_again, tracked)

    def _try_again(self, tracked: Tracked) -> None:
        if tracked.state == "refused" and self._tracked.get(tracked.spec.id) is tracked:
            tracked.state = "held"
            self._queue.add(tracked.spec.id, tracked.spec.run, ask_of(tracked.spec))
            self._dispatch()

    async def _owner_of(self, tracked: Tracked) -> Object:
        """The run's ConfigMap, made when its first pod needs it."""
        run, view = tracked.spec.run, tracked.view
        found = self._owners.get(run)
        if found is None:
            found = self._owners[run] = asyncio.ensure_future(self._make_owner(run, view))
        try:
            return await asyncio.shield(found)
        except FairwayError:
            self._owners.pop(run, None)
            raise

    async def _make_owner(self, run: str, view: RunView) -> Object:
        try:
            return await self.client.create(render_run_owner(run, self.settings, pipeline=view.pipeline, user=view.user))
        except ConflictError:
            return await self.client.get("ConfigMap", owner_name(run))

    # Following pods

    async def _watch_pods(self) -> None:
        async for change in self.client.watch("Pod", labels=selector(self.settings)):
            if change.kind == "synced":
                self._synced.set()
            elif change.kind == "deleted":
                self._lose(change.obj)
            else:
                self._see(change.obj)

    async def _watch_events(self) -> None:
        """What the scheduler and the nodes say about pods that do not start."""
        async for change in self.client.watch("Event", fields="involvedObject.kind=Pod,type=Warning"):
            if change.kind in ("added", "modified"):
                pod = self._pods.get(change.obj.get("involvedObject", {}).get("name", ""))
                if pod is not None and pod.uid in ("", change.obj["involvedObject"].get("uid", pod.uid)):
                    pod.events = [*pod.events[1 - _EVENTS_KEPT :], change.obj]
                    self._explain(pod)

    def _see(self, obj: Object) -> None:
        meta, status = obj["metadata"], obj.get("status", {})
        labels = meta["labels"]
        pod = self._pods.get(meta["name"])
        if pod is None:
            pod = self._pods[meta["name"]] = Pod(meta["name"], labels.get(RUN, ""), labels[ROLE])
            self._queue.hold(pod.name, pod.run, _ask_of_pod(obj))
        pod.uid, pod.phase = meta["uid"], status.get("phase", "Pending")
        pod.waiting = obj if pod.phase == "Pending" else None
        if pod.phase in ("Succeeded", "Failed"):
            if not pod.leaving:
                pod.leaving = True
                self._begin(self._finish(pod, obj))
            return
        self._explain(pod)

    def _explain(self, pod: Pod) -> None:
        tracked = self._tracked.get(pod.name)
        if tracked is None:
            return
        if pod.waiting is None:
            self._observe(tracked, Observation("running"))
            return
        found = explain_wait(pod.waiting, pod.events)
        self._observe(tracked, Observation("starting", found.line if found else ""))

    def _lose(self, obj: Object) -> None:
        """The pod is gone from the cluster."""
        name = obj["metadata"]["name"]
        pod = self._pods.pop(name, None)
        self._queue.give_back(name)
        if pod is not None:
            tracked = self._tracked.get(name)
            if tracked is not None and not self._has_outcome(tracked.spec):
                self._conclude(tracked.spec, explain_end(obj, pod.events, gone=True).as_error())
            else:
                self._forget(name)
        self._dispatch()

    async def _finish(self, pod: Pod, obj: Object) -> None:
        """The pod has ended: its attempt has an outcome, or gets one that says why not."""
        tracked = self._tracked.get(pod.name)
        if tracked is not None:
            if self._has_outcome(tracked.spec):
                self._forget(pod.name)
            else:
                self._conclude(tracked.spec, (await self._diagnose(pod, obj)).as_error())
        if tracked is not None or pod.settled_at or self.clock() - self._started_at > _UNCLAIMED_S:
            await self._delete_pod(pod, None)

    async def _diagnose(self, pod: Pod, obj: Object) -> Diagnosis:
        tail = b""
        with suppress(FairwayError):
            async for piece in self.client.logs(pod.name, "main", tail=_TAIL_LINES):
                tail += piece
        return explain_end(obj, pod.events, tail=tail)

    async def _delete_pod(self, pod: Pod, grace_s: float | None) -> None:
        pod.leaving = True
        grace = None if grace_s is None else max(1, math.ceil(grace_s))
        if not await self.client.delete("Pod", pod.name, grace_s=grace, uid=pod.uid):
            self._pods.pop(pod.name, None)
            self._queue.give_back(pod.name)
            self._forget(pod.name)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now = self.clock()
            for pod in list(self._pods.values()):
                if pod.settled_at and not pod.leaving and now - pod.settled_at > _LINGER_S:
                    self._begin(self._delete_pod(pod, self.settings.target.grace_s))

    # Telling drivers

    def _observe(self, tracked: Tracked, seen: Observation) -> None:
        if tracked.observation != seen:
            tracked.observation = seen
            tracked.view.tell(tracked.spec.id)

    def _conclude(self, spec: AttemptSpec, error: ErrorInfo) -> None:
        """An outcome for an attempt that cannot write its own; one that is there stands."""
        outcome = Outcome(spec.id, "failed", error=error)
        text = json.dumps(to_plain(outcome), separators=(",", ":"), ensure_ascii=False)
        self.artifacts.put(outcome_key(spec.run, spec.id), text.encode())
        self._forget(spec.id)

    def _forget(self, id: str) -> None:
        """The attempt has ended; whoever drives it is told."""
        tracked = self._tracked.pop(id, None)
        self._queue.drop(id)
        if tracked is not None:
            tracked.view.tell(id)

    def _has_outcome(self, spec: AttemptSpec) -> bool:
        return self.artifacts.stat(outcome_key(spec.run, spec.id)) is not None

    def _begin(self, job: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else, a bounded number at once."""
        task = asyncio.create_task(self._guarded(job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _guarded(self, job: Coroutine[Any, Any, None]) -> None:
        async with self._busy:
            with suppress(NotFoundError):
                await job


class RunView:
    """The port that the driver of one run uses."""

    name = "kubernetes"

    def __init__(self, executor: KubernetesExecutor, run: str, *, pipeline: str, user: str) -> None:
        self._executor = executor
        self.run, self.pipeline, self.user = run, pipeline, user
        self._changed: list[str] = []
        self._woken = False
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def capabilities(self) -> frozenset[str]:
        return self._executor.capabilities

    async def inventory(self) -> Inventory:
        return await self._executor.inventory()

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        await self._executor.submit(self, attempts)

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        return self._executor.observe(ids)

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """Returns what was told since the last call."""
        if not self._changed and not self._woken:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._event.wait()
        self._event.clear()
        self._woken = False
        changed, self._changed = self._changed, []
        return list(dict.fromkeys(changed))

    def wake(self) -> None:
        """From whatever thread."""
        self._woken = True
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._event.set)

    def tell(self, id: str) -> None:
        """The attempt is not what it was."""
        self._changed.append(id)
        self._event.set()

    async def cancel(self, id: str, grace_s: float) -> None:
        await self._executor.cancel(id, grace_s)

    async def close(self) -> None:
        """The driver stops; what it has started goes on."""


def _ask_of_pod(obj: Object) -> Ask:
    """What a pod that was there before the server takes of the limits."""
    asked = asked_by(obj)
    devices = {name: int(amount) for name, amount in asked.items() if "/" in name}
    return Ask(1, asked.get("cpu", 0.0), int(asked.get("memory", 0)), devices)


def _not_started() -> ErrorInfo:
    return ErrorInfo("cancelled", "FW-TASK-CANCELLED", "cancelled before it started", retryable=False)
