"""Attempts as pods: one for each attempt, or warm workers of a pool. One executor serves all runs of a server, each through a view.

Pods are told of by one watch, outcomes by whoever stores them (`note_outcome`): nothing polls. What the target's limits do not let start
waits here, and no object stands for it in the cluster. A pod whose attempt has ended is deleted once it has sent its last log lines.
Nothing here has to survive: after a restart the cluster says which pods there are, and drivers ask for their attempts again.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, UnschedulableError
from fairway.executors import programs
from fairway.executors.fair import Ask, ask_of
from fairway.executors.gangs import Gangs
from fairway.executors.gate import Gate
from fairway.executors.nodes import Nodes
from fairway.executors.owners import Owners
from fairway.executors.podkeeper import PodKeeper
from fairway.executors.pods import UNCLAIMED_S, Pod, Tracked, cancelled, inventory_of, is_pooled
from fairway.executors.poolkeeper import PoolKeeper
from fairway.executors.pools import Pools
from fairway.executors.runview import RunView
from fairway.kube import manifests
from fairway.kube.diagnose import Diagnosis, explain_end
from fairway.kube.manifests import Link
from fairway.kube.target import CAPABILITIES, ClusterSettings
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.ports import ArtifactStore, Inventory, Observation, StreamStore
from fairway.spec.record import to_plain

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_BUSY = 32  # calls to the cluster at once; how many a second is the client's business
_TAIL_LINES = 100
_EVENTS_KEPT = 8
_TICK_S = 1.0
_LINGER_S = 60.0  # how long a pod may go on after its outcome before it is ended
_ENDED = ("Succeeded", "Failed")


class KubernetesExecutor:
    """`link` is how pods reach the server, `sign` makes the token of an attempt or a pool. Belongs to one event loop; `start` it there."""

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
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client, self.artifacts, self.streams, self.settings = client, artifacts, streams, settings
        self.link, self.sign, self.clock = link, sign, clock
        self.gate = Gate(settings.target.limits, settings.target.per_run, self.dispatch)
        self.queue = self.gate.queue
        self.pools = Pools(clock, lambda key: f"pool-{key}-{os.urandom(4).hex()}", lambda: len(self.queue) > 0)
        self.pods = PodKeeper(self)
        self.keeper = PoolKeeper(self)
        self.gangs = Gangs(self)
        self.pools.on_start = self.keeper.note_started
        self.pools.on_want = self.keeper.want
        self.pools.on_stop = lambda id: self.end(id, cancelled("cancelled"))
        self.tracked: dict[str, Tracked] = {}
        self.owners = Owners(client, settings)
        self.nodes = Nodes(client, clock)
        self.programs = programs.Programs(client, artifacts, streams, settings.secrets)
        self._jobs: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._busy = asyncio.Semaphore(_BUSY)
        self.started_at = 0.0

    @property
    def capabilities(self) -> frozenset[str]:
        return CAPABILITIES

    async def start(self) -> None:
        """Learn which pods there are, and follow them from now on. Raises FairwayError where the cluster does not let us."""
        self.started_at = self.clock()
        self.nodes.look()
        await asyncio.gather(self._find_kueue(), self.owners.find(), self.gangs.find_scheduler())
        watching = asyncio.create_task(self.pods.watch(), name="watch pods")
        synced = asyncio.create_task(self.pods.synced.wait())
        await asyncio.wait({watching, synced}, return_when=asyncio.FIRST_COMPLETED)
        synced.cancel()
        if watching.done():
            watching.result()
        self.pools.recover((pod.name, pod.pool) for pod in self.pods.known.values() if pod.role == "pool")
        events = asyncio.create_task(self.pods.watch_events(), name="watch events")
        self._loops = [watching, events, asyncio.create_task(self._keep_tending(), name="tend pods")]

    async def close(self) -> None:
        """Stop following. Pods go on: the next server takes them up."""
        self.gate.close()
        tasks = [*self._loops, *self._jobs, *self.programs.followers.values(), *self.nodes.looking]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loops = []

    def view(self, run: str, *, pipeline: str = "", user: str = "") -> RunView:
        """The executor as the driver of one run sees it."""
        return RunView(self, run, pipeline=pipeline, user=user)

    # What the control channel calls

    def count_pods(self) -> Mapping[tuple[str, str], int]:
        """Pods that are there by role and phase."""
        return Counter((pod.role, pod.phase) for pod in (*self.pods.known.values(), *self.gangs.pods()))

    def find_attempt(self, id: str) -> AttemptSpec | None:
        """The spec of a live attempt; None for one that has ended, or that no driver has asked for since the server started."""
        tracked = self.tracked.get(id)
        return tracked.spec if tracked else None

    def find_queued_at(self, id: str) -> float:
        """When a driver asked for it: after a restart of the server, asked again."""
        tracked = self.tracked.get(id)
        return tracked.since if tracked else 0.0

    def note_outcome(self, run: str, id: str) -> None:
        """An outcome was stored: its driver hears of it at once. Its pod may still send what it has to say."""
        self.pods.note_outcome(id)
        self.gangs.note_outcome(id)
        self.forget(id)

    def note_outputs(self, id: str, outputs: Mapping[str, Any], missing: Sequence[str]) -> None:
        """What a program has written; its outcome follows from that and its exit code."""
        tracked = self.tracked.get(id)
        if tracked is not None:
            programs.note_outputs(tracked.spec, outputs, missing, self.artifacts)
            self.gangs.note_outputs(id)
            self.pods.note_outputs(tracked)

    async def poll(self, pool: str, worker: str, running: Sequence[str], free: int, wait_s: float) -> Mapping[str, Any]:
        """What a pool's worker is to do; see `Pools.poll`."""
        return await self.pools.poll(pool, worker, running, free, wait_s)

    # What views call

    async def submit(self, view: RunView, attempts: Sequence[AttemptSpec]) -> None:
        """Take them on. Raises UnschedulableError for one that can never start under the limits."""
        for spec in attempts:
            if spec.id in self.tracked:
                continue
            excess = self.queue.find_excess(self.ask(spec))
            if excess:
                raise UnschedulableError(f"step {spec.step.name!r} {excess}", hint="ask for less, or raise the target's limits")
            tracked = self.tracked[spec.id] = Tracked(spec, view, self.clock())
            pod = self.pods.known.get(spec.id)
            if self.has_outcome(spec):
                self.note_outcome(spec.run, spec.id)
            elif spec.step.gang.replicas:
                self.gangs.add(tracked)
            elif pod is not None:
                self.pods.claim(tracked, pod)
            elif is_pooled(spec):
                tracked.state = "pooled"
                self.pools.add(manifests.pool_of(spec, self.settings), spec)
            else:
                self.queue.add(spec.id, spec.run, self.ask(spec))
        self.dispatch()

    def observe(self, ids: Collection[str]) -> dict[str, Observation]:
        """Attempts that a driver has asked for since the server started."""
        seen: dict[str, Observation] = {}
        for id in ids:
            tracked = self.tracked.get(id)
            if tracked is not None:
                why = self._why_held(id)
                seen[id] = Observation("queued", why) if why else tracked.observation
        return seen

    async def cancel(self, id: str, grace_s: float) -> None:
        """Its process gets SIGTERM, then SIGKILL; one that waits is dropped."""
        tracked, pod = self.tracked.get(id), self.pods.known.get(id)
        if self.pools.cancel(id, grace_s):
            return
        if tracked is not None and (self.queue.drop(id) or tracked.state == "pooled"):
            self.end(id, cancelled("cancelled before it started"))
            return
        if tracked is not None:
            tracked.state = "ending"
        if self.gangs.cancel(id):
            return
        if pod is not None and pod.uid:
            self.begin(self.pods.delete(pod, grace_s))

    def release(self, run: str) -> None:
        """The run's driver has gone."""
        self.owners.release(run)

    async def inventory(self) -> Inventory:
        """What the target's limits allow; what they do not name has no bound. What its nodes have is `kube.inventory`'s business."""
        return inventory_of(self.settings)

    # Starting pods

    def ask(self, spec: AttemptSpec) -> Ask:
        """What of the limits it takes. Where Kueue counts cores and memory, only pods are counted here."""
        queued = self.settings.kueue and (spec.step.placement.queue or self.settings.target.queue)
        one = Ask() if queued else ask_of(spec)
        return self.gangs.ask(spec, one) if spec.step.gang.replicas else one

    def _why_held(self, id: str) -> str:
        """Why an attempt has no pod and no worker yet, "" if it has."""
        pool = self.pools.waits_in(id)
        if pool is None:
            return self.gate.reason(id)
        held = next((self.gate.reason(name) for name in pool.requested if name in self.queue), "")
        return pool.trouble or held or "waits for a worker of its pool"

    def dispatch(self) -> None:
        for name in self.gate.take():
            if name in self.keeper.wanted:
                self.begin(self.keeper.create(name))
            elif name in self.tracked and self.tracked[name].spec.step.gang.replicas:
                self.begin(self.gangs.start(name))
            elif name in self.tracked:
                self.tracked[name].state = "creating"
                self.begin(self.pods.start(self.tracked[name]))
            else:
                self.queue.give_back(name)

    async def diagnose(self, pod: Pod, obj: Object) -> Diagnosis:
        """Its status holds the last lines of a log; the log itself is asked for only where it does not."""
        tail = b""
        if not programs.last_words(obj):
            with suppress(FairwayError):
                async for piece in self.client.logs(pod.name, manifests.MAIN, tail=_TAIL_LINES):
                    tail += piece
        peak = programs.peak_of(self.streams, pod.run, pod.name) if pod.run else 0
        return explain_end(obj, pod.events, tail=tail, peak_bytes=peak)

    # Now and then

    async def _keep_tending(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.tend()

    async def tend(self) -> None:
        """What only time tells: pods that do not start or end, or that nobody asks for; workers that are silent; why somebody waits."""
        now = self.clock()
        self.pods.tend(now)
        self.gangs.tend()
        for tracked in self.tracked.values():
            if not tracked.told and now - tracked.since > 2 * _TICK_S:
                tracked.told = True  # once: that it waits for room; a line for each change of the queue would be many
                if why := self._why_held(tracked.spec.id):
                    self.tell(tracked, Observation("queued", why))

        if now - self.started_at > UNCLAIMED_S:
            self.owners.release_unclaimed()
        pods = self.pods.known.values()
        await self.owners.clear(lambda: {pod.run for pod in pods} | {one.spec.run for one in self.tracked.values()} | self.gangs.runs())

    async def _find_kueue(self) -> None:
        if not self.settings.kueue:
            with suppress(FairwayError):
                self.settings.kueue = await self.client.serves("kueue.x-k8s.io")

    # Telling drivers

    def tell(self, tracked: Tracked, seen: Observation) -> None:
        if tracked.observation != seen:
            tracked.observation = seen
            tracked.view.tell(tracked.spec.id)

    def note_room(self, id: str) -> None:
        """What it had is free."""
        self.queue.give_back(id)
        self.gate.note_room()
        self.dispatch()

    def finish(self, spec: AttemptSpec, outcome: Outcome) -> None:
        """Give an attempt its outcome; one that is there stands."""
        self._store(spec, outcome)
        self.forget(spec.id)

    def end(self, id: str, error: ErrorInfo) -> None:
        """Give an attempt that cannot write its own outcome one; one that is there stands."""
        tracked = self.tracked.get(id)
        if tracked is not None:
            self._store(tracked.spec, Outcome(id, "failed", error=error))
            self.forget(id)

    def _store(self, spec: AttemptSpec, outcome: Outcome) -> None:
        text = json.dumps(to_plain(outcome), separators=(",", ":"), ensure_ascii=False)
        self.artifacts.put(outcome_key(spec.run, spec.id), text.encode())

    def forget(self, id: str) -> None:
        """The attempt has ended; whoever drives it is told."""
        tracked = self.tracked.pop(id, None)
        self.queue.drop(id)
        self.pools.end(id)
        if tracked is not None:
            tracked.view.tell(id)

    def has_outcome(self, spec: AttemptSpec) -> bool:
        """Is it known how the attempt has ended?"""
        return self.artifacts.stat(outcome_key(spec.run, spec.id)) is not None

    def begin(self, job: Coroutine[Any, Any, None]) -> None:
        """Do it beside everything else, a bounded number at once."""
        task = asyncio.create_task(self._guarded(job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        task.add_done_callback(lambda _: job.close())  # one that was cancelled before it began

    async def _guarded(self, job: Coroutine[Any, Any, None]) -> None:
        async with self._busy:
            try:
                await job
            except FairwayError as error:  # what the cluster did not do now is tended to again
                print(f"pods: {error.message}", file=sys.stderr, flush=True)
            except Exception:  # noqa: BLE001 - the boundary of a job: a defect must not end in silence, nor end the server
                traceback.print_exc()
