"""Answers that cost more than a page may take, kept for a while: a busy project has no other counts than it had a second ago."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

KEPT = 500
QUICK_S = 0.01
"""An answer that took no longer is asked for anew each time it is out of date."""


class _Answer:
    __slots__ = ("at", "cost_s", "value")

    def __init__(self, value: Any, at: float, cost_s: float) -> None:
        self.value, self.at, self.cost_s = value, at, cost_s


class Remembered:
    """Answers by key. To be used from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._asking: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[Any]], valid_s: float) -> Any:
        """The answer, at most `valid_s` old."""
        known = self._kept.get(key)
        if known is not None and self._clock() - known.at < valid_s:
            return known.value
        return await asyncio.shield(self._ask(key, ask))

    async def get_soon(self, key: Hashable, ask: Callable[[], Awaitable[Any]], valid_s: float, wait_s: float) -> tuple[Any, bool]:
        """(the answer as far as it is known after `wait_s`, is it at most `valid_s` old?); (None, False) before there is any. An answer
        that is slow to get is not waited for longer: it will be there for the next who asks."""
        known = self._kept.get(key)
        if known is not None and self._clock() - known.at < valid_s:
            return known.value, True
        task = self._ask(key, ask)
        if known is None or known.cost_s <= QUICK_S:
            await asyncio.wait([task], timeout=wait_s)
        if task.done():
            return task.result(), True
        return (known.value if known is not None else None), False

    def _ask(self, key: Hashable, ask: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(self._note(key, ask))
            task.add_done_callback(lambda done: self._done(key, done))
        return task

    async def _note(self, key: Hashable, ask: Callable[[], Awaitable[Any]]) -> Any:
        began = self._clock()
        value = await ask()
        self._kept[key] = _Answer(value, began, self._clock() - began)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return value

    def _done(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # who waits is told; nobody else need be
