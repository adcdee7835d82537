"""Looks at batches in a thread of its own, while the next ones are measured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from fairway.data.batch import Batch

_WAITING = 2


class Beside:
    """Calls `looks` with each batch that is added, in their order; at most two batches wait. Leaving it waits for all of them, and raises
    what one of them raised."""

    def __init__(self, looks: Sequence[Callable[[Batch], None]]) -> None:
        self._looks = looks
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="row-checks")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            while self._waiting and error is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, batch: Batch) -> None:
        """The rows that follow."""
        if len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._look, batch))

    def _look(self, batch: Batch) -> None:
        for look in self._looks:
            look(batch)
