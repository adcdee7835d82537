"""The executor of a server as the driver of one run sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from fairway.spec.attempt import AttemptSpec
from fairway.spec.ports import Inventory, Observation


class Whole(Protocol):
    """What a view needs of the executor."""

    @property
    def capabilities(self) -> frozenset[str]: ...
    async def inventory(self) -> Inventory: ...
    async def submit(self, view: RunView, attempts: Sequence[AttemptSpec]) -> None: ...
    def observe(self, ids: Collection[str]) -> Mapping[str, Observation]: ...
    async def cancel(self, id: str, grace_s: float) -> None: ...
    def release(self, run: str) -> None: ...


class RunView:
    """See `spec.ports.Executor`. Closing it leaves what runs alone: the next driver of the run takes that up."""

    name = "kubernetes"

    def __init__(self, whole: Whole, run: str, *, pipeline: str = "", user: str = "") -> None:
        self._whole = whole
        self.run, self.pipeline, self.user = run, pipeline, user
        self._changed: dict[str, None] = {}
        self._woken = False
        self._bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def capabilities(self) -> frozenset[str]:
        """The target's."""
        return self._whole.capabilities

    def tell(self, id: str) -> None:
        """An attempt of this run is not what it was."""
        self._changed[id] = None
        self._bell.set()

    async def inventory(self) -> Inventory:
        """What the target allows, whoever uses it."""
        return await self._whole.inventory()

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        """As of the port."""
        await self._whole.submit(self, attempts)

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        """As of the port."""
        return self._whole.observe(ids)

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """As of the port. Gives way to others even where there is something to tell at once."""
        if self._changed or self._woken:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._bell.wait(), timeout_s)
        self._bell.clear()
        self._woken = False
        changed, self._changed = list(self._changed), {}
        return changed

    def wake(self) -> None:
        """From whatever thread."""
        self._woken = True
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._bell.set)

    async def cancel(self, id: str, grace_s: float) -> None:
        """As of the port."""
        await self._whole.cancel(id, grace_s)

    async def close(self) -> None:
        """The driver stops."""
        self._whole.release(self.run)
