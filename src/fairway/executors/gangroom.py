"""Room for the gangs of a cluster: whose turn it is to have pods, the Job that makes them, and what it had once it is gone."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError
from fairway.executors.gangfence import KIND as FENCE
from fairway.executors.gangfence import Fences
from fairway.executors.gangprograms import program_of
from fairway.executors.gangqueue import GangQueue
from fairway.executors.gathered import Gathered, Replica
from fairway.executors.pods import GONE_S, UNHEARD_S
from fairway.executors.programs import argv_of
from fairway.kube.diagnose import explain_refusal
from fairway.kube.fitting import find_fit
from fairway.kube.gangs import render_gang, render_gang_of_programs
from fairway.kube.survey import survey_cluster
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import Outcome
from fairway.spec.ports import Observation

if TYPE_CHECKING:
    from fairway.executors.gangs import Gangs
    from fairway.executors.kubernetes import KubernetesExecutor

Object = dict[str, Any]
_LOOK_EVERY_S = 5.0  # at the nodes, while a gang waits for them; at the Job of one whose pods do not come
_AGAIN_FIRST_S, _AGAIN_MOST_S = 5.0, 120.0  # how long one that did not come together waits before it is tried again
_SAY_AGAIN_S = 30.0  # why a gang waits is told anew only so often: each telling is an event of the run
_GIVES_WAY_S = 3.0  # how long a gang may hold room that an older one may need


class GangRoom:
    """Makes the Jobs of the executor's `gangs`, each when there is room for all of it, and removes them."""

    def __init__(self, whole: KubernetesExecutor, gangs: Gangs) -> None:
        self._whole, self._gangs = whole, gangs
        self._turns = asyncio.Lock()
        self._fences = Fences(whole.client)
        self._queue = GangQueue(whole.client, whole.clock)

    # Coming together

    async def place(self, gang: Gathered) -> None:
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
        other = next((one for one in self._gangs.known.values() if one is not gang and one.tracked is not None and one.is_unplaced), None)
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
            for obj in self._render(spec, owner):
                if obj["kind"] == FENCE:
                    gang.fenced = True
                    gang.bare = await self._fences.put_up(obj)
                    continue
                with suppress(ConflictError):  # from before a restart, or a lost answer
                    made = await whole.client.create(obj)
                    gang.job = made["metadata"]["uid"] if obj["kind"] == "Job" else gang.job
        except FairwayError as error:
            found = explain_refusal(error)
            if gang.phase != "line":  # it was cancelled meanwhile
                await self._fences.take_down(gang.id)
            elif found.hopeless:
                self._gangs.refuse(gang, found)
            else:
                self._put_off(gang)
                self._hold(gang, found.line)
            return
        gang.gone = False
        if gang.phase != "line":  # it was cancelled while its Job was made
            await whole.client.delete("Job", gang.id)
            await self._fences.take_down(gang.id)
            return
        gang.phase, gang.why, gang.since, gang.told_at = "gathering", "", whole.clock(), 0.0
        gang.evicted, gang.made_at = None, ""
        gang.renew(whole.settings.target.grace_s)
        gang.tracked.state = "placed"
        whole.tell(gang.tracked, Observation("starting", gang.bare))

    def _render(self, spec: AttemptSpec, owner: Object) -> list[Object]:
        """Its objects, its Job the last."""
        whole = self._whole
        whole.settings.gpu_products = whole.nodes.products
        given: dict[str, Any] = {"link": whole.link, "token": whole.sign(spec.id), "owner": owner, "scheduler": self._gangs.scheduler}
        if spec.step.kind != "container":
            return render_gang(spec, whole.settings, **given)
        return render_gang_of_programs(spec, whole.settings, **given, program=program_of(spec, argv_of(spec, whole.artifacts)))

    def tend(self, gang: Gathered, now: float) -> None:
        """What only time tells of one that has a Job and has not come together."""
        self._gangs.judge(gang)
        if gang.phase != "gathering":
            return
        stuck = [pod for pod in gang.pods.values() if pod.found is not None]
        given_up = next((pod for pod in stuck if pod.stuck_at and now - pod.stuck_at > self._whole.settings.patience_s), None)
        if given_up is not None and given_up.found is not None:
            self._gangs.refuse(gang, given_up.found)
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
            for one in self._gangs.known.values()
        )

    async def _look(self, gang: Gathered) -> None:
        """At the Job of a gang that has not come together: how many its queue has admitted, why pods are not made, whether it is there."""
        job = await self._whole.client.find("Job", gang.id)
        if gang.phase != "gathering" or gang.tracked is None:
            return
        failed = job is not None and any(
            one["type"] == "Failed" and one["status"] == "True" for one in job.get("status", {}).get("conditions") or ()
        )
        suspended = job is not None and bool(job["spec"].get("suspend"))
        if job is None or failed:
            taken = gang.queued and suspended  # pods that are told to go may fail, and with them the Job
            why = "its queue took its room back" if taken else "one of its pods was lost before all had come together"
            self._again(gang, why if failed else "its Job was deleted")
            return
        if suspended and not gang.pods and gang.meeting.began_at:
            gang.renew(self._whole.settings.target.grace_s)  # its room was taken back: nobody is waited for any more
            gang.told_at = 0.0
        gang.meeting.expect(job["spec"].get("parallelism", gang.spec.step.gang.replicas))
        why = await self._queue.explain(job, gang.expected) if suspended else ""
        if not why and len(gang.pods) < gang.expected:
            with suppress(FairwayError):
                said = [one for one in await self._whole.client.events(gang.id, "Job") if one.get("reason") == "FailedCreate"]
                why = said[-1].get("message", "") if said else ""
        if gang.phase == "gathering":
            self._explain(gang, why)
        self._gangs.judge(gang)

    def _explain(self, gang: Gathered, why: str) -> None:
        """Tell why its pods do not come. A queue's words for one and the same cause change with all that runs."""
        now = self._whole.clock()
        if why and gang.tracked is not None and (not gang.tracked.observation.reason or now - gang.told_at >= _SAY_AGAIN_S):
            gang.told_at = now
            self._whole.tell(gang.tracked, Observation("starting", why))

    async def ask_queue(self, gang: Gathered) -> None:
        """Has it taken the gang's room back?"""
        gang.evicted = gang.evicted or await self._queue.find_eviction(gang.id, gang.made_at)

    async def settle(self, gang: Gathered, outcome: Outcome) -> None:
        """It has failed: of its own, or because its queue has taken its room back?"""
        try:
            await self.ask_queue(gang)
        finally:
            gang.asking = False
        if gang.tracked is None or gang.phase not in ("gathering", "running"):
            return
        if gang.meeting.is_given_up:  # it was cancelled meanwhile
            outcome = gang.meeting.verdict(gang.id)
        elif gang.evicted is not None:
            outcome = Outcome(gang.id, "failed", error=gang.evicted, usage=outcome.usage)
        self._gangs.conclude(gang, outcome)

    def _again(self, gang: Gathered, why: str) -> None:
        """Remove all of it; it is tried again when its turn comes."""
        self._put_off(gang)
        gang.phase, gang.retries = "leaving", True
        if gang.tracked is not None:
            self._whole.tell(gang.tracked, Observation("queued", f"{why}; it is tried again"))
        gang.why = ""
        gang.tell()
        self.remove_soon(gang)

    def _put_off(self, gang: Gathered) -> None:
        gang.rounds += 1
        longest = min(_AGAIN_MOST_S, _AGAIN_FIRST_S * 2 ** (gang.rounds - 1))
        gang.not_before = self._whole.clock() + longest * random.uniform(0.5, 1.0)  # two that want the same room do not meet again

    # Going

    def remove_soon(self, gang: Gathered) -> None:
        """Have its Job deleted, and with it its pods."""
        gang.phase = "leaving"
        if not gang.removing:
            gang.removing = True
            self._whole.begin(self._remove(gang))

    async def _remove(self, gang: Gathered) -> None:
        try:
            await self._whole.client.delete("Job", gang.id)
            for kind in {"v1alpha1": ("GangWorkload",), "v1alpha2": ("PodGroup",)}.get(self._gangs.scheduler, ()):
                with suppress(FairwayError):
                    await self._whole.client.delete(kind, gang.id)
            gang.gone = True
        finally:
            gang.removing = False
        self.clear(gang)

    def clear(self, gang: Gathered) -> None:
        """Once all its pods are gone, what it had may be had again."""
        if gang.phase != "leaving" or not gang.gone or gang.pods:
            return
        if gang.job:
            gang.removed_jobs.add(gang.job)
        gang.job = ""
        if gang.retries and gang.tracked is not None:
            gang.retries, gang.phase, gang.since, gang.looked_at = False, "line", self._whole.clock(), 0.0
            return
        self._gangs.known.pop(gang.id, None)
        if gang.fenced:
            self._whole.begin(self._fences.take_down(gang.id))
        self._whole.note_room(gang.id)

    def bury(self, gang: Gathered, now: float) -> None:
        """A pod whose node does not say that it has ended, and never may, is lost."""
        for pod in list(gang.pods.values()):
            patience_s = self._whole.settings.target.grace_s + (UNHEARD_S if pod.unheard else GONE_S)
            if pod.dying_at and now - pod.dying_at > patience_s and pod.obj is not None:
                self._whole.begin(self._force(pod))
                self._gangs.lose(pod.obj)

    async def _force(self, pod: Replica) -> None:
        await self._whole.client.delete("Pod", pod.name, grace_s=0, uid=pod.uid)
