"""Gangs in a cluster: from a Job whose pods are the replicas, through their meeting, to the outcome of the attempt.

All or none: where a queue or the scheduler itself keeps a gang's pods together, that is theirs to do. Elsewhere a gang waits here until
quotas and the nodes that can be seen hold all of it, no more than one gang at a time has pods without a place, and what did not come
together in time is removed as a whole and tried again later. Nothing here has to survive: who has met is kept beside the outcome's place,
pods are told of by the executor's watch, and their agents report again to a server that was started anew.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError
from fairway.executors import programs
from fairway.executors.fair import Ask
from fairway.executors.gangprograms import GangPrograms
from fairway.executors.gangroom import GangRoom
from fairway.executors.gathered import Gathered, Replica, forget, keep_end, keep_met, recall
from fairway.executors.meeting import Coming, Met
from fairway.executors.pods import UNCLAIMED_S, Tracked, ask_of_pod, cancelled, is_unheard
from fairway.kube.diagnose import Diagnosis, explain_end, explain_gang, explain_wait
from fairway.kube.gangs import GANG, GANG_CONTAINER, has_place, index_of, job_uid_of
from fairway.kube.manifests import ATTEMPT, ROLE, RUN
from fairway.kube.rights import Right
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import places_of
from fairway.spec.outcome import ErrorInfo, Outcome
from fairway.spec.ports import Observation
from fairway.spec.record import to_plain

if TYPE_CHECKING:
    from fairway.executors.kubernetes import KubernetesExecutor

Object = dict[str, Any]
ROLES = (GANG, GANG_CONTAINER)
_SCHEDULING = "scheduling.k8s.io"
_ENDED = ("Succeeded", "Failed")


class Gangs:
    """The part of the executor `whole` that concerns gangs."""

    def __init__(self, whole: KubernetesExecutor) -> None:
        self._whole = whole
        self.known: dict[str, Gathered] = {}
        self.scheduler = ""
        self._programs = GangPrograms(whole, self)
        self._room = GangRoom(whole, self)

    async def find_scheduler(self) -> None:
        """Does the cluster's scheduler know gangs, and may the server tell it of them?"""
        client = self._whole.client
        for version, resource in (("v1alpha2", "podgroups"), ("v1alpha1", "workloads")):
            with suppress(FairwayError):
                if await client.serves(f"{_SCHEDULING}/{version}") and not await client.can([Right("create", resource, _SCHEDULING)]):
                    self.scheduler = version
                    return

    # What the executor calls

    def ask(self, spec: AttemptSpec, one: Ask) -> Ask:
        """What all its replicas take of the limits; `one` is what a pod takes."""
        count = spec.step.gang.replicas
        devices = {name: amount * count for name, amount in one.accelerators.items()}
        return Ask(one.pods * count, one.cpu * count, one.memory_bytes * count, devices)

    def add(self, tracked: Tracked) -> None:
        """A driver asks for it, for the first time or after the server was started anew."""
        spec = tracked.spec
        gang = self.known.setdefault(spec.id, Gathered(spec.id, spec.run))
        gang.claim(tracked, self._whole.settings.target.grace_s, self._whole.clock())
        gang.queued = self._is_queued(spec)
        gang.together = bool(self.scheduler) or gang.queued
        recall(gang, self._whole.artifacts)
        if gang.job:
            self._whole.queue.give_back(spec.id)  # until now it was held by what one of its pods takes
            self._whole.queue.hold(spec.id, spec.run, self._whole.ask(spec))
            gang.phase = "running" if gang.meeting.met else "gathering"
            tracked.state = "placed"
            self.judge(gang)
        else:
            self._whole.queue.add(spec.id, spec.run, self._whole.ask(spec))

    async def start(self, id: str) -> None:
        """It may have pods as far as the target's limits go."""
        gang = self.known.get(id)
        if gang is None or gang.tracked is None:
            self._whole.queue.give_back(id)
            return
        gang.phase, gang.since = "line", self._whole.clock()
        await self._room.place(gang)

    def find_pod(self, name: str) -> Replica | None:
        """The replica with that pod."""
        return next((gang.pods[name] for gang in self.known.values() if name in gang.pods), None)

    def runs(self) -> set[str]:
        """Runs that have pods here."""
        return {gang.run for gang in self.known.values()}

    def pods(self) -> list[Replica]:
        """All that there are."""
        return [pod for gang in self.known.values() for pod in gang.pods.values()]

    def see(self, obj: Object) -> None:
        """A pod of a gang has changed."""
        meta = obj["metadata"]
        id, job = meta["labels"][ATTEMPT], job_uid_of(obj)
        gang = self.known.get(id)
        if gang is None:
            gang = self.known[id] = Gathered(id, meta["labels"].get(RUN, ""))
        if job in gang.removed_jobs:
            return
        if not gang.job:
            gang.job, gang.fenced = job, True
            self._whole.queue.hold(id, gang.run, ask_of_pod(obj))
        pod = gang.pods.get(meta["name"])
        if pod is None:
            pod = gang.pods[meta["name"]] = Replica(meta["name"], gang.run, meta["labels"][ROLE], index_of(obj))
            gang.looked_at = 0.0  # how many its queue has admitted is known now
            gang.tell()
        pod.uid, pod.phase, pod.obj, pod.placed = meta["uid"], obj.get("status", {}).get("phase", "Pending"), obj, has_place(obj)
        pod.unheard = is_unheard(obj)
        if gang.meeting.met is None or pod.name in gang.meeting.met.pods:
            gang.made_at = max(gang.made_at, meta.get("creationTimestamp", ""))
        if meta.get("deletionTimestamp") and not pod.dying_at:
            pod.dying_at = self._whole.clock()
            if gang.queued and gang.phase == "running" and gang.evicted is None:
                self._whole.begin(self._room.ask_queue(gang))  # now: soon it may have room again
        if pod.placed and gang.meeting is not None:
            gang.meeting.begin(self._whole.clock())
        if pod.unheard and not pod.noted:  # the cluster has given its node up: the others need not wait until that confirms it
            pod.noted = True
            self.fail(gang, pod, explain_end(obj, pod.events).as_error())
        elif pod.role == GANG_CONTAINER and pod.phase != "Pending":
            self._programs.see(gang, pod, obj)
            self.judge(gang)
        elif pod.phase in _ENDED:
            self._whole.begin(self._note_end(gang, pod, obj))
        else:
            self.explain(pod)
            self.judge(gang)

    def lose(self, obj: Object) -> None:
        """A pod of a gang is gone."""
        meta = obj["metadata"]
        gang = self.known.get(meta["labels"].get(ATTEMPT, ""))
        pod = gang.pods.pop(meta["name"], None) if gang is not None else None
        if gang is None or pod is None:
            return
        self._whole.programs.forget(pod.name)
        if not pod.noted:  # else what it ended of is being found out
            self.fail(gang, pod, _explain_gone(pod, obj, explain_end(obj, pod.events, gone=True)).as_error())
        self._room.clear(gang)

    def explain(self, pod: Replica) -> None:
        """Tell the driver why its gang does not begin."""
        gang = next((one for one in self.known.values() if one.pods.get(pod.name) is pod), None)
        if gang is None or gang.phase != "gathering" or pod.obj is None:
            return
        found = explain_wait(pod.obj, pod.events, self._whole.nodes.known) if pod.phase == "Pending" else None
        pod.note(found, self._whole.clock())
        if found is not None and found.hopeless:
            self.refuse(gang, found)
        elif gang.tracked is not None:
            told = explain_gang(gang.expected, [(one.index, one.placed, one.found) for one in gang.pods.values()])
            self._whole.tell(gang.tracked, Observation("starting", told or gang.bare))

    def note_outputs(self, id: str) -> None:
        """What a program of it has written is known."""
        if id in self.known:
            self._programs.settle(self.known[id])

    def cancel(self, id: str) -> bool:
        """Its ranks get SIGTERM, then SIGKILL; one that has not begun is removed. False if it is no gang's."""
        gang = self.known.get(id)
        if gang is None or gang.tracked is None:
            return False
        if gang.phase == "running":
            gang.meeting.give_up(cancelled("cancelled"), self._whole.clock())
            gang.tell()
            self.judge(gang)
        else:
            self.conclude(gang, Outcome(id, "failed", error=cancelled("cancelled before it started")))
        return True

    def note_checkpoint(self, id: str) -> None:
        """A checkpoint of it is complete: the moment at which a gang that became smaller grows again, if there is room for more of it."""
        gang = self.known.get(id)
        if gang is not None and gang.phase == "running" and gang.meeting.late and not gang.meeting.stop:
            count = len(gang.meeting.met.replicas if gang.meeting.met else ()) + len(gang.meeting.late)
            error = ErrorInfo("lost", "FW-RESIZED", f"there is room again: it goes on with {count} replicas from its newest checkpoint")
            gang.meeting.give_up(error, self._whole.clock())
            gang.tell()

    def tend(self) -> None:
        """What only time tells."""
        now = self._whole.clock()
        for gang in sorted(self.known.values(), key=lambda one: (one.since, one.id)):
            if gang.tracked is None:
                if gang.phase != "leaving" and now - self._whole.started_at > UNCLAIMED_S:
                    self._room.remove_soon(gang)
                continue
            if gang.phase == "line" and now >= gang.not_before:
                self._whole.begin(self._room.place(gang))
            elif gang.phase == "gathering":
                self._room.tend(gang, now)
            elif gang.phase == "running":
                late = next(filter(None, (programs.find_overtime(gang.spec, pod.obj, now) for pod in gang.pods.values())), None)
                if late is not None and gang.spec.step.kind == "container":
                    gang.meeting.give_up(late, now)
                self.judge(gang)
        for gang in list(self.known.values()):
            self._room.bury(gang, now)
            if gang.phase == "leaving" and not gang.removing and not gang.gone:
                self._room.remove_soon(gang)
            self._room.clear(gang)

    def _is_queued(self, spec: AttemptSpec) -> bool:
        settings = self._whole.settings
        return settings.kueue and bool(spec.step.placement.queue or settings.target.queue)

    # What pods say

    async def meet(self, id: str, coming: Coming, met: bool, wait_s: float, still: bool = False) -> Mapping[str, Any]:
        """A replica is there, and asks for the world (`met`: it has it) or whether it has to stop; waits for news. `still`: none of its
        ranks reports progress any more."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            gang = self.known.get(id)
            if gang is None or gang.tracked is None or gang.phase == "leaving":
                return {"stop": "over", "grace_s": self._whole.settings.target.grace_s}
            meeting, news = gang.meeting, gang.news
            stop = meeting.stop
            if coming.pod in gang.pods and not stop:  # else its Job is another, or the watch has not told of it yet
                stop = meeting.come(coming, self._whole.clock())
                self.judge(gang)
            world = meeting.world_of(coming.pod)
            if world is not None and met:
                if meeting.note_still(coming.replica, still):
                    gang.tell()
                stop = meeting.stop_for(coming.replica)
            if stop and stop != "late":
                return {"stop": stop, "grace_s": meeting.grace_s}
            if world is not None and not met:
                if gang.spec.step.kind == "container":
                    await self._programs.introduce(gang, coming.pod, world)
                return {"world": to_plain(world)}
            left = until - loop.time()
            if left <= 0:
                return {}
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)

    def end(self, id: str, replica: int, pod: str, outcome: Outcome, stopped: bool) -> None:
        """A replica says how it has ended."""
        gang = self.known.get(id)
        if gang is None or gang.tracked is None or gang.phase == "leaving":
            return
        meeting = gang.meeting
        if meeting.met is not None and pod not in meeting.met.pods:
            return
        stopped = stopped or meeting.stop == "done"
        keep_end(gang, replica, outcome, stopped, self._whole.artifacts)
        meeting.end(replica, outcome, self._whole.clock(), stopped=stopped)
        if meeting.met is not None and not meeting.failed_at:
            at_work = find_workers(gang.spec, meeting.met)
            if len(at_work) < len(meeting.met.replicas) and at_work <= meeting.ends.keys():
                meeting.release()
        gang.tell()
        self.judge(gang)

    # Ends

    async def _note_end(self, gang: Gathered, pod: Replica, obj: Object) -> None:
        """Its pod has ended. One that has said how needs no explanation."""
        if pod.noted or gang.phase == "leaving" or gang.tracked is None:
            return
        pod.noted = True
        if pod.index in gang.meeting.ends:
            self.judge(gang)
            return
        seen_at = self._whole.clock()
        found = await self._whole.diagnose(pod, obj) if pod.phase == "Failed" else explain_end(obj, pod.events)
        self.fail(gang, pod, _explain_gone(pod, obj, found).as_error(), seen_at)

    def fail(self, gang: Gathered, pod: Replica, error: ErrorInfo, at: float = 0.0) -> None:
        """A pod has ended without a word of its own."""
        if gang.phase == "leaving" or gang.tracked is None:
            return
        meeting = gang.meeting
        if meeting.met is None and error.kind == "lost":
            meeting.leave(pod.name)  # the Job may make another in its place; if not, `_look` sees that
            gang.looked_at = 0.0
        elif meeting.met is None or pod.name in meeting.met.pods:
            meeting.fail(pod.index, error, at or self._whole.clock(), stopped=meeting.stop == "done")
        gang.tell()
        self.judge(gang)

    def judge(self, gang: Gathered) -> None:
        """What follows from what is known."""
        if gang.tracked is None or gang.phase not in ("gathering", "running"):
            return
        now, meeting = self._whole.clock(), gang.meeting
        gang.look_round()
        if gang.phase == "gathering" and meeting.is_ready(now):
            meeting.open(os.urandom(16).hex())
            keep_met(gang, self._whole.artifacts)
            gang.phase = "running"
            gang.tell()
        if gang.phase == "running":
            self._whole.tell(gang.tracked, Observation("running"))
        if meeting.stop and any(pod.role == GANG_CONTAINER for pod in gang.pods.values()):
            self._programs.stop(gang)
        if meeting.is_over(now) and not gang.asking:
            outcome = meeting.verdict(gang.id)
            if gang.queued and not meeting.is_given_up and has_failed(outcome):
                gang.asking = True
                self._whole.begin(self._room.settle(gang, outcome))
            else:
                self.conclude(gang, outcome)

    def refuse(self, gang: Gathered, found: Diagnosis) -> None:
        """It can never come together."""
        self.conclude(gang, Outcome(gang.id, "failed", error=found.as_error()))

    def conclude(self, gang: Gathered, outcome: Outcome) -> None:
        """The attempt has its outcome; what is left of it goes."""
        if gang.phase == "leaving" and not gang.retries:
            return
        gang.retries = False
        had_job = bool(gang.job)
        gang.phase = "leaving"
        self._whole.finish(gang.spec, outcome)
        forget(gang, self._whole.artifacts)
        self._programs.forget(gang)
        gang.tracked = None
        gang.tell()
        if had_job:
            self._room.remove_soon(gang)
        else:
            gang.gone = True
            self._room.clear(gang)

    def note_outcome(self, id: str) -> None:
        """Somebody else has given it an outcome (its driver gave it up)."""
        gang = self.known.get(id)
        if gang is not None and gang.phase != "leaving":
            gang.phase, gang.retries, gang.tracked = "leaving", False, None
            gang.tell()
            self._room.remove_soon(gang)


def _explain_gone(pod: Replica, obj: Object, found: Diagnosis) -> Diagnosis:
    """One that was killed because somebody has deleted it did not crash: a Job's pods stay until it has counted them."""
    dying = pod.dying_at or obj["metadata"].get("deletionTimestamp")
    return explain_end({**obj, "status": {}}, pod.events, gone=True) if dying and found.kind == "crash" else found


def has_failed(outcome: Outcome) -> bool:
    """Did it, or one of its items, end badly?"""
    return outcome.error is not None or any(item.status == "failed" for item in outcome.items)


def find_workers(spec: AttemptSpec, met: Met) -> set[int]:
    """The replicas that have something to do; the others are there for them, as parameter servers are, and end when these have. The table
    of frameworks is above this room: it is found as a plugin is."""
    gang = spec.step.gang
    try:
        row = import_module("fairway.train.frameworks").get_framework(gang.framework)
    except FairwayError:
        return set(met.replicas)
    if getattr(row, "style", "ranks") in ("client", "launcher"):
        return {met.replicas[0]}
    serves = getattr(row, "serves", None)
    if serves is None:
        return set(met.replicas)
    at_work = {met.replicas[place.replica] for place in places_of(gang, met.world) if not serves(place, gang)}
    return at_work or set(met.replicas)
