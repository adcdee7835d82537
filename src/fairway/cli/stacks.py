"""`fairway logs --stacks`: where each rank of a gang stood when it was found to hang."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from fairway.cli.listing import print_json
from fairway.cli.style import paint
from fairway.engine.ranks import check_rank, read_stacks, world_size


def print_stacks(run: Any, tasks: Sequence[Any], number: int | None, rank: int | None, output: str | None) -> None:
    """Of the `number`-th attempt of each task; if left out, of the last that has any."""
    found: list[tuple[str, str, int, str]] = []
    for task in tasks:
        if rank is not None:
            check_rank(task.gang, rank, task.address)
        ranks = (rank,) if rank is not None else range(world_size(task.gang))
        attempts = task.attempts[number - 1 : number] if number else task.attempts[::-1]
        stacks = ((attempt, read_stacks(run.workspace.streams, run.id, attempt, ranks)) for attempt in attempts)
        attempt, by_rank = next((one for one in stacks if one[1]), ("", dict[int, str]()))
        found += [(task.address, attempt, one, text) for one, text in by_rank.items()]
    if output == "json":
        print_json([{"task": task, "attempt": attempt, "rank": one, "stack": text} for task, attempt, one, text in found])
        return
    for task, attempt, one, text in found:
        sys.stdout.write(f"{paint(f'{task} rank {one}', 'bold', sys.stdout)}  attempt {attempt}\n{text.rstrip()}\n\n")
    if not found:
        sys.stderr.write("no stacks were kept: no rank was found to hang (a gang's stall_timeout says when one is)\n")
