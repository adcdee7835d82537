"""The pods of attempts and of pools: made, followed by one watch, explained, and deleted when their attempts have ended."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError
from fairway.executors import programs
from fairway.executors.gangs import ROLES
from fairway.executors.gathered import Replica
from fairway.executors.pods import GONE_S, UNCLAIMED_S, UNHEARD_S, Pod, Tracked, ask_of_pod, cancelled, is_unheard
from fairway.kube import manifests
from fairway.kube.diagnose import Diagnosis, explain_end, explain_refusal, explain_wait
from fairway.kube.manifests import POOL, ROLE, RUN
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import outcome_key
from fairway.spec.ports import Observation

if TYPE_CHECKING:
    from fairway.executors.kubernetes import KubernetesExecutor

Object = dict[str, Any]
_EVENTS_KEPT = 8
_LINGER_S = 60.0  # how long a pod may go on after its outcome before it is ended
_ENDED = ("Succeeded", "Failed")


class PodKeeper:
    """The part of the executor `whole` that concerns pods, but for those of gangs, of which it only hears. `known`: by name, which is that
    of the attempt or of the pool's worker."""

    def __init__(self, whole: KubernetesExecutor) -> None:
        self._whole = whole
        self.known: dict[str, Pod] = {}
        self.synced = asyncio.Event()

    async def start(self, tracked: Tracked) -> None:
        """Make the pod of an attempt for which there is room."""
        spec = tracked.spec
        if self._whole.gate.shut_for and tracked.state == "creating":
            tracked.state = "held"
            self._whole.queue.put_back(spec.id)
            return
        try:
            owner = await self._whole.owners.of(spec.run, tracked.view)
            if tracked.state != "ending":
                await self.create(self._render(spec, owner))
        except FairwayError as error:
            self._refuse(tracked, explain_refusal(error))
        else:
            self._whole.gate.note_success()
            pod = self.known.get(spec.id)
            if tracked.state != "ending":
                self.claim(tracked, pod)
            elif pod is not None:
                await self.delete(pod, self._whole.settings.target.grace_s)
            else:
                self._whole.queue.give_back(spec.id)
                self._whole.end(spec.id, cancelled("cancelled before it started"))

    def _refuse(self, tracked: Tracked, found: Diagnosis) -> None:
        """The API server does not take its pod: never, or not now."""
        id = tracked.spec.id
        if tracked.state == "ending" or found.hopeless:
            self._whole.queue.give_back(id)
            self._whole.end(id, found.as_error() if found.hopeless else cancelled("cancelled before it started"))
            self._whole.dispatch()
        elif tracked.state == "creating":
            tracked.state = "held"
            self._whole.queue.put_back(id)
            self._whole.gate.shut(found.line)
            tracked.view.tell(id)

    def _render(self, spec: AttemptSpec, owner: Object) -> Object:
        given: dict[str, Any] = {"link": self._whole.link, "token": self._whole.sign(spec.id), "owner": owner}
        self._whole.settings.gpu_products = self._whole.nodes.products
        if spec.step.kind != "container":
            return manifests.render_attempt(spec, self._whole.settings, **given)
        return manifests.render_container_step(spec, self._whole.settings, **given, argv=programs.argv_of(spec, self._whole.artifacts))

    async def create(self, manifest: Object) -> None:
        """One pod; one of that name is this one, from before a restart or a lost answer."""
        meta = manifest["metadata"]
        name = meta["name"]
        pod = self.known.setdefault(name, Pod(name, meta["labels"].get(RUN, ""), meta["labels"][ROLE], meta["labels"].get(POOL, "")))
        try:
            made = await self._whole.client.create(manifest)
            pod.uid = pod.uid or made["metadata"]["uid"]
        except ConflictError:
            return
        except BaseException:
            if not pod.uid:
                self.known.pop(name, None)
            raise

    def claim(self, tracked: Tracked, pod: Pod | None) -> None:
        """A driver waits for what this pod does."""
        tracked.state = "placed"
        if tracked.observation.phase == "queued":
            self._whole.tell(tracked, Observation("starting"))
        if pod is None:
            return
        if pod.phase in _ENDED and pod.obj is not None:
            self._whole.begin(self._finish(pod, pod.obj))
        else:
            self._explain(pod)

    # Following pods

    async def watch(self) -> None:
        """All of them, those of gangs too; `synced` once those that are there are known."""
        async for change in self._whole.client.watch("Pod", labels=manifests.selector(self._whole.settings)):
            if change.kind == "synced":
                self.synced.set()
            elif change.obj["metadata"]["labels"].get(ROLE) in ROLES:
                self._whole.gangs.lose(change.obj) if change.kind == "deleted" else self._whole.gangs.see(change.obj)
            elif change.kind == "deleted":
                self._lose(change.obj)
            else:
                self._see(change.obj)

    async def watch_events(self) -> None:
        """What the scheduler and the nodes say about pods that do not start."""
        with suppress(FairwayError):  # without the right to read events one is told less
            async for change in self._whole.client.watch("Event", fields="involvedObject.kind=Pod,type=Warning"):
                about = change.obj.get("involvedObject") or {}
                pod = self.known.get(about.get("name", "")) or self._whole.gangs.find_pod(about.get("name", ""))
                if change.kind in ("added", "modified") and pod is not None and pod.uid in ("", about.get("uid", pod.uid)):
                    pod.events = [*pod.events[1 - _EVENTS_KEPT :], change.obj]
                    self._whole.gangs.explain(pod) if isinstance(pod, Replica) else self._explain(pod)

    def _see(self, obj: Object) -> None:
        meta = obj["metadata"]
        own = meta["labels"]
        pod = self.known.get(meta["name"])
        if pod is None:
            pod = self.known[meta["name"]] = Pod(meta["name"], own.get(RUN, ""), own[ROLE], own.get(POOL, ""))
            self._whole.queue.hold(pod.name, pod.run, ask_of_pod(obj))
            if (tracked := self._whole.tracked.get(pod.name)) is not None and tracked.state == "held":
                tracked.state = "placed"  # its creation was reported as failed, and was none
        if pod.role == "pool":
            self._whole.pools.appear(pod.name, pod.pool)
        pod.unheard = is_unheard(obj)
        pod.dying_at = pod.dying_at or (self._whole.clock() if meta.get("deletionTimestamp") else 0.0)
        pod.uid, pod.phase = meta["uid"], obj.get("status", {}).get("phase", "Pending")
        pod.obj = obj if pod.phase != "Running" or pod.role == "container" else None
        if pod.phase in _ENDED:
            if not pod.leaving:
                self._whole.begin(self._finish(pod, obj))
            return
        self._explain(pod)

    def _explain(self, pod: Pod) -> None:
        """Tell whoever waits for it what the pod does, or why not."""
        tracked = self._whole.tracked.get(pod.name)
        if pod.phase == "Running":
            pod.stuck_at = 0.0
            if pod.role == "pool":
                self._whole.keeper.tell(pod.name, "")
            elif tracked is not None:
                self._whole.tell(tracked, Observation("running"))
                if pod.role == "container" and pod.obj is not None:
                    self._settle_program(tracked, pod, pod.obj)
            return
        if pod.obj is None or pod.phase != "Pending" or (tracked is None and pod.role != "pool"):
            return
        found = explain_wait(pod.obj, pod.events, self._whole.nodes.known)
        pod.note(found, self._whole.clock())
        if pod.role == "pool":
            self._whole.keeper.tell(pod.name, found.line if found else "")
        elif tracked is not None:
            self._whole.tell(tracked, Observation("starting", pod.told))
        if found is not None and found.hopeless:
            self._give_up(pod, found)
        elif found is not None and found.cause == "unschedulable":
            self._whole.nodes.look()

    def _give_up(self, pod: Pod, found: Diagnosis) -> None:
        """It will never start."""
        if pod.leaving:
            return
        if pod.role == "pool":
            self._whole.keeper.fail(pod.name, found)
        else:
            self._whole.end(pod.name, found.as_error())
        self._whole.begin(self.delete(pod, 1.0))

    def _lose(self, obj: Object) -> None:
        """The pod is gone from the cluster."""
        name = obj["metadata"]["name"]
        pod = self.known.pop(name, None)
        self._whole.queue.give_back(name)
        self._whole.gate.note_room()
        self._whole.programs.forget(name)
        if pod is not None:
            found = explain_end(obj, pod.events, gone=True)
            if pod.role == "pool":
                self._whole.keeper.lose(pod, found)
            elif name in self._whole.tracked:
                self._whole.end(name, found.as_error())
        self._whole.dispatch()

    async def _finish(self, pod: Pod, obj: Object) -> None:
        """The pod has ended: its attempt has an outcome, or gets one that says why not."""
        tracked = self._whole.tracked.get(pod.name)
        if pod.role == "pool":
            self._whole.keeper.lose(pod, await self._whole.diagnose(pod, obj) if pod.phase == "Failed" else explain_end(obj, pod.events))
        elif tracked is None:
            over = pod.settled_at or self._whole.artifacts.stat(outcome_key(pod.run, pod.name)) is not None
            if not over and self._whole.clock() - self._whole.started_at < UNCLAIMED_S:
                return  # its driver may not have asked for it yet
        elif pod.role == "container":
            self._settle_program(tracked, pod, obj)
            return
        elif not self._whole.has_outcome(tracked.spec):
            self._whole.end(pod.name, (await self._whole.diagnose(pod, obj)).as_error())
        self._whole.forget(pod.name)
        await self.delete(pod, None)

    async def delete(self, pod: Pod, grace_s: float | None) -> None:
        """Have it deleted; what it runs has that long to end, None: as long as the pod says."""
        pod.leaving = True
        grace = None if grace_s is None else max(1, math.ceil(grace_s))
        if not await self._whole.client.delete("Pod", pod.name, grace_s=grace, uid=pod.uid):
            self._lose({"metadata": {"name": pod.name}})

    def note_outcome(self, id: str) -> None:
        """Its attempt has one; it may still send what it has to say."""
        pod = self.known.get(id)
        if pod is not None and not pod.settled_at:
            pod.settled_at = self._whole.clock()

    # Programs in images of their own

    def note_outputs(self, tracked: Tracked) -> None:
        """What the program of an attempt has written is known."""
        pod = self.known.get(tracked.spec.id)
        if pod is not None and pod.obj is not None:
            self._settle_program(tracked, pod, pod.obj)

    def _settle_program(self, tracked: Tracked, pod: Pod, obj: Object) -> None:
        """Follow its log; give it its outcome as soon as that is known."""
        self._whole.programs.follow(tracked.spec, obj)
        over = pod.phase in _ENDED
        if not pod.settled_at and (over or programs.find_outcome(tracked.spec, obj, self._whole.artifacts, tracked.since) is not None):
            pod.settled_at = self._whole.clock()
            self._whole.begin(self._end_program(tracked, pod, obj))

    async def _end_program(self, tracked: Tracked, pod: Pod, obj: Object) -> None:
        self._whole.finish(tracked.spec, await self._whole.programs.end(tracked.spec, obj, pod.events, tracked.since))
        await self.delete(pod, self._whole.settings.target.grace_s)

    # Now and then

    def tend(self, now: float) -> None:
        """What only time tells: pods that do not start or end, or that nobody asks for."""
        for name in self._whole.pools.tend():
            if name in self.known and not self.known[name].leaving:
                self._whole.begin(self.delete(self.known[name], 1.0))
        for pod in list(self.known.values()):
            if pod.dying_at and now - pod.dying_at > self._whole.settings.target.grace_s + (UNHEARD_S if pod.unheard else GONE_S):
                self._whole.begin(self._bury(pod))
            if pod.leaving or pod.dying_at:
                continue
            tracked = self._whole.tracked.get(pod.name)
            if pod.stuck_at and pod.found is not None and now - pod.stuck_at > self._whole.settings.patience_s:
                self._give_up(pod, pod.found)
            elif self._is_overdue(pod, tracked, now):
                self._whole.begin(self.delete(pod, self._whole.settings.target.grace_s))
            elif tracked is not None and pod.role == "container" and (late := programs.find_overtime(tracked.spec, pod.obj, now)):
                self._whole.end(pod.name, late)
                self._whole.begin(self.delete(pod, self._whole.settings.target.grace_s))

    def _is_overdue(self, pod: Pod, tracked: Tracked | None, now: float) -> bool:
        """Its attempt ended a while ago, or no driver has asked for it since the server started."""
        if pod.settled_at:
            return now - pod.settled_at > _LINGER_S
        return tracked is None and pod.role != "pool" and now - self._whole.started_at > UNCLAIMED_S

    async def _bury(self, pod: Pod) -> None:
        """Its node does not say that it has ended, and never may: the node is lost. What still runs there cannot change anything."""
        obj = pod.obj or {"metadata": {"name": pod.name}, "status": {"reason": "NodeLost", "message": "it does not confirm the pod's end"}}
        self._lose(obj)
        await self._whole.client.delete("Pod", pod.name, grace_s=0, uid=pod.uid)
