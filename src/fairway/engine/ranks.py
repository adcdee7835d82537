"""What the ranks of a gang wrote, read back: each has streams of its own ("log.3", "metrics.3"), and views merge them by time.

"log" itself is what the gang's leader said: which rank failed first, whom it ended. Rank 0 writes "metrics" and "progress" as a plain step
does.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fairway.engine.reading import TAIL_BYTES, LogLine, parse_log_line
from fairway.errors import NotFoundError
from fairway.spec.gang import Gang
from fairway.spec.ports import StreamStore

LEADER = -1
"""The rank of lines that the gang's leader wrote, and of all lines of a plain step."""

RANKS_HEARD = 16
_BELOW = "/fairway/step/item.py"
_BUNDLE = re.compile(r'(File ")[^"]*/bundles/[0-9a-f]{16,}/')


def world_size(gang: Gang) -> int:
    """How many ranks there are when all have come; 0 for a plain step."""
    return gang.replicas * gang.processes


def stream_of(kind: str, rank: int) -> str:
    """The stream of a rank: "log.3"; "metrics" and "progress" of rank 0 are those of the attempt."""
    alone = rank < 0 or (rank == 0 and kind in ("metrics", "progress"))
    return kind if alone else f"{kind}.{rank}"


def tries_before(state: Any, attempt: str) -> list[str]:
    """Ids of the earlier attempts of the task that this one is of."""
    known = state.attempts[attempt]
    tries = state.task(known.scope, known.node, known.items[0]).attempts
    return list(tries[: tries.index(attempt)])


def check_rank(gang: Gang, rank: int, task: str) -> None:
    """Raise NotFoundError if the task has no such rank."""
    size = world_size(gang)
    if not size:
        raise NotFoundError(f"{task} is one process, so it has no ranks", hint="leave --rank out; a step with gang=fw.gang(…) has ranks")
    if rank >= size:
        raise NotFoundError(f"{task} has no rank {rank}", hint=f"its ranks are 0 to {size - 1}" if size > 1 else "its one rank is 0")


def read_task_log(streams: StreamStore, run: str, attempt: str, task: str, gang: Gang, rank: int | None = None) -> list[LogLine]:
    """The attempt's lines so far: of all ranks and their leader, or of one rank. Raises NotFoundError if there is no such rank."""
    if rank is not None:
        check_rank(gang, rank, task)
    return read_ranks(streams, run, attempt, task, range(LEADER, world_size(gang)) if rank is None else (rank,))


def read_ranks(streams: StreamStore, run: str, attempt: str, task: str, ranks: Sequence[int]) -> list[LogLine]:
    """Whole lines of these ranks so far, merged by time."""
    return merge(parse_lines(streams.read(f"{run}/{attempt}/{stream_of('log', rank)}"), task, attempt, rank) for rank in ranks)


def parse_lines(data: bytes, task: str, attempt: str, rank: int) -> list[LogLine]:
    """Whole lines; a last one without its end is left out."""
    whole, end, _ = data.rpartition(b"\n")
    return [_of_rank(parse_log_line(raw, task, attempt), rank) for raw in whole.split(b"\n")] if end else []


def merge(parts: Iterable[Sequence[LogLine]]) -> list[LogLine]:
    """Lines of several ranks in the order of their times; lines of one rank keep theirs.

    What has no time stays behind the line before it.
    """
    return [line for _, _, line in heapq.merge(*(_stamped(part, n) for n, part in enumerate(parts)), key=lambda one: one[:2])]


def _stamped(lines: Sequence[LogLine], n: int) -> Iterator[tuple[str, int, LogLine]]:
    latest = ""
    for line in lines:
        latest = max(latest, line.at)
        yield latest, n, line


def _of_rank(line: LogLine, rank: int) -> LogLine:
    line.rank = rank
    return line


def find_last_words(streams: StreamStore, run: str, attempt: str, size: int) -> str:
    """The last line that any of the first few ranks, or their leader, wrote, with its rank; "" if there is none."""
    found: list[LogLine] = []
    for rank in range(LEADER, min(size, RANKS_HEARD)):
        name = f"{run}/{attempt}/{stream_of('log', rank)}"
        data = streams.read(name, max(0, streams.size(name) - TAIL_BYTES))
        found += [line for line in parse_lines(data, "", attempt, rank)[-8:] if line.text.strip()][-1:]
    last = max(found, key=lambda line: line.at, default=None)
    return "" if last is None else f"rank {last.rank}  {last.text}" if last.rank >= 0 else last.text


def gang_of(state: Any, scope: str, node: str) -> Gang:
    """What the step of a task asks for."""
    graph = state.scopes[scope].graph
    step = next(one.step for one in graph.nodes if one.id == node)
    return graph.steps[step].gang if step in graph.steps else Gang()


def read_stacks(streams: StreamStore, run: str, attempt: str, ranks: Sequence[int]) -> dict[int, str]:
    """The stacks that were kept when the gang stalled, by rank; ranks without any are left out."""
    found = {rank: streams.read(f"{run}/{attempt}/{stream_of('stacks', rank)}").decode("utf-8", "replace") for rank in ranks}
    return {rank: tidy_stack(text) for rank, text in found.items() if text.strip()}


def tidy_stack(text: str) -> str:
    """Each thread's frames without those of Fairway's own below the step's function, and files of the bundle by their own names."""
    kept: list[str] = []
    ours = False
    for line in text.splitlines():
        if not line.startswith("  "):
            ours = False
        ours = ours or _BELOW in line
        if not ours:
            kept.append(_BUNDLE.sub(r"\1", line))
    return "\n".join(kept) + "\n"
