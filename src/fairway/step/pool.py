"""A warm worker of a pool: `python -m fairway.step pool`. It asks the server for work and runs attempt after attempt.

Its interpreter has started, its packages are installed and the users' modules imported when the next attempt comes: what is left is a fork.
A server that is away is asked again until it is back; what runs goes on meanwhile, and is named in every question.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from fairway.errors import InfraError
from fairway.step.agent import Agent, Settings, guarded, say
from fairway.step.control import Poll
from fairway.step.link import TRANSIENT, Patience, Refused
from fairway.step.pod import TERMINATED
from fairway.step.tending import Tended

_WAIT_S = 25.0
LONGEST_WAIT_S = 1.0  # a server that was started anew soon wants to know what runs


def main() -> int:
    """Work until the server says to leave, or SIGTERM comes."""
    return guarded(lambda: work(Settings(os.environ)))


def work(settings: Settings) -> int:
    """See `main`."""
    agent = Agent(settings)
    agent.start()
    asking, disk = Asking(agent), Disk(agent, settings.cache_bytes)
    try:
        asking.ask()
        while True:
            ended = agent.run(None)
            disk.tidy(ended)
            if agent.lost_worker and not agent.running:
                say("fairway: the worker died; another pod takes its place")
                return 1
            for answer in asking.take_answers():
                for start in answer.get("start", ()):
                    agent.take(start, agent.control.scoped(start["token"]))
                for id, grace_s in answer.get("cancel", ()):
                    if id in agent.running:
                        agent.running[id].stop("cancelled", grace_s)
                asking.leave = asking.leave or bool(answer.get("leave"))
            if asking.failed is not None and not agent.running:  # what runs ends first
                raise asking.failed
            if (asking.leave or agent.terminated) and not agent.running:
                return TERMINATED if agent.terminated else 0
            asking.ask(anew=bool(ended) and asking.failed is None)
    finally:
        asking.close()
        agent.close()


class Disk:
    """Keeps a worker's disk from growing with the attempts that it has run."""

    def __init__(self, agent: Agent, keep_bytes: int) -> None:
        self._agent, self._keep_bytes = agent, keep_bytes
        self._new_bytes = 0

    def tidy(self, ended: Sequence[Tended]) -> None:
        """What is with the server goes; of the blobs, what was not used for the longest time, once there may be too many."""
        for tended in ended:
            self._new_bytes += tended.size_bytes
            if tended.outcome_stands:
                tended.forget()
        if self._new_bytes > self._keep_bytes // 8 and not self._agent.running:
            self._agent.store.trim(self._keep_bytes)
            self._new_bytes = 0


class Asking:
    """The question that is always with the server: what is there to do? A new one is asked when what runs here has changed."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._poll: Poll | None = None
        self._answers: list[dict[str, Any]] = []
        self.leave = False
        self.failed: InfraError | None = None

    def ask(self, *, anew: bool = False) -> None:
        """See that a question is with the server; `anew`: one that says what runs now."""
        if self._poll is not None and not anew:
            return
        if self._poll is not None:
            self._poll.drop()
        agent = self._agent
        running = sorted(agent.running)
        free = 0 if self.leave or agent.terminated or agent.lost_worker else max(0, agent.settings.slots - len(running))
        asked = {"worker": agent.settings.pod, "running": running, "free": free, "wait_s": _WAIT_S}
        poll = self._poll = Poll(agent.control, f"pools/{agent.settings.pool}/poll", asked)
        threading.Thread(target=self._wait, args=(poll,), daemon=True).start()

    def take_answers(self) -> list[dict[str, Any]]:
        """What the server has said since."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Ask no more."""
        if self._poll is not None:
            self._poll.drop()

    def _wait(self, poll: Poll) -> None:
        patience = Patience(self._agent.link, LONGEST_WAIT_S)
        while not poll.dropped:
            try:
                answer = poll.ask()
            except TRANSIENT as error:
                if poll.dropped:
                    return
                try:
                    patience.wait("asking for work", error)
                except InfraError as given_up:
                    self._fail(poll, given_up)
                    return
            except InfraError as error:  # no: the pool is gone, or its token is not valid any more
                self._fail(poll, error)
                return
            else:
                self._answers.append(answer)
                if self._poll is poll:
                    self._poll = None
                break
        self._agent.wake()

    def _fail(self, poll: Poll, error: InfraError) -> None:
        if poll.dropped:
            return
        if self._agent.running and not isinstance(error, Refused):
            self._poll = None  # what runs may take longer than our patience: ask on
        else:
            self.failed = error
        self._agent.wake()
