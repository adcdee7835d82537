"""Alarms to targets: each target has a queue and a thread of its own, so that nothing that raises alarms ever waits for one."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fairway.data.notify.journal import NotificationJournal, key_digest
from fairway.data.notify.messages import AlarmRecord, Message
from fairway.data.notify.targets import DeliveryError, Target

_MOST_AT_ONCE = 1_000


class AlarmLike(Protocol):
    """Anything that is an alarm: `fairway.data.drift.Alarm`, or what the serving keeper raises."""

    def to_json(self) -> AlarmRecord: ...


@dataclass(frozen=True)
class Pace:
    """`apart_s` between two messages to one target: what is raised meanwhile goes together in the next. After a failure, it is tried again
    after `first_retry_s`, then twice as long each time, up to `last_retry_s`; for ever."""

    apart_s: float = 6.0
    first_retry_s: float = 1.0
    last_retry_s: float = 300.0


class Notifier:
    """Sends alarms. `journal` None: what was not sent when the process ends is lost; else the next one with the same journal sends it.
    `source` says in each message what the alarms are about. `told` hears, from a thread, when a target fails and when it works again."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        source: str,
        journal: Path | None = None,
        pace: Pace | None = None,
        told: Callable[[str], None] | None = None,
    ) -> None:
        self.source = source
        self._journal = NotificationJournal(journal) if journal is not None else None
        self.told = told or (lambda _: None)
        made = [_Lane(one, source, pace or Pace(), self._delivered, self._hear) for one in targets]
        self._lanes = {key_digest(one.target.key): one for one in made}
        self._numbers = 0

    def open(self) -> Notifier:
        """Start the threads; what an earlier process left is sent first. Raises ConflictError if another process has the journal."""
        if self._journal is not None:
            for number, alarm, to in self._journal.open():
                for key in to:
                    if key in self._lanes:
                        self._lanes[key].put(number, alarm)
        for lane in self._lanes.values():
            lane.start()
        return self

    def send(self, alarms: Iterable[AlarmLike]) -> None:
        """Never blocks on a target. With a journal, they are in it when this returns."""
        for one in alarms:
            alarm = one.to_json()
            if self._journal is not None:
                number = self._journal.add(alarm, list(self._lanes))
            else:
                number, self._numbers = self._numbers, self._numbers + 1
            for lane in self._lanes.values():
                lane.put(number, alarm)

    def close(self, wait_s: float = 10.0) -> int:
        """Send what waits, for at most `wait_s`, and end; how many messages' worth of alarms are left (the journal keeps them)."""
        until = time.monotonic() + wait_s
        for lane in self._lanes.values():
            lane.end()
        for lane in self._lanes.values():
            lane.join(until - time.monotonic())
        left = sum(lane.waiting for lane in self._lanes.values())
        if self._journal is not None:
            self._journal.close()
        return left

    def status(self) -> list[dict[str, Any]]:
        """For each target: its name, what was sent, what waits, and why if it does not work now."""
        return [
            {"target": lane.target.shown, "sent": lane.sent, "waiting": lane.waiting, "problem": lane.problem}
            for lane in self._lanes.values()
        ]

    def __enter__(self) -> Notifier:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _hear(self, text: str) -> None:
        self.told(text)

    def _delivered(self, numbers: list[int], target: Target) -> None:
        if self._journal is not None:
            self._journal.done(numbers, key_digest(target.key))


class _Lane:
    """One target's queue and thread."""

    def __init__(
        self,
        target: Target,
        source: str,
        pace: Pace,
        delivered: Callable[[list[int], Target], None],
        told: Callable[[str], None],
    ) -> None:
        self.target, self.source, self.pace = target, source, pace
        self.sent = 0
        self.problem = ""
        self._delivered, self._told = delivered, told
        self._queue: deque[tuple[int, AlarmRecord]] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=f"fairway-notify-{target.shown}", daemon=True)

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def start(self) -> None:
        self._thread.start()

    def put(self, number: int, alarm: AlarmRecord) -> None:
        with self._changed:
            self._queue.append((number, alarm))
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> None:
        self._thread.join(max(0.0, timeout_s))

    def _run(self) -> None:
        wait_s, retry_s = 0.0, self.pace.first_retry_s
        taken: list[tuple[int, AlarmRecord]] = []
        while self._sleep(wait_s):
            with self._changed:
                # what failed is tried again as it was: who got it and could not say so sees the same id
                taken = taken or [self._queue[place] for place in range(min(len(self._queue), _MOST_AT_ONCE))]
            numbers = [number for number, _ in taken]
            try:
                self.target.deliver(Message(self.source, tuple(alarm for _, alarm in taken)))
            except DeliveryError as error:
                self._failed(str(error))
                wait_s = retry_s * random.uniform(0.8, 1.2)
                retry_s = min(retry_s * 2, self.pace.last_retry_s)
                if self._ending:
                    return
                continue
            if self.problem:
                self.problem = ""
                self._told(f"alarms reach {self.target.shown} again")
            self.sent += len(taken)
            # the journal is told before the queue: a kill between the two sends them twice, never not at all
            self._delivered(numbers, self.target)
            with self._changed:
                for _ in taken:
                    self._queue.popleft()
            taken = []
            wait_s, retry_s = self.pace.apart_s, self.pace.first_retry_s

    def _sleep(self, wait_s: float) -> bool:
        """Until there is something to send, and not before `wait_s` (which an end cuts short). False: there is nothing, and it ends."""
        until = time.monotonic() + wait_s
        with self._changed:
            while not self._ending and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            while not self._queue and not self._ending:
                self._changed.wait()
            return bool(self._queue)

    def _failed(self, problem: str) -> None:
        if not self.problem:
            self._told(f"{self.target.shown} does not take alarms: {problem}. They wait, and are tried again")
        self.problem = problem
