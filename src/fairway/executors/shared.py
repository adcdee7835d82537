"""One local executor for many drivers in one event loop: each has a view that tells it of its own attempts only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fairway.envs.resolve import keep_lock_text
from fairway.errors import NotFoundError
from fairway.executors.local import LocalExecutor
from fairway.spec.artifact import blob_key
from fairway.spec.attempt import AttemptSpec
from fairway.spec.layout import BUNDLES
from fairway.spec.ports import ArtifactStore, Inventory, Observation, run_now
from fairway.step.bundles import bundle_key, unpack_bundle


class SharedLocalExecutor:
    """Gives out views of one LocalExecutor and listens to its worker in the running event loop. `start` first, `close` last.

    Code and locks of runs that were begun elsewhere are taken out of `artifacts` into the executor's home.
    """

    def __init__(self, executor: LocalExecutor, artifacts: ArtifactStore) -> None:
        self.executor = executor
        self._artifacts = artifacts
        self._views: dict[str, LocalView] = {}
        self._attempts: dict[str, AttemptSpec] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watched: dict[int, bool] = {}  # file descriptor -> do we wait until it can be written, too?

    async def start(self) -> None:
        """Boot the worker and listen to it."""
        self.executor.start()
        self._listen()

    def view(self, run: str, *, pipeline: str = "", user: str = "") -> LocalView:
        """The executor as one run's driver sees it. A run has one view at a time: the newer takes the place of the older."""
        view = self._views[run] = LocalView(self, run)
        return view

    def find_attempt(self, id: str) -> AttemptSpec | None:
        """What is waiting or running under this id."""
        return self._attempts.get(id)

    def find_queued_at(self, id: str) -> float:
        """The worker is told with the attempt."""
        return 0.0

    def note_outcome(self, run: str, id: str) -> None:
        """The worker tells by itself."""

    def note_outputs(self, id: str, outputs: Mapping[str, Any], missing: Sequence[str]) -> None:
        """Containers on this machine write their outputs themselves."""

    async def poll(self, pool: str, worker: str, running: Sequence[str], free: int, wait_s: float) -> Mapping[str, Any]:
        """There are no pools here: whoever asks may go."""
        return {"leave": True}

    async def close(self) -> None:
        """Kill what runs and wait until the worker is gone."""
        self._forget_descriptors()
        if self._timer is not None:
            self._timer.cancel()
        await self.executor.close()

    def drop(self, view: LocalView) -> None:
        """The view's driver has gone."""
        if self._views.get(view.run) is view:
            del self._views[view.run]

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        """As of the port."""
        for attempt in attempts:
            self._attempts[attempt.id] = attempt
            self._bring(attempt)
        await self.executor.submit(attempts)
        self._deliver()

    async def cancel(self, id: str, grace_s: float) -> None:
        """As of the port."""
        await self.executor.cancel(id, grace_s)
        self._deliver()

    def _bring(self, attempt: AttemptSpec) -> None:
        """Have the attempt's code and lock in the home. What is not in the store either fails the attempt, not the run's driver."""
        home, lock = self.executor.home, attempt.environment.lock
        with suppress(NotFoundError):
            if attempt.bundle and not os.path.isdir(f"{home}/{BUNDLES}/{attempt.bundle}"):
                unpack_bundle(self._artifacts.get(bundle_key(attempt.bundle)), attempt.bundle, home)
            if lock:
                keep_lock_text(lock, self._artifacts.get(blob_key(lock)).decode(), home)

    def _deliver(self) -> None:
        """Tell the views what has changed, and listen to whatever the executor listens to now."""
        for id in run_now(self.executor.wait(0)):
            attempt = self._attempts.get(id)
            if attempt is None:
                continue
            if id not in run_now(self.executor.observe([id])):
                del self._attempts[id]
            view = self._views.get(attempt.run)
            if view is not None:
                view.tell(id)
        self._listen()

    def _listen(self) -> None:
        """A worker that has died is replaced by one with another socket."""
        loop = asyncio.get_running_loop()
        due_in_s = self.executor.due_in()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(due_in_s, self._deliver) if due_in_s is not None else None
        wanted = self.executor.descriptors()
        if wanted == self._watched:
            return
        self._forget_descriptors()
        for fd, writes in wanted.items():
            loop.add_reader(fd, self._deliver)
            if writes:
                loop.add_writer(fd, self._deliver)
        self._watched = wanted

    def _forget_descriptors(self) -> None:
        loop = asyncio.get_running_loop()
        for fd in self._watched:
            loop.remove_reader(fd)
            loop.remove_writer(fd)
        self._watched = {}


class LocalView:
    """See `spec.ports.Executor`. Closing it leaves what runs alone: that is its server's business."""

    name = "local"

    def __init__(self, shared: SharedLocalExecutor, run: str) -> None:
        self.run = run
        self._shared = shared
        self._changed: dict[str, None] = {}
        self._bell = asyncio.Event()

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of the machine."""
        return self._shared.executor.capabilities

    def tell(self, id: str) -> None:
        """Note that an attempt of this run has changed."""
        self._changed[id] = None
        self._bell.set()

    async def inventory(self) -> Inventory:
        """That of the machine, whoever uses it."""
        return await self._shared.executor.inventory()

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        """As of the port; other runs' attempts wait in the same queue."""
        await self._shared.submit(attempts)

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        """As of the port."""
        return await self._shared.executor.observe(ids)

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """As of the port. Gives way to others even where there is something to tell at once."""
        if self._changed:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), timeout_s)
        self._bell.clear()
        changed, self._changed = list(self._changed), {}
        return changed

    def wake(self) -> None:
        """Of this run's driver only."""
        self._bell.set()

    async def cancel(self, id: str, grace_s: float) -> None:
        """As of the port."""
        await self._shared.cancel(id, grace_s)

    async def close(self) -> None:
        """Nothing more is told."""
        self._shared.drop(self)
