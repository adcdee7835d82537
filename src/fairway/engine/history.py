"""A run's journal, read and folded once for everybody who is about to go on with it."""

from __future__ import annotations

from fairway.engine.apply import Touch, replay
from fairway.engine.state import RunState
from fairway.spec.ports import Journal


class History:
    """`head`: the number of the last event, 0 for a new run; `state`: what the events fold to; `touches`: what may need a decision.

    A driver takes it over and changes it. If the journal has moved on since it was read, that driver's first record is a conflict.
    """

    __slots__ = ("head", "state", "touches")

    def __init__(self, head: int, state: RunState, touches: list[Touch]) -> None:
        self.head, self.state, self.touches = head, state, touches


async def read_history(journal: Journal, run: str) -> History:
    """What the journal says of `run` now."""
    numbered = await journal.read(run)
    state, touches = replay(event for _, event in numbered)
    return History(numbered[-1][0] if numbered else 0, state, touches)
