"""What other processes do in the home of a server, told to its bus as soon as it is done.

Runs that commands drive are recorded in the same journal and streams. The kernel tells when those files are written to. Of a commit it
tells a little too early, for that becomes visible after the last write: so the journal is asked again until it has been quiet for a while.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fairway.engine.bus import RUNS, Bus
from fairway.engine.host import Host
from fairway.errors import FairwayError
from fairway.spec.layout import LOCKS, STREAMS
from fairway.spec.ports import Journal, run_now
from fairway.store.live import DRIVERS
from fairway.store.news import FileNews, open_news

_ASK_FIRST_S, _ASK_LAST_S = 0.001, 2.0
_LET_GO_S = 0.02
"""The kernel says that a file was closed a moment before it lets the lock go that is on it."""


class Outside:
    """Tells `bus` of what others write below `home`, once it has been started. Of the running event loop.

    Runs are told of while somebody listens to them, streams too; `host` looks into the inboxes of the runs that it drives.
    """

    def __init__(self, home: str, journal: Journal, bus: Bus, host: Host) -> None:
        self._home, self._journal, self._bus, self._host = home, journal, bus, host
        self._loop = asyncio.get_running_loop()
        self._path = str(getattr(journal, "path", ""))
        self._marks = f"{home}/{LOCKS}/{DRIVERS}/"
        self._news: FileNews | None = None
        self._told: Any = None
        self._watched: dict[str, Callable[[], None]] = {}
        self._version = -1
        self._heads: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._delay_s = 0.0

    def start(self) -> None:
        """Begin to tell. Idempotent."""
        if self._news is not None:
            return
        self._news = open_news(self._hear, self._loop)
        self._bus.on_interest = self._note_interest
        os.makedirs(self._marks, exist_ok=True)
        self._news.follow(self._marks)
        if self._path:
            self._news.follow(f"{self._path}-wal")
            self._version = run_now(self._journal.inbox_version())
        elif (listen := getattr(self._journal, "open_news", None)) is not None:
            self._told = listen(self._hear_of_run, self._loop)
        for topic in self._bus.topics:
            self._note_interest(topic, True)

    def call_at(self, path: str, action: Callable[[], None]) -> None:
        """Call `action` whenever the file at `path` has changed or gone."""
        self.start()
        assert self._news is not None
        self._watched[path] = action
        self._news.follow(path)

    def close(self) -> None:
        """Tell of nothing more."""
        self._bus.on_interest = None
        if self._timer is not None:
            self._timer.cancel()
        for news in (self._news, self._told):
            if news is not None:
                news.close()

    def _note_interest(self, topic: str, wanted: bool) -> None:
        assert self._news is not None
        if "/" in topic:
            path = f"{self._home}/{STREAMS}/{topic}"
            self._news.follow(path) if wanted else self._news.leave(path)
        elif topic != RUNS and self._path:
            if wanted:
                self._heads[topic] = run_now(self._journal.head(topic))
            else:
                self._heads.pop(topic, None)

    def _hear(self, path: str) -> None:
        if path in self._watched:
            self._watched[path]()
        elif path.startswith(self._marks):
            if path != self._marks:
                self._loop.call_later(_LET_GO_S, self._tell_of_driver, path.removeprefix(self._marks))
        elif path == f"{self._path}-wal":
            self._delay_s = 0.0
            self._ask_soon()
        else:
            self._bus.publish(path.removeprefix(f"{self._home}/{STREAMS}/"))

    def _hear_of_run(self, run: str) -> None:
        """A database tells of each commit by itself; "" stands for any that may have been."""
        for topic in (run, RUNS) if run else self._bus.topics:
            self._bus.publish(topic)
        self._host.look_again()

    def _tell_of_driver(self, run: str) -> None:
        self._bus.publish(run)
        self._bus.publish(RUNS)

    def _ask_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._delay_s, self._ask)

    def _ask(self) -> None:
        """Has anybody committed anything?"""
        self._timer = None
        if not self._bus.topics and not self._host.driven:
            return
        with suppress(FairwayError):  # it says so to whoever looks; we ask again
            version = run_now(self._journal.inbox_version())
            if version != self._version:
                self._version = version
                self._tell()
        self._delay_s = max(_ASK_FIRST_S, 2 * self._delay_s)
        if self._delay_s <= _ASK_LAST_S:
            self._ask_soon()

    def _tell(self) -> None:
        for run, before in list(self._heads.items()):
            head = run_now(self._journal.head(run))
            if head != before:
                self._heads[run] = head
                self._bus.publish(run)
        self._bus.publish(RUNS)
        self._host.look_again()
