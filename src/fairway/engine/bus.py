"""Who waits for news inside one process is woken when there are any: nothing polls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

RUNS = ""
"""The topic of all runs: something about any of them has changed."""


class Bell:
    """Rings for one listener. Made by `Bus.listen`, before the listener looks, so that nothing is missed between looking and waiting."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._rung: set[str] = set()

    def ring(self, topic: str = RUNS) -> None:
        """Wake the listener, now or when it next waits."""
        self._rung.add(topic)
        self._event.set()

    def take(self) -> set[str]:
        """The topics that there was news of since this was last asked."""
        rung, self._rung = self._rung, set()
        return rung

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as there was news since the last wait, False when `timeout_s` is over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_s)
        rang = self._event.is_set()
        self._event.clear()
        return rang


class Bus:
    """Topics are run ids (events were recorded), stream names "RUN/ATTEMPT/log" (bytes were added) and `RUNS`. Of one event loop.

    `closed`: nothing more will be told; whoever listens is to stop. `on_interest` is told of a topic that has its first listener (True,
    before that one looks) or has lost its last (False): for who must find out by himself what is new.
    """

    def __init__(self) -> None:
        self.closed = False
        self.changes = 0  # how often anything about any run has changed
        self.on_interest: Callable[[str, bool], None] | None = None
        self._listeners: dict[str, set[Bell]] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """What somebody listens to now."""
        return tuple(self._listeners)

    def publish(self, topic: str) -> None:
        """Wake whoever listens to `topic`. Costs nothing where nobody does."""
        self.changes += topic == RUNS
        for bell in self._listeners.get(topic, ()):
            bell.ring(topic)

    def close(self) -> None:
        """Wake all listeners for the last time."""
        self.closed = True
        for bells in self._listeners.values():
            for bell in bells:
                bell.ring()

    @contextmanager
    def listen(self, *topics: str) -> Generator[Bell]:
        """A bell that rings for any of the topics while the block lasts."""
        bell = Bell()
        for topic in topics:
            heard = self._listeners.setdefault(topic, set())
            heard.add(bell)
            if len(heard) == 1 and self.on_interest is not None:
                self.on_interest(topic, True)
        try:
            yield bell
        finally:
            for topic in topics:
                heard = self._listeners.get(topic, set())
                heard.discard(bell)
                if not heard and self._listeners.pop(topic, None) is not None and self.on_interest is not None:
                    self.on_interest(topic, False)
