"""A stream of results between a worker and whoever reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from fairway.serve.call import Result


class Chunks:
    """An asynchronous iterator that is filled from outside. Who stops reading says so with `aclose`."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel
        self._found: deque[Result] = deque()
        self._ended = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, result: Result) -> None:
        self._found.append(result)
        self._wake()

    def end(self) -> None:
        """There is no more."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Result:
        while not self._found:
            if self._ended:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._found.popleft()

    async def aclose(self) -> None:
        """Nobody reads on: the worker need not either."""
        if not self._ended:
            self._ended = True
            self._cancel()
