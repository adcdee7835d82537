"""Pools of warm workers: who gets which attempt, how many workers there should be, and what became of them. No I/O: the executor makes
and ends pods, and tells of them.

A worker asks for work (`poll`) and names what it runs. So after a restart of the server nothing has to be remembered: workers that are
known are given a moment to report before their pool's attempts are given out, and an attempt that is asked for and runs already is that
one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from fairway.spec.attempt import AttemptSpec

RECOVER_S = 5.0
SILENT_S = 120.0
_UNHEARD_S = 1.0
_PAUSE_S, _PAUSE_MOST_S = 3.0, 60.0


class Worker:
    """One pod of a pool. `held` are the attempts that were given to it, `running` those it says it runs."""

    __slots__ = (
        "bell",
        "cancelled",
        "cancels",
        "held",
        "idle_since",
        "leaving",
        "name",
        "pool",
        "question",
        "reported",
        "running",
        "seen_at",
    )

    def __init__(self, name: str, pool: str, now: float) -> None:
        self.name, self.pool = name, pool
        self.held: dict[str, None] = {}
        self.running: set[str] = set()
        self.cancels: dict[str, float] = {}
        self.cancelled: dict[str, tuple[float, float]] = {}  # id -> grace, and when the worker was told
        self.seen_at = self.idle_since = now
        self.reported = self.leaving = False
        self.question = 0
        self.bell = asyncio.Event()


class Pool:
    """`pattern`: an attempt like those that it runs. `requested`: workers that are asked for and have no pod yet."""

    __slots__ = ("failures", "idle_s", "key", "pattern", "paused_until", "requested", "size", "trouble", "waiting", "workers")

    def __init__(self, key: str, pattern: AttemptSpec) -> None:
        self.key, self.pattern = key, pattern
        self.size, self.idle_s, self.paused_until = 0, 0.0, 0.0
        self.trouble = ""  # why its workers do not come, in a line
        self.failures = 0  # workers in a row that ended before they asked for work
        self.waiting: dict[str, deque[str]] = {}  # run -> its attempts, in order
        self.workers: dict[str, Worker] = {}
        self.requested: set[str] = set()

    @property
    def backlog(self) -> int:
        """How many attempts wait for a worker."""
        return sum(map(len, self.waiting.values()))


class Pools:
    """`new_name(pool)` names a worker's pod; `pressed()`: does anything wait for the room that idle workers take?"""

    def __init__(self, clock: Callable[[], float], new_name: Callable[[str], str], pressed: Callable[[], bool]) -> None:
        self._clock, self._new_name, self._pressed = clock, new_name, pressed
        self._pools: dict[str, Pool] = {}
        self._workers: dict[str, Worker] = {}
        self._specs: dict[str, tuple[AttemptSpec, str]] = {}  # attempts that wait or run here -> spec, pool
        self._holders: dict[str, Worker] = {}
        self._recover_until = 0.0
        self._unheard: set[str] = set()  # workers from before the start that have not spoken yet
        self.on_start: Callable[[str], None] = lambda id: None
        self.on_want: Callable[[str, str, AttemptSpec], None] = lambda name, run, pattern: None
        self.on_stop: Callable[[str], None] = lambda id: None

    # Attempts

    def add(self, key: str, spec: AttemptSpec) -> None:
        """An attempt for the pool `key`. One that a worker runs already is that one."""
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(key, spec)
            for worker in self._workers.values():
                if worker.pool == key:
                    pool.workers[worker.name] = worker
        pool.size, pool.idle_s = max(pool.size, spec.step.pool.size), max(pool.idle_s, spec.step.pool.idle_s)
        self._specs[spec.id] = (spec, key)
        holder = next((worker for worker in pool.workers.values() if spec.id in worker.running), None)
        if holder is not None:
            self._give(spec.id, holder)
            return
        pool.waiting.setdefault(spec.run, deque()).append(spec.id)
        self._serve(pool)

    def __contains__(self, id: object) -> bool:
        return id in self._specs

    def holder_of(self, id: str) -> Worker | None:
        """The worker that runs the attempt."""
        return self._holders.get(id)

    def pool_of(self, name: str) -> Pool | None:
        """The pool that a worker belongs to, if anybody has asked for it since the start."""
        worker = self._workers.get(name)
        return self._pools.get(worker.pool) if worker else next((p for p in self._pools.values() if name in p.requested), None)

    def waits_in(self, id: str) -> Pool | None:
        """The pool in which the attempt waits for a worker."""
        known = self._specs.get(id)
        return None if known is None or id in self._holders else self._pools.get(known[1])

    def has_reported(self, name: str) -> bool:
        """The worker has asked for work."""
        worker = self._workers.get(name)
        return worker is not None and worker.reported

    def waiting_in(self, pool: Pool) -> list[AttemptSpec]:
        """Its attempts that no worker has."""
        return [self._specs[id][0] for ids in pool.waiting.values() for id in ids]

    def end(self, id: str) -> None:
        """The attempt has ended; unknown = fine."""
        known = self._specs.pop(id, None)
        if known is None:
            return
        pool = self._pools.get(known[1])
        worker = self._holders.pop(id, None)
        if worker is not None:
            worker.held.pop(id, None)
            worker.running.discard(id)
            if not worker.held:
                worker.idle_since = self._clock()
        elif pool is not None and (queue := pool.waiting.get(known[0].run)) is not None:
            with suppress(ValueError):
                queue.remove(id)
            if not queue:
                del pool.waiting[known[0].run]

    def cancel(self, id: str, grace_s: float) -> bool:
        """Have its worker end it; False if no worker has it. One that no driver has asked for yet is found by what workers say."""
        worker = self._holders.get(id) or next((w for w in self._workers.values() if id in w.running), None)
        if worker is None:
            return False
        worker.cancels[id] = grace_s
        worker.cancelled[id] = (grace_s, self._clock())
        worker.bell.set()
        return True

    # Workers

    def recover(self, names: Iterable[tuple[str, str]]) -> None:
        """Workers (name, pool) that were there when the server started."""
        self._recover_until = self._clock() + RECOVER_S
        for name, key in names:
            self._worker(name, key)
            self._unheard.add(name)

    def appear(self, name: str, key: str) -> None:
        """A worker's pod is there."""
        worker = self._worker(name, key)
        pool = self._pools.get(key)
        if pool is not None:
            pool.requested.discard(name)
            pool.workers[name] = worker

    def refuse(self, name: str, wait_s: float = 0.0) -> None:
        """The pod of a worker that was asked for will not be. Its pool asks for no other one for `wait_s`."""
        for pool in self._pools.values():
            if name in pool.requested:
                pool.requested.discard(name)
                pool.paused_until = max(pool.paused_until, self._clock() + wait_s)

    def vanish(self, name: str) -> list[AttemptSpec]:
        """A worker's pod is gone: what it ran, which is for the executor to end."""
        worker = self._workers.pop(name, None)
        self._unheard.discard(name)
        self.refuse(name)
        if worker is None:
            return []
        worker.leaving = True
        worker.bell.set()
        pool = self._pools.get(worker.pool)
        if pool is not None:
            pool.workers.pop(name, None)
            if not worker.reported:  # it never came to work: the next one may fare no better
                pool.failures += 1
                pool.paused_until = max(pool.paused_until, self._clock() + min(_PAUSE_S * 2 ** (pool.failures - 1), _PAUSE_MOST_S))
        return [self._specs[id][0] for id in worker.held if id in self._specs]

    def tend(self) -> list[str]:
        """To be called now and then: lets go what idles, grows what waits, and returns workers that have been silent for too long."""
        now = self._clock()
        for pool in list(self._pools.values()):
            self._serve(pool)
            if not (pool.backlog or pool.workers or pool.requested):
                del self._pools[pool.key]
        for worker in self._workers.values():
            if self._may_leave(worker, now):
                worker.bell.set()
        return [worker.name for worker in self._workers.values() if worker.reported and now - worker.seen_at > SILENT_S]

    async def poll(self, key: str, name: str, running: Sequence[str], free: int, wait_s: float) -> dict[str, Any]:
        """What the worker is to do: {"start": [AttemptSpec…], "cancel": [(id, grace_s)…], "leave": bool}, as soon as there is anything,
        all empty when `wait_s` is over or the worker asks again."""
        worker = self._worker(name, key)
        worker.question += 1
        question = worker.question
        worker.bell.set()  # whoever waits for the answer to an older question hears that nobody listens any more
        worker.bell = asyncio.Event()
        self._hear(worker, running)
        until = self._clock() + wait_s
        while True:
            now = self._clock()
            worker.seen_at = now
            if worker.question != question:
                return {"start": [], "cancel": [], "leave": False}
            starts = self._take(worker, free)
            cancels, worker.cancels = list(worker.cancels.items()), {}
            if not starts and self._may_leave(worker, now):
                worker.leaving = True
            if starts or cancels or worker.leaving or now >= until:
                return {"start": starts, "cancel": [list(one) for one in cancels], "leave": worker.leaving}
            with suppress(TimeoutError):
                await asyncio.wait_for(worker.bell.wait(), self._patience(worker, now, until))
            if worker.question == question:
                worker.bell.clear()

    # How it is done

    def _worker(self, name: str, key: str) -> Worker:
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = Worker(name, key, self._clock())
            pool = self._pools.get(key)
            if pool is not None:
                pool.workers[name] = worker
                pool.requested.discard(name)
        return worker

    def _hear(self, worker: Worker, running: Sequence[str]) -> None:
        """Believe what the worker says it runs. What was given to somebody else in the meantime it has to stop."""
        if not worker.reported:
            worker.reported, worker.idle_since = True, self._clock()
        self._unheard.discard(worker.name)
        worker.running = set(running)
        now = self._clock()
        for id, (grace_s, told_at) in list(worker.cancelled.items()):
            if id in worker.running:
                if now - told_at >= _UNHEARD_S:  # the answer may have got lost
                    worker.cancels[id] = grace_s
                    worker.cancelled[id] = (grace_s, now)
                continue
            del worker.cancelled[id]
            if id in worker.held:
                self.on_stop(id)
        for id in running:
            holder, known = self._holders.get(id), self._specs.get(id)
            if holder is None and known is not None and known[1] == worker.pool:
                with suppress(ValueError, KeyError):
                    self._pools[worker.pool].waiting[known[0].run].remove(id)
                self._give(id, worker)
            elif holder is not None and holder is not worker:
                worker.cancels[id] = 0.0
        pool = self._pools.get(worker.pool)
        if pool is not None:
            pool.failures = 0
            self._serve(pool)

    def _take(self, worker: Worker, free: int) -> list[AttemptSpec]:
        """What it is to start: what it was given and does not run (the answer got lost), and what waits."""
        starts = [self._specs[id][0] for id in worker.held if id not in worker.running and id in self._specs]
        pool = self._pools.get(worker.pool)
        while pool is not None and len(starts) < free and not worker.leaving and not self._recovering(pool):
            id = self._next(pool)
            if id is None:
                break
            self._give(id, worker)
            starts.append(self._specs[id][0])
        worker.running.update(spec.id for spec in starts)  # until it says otherwise
        return starts

    def _give(self, id: str, worker: Worker) -> None:
        worker.held[id] = None
        self._holders[id] = worker
        self.on_start(id)

    def _next(self, pool: Pool) -> str | None:
        """The first of the run that holds the fewest workers of the pool."""
        runs = [run for run, queue in pool.waiting.items() if queue]
        if not runs:
            return None
        if len(runs) > 1:
            held = [self._specs[id][0].run for worker in pool.workers.values() for id in worker.held if id in self._specs]
            run = min(runs, key=held.count)
        else:
            run = runs[0]
        queue = pool.waiting[run]
        id = queue.popleft()
        if not queue:
            del pool.waiting[run]
        else:
            pool.waiting[run] = pool.waiting.pop(run)  # of runs that hold equally many, the one that was served last comes last
        return id

    def _recovering(self, pool: Pool) -> bool:
        """Some worker of it may run what waits, and has not yet said so."""
        if self._clock() >= self._recover_until:
            return False
        return any(name in self._unheard for name in pool.workers)

    def _serve(self, pool: Pool) -> None:
        """Wake as many idle workers as there is work, and ask for more workers."""
        if self._recovering(pool):
            return
        backlog = pool.backlog
        idle = [worker for worker in pool.workers.values() if worker.reported and not worker.held and not worker.leaving]
        for worker in idle[:backlog]:
            worker.bell.set()
        coming = len(pool.requested) + sum(1 for worker in pool.workers.values() if not worker.reported)
        if self._clock() < pool.paused_until:
            return
        alive = sum(1 for worker in pool.workers.values() if not worker.leaving) + len(pool.requested)
        for run in self._wanting(pool, min(pool.size - alive, backlog - len(idle) - coming)):
            name = self._new_name(pool.key)
            pool.requested.add(name)
            self.on_want(name, run, pool.pattern)

    def _wanting(self, pool: Pool, count: int) -> list[str]:
        """For which runs workers are asked for: in turn."""
        runs = [run for run, queue in pool.waiting.items() if queue]
        return [runs[i % len(runs)] for i in range(max(0, count))] if runs else []

    def _may_leave(self, worker: Worker, now: float) -> bool:
        if worker.held or worker.running or worker.leaving or not worker.reported:
            return False
        pool = self._pools.get(worker.pool)
        if pool is None:
            return now >= self._recover_until and now - worker.idle_since >= 1.0
        if pool.backlog:
            return False
        return now - worker.idle_since >= (0.0 if self._pressed() else pool.idle_s)

    def _patience(self, worker: Worker, now: float, until: float) -> float:
        """How long its question may wait before something is due."""
        pool = self._pools.get(worker.pool)
        due = until
        if pool is not None and not worker.held:
            due = min(due, worker.idle_since + pool.idle_s)
        if now < self._recover_until:
            due = min(due, self._recover_until)
        return max(0.001, due - now)
