"""What may start now: as much as the target's limits allow, and nothing while the API server refuses for a reason that passes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fairway.executors.fair import FairQueue
from fairway.spec.target import Limits

_FIRST_S, _MOST_S = 0.25, 30.0


class Gate:
    """A FairQueue that can be shut. What was refused to one (a quota is used up, the server does not answer) would be refused to all: they
    wait together, and one asks again later; `on_open` says that it is time."""

    def __init__(self, limits: Limits, per_run: Limits, on_open: Callable[[], None]) -> None:
        self.queue = FairQueue(limits, per_run)
        self.wait_s = 0.0
        self.shut_for = ""
        self._on_open = on_open
        self._timer: asyncio.TimerHandle | None = None

    def take(self) -> list[str]:
        """Those that may have a pod now."""
        return [] if self.shut_for else self.queue.take()

    def reason(self, id: str) -> str:
        """Why it waits; "" if it does not."""
        held = self.queue.reason(id)
        return self.shut_for if held and self.shut_for else held

    def shut(self, why: str) -> None:
        """Let nobody through for a while, each time longer."""
        if not self.shut_for:
            self.shut_for = why
            self.wait_s = min(max(_FIRST_S, 2 * self.wait_s), _MOST_S)
            self._timer = asyncio.get_running_loop().call_later(self.wait_s, self._open)

    def note_success(self) -> None:
        """The API server takes pods."""
        self.wait_s = 0.0

    def note_room(self) -> None:
        """A pod has gone: what it had may be had again."""
        self.wait_s = 0.0
        self._end()

    def close(self) -> None:
        """Nobody is told any more."""
        self._end()

    def _open(self) -> None:
        self._end()
        self._on_open()

    def _end(self) -> None:
        self.shut_for = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
