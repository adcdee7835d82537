"""Attempts as pods: one for each attempt, or warm workers of a pool. One executor serves all runs of a server, each through a view.

Pods are told of by one watch, outcomes by whoever stores them (`note_outcome`): nothing polls. What the target's limits do not let start
waits here, and no object stands for it in the cluster. A pod whose attempt has ended is deleted once it has sent its last log lines.
Nothing here has to survive: after a restart the cluster says which pods there are, and drivers ask for their attempts again.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError, UnschedulableError
from fairway.executors import programs
from fairway.executors.fair import Ask, ask_of
from fairway.executors.gangprograms import program_of
from fairway.executors.gangs import GONE_S, ROLES, Gangs
from fairway.executors.gate import Gate
from fairway.executors.gathered import Replica
from fairway.executors.nodes import Nodes
from fairway.executors.owners import Owners
from fairway.executors.pods import Pod, Tracked, ask_of_pod, cancelled, inventory_of, is_pooled, is_unheard
from fairway.executors.poolkeeper import PoolKeeper
from fairway.executors.pools import Pools
from fairway.executors.runview import RunView
from fairway.kube import manifests
from fairway.kube.diagnose import Diagnosis, explain_end, explain_refusal, explain_wait
from fairway.kube.gangs import render_gang, render_gang_of_programs
from fairway.kube.manifests import POOL, ROLE, RUN, Link
from fairway.kube.target import ClusterSettings
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
_UNHEARD_S = 5.0  # the same, where the cluster itself has given its node up
_LINGER_S = 60.0  # how long a pod may go on after its outcome before it is ended
_UNCLAIMED_S = 600.0  # how long after the start a pod may be there that no driver asks for
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
        self._keeper = PoolKeeper(self)
        self.gangs = Gangs(self)
        self.pools.on_start = self._keeper.note_started
        self.pools.on_want = self._keeper.want
        self.pools.on_stop = lambda id: self.end(id, cancelled("cancelled"))
        self.tracked: dict[str, Tracked] = {}
        self._pods: dict[str, Pod] = {}
        self.owners = Owners(client, settings)
        self.nodes = Nodes(client, clock)
        self.programs = programs.Programs(client, artifacts, streams, settings.secrets)
        self._jobs: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._busy = asyncio.Semaphore(_BUSY)
        self._synced = asyncio.Event()
        self.started_at = 0.0

    @property
    def capabilities(self) -> frozenset[str]:
        """What a namespace can do. Whether there are accelerators only the scheduler knows."""
        return frozenset({"CONTAINER", "IMAGE", "POOL", "VOLUME", "GPU", "GANG"})

    async def start(self) -> None:
        """Learn which pods there are, and follow them from now on. Raises FairwayError where the cluster does not let us."""
        self.started_at = self.clock()
        self.nodes.look()
        await asyncio.gather(self._find_kueue(), self.owners.find(), self.gangs.find_scheduler())
        watching = asyncio.create_task(self._watch_pods(), name="watch pods")
        synced = asyncio.create_task(self._synced.wait())
        await asyncio.wait({watching, synced}, return_when=asyncio.FIRST_COMPLETED)
        synced.cancel()
        if watching.done():
            watching.result()
        self.pools.recover((pod.name, pod.pool) for pod in self._pods.values() if pod.role == "pool")
        events = asyncio.create_task(self._watch_events(), name="watch events")
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
        return Counter((pod.role, pod.phase) for pod in (*self._pods.values(), *self.gangs.pods()))

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
        pod = self._pods.get(id)
        if pod is not None and not pod.settled_at:
            pod.settled_at = self.clock()
        self.gangs.note_outcome(id)
        self._forget(id)

    def note_outputs(self, id: str, outputs: Mapping[str, Any], missing: Sequence[str]) -> None:
        """What a program has written; its outcome follows from that and its exit code."""
        tracked, pod = self.tracked.get(id), self._pods.get(id)
        if tracked is not None:
            programs.note_outputs(tracked.spec, outputs, missing, self.artifacts)
            self.gangs.note_outputs(id)
            if pod is not None and pod.obj is not None:
                self._settle_program(tracked, pod, pod.obj)

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
            pod = self._pods.get(spec.id)
            if self._has_outcome(spec):
                self.note_outcome(spec.run, spec.id)
            elif spec.step.gang.replicas:
                self.gangs.add(tracked)
            elif pod is not None:
                self._claim(tracked, pod)
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
        tracked, pod = self.tracked.get(id), self._pods.get(id)
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
            self.begin(self._delete_pod(pod, grace_s))

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
            if name in self._keeper.wanted:
                self.begin(self._keeper.create(name))
            elif name in self.tracked and self.tracked[name].spec.step.gang.replicas:
                self.begin(self.gangs.start(name))
            elif name in self.tracked:
                self.tracked[name].state = "creating"
                self.begin(self._create_attempt(self.tracked[name]))
            else:
                self.queue.give_back(name)

    async def _create_attempt(self, tracked: Tracked) -> None:
        spec = tracked.spec
        if self.gate.shut_for and tracked.state == "creating":
            tracked.state = "held"
            self.queue.put_back(spec.id)
            return
        try:
            owner = await self.owners.of(spec.run, tracked.view)
            if tracked.state != "ending":
                await self.create(self._render(spec, owner))
        except FairwayError as error:
            self._note_refusal(tracked, explain_refusal(error))
        else:
            self.gate.note_success()
            pod = self._pods.get(spec.id)
            if tracked.state != "ending":
                self._claim(tracked, pod)
            elif pod is not None:
                await self._delete_pod(pod, self.settings.target.grace_s)
            else:
                self.queue.give_back(spec.id)
                self.end(spec.id, cancelled("cancelled before it started"))

    def _render(self, spec: AttemptSpec, owner: Object) -> Object:
        given: dict[str, Any] = {"link": self.link, "token": self.sign(spec.id), "owner": owner}
        self.settings.gpu_products = self.nodes.products
        if spec.step.kind != "container":
            return manifests.render_attempt(spec, self.settings, **given)
        return manifests.render_container_step(spec, self.settings, **given, argv=programs.argv_of(spec, self.artifacts))

    def render_gang(self, spec: AttemptSpec, owner: Object, scheduler: str) -> list[Object]:
        """A gang's objects, its Job the last."""
        self.settings.gpu_products = self.nodes.products
        given: dict[str, Any] = {"link": self.link, "token": self.sign(spec.id), "owner": owner, "scheduler": scheduler}
        if spec.step.kind != "container":
            return render_gang(spec, self.settings, **given)
        return render_gang_of_programs(spec, self.settings, **given, program=program_of(spec, programs.argv_of(spec, self.artifacts)))

    async def create(self, manifest: Object) -> None:
        """One pod; one of that name is this one, from before a restart or a lost answer."""
        meta = manifest["metadata"]
        name = meta["name"]
        pod = self._pods.setdefault(name, Pod(name, meta["labels"].get(RUN, ""), meta["labels"][ROLE], meta["labels"].get(POOL, "")))
        try:
            made = await self.client.create(manifest)
            pod.uid = pod.uid or made["metadata"]["uid"]
        except ConflictError:
            return
        except BaseException:
            if not pod.uid:
                self._pods.pop(name, None)
            raise

    def _claim(self, tracked: Tracked, pod: Pod | None) -> None:
        """A driver waits for what this pod does."""
        tracked.state = "placed"
        if tracked.observation.phase == "queued":
            self.tell(tracked, Observation("starting"))
        if pod is None:
            return
        if pod.phase in _ENDED and pod.obj is not None:
            self.begin(self._finish(pod, pod.obj))
        else:
            self._explain(pod)

    def _note_refusal(self, tracked: Tracked, found: Diagnosis) -> None:
        """The API server does not take its pod: never, or not now."""
        id = tracked.spec.id
        if tracked.state == "ending" or found.hopeless:
            self.queue.give_back(id)
            self.end(id, found.as_error() if found.hopeless else cancelled("cancelled before it started"))
            self.dispatch()
        elif tracked.state == "creating":
            tracked.state = "held"
            self.queue.put_back(id)
            self.gate.shut(found.line)
            tracked.view.tell(id)

    # Following pods

    async def _watch_pods(self) -> None:
        async for change in self.client.watch("Pod", labels=manifests.selector(self.settings)):
            if change.kind == "synced":
                self._synced.set()
            elif change.obj["metadata"]["labels"].get(ROLE) in ROLES:
                self.gangs.lose(change.obj) if change.kind == "deleted" else self.gangs.see(change.obj)
            elif change.kind == "deleted":
                self._lose(change.obj)
            else:
                self._see(change.obj)

    async def _watch_events(self) -> None:
        """What the scheduler and the nodes say about pods that do not start."""
        with suppress(FairwayError):  # without the right to read events one is told less
            async for change in self.client.watch("Event", fields="involvedObject.kind=Pod,type=Warning"):
                about = change.obj.get("involvedObject") or {}
                pod = self._pods.get(about.get("name", "")) or self.gangs.find_pod(about.get("name", ""))
                if change.kind in ("added", "modified") and pod is not None and pod.uid in ("", about.get("uid", pod.uid)):
                    pod.events = [*pod.events[1 - _EVENTS_KEPT :], change.obj]
                    self.gangs.explain(pod) if isinstance(pod, Replica) else self._explain(pod)

    def _see(self, obj: Object) -> None:
        meta = obj["metadata"]
        own = meta["labels"]
        pod = self._pods.get(meta["name"])
        if pod is None:
            pod = self._pods[meta["name"]] = Pod(meta["name"], own.get(RUN, ""), own[ROLE], own.get(POOL, ""))
            self.queue.hold(pod.name, pod.run, ask_of_pod(obj))
            if (tracked := self.tracked.get(pod.name)) is not None and tracked.state == "held":
                tracked.state = "placed"  # its creation was reported as failed, and was none
        if pod.role == "pool":
            self.pools.appear(pod.name, pod.pool)
        pod.unheard = is_unheard(obj)
        pod.dying_at = pod.dying_at or (self.clock() if meta.get("deletionTimestamp") else 0.0)
        pod.uid, pod.phase = meta["uid"], obj.get("status", {}).get("phase", "Pending")
        pod.obj = obj if pod.phase != "Running" or pod.role == "container" else None
        if pod.phase in _ENDED:
            if not pod.leaving:
                self.begin(self._finish(pod, obj))
            return
        self._explain(pod)

    def _explain(self, pod: Pod) -> None:
        """Tell whoever waits for it what the pod does, or why not."""
        tracked = self.tracked.get(pod.name)
        if pod.phase == "Running":
            pod.stuck_at = 0.0
            if pod.role == "pool":
                self._keeper.tell(pod.name, "")
            elif tracked is not None:
                self.tell(tracked, Observation("running"))
                if pod.role == "container" and pod.obj is not None:
                    self._settle_program(tracked, pod, pod.obj)
            return
        if pod.obj is None or pod.phase != "Pending" or (tracked is None and pod.role != "pool"):
            return
        found = explain_wait(pod.obj, pod.events, self.nodes.known)
        pod.note(found, self.clock())
        if pod.role == "pool":
            self._keeper.tell(pod.name, found.line if found else "")
        elif tracked is not None:
            self.tell(tracked, Observation("starting", pod.told))
        if found is not None and found.hopeless:
            self._give_up(pod, found)
        elif found is not None and found.cause == "unschedulable":
            self.nodes.look()

    def _give_up(self, pod: Pod, found: Diagnosis) -> None:
        """It will never start."""
        if pod.leaving:
            return
        if pod.role == "pool":
            self._keeper.fail(pod.name, found)
        else:
            self.end(pod.name, found.as_error())
        self.begin(self._delete_pod(pod, 1.0))

    def _lose(self, obj: Object) -> None:
        """The pod is gone from the cluster."""
        name = obj["metadata"]["name"]
        pod = self._pods.pop(name, None)
        self.queue.give_back(name)
        self.gate.note_room()
        self.programs.forget(name)
        if pod is not None:
            found = explain_end(obj, pod.events, gone=True)
            if pod.role == "pool":
                self._keeper.lose(pod, found)
            elif name in self.tracked:
                self.end(name, found.as_error())
        self.dispatch()

    async def _finish(self, pod: Pod, obj: Object) -> None:
        """The pod has ended: its attempt has an outcome, or gets one that says why not."""
        tracked = self.tracked.get(pod.name)
        if pod.role == "pool":
            self._keeper.lose(pod, await self.diagnose(pod, obj) if pod.phase == "Failed" else explain_end(obj, pod.events))
        elif tracked is None:
            over = pod.settled_at or self.artifacts.stat(outcome_key(pod.run, pod.name)) is not None
            if not over and self.clock() - self.started_at < _UNCLAIMED_S:
                return  # its driver may not have asked for it yet
        elif pod.role == "container":
            self._settle_program(tracked, pod, obj)
            return
        elif not self._has_outcome(tracked.spec):
            self.end(pod.name, (await self.diagnose(pod, obj)).as_error())
        self._forget(pod.name)
        await self._delete_pod(pod, None)

    async def diagnose(self, pod: Pod, obj: Object) -> Diagnosis:
        """Its status holds the last lines of a log; the log itself is asked for only where it does not."""
        tail = b""
        if not programs.last_words(obj):
            with suppress(FairwayError):
                async for piece in self.client.logs(pod.name, manifests.MAIN, tail=_TAIL_LINES):
                    tail += piece
        peak = programs.peak_of(self.streams, pod.run, pod.name) if pod.run else 0
        return explain_end(obj, pod.events, tail=tail, peak_bytes=peak)

    async def _delete_pod(self, pod: Pod, grace_s: float | None) -> None:
        pod.leaving = True
        grace = None if grace_s is None else max(1, math.ceil(grace_s))
        if not await self.client.delete("Pod", pod.name, grace_s=grace, uid=pod.uid):
            self._lose({"metadata": {"name": pod.name}})

    # Programs in images of their own

    def _settle_program(self, tracked: Tracked, pod: Pod, obj: Object) -> None:
        """Follow its log; give it its outcome as soon as that is known."""
        self.programs.follow(tracked.spec, obj)
        over = pod.phase in _ENDED
        if not pod.settled_at and (over or programs.find_outcome(tracked.spec, obj, self.artifacts, tracked.since) is not None):
            pod.settled_at = self.clock()
            self.begin(self._end_program(tracked, pod, obj))

    async def _end_program(self, tracked: Tracked, pod: Pod, obj: Object) -> None:
        self._store(tracked.spec, await self.programs.end(tracked.spec, obj, pod.events, tracked.since))
        self._forget(pod.name)
        await self._delete_pod(pod, self.settings.target.grace_s)

    # Now and then

    async def _bury(self, pod: Pod) -> None:
        """Its node does not say that it has ended, and never may: the node is lost. What still runs there cannot change anything."""
        obj = pod.obj or {"metadata": {"name": pod.name}, "status": {"reason": "NodeLost", "message": "it does not confirm the pod's end"}}
        self._lose(obj)
        await self.client.delete("Pod", pod.name, grace_s=0, uid=pod.uid)

    async def _keep_tending(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            await self.tend()

    async def tend(self) -> None:
        """What only time tells: pods that do not start or end, or that nobody asks for; workers that are silent; why somebody waits."""
        now = self.clock()
        for name in self.pools.tend():
            if name in self._pods and not self._pods[name].leaving:
                self.begin(self._delete_pod(self._pods[name], 1.0))
        for pod in list(self._pods.values()):
            if pod.dying_at and now - pod.dying_at > self.settings.target.grace_s + (_UNHEARD_S if pod.unheard else GONE_S):
                self.begin(self._bury(pod))
            if pod.leaving or pod.dying_at:
                continue
            tracked = self.tracked.get(pod.name)
            if pod.stuck_at and pod.found is not None and now - pod.stuck_at > self.settings.patience_s:
                self._give_up(pod, pod.found)
            elif self._is_overdue(pod, tracked, now):
                self.begin(self._delete_pod(pod, self.settings.target.grace_s))
            elif tracked is not None and pod.role == "container" and (late := programs.find_overtime(tracked.spec, pod.obj, now)):
                self.end(pod.name, late)
                self.begin(self._delete_pod(pod, self.settings.target.grace_s))
        self.gangs.tend()
        for tracked in self.tracked.values():
            if not tracked.told and now - tracked.since > 2 * _TICK_S:
                tracked.told = True  # once: that it waits for room; a line for each change of the queue would be many
                if why := self._why_held(tracked.spec.id):
                    self.tell(tracked, Observation("queued", why))

        if now - self.started_at > _UNCLAIMED_S:
            self.owners.release_unclaimed()
        pods = self._pods.values()
        await self.owners.clear(lambda: {pod.run for pod in pods} | {one.spec.run for one in self.tracked.values()} | self.gangs.runs())

    def _is_overdue(self, pod: Pod, tracked: Tracked | None, now: float) -> bool:
        """Its attempt ended a while ago, or no driver has asked for it since the server started."""
        if pod.settled_at:
            return now - pod.settled_at > _LINGER_S
        return tracked is None and pod.role != "pool" and now - self.started_at > _UNCLAIMED_S

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
        self._forget(spec.id)

    def end(self, id: str, error: ErrorInfo) -> None:
        """Give an attempt that cannot write its own outcome one; one that is there stands."""
        tracked = self.tracked.get(id)
        if tracked is not None:
            self._store(tracked.spec, Outcome(id, "failed", error=error))
            self._forget(id)

    def _store(self, spec: AttemptSpec, outcome: Outcome) -> None:
        text = json.dumps(to_plain(outcome), separators=(",", ":"), ensure_ascii=False)
        self.artifacts.put(outcome_key(spec.run, spec.id), text.encode())

    def _forget(self, id: str) -> None:
        """The attempt has ended; whoever drives it is told."""
        tracked = self.tracked.pop(id, None)
        self.queue.drop(id)
        self.pools.end(id)
        if tracked is not None:
            tracked.view.tell(id)

    def _has_outcome(self, spec: AttemptSpec) -> bool:
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
