"""Gangs in a cluster: from a Job whose pods are the replicas, through their meeting, to the outcome of the attempt.

All or none: where a queue or the scheduler itself keeps a gang's pods together, that is theirs to do. Elsewhere a gang waits here until
quotas and the nodes that can be seen hold all of it, no more than one gang at a time has pods without a place, and what did not come
together in time is removed as a whole and tried again later. Nothing here has to survive: who has met is kept beside the outcome's place,
pods are told of by the executor's watch, and their agents report again to a server that was started anew.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError
from fairway.executors import programs
from fairway.executors.fair import Ask
from fairway.executors.gangprograms import GangPrograms
from fairway.executors.gathered import Gathered, Replica, forget, keep_end, keep_met, recall
from fairway.executors.meeting import Coming
from fairway.executors.pods import Tracked, ask_of_pod, cancelled, is_unheard
from fairway.kube.diagnose import Diagnosis, explain_end, explain_gang, explain_refusal, explain_wait
from fairway.kube.fitting import find_fit
from fairway.kube.gangs import GANG, GANG_CONTAINER, has_place, index_of, job_uid_of
from fairway.kube.manifests import ATTEMPT, ROLE, RUN
from fairway.kube.rights import Right
from fairway.kube.survey import survey_cluster
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo, Outcome
from fairway.spec.ports import Observation
from fairway.spec.record import to_plain

if TYPE_CHECKING:
    from fairway.executors.kubernetes import KubernetesExecutor

Object = dict[str, Any]
ROLES = (GANG, GANG_CONTAINER)
_LOOK_EVERY_S = 5.0  # at the nodes, while a gang waits for them; at the Job of one whose pods do not come
_AGAIN_FIRST_S, _AGAIN_MOST_S = 5.0, 120.0  # how long one that did not come together waits before it is tried again
_GIVES_WAY_S = 3.0  # how long a gang may hold room that an older one may need
_UNHEARD_S = 5.0
_UNCLAIMED_S = 600.0
GONE_S = 60.0  # how long after its grace a pod that is being deleted may take to be gone
_SCHEDULING = "scheduling.k8s.io"
_ENDED = ("Succeeded", "Failed")


class Gangs:
    """The part of the executor `whole` that concerns gangs."""

    def __init__(self, whole: KubernetesExecutor) -> None:
        self._whole = whole
        self._gangs: dict[str, Gathered] = {}
        self.scheduler = ""
        self._turns = asyncio.Lock()
        self._programs = GangPrograms(whole, self)

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
        gang = self._gangs.setdefault(spec.id, Gathered(spec.id, spec.run))
        gang.claim(tracked, self._whole.settings.target.grace_s, self._whole.clock())
        gang.together = bool(self.scheduler) or self._is_queued(spec)
        recall(gang, self._whole.artifacts)
        if gang.job:
            self._whole.queue.give_back(spec.id)  # until now it was held by what one of its pods takes
            self._whole.queue.hold(spec.id, spec.run, self._whole.ask(spec))
            gang.phase = "running" if gang.meeting.met else "gathering"
            tracked.state = "placed"
            self._judge(gang)
        else:
            self._whole.queue.add(spec.id, spec.run, self._whole.ask(spec))

    async def start(self, id: str) -> None:
        """It may have pods as far as the target's limits go."""
        gang = self._gangs.get(id)
        if gang is None or gang.tracked is None:
            self._whole.queue.give_back(id)
            return
        gang.phase, gang.since = "line", self._whole.clock()
        await self._try(gang)

    def find_pod(self, name: str) -> Replica | None:
        """The replica with that pod."""
        return next((gang.pods[name] for gang in self._gangs.values() if name in gang.pods), None)

    def runs(self) -> set[str]:
        """Runs that have pods here."""
        return {gang.run for gang in self._gangs.values()}

    def pods(self) -> list[Replica]:
        """All that there are."""
        return [pod for gang in self._gangs.values() for pod in gang.pods.values()]

    def see(self, obj: Object) -> None:
        """A pod of a gang has changed."""
        meta = obj["metadata"]
        id, job = meta["labels"][ATTEMPT], job_uid_of(obj)
        gang = self._gangs.get(id)
        if gang is None:
            gang = self._gangs[id] = Gathered(id, meta["labels"].get(RUN, ""))
        if job in gang.removed_jobs:
            return
        if not gang.job:
            gang.job = job
            self._whole.queue.hold(id, gang.run, ask_of_pod(obj))
        pod = gang.pods.get(meta["name"])
        if pod is None:
            pod = gang.pods[meta["name"]] = Replica(meta["name"], gang.run, meta["labels"][ROLE], index_of(obj))
            gang.tell()
        pod.uid, pod.phase, pod.obj, pod.placed = meta["uid"], obj.get("status", {}).get("phase", "Pending"), obj, has_place(obj)
        pod.unheard = is_unheard(obj)
        pod.dying_at = pod.dying_at or (self._whole.clock() if meta.get("deletionTimestamp") else 0.0)
        if pod.placed and gang.meeting is not None:
            gang.meeting.begin(self._whole.clock())
        if pod.unheard and not pod.noted:  # the cluster has given its node up: the others need not wait until that confirms it
            pod.noted = True
            self.fail(gang, pod, explain_end(obj, pod.events).as_error())
        elif pod.role == GANG_CONTAINER and pod.phase != "Pending":
            self._programs.see(gang, pod, obj)
            self._judge(gang)
        elif pod.phase in _ENDED:
            self._whole.begin(self._note_end(gang, pod, obj))
        else:
            self.explain(pod)
            self._judge(gang)

    def lose(self, obj: Object) -> None:
        """A pod of a gang is gone."""
        meta = obj["metadata"]
        gang = self._gangs.get(meta["labels"].get(ATTEMPT, ""))
        pod = gang.pods.pop(meta["name"], None) if gang is not None else None
        if gang is None or pod is None:
            return
        self._whole.programs.forget(pod.name)
        if not pod.noted:  # else what it ended of is being found out
            self.fail(gang, pod, _explain_gone(pod, obj, explain_end(obj, pod.events, gone=True)).as_error())
        self._clear(gang)

    def explain(self, pod: Replica) -> None:
        """Tell the driver why its gang does not begin."""
        gang = next((one for one in self._gangs.values() if one.pods.get(pod.name) is pod), None)
        if gang is None or gang.phase != "gathering" or pod.obj is None:
            return
        found = explain_wait(pod.obj, pod.events, self._whole.nodes.known) if pod.phase == "Pending" else None
        pod.note(found, self._whole.clock())
        if found is not None and found.hopeless:
            self._refuse(gang, found)
        elif gang.tracked is not None:
            told = explain_gang(gang.expected, [(one.index, one.placed, one.found) for one in gang.pods.values()])
            self._whole.tell(gang.tracked, Observation("starting", told))

    def note_outputs(self, id: str) -> None:
        """What a program of it has written is known."""
        if id in self._gangs:
            self._programs.settle(self._gangs[id])

    def cancel(self, id: str) -> bool:
        """Its ranks get SIGTERM, then SIGKILL; one that has not begun is removed. False if it is no gang's."""
        gang = self._gangs.get(id)
        if gang is None or gang.tracked is None:
            return False
        if gang.phase == "running":
            gang.meeting.give_up(cancelled("cancelled"), self._whole.clock())
            gang.tell()
            self._judge(gang)
        else:
            self._conclude(gang, Outcome(id, "failed", error=cancelled("cancelled before it started")))
        return True

    def note_checkpoint(self, id: str) -> None:
        """A checkpoint of it is complete: the moment at which a gang that became smaller grows again, if there is room for more of it."""
        gang = self._gangs.get(id)
        if gang is not None and gang.phase == "running" and gang.meeting.late and not gang.meeting.stop:
            count = len(gang.meeting.met.replicas if gang.meeting.met else ()) + len(gang.meeting.late)
            error = ErrorInfo("lost", "FW-RESIZED", f"there is room again: it goes on with {count} replicas from its newest checkpoint")
            gang.meeting.give_up(error, self._whole.clock())
            gang.tell()

    def tend(self) -> None:
        """What only time tells."""
        now = self._whole.clock()
        for gang in sorted(self._gangs.values(), key=lambda one: (one.since, one.id)):
            if gang.tracked is None:
                if gang.phase != "leaving" and now - self._whole.started_at > _UNCLAIMED_S:
                    self._remove_soon(gang)
                continue
            if gang.phase == "line" and now >= gang.not_before:
                self._whole.begin(self._try(gang))
            elif gang.phase == "gathering":
                self._tend_gathering(gang, now)
            elif gang.phase == "running":
                late = next(filter(None, (programs.find_overtime(gang.spec, pod.obj, now) for pod in gang.pods.values())), None)
                if late is not None and gang.spec.step.kind == "container":
                    gang.meeting.give_up(late, now)
                self._judge(gang)
        for gang in list(self._gangs.values()):
            self._bury(gang, now)
            if gang.phase == "leaving" and not gang.removing and not gang.gone:
                self._remove_soon(gang)
            self._clear(gang)

    # What pods say

    async def meet(self, id: str, coming: Coming, met: bool, wait_s: float) -> Mapping[str, Any]:
        """A replica is there, and asks for the world (`met`: it has it) or whether it has to stop; waits for news."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_s
        while True:
            gang = self._gangs.get(id)
            if gang is None or gang.tracked is None or gang.phase == "leaving":
                return {"stop": "over", "grace_s": self._whole.settings.target.grace_s}
            meeting, news = gang.meeting, gang.news
            stop = meeting.stop
            if coming.pod in gang.pods and not stop:  # else its Job is another, or the watch has not told of it yet
                stop = meeting.come(coming, self._whole.clock())
                self._judge(gang)
            if stop and stop != "late":
                return {"stop": stop, "grace_s": meeting.grace_s}
            world = meeting.world_of(coming.pod)
            if world is not None and not met:
                return {"world": to_plain(world)}
            left = until - loop.time()
            if left <= 0:
                return {}
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)

    def end(self, id: str, replica: int, pod: str, outcome: Outcome, stopped: bool) -> None:
        """A replica says how it has ended."""
        gang = self._gangs.get(id)
        if gang is None or gang.tracked is None or gang.phase == "leaving":
            return
        meeting = gang.meeting
        if meeting.met is not None and pod not in meeting.met.pods:
            return
        keep_end(gang, replica, outcome, stopped, self._whole.artifacts)
        meeting.end(replica, outcome, self._whole.clock(), stopped=stopped)
        first = meeting.met is not None and replica == meeting.met.replicas[0]
        if first and not meeting.failed_at and _is_led(gang.tracked.spec):
            meeting.release()
        gang.tell()
        self._judge(gang)

    # Coming together

    def _is_queued(self, spec: AttemptSpec) -> bool:
        settings = self._whole.settings
        return settings.kueue and bool(spec.step.placement.queue or settings.target.queue)

    async def _try(self, gang: Gathered) -> None:
        """Make its Job, if it is its turn and there is room."""
        if gang.busy or gang.phase != "line" or gang.tracked is None:
            return
        gang.busy = True
        try:
            if gang.together:
                await self._create(gang)
                return
            async with self._turns:  # two that find the same room free must not both take it
                held = self._turn(gang) or await self._find_lack(gang)
                if held:
                    self._hold(gang, held)
                else:
                    await self._create(gang)
        finally:
            gang.busy = False

    def _turn(self, gang: Gathered) -> str:
        """Which gang has to come together first; "" if none."""
        other = next((one for one in self._gangs.values() if one is not gang and one.tracked is not None and one.is_unplaced), None)
        return "" if other is None or other.tracked is None else f"waits until another gang has come together ({other.tracked.spec.node})"

    async def _find_lack(self, gang: Gathered) -> str:
        """What room there is, where that is less than it needs; not for longer than its patience: a cluster may grow when asked to."""
        now = self._whole.clock()
        if now >= gang.looked_at + _LOOK_EVERY_S:
            gang.looked_at = now
            gang.lack = await self._survey(gang.spec, now - gang.since)
        return gang.lack

    async def _survey(self, spec: AttemptSpec, waited_s: float) -> str:
        target, needs = self._whole.settings.target, spec.step.gang.fewest
        inventory = (await survey_cluster(self._whole.client, who="The server")).inventory
        if not inventory.nodes and not inventory.quotas:
            return ""
        fit = find_fit(inventory, spec.resources, spec.step.placement, nodes=target.nodes, tolerations=target.tolerations)
        if fit.free >= needs or (not inventory.nodes and fit.quota < 0):
            return ""
        by_quota = 0 <= fit.quota < needs
        if not by_quota and (fit.empty < needs or waited_s > spec.step.gang.start_timeout_s):
            return ""  # the nodes that are there will not do: whether others come shows when it is tried
        bound = f" (quota {fit.bound})" if by_quota else ""
        return f"waits for room for all {needs} replicas: {fit.free} would have a place now{bound}"

    def _hold(self, gang: Gathered, why: str) -> None:
        if gang.why != why and gang.tracked is not None:
            gang.why = why
            self._whole.tell(gang.tracked, Observation("queued", why))

    async def _create(self, gang: Gathered) -> None:
        whole, spec = self._whole, gang.spec
        if gang.tracked is None or gang.phase != "line":  # it was cancelled meanwhile
            return
        try:
            owner = await whole.owners.of(spec.run, gang.tracked.view)
            for obj in whole.render_gang(spec, owner, self.scheduler):
                with suppress(ConflictError):  # from before a restart, or a lost answer
                    made = await whole.client.create(obj)
                    gang.job = made["metadata"]["uid"] if obj["kind"] == "Job" else gang.job
        except FairwayError as error:
            found = explain_refusal(error)
            if found.hopeless:
                self._refuse(gang, found)
            else:
                self._put_off(gang)
                self._hold(gang, found.line)
            return
        gang.gone = False
        if gang.phase != "line":  # it was cancelled while its Job was made
            await whole.client.delete("Job", gang.id)
            return
        gang.phase, gang.why, gang.since = "gathering", "", whole.clock()
        gang.renew(whole.settings.target.grace_s)
        gang.tracked.state = "placed"
        whole.tell(gang.tracked, Observation("starting"))

    def _tend_gathering(self, gang: Gathered, now: float) -> None:
        self._judge(gang)
        if gang.phase != "gathering":
            return
        stuck = [pod for pod in gang.pods.values() if pod.found is not None]
        given_up = next((pod for pod in stuck if pod.stuck_at and now - pod.stuck_at > self._whole.settings.patience_s), None)
        if given_up is not None and given_up.found is not None:
            self._refuse(gang, given_up.found)
        elif gang.meeting.is_overdue(now):
            self._again(gang, f"{len(gang.meeting.there)} of {gang.expected} replicas came within {gang.meeting.patience_s:g} s")
        elif stuck and now - gang.since > _GIVES_WAY_S and self._older(gang):
            self._again(gang, "gives way to a gang that has waited for longer")
        elif now >= gang.looked_at + _LOOK_EVERY_S:
            gang.looked_at = now
            self._whole.begin(self._look(gang))

    def _older(self, gang: Gathered) -> bool:
        return gang.is_unplaced and any(
            one.is_unplaced and one.tracked is not None and (one.tracked.since, one.id) < (gang.asked_at, gang.id)
            for one in self._gangs.values()
        )

    async def _look(self, gang: Gathered) -> None:
        """At the Job of a gang that has not come together: how many its queue has admitted, why pods are not made, whether it is there."""
        job = await self._whole.client.find("Job", gang.id)
        if gang.phase != "gathering" or gang.tracked is None:
            return
        failed = job is not None and any(
            one["type"] == "Failed" and one["status"] == "True" for one in job.get("status", {}).get("conditions") or ()
        )
        if job is None or failed:
            self._again(gang, "one of its pods was lost before all had come together" if failed else "its Job was deleted")
            return
        gang.meeting.expect(job["spec"].get("parallelism", gang.spec.step.gang.replicas))
        why = "waits in its queue" if job["spec"].get("suspend") else ""
        if not why and len(gang.pods) < gang.expected:
            with suppress(FairwayError):
                said = [one for one in await self._whole.client.events(gang.id, "Job") if one.get("reason") == "FailedCreate"]
                why = said[-1].get("message", "") if said else ""
        if why:
            self._whole.tell(gang.tracked, Observation("starting", why))
        self._judge(gang)

    def _again(self, gang: Gathered, why: str) -> None:
        """Remove all of it; it is tried again when its turn comes."""
        self._put_off(gang)
        gang.phase, gang.retries = "leaving", True
        if gang.tracked is not None:
            self._whole.tell(gang.tracked, Observation("queued", f"{why}; it is tried again"))
        gang.why = ""
        gang.tell()
        self._remove_soon(gang)

    def _put_off(self, gang: Gathered) -> None:
        gang.rounds += 1
        longest = min(_AGAIN_MOST_S, _AGAIN_FIRST_S * 2 ** (gang.rounds - 1))
        gang.not_before = self._whole.clock() + longest * random.uniform(0.5, 1.0)  # two that want the same room do not meet again

    # Ends

    async def _note_end(self, gang: Gathered, pod: Replica, obj: Object) -> None:
        """Its pod has ended. One that has said how needs no explanation."""
        if pod.noted or gang.phase == "leaving" or gang.tracked is None:
            return
        pod.noted = True
        if pod.index in gang.meeting.ends:
            self._judge(gang)
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
            meeting.fail(pod.index, error, at or self._whole.clock())
        gang.tell()
        self._judge(gang)

    def _judge(self, gang: Gathered) -> None:
        """What follows from what is known."""
        if gang.tracked is None or gang.phase not in ("gathering", "running"):
            return
        now, meeting = self._whole.clock(), gang.meeting
        if gang.phase == "gathering" and meeting.is_ready(now):
            meeting.open(os.urandom(16).hex())
            keep_met(gang, self._whole.artifacts)
            gang.phase = "running"
            gang.tell()
        if gang.phase == "running":
            self._whole.tell(gang.tracked, Observation("running"))
        if meeting.stop and any(pod.role == GANG_CONTAINER for pod in gang.pods.values()):
            self._programs.stop(gang)
        if meeting.is_over(now):
            self._conclude(gang, meeting.verdict(gang.id))

    def _refuse(self, gang: Gathered, found: Diagnosis) -> None:
        """It can never come together."""
        self._conclude(gang, Outcome(gang.id, "failed", error=found.as_error()))

    def _conclude(self, gang: Gathered, outcome: Outcome) -> None:
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
            self._remove_soon(gang)
        else:
            gang.gone = True
            self._clear(gang)

    def note_outcome(self, id: str) -> None:
        """Somebody else has given it an outcome (its driver gave it up)."""
        gang = self._gangs.get(id)
        if gang is not None and gang.phase != "leaving":
            gang.phase, gang.retries, gang.tracked = "leaving", False, None
            gang.tell()
            self._remove_soon(gang)

    def _remove_soon(self, gang: Gathered) -> None:
        gang.phase = "leaving"
        if not gang.removing:
            gang.removing = True
            self._whole.begin(self._remove(gang))

    async def _remove(self, gang: Gathered) -> None:
        try:
            await self._whole.client.delete("Job", gang.id)
            for kind in {"v1alpha1": ("GangWorkload",), "v1alpha2": ("PodGroup",)}.get(self.scheduler, ()):
                with suppress(FairwayError):
                    await self._whole.client.delete(kind, gang.id)
            gang.gone = True
        finally:
            gang.removing = False
        self._clear(gang)

    def _clear(self, gang: Gathered) -> None:
        """Once all its pods are gone, what it had may be had again."""
        if gang.phase != "leaving" or not gang.gone or gang.pods:
            return
        if gang.job:
            gang.removed_jobs.add(gang.job)
        gang.job = ""
        if gang.retries and gang.tracked is not None:
            gang.retries, gang.phase, gang.since, gang.looked_at = False, "line", self._whole.clock(), 0.0
            return
        self._gangs.pop(gang.id, None)
        self._whole.note_room(gang.id)

    def _bury(self, gang: Gathered, now: float) -> None:
        """A pod whose node does not say that it has ended, and never may, is lost."""
        for pod in list(gang.pods.values()):
            patience_s = self._whole.settings.target.grace_s + (_UNHEARD_S if pod.unheard else GONE_S)
            if pod.dying_at and now - pod.dying_at > patience_s and pod.obj is not None:
                self._whole.begin(self._force(pod))
                self.lose(pod.obj)

    async def _force(self, pod: Replica) -> None:
        await self._whole.client.delete("Pod", pod.name, grace_s=0, uid=pod.uid)


def _explain_gone(pod: Replica, obj: Object, found: Diagnosis) -> Diagnosis:
    """One that was killed because somebody has deleted it did not crash: a Job's pods stay until it has counted them."""
    dying = pod.dying_at or obj["metadata"].get("deletionTimestamp")
    return explain_end({**obj, "status": {}}, pod.events, gone=True) if dying and found.kind == "crash" else found


def _is_led(spec: AttemptSpec) -> bool:
    """Are the other replicas there only as long as the first one runs? The table of frameworks is above this room: it is found as a
    plugin is."""
    with suppress(FairwayError):
        row = import_module("fairway.train.frameworks").get_framework(spec.step.gang.framework)
        return getattr(row, "style", "ranks") in ("client", "launcher")
    return False
