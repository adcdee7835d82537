"""A pod that runs one attempt: `python -m fairway.step pod`.

Exit code 0 says that an outcome of the attempt is with the server, whatever it says; 143 that the pod was ended before there was one.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from fairway.errors import FairwayError
from fairway.step.agent import Agent, Settings, guarded, say

TERMINATED = 143


def main() -> int:
    """Run the attempt that the pod's variables name; leave at once if it has an outcome."""
    return guarded(lambda: run_one(Settings(os.environ)))


def run_one(settings: Settings) -> int:
    """See `main`."""
    agent = Agent(settings)
    agent.start()
    try:
        asked = _Asked(agent, settings.attempt)
        while not asked.done and not agent.terminated:
            agent.run(None)
        if not asked.done:
            return TERMINATED
        if asked.failed is not None:
            raise asked.failed
        if asked.answer is None:
            say(f"fairway: {settings.attempt} has an outcome already, or was given up")
            return 0
        agent.take(asked.answer, agent.control)
        ended: list[bool] = []
        while not ended:
            ended = [tended.outcome_stands for tended in agent.run(None)]
        if ended[0]:
            return 0
        return TERMINATED if agent.terminated else 1
    finally:
        agent.close()


class _Asked:
    """The question what is to be done, in a thread: the main one hears SIGTERM meanwhile."""

    def __init__(self, agent: Agent, id: str) -> None:
        self.done = False
        self.answer: dict[str, Any] | None = None
        self.failed: FairwayError | None = None
        self._agent, self._id = agent, id
        threading.Thread(target=self._ask, daemon=True).start()

    def _ask(self) -> None:
        try:
            self.answer = self._agent.control.find_attempt(self._id)
        except FairwayError as error:
            self.failed = error
        self.done = True
        self._agent.wake()
