"""The pods of pools: made when `Pools` asks for a worker, and what becomes of attempts when one dies or never comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairway.errors import FairwayError
from fairway.kube.diagnose import Diagnosis, explain_refusal
from fairway.kube.manifests import render_pool_worker
from fairway.spec.attempt import AttemptSpec
from fairway.spec.outcome import ErrorInfo
from fairway.spec.ports import Observation

if TYPE_CHECKING:
    from fairway.executors.kubernetes import KubernetesExecutor
    from fairway.executors.pods import Pod

_TRIES = 3  # workers in a row that may end before they ask for work
_TOLD = 20  # of the attempts that wait in a pool, how many are told why


class PoolKeeper:
    """The part of the executor `whole` that concerns the workers of its pools. `wanted`: those that have no pod yet -> their pattern."""

    def __init__(self, whole: KubernetesExecutor) -> None:
        self._whole = whole
        self.wanted: dict[str, AttemptSpec] = {}

    def want(self, name: str, run: str, pattern: AttemptSpec) -> None:
        """A pool lacks a worker; it waits for room as attempts do, for the run whose attempt waits for it."""
        self.wanted[name] = pattern
        self._whole.queue.add(name, run, self._whole.ask(pattern))
        self._whole.dispatch()

    async def create(self, name: str) -> None:
        """The worker's pod, if still anything waits for it."""
        whole, pools = self._whole, self._whole.pools
        pool, pattern = pools.pool_of(name), self.wanted.pop(name)
        if pool is None or not pool.backlog:
            whole.queue.give_back(name)
            pools.refuse(name)
            return
        try:
            owner = await whole.owners.service()
            token = whole.sign(pool.key)
            await whole.pods.create(render_pool_worker(name, pool.key, pattern, whole.settings, link=whole.link, token=token, owner=owner))
            pools.appear(name, pool.key)
        except FairwayError as error:
            whole.queue.give_back(name)
            found = explain_refusal(error)
            if found.hopeless:
                self.fail(name, found)
            else:
                whole.gate.shut(found.line)
                self.tell(name, found.line)
            pools.refuse(name, whole.gate.wait_s)

    def note_started(self, id: str) -> None:
        """A worker has the attempt."""
        tracked = self._whole.tracked.get(id)
        if tracked is not None:
            tracked.state = "pooled"
            self._whole.tell(tracked, Observation("running"))

    def tell(self, name: str, trouble: str) -> None:
        """Why a worker does not come, for those that wait for it; "" when all is well."""
        pool = self._whole.pools.pool_of(name)
        if pool is None or pool.trouble == trouble:
            return
        pool.trouble = trouble
        for spec in self._whole.pools.waiting_in(pool)[:_TOLD]:
            self._whole.tell(self._whole.tracked[spec.id], Observation("queued", trouble))

    def fail(self, name: str, found: Diagnosis) -> None:
        """A pool whose workers can never start fails what waits for them."""
        pool = self._whole.pools.pool_of(name)
        for spec in self._whole.pools.waiting_in(pool) if pool is not None else ():
            self._whole.end(spec.id, found.as_error())

    def lose(self, pod: Pod, found: Diagnosis) -> None:
        """What a worker ran is lost with it, and tried again; unless that used more memory than there is."""
        pools = self._whole.pools
        pool = pools.pool_of(pod.name)
        if pool is not None and not pools.has_reported(pod.name) and pod.phase == "Failed":
            self.tell(pod.name, found.line)
            if found.kind != "lost" or pool.failures >= _TRIES - 1:
                self.fail(pod.name, found)
        error = ErrorInfo("lost", "FW-LOST", f"its pool's worker died: {found.message}", "it is tried again by itself")
        for spec in pools.vanish(pod.name):
            self._whole.end(spec.id, found.as_error() if found.kind == "oom" else error)
