"""A pod that runs one attempt: `python -m fairway.step pod`.

Exit code 0 says that an outcome of the attempt is with the server, whatever it says; 143 that the pod was ended before there was one.
"""

from __future__ import annotations

import os

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
        answer = agent.control.find_attempt(settings.attempt)
        if answer is None:
            say(f"fairway: {settings.attempt} has an outcome already, or was given up")
            return 0
        agent.take(answer, agent.control)
        ended: list[bool] = []
        while not ended:
            ended = [tended.outcome_stands for tended in agent.run(None)]
        if ended[0]:
            return 0
        return TERMINATED if agent.terminated else 1
    finally:
        agent.close()
