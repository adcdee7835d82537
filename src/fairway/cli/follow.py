"""`fairway logs -f`: lines as they are written, of all tasks that are meant, until the run has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from fairway.engine.apply import apply, fold
from fairway.engine.ranks import LEADER, check_rank, gang_of, merge, parse_lines, stream_of, world_size
from fairway.engine.reading import LogLine
from fairway.engine.workspace import match_tasks
from fairway.errors import NotFoundError

POLL_S = 0.2
WAIT_S = 20.0

Render = Callable[[Any, bool], str]


def follow_logs(run: Any, pattern: str, render: Render, rank: int | None = None) -> None:
    """Print the lines of the attempts that there are and of those still to come; `render(line, many)` spells one. `rank`: of gangs, only
    the lines of this one.

    Of a run at a server, which tells when there is something, all streams are read in one exchange; on this machine files are looked at.
    """
    follower = _Follower(run, pattern, render, rank)
    if run.workspace.remote is not None:
        run.workspace.remote.be_patient(lambda text: print(text, file=sys.stderr))
    streams = run.workspace.streams
    read_many = getattr(streams, "read_many", None)
    while True:
        left = run.workspace.is_left(run.id)
        ended = left or follower.state.status != "running"
        follower.find_wanted(ended)
        if read_many is not None:
            follower.take(read_many(run.id, follower.offsets(), wait_s=0.0 if ended else WAIT_S))
            while ended and follower.grew:  # a long log comes in pieces
                follower.take(read_many(run.id, follower.offsets()))
        else:
            follower.take({name: streams.read(f"{run.id}/{name}", offset) for name, offset in follower.offsets().items()})
        sys.stdout.flush()
        if ended:
            follower.say_rest()
            if left:
                print(f"interrupted: the process of {run.id} is gone; go on: fairway resume {run.id}", file=sys.stderr)
            return
        if read_many is None:
            time.sleep(POLL_S)
        follower.advance()


class _Follower:
    """What has been printed of which stream. Streams of attempts that have ended and said all are not asked for again."""

    def __init__(self, run: Any, pattern: str, render: Render, rank: int | None = None) -> None:
        self._run, self._pattern, self._render, self._rank = run, pattern, render, rank
        events = run.workspace.events(run.id)
        self.state = fold(event for _, event in events)
        self._head = events[-1][0] if events else 0
        self._tasks: dict[str, str] = {}  # attempt -> its task
        self._ranks: dict[str, int] = {}  # stream "ATTEMPT/log.3" -> 3
        self._offsets: dict[str, int] = {}
        self._rest: dict[str, bytes] = {}
        self._silent: set[str] = set()
        self._many = False
        self.grew = False

    def find_wanted(self, ended: bool) -> None:
        """Learn of attempts that are new. Raises NotFoundError if the run has ended and nothing is meant by the pattern."""
        try:
            wanted = match_tasks(self.state, self._pattern)
        except NotFoundError:
            if ended:
                raise
            return
        self._many = len(wanted) > 1
        for task, scope, node, index in wanted:
            for attempt in self.state.task(scope, node, index).attempts:
                if attempt not in self._tasks:
                    self._tasks[attempt] = task
                    gang = gang_of(self.state, scope, node)
                    if self._rank is not None and not self._pattern and not gang.replicas:
                        continue
                    if self._rank is not None:
                        check_rank(gang, self._rank, task)
                    for rank in (self._rank,) if self._rank is not None else range(LEADER, world_size(gang)):
                        name = f"{attempt}/{stream_of('log', rank)}"
                        self._ranks[name], self._offsets[name] = rank, 0

    def offsets(self) -> dict[str, int]:
        """Where to go on reading each stream."""
        return {name: offset for name, offset in self._offsets.items() if name not in self._silent}

    def take(self, found: dict[str, bytes]) -> None:
        """Print whole lines of what has come, those of a gang's ranks by their times."""
        self.grew = False
        parts: list[list[LogLine]] = []
        for name in list(self.offsets()):
            attempt, data = name.partition("/")[0], found.get(name, b"")
            if not data:
                if self.state.attempts[attempt].outcome is not None and self.state.status != "running":
                    self._silent.add(name)
                continue
            self.grew = True
            self._offsets[name] += len(data)
            whole, end, self._rest[name] = (self._rest.get(name, b"") + data).rpartition(b"\n")
            parts.append(parse_lines(whole + end, self._tasks[attempt], attempt, self._ranks[name]))
        sys.stdout.write("".join(self._render(line, self._many) for line in merge(parts)))

    def say_rest(self) -> None:
        """The last lines that nobody ended."""
        for name, raw in self._rest.items():
            attempt = name.partition("/")[0]
            for line in parse_lines(raw + b"\n", self._tasks[attempt], attempt, self._ranks[name]) if raw else ():
                sys.stdout.write(self._render(line, self._many))

    def advance(self) -> None:
        """Fold what the run has recorded since."""
        for number, event in self._run.workspace.events(self._run.id, self._head):
            apply(self.state, event)
            self._head = number
