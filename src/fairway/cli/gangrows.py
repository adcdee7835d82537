"""The ranks of a gang in `fairway show`: a row each, what holds them up, how long they waited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.cli.listing import lay_out
from fairway.cli.style import spell_duration, spell_number, spell_size
from fairway.engine.gangview import GangNow, RankNow, read_gang
from fairway.engine.ranks import world_size
from fairway.spec.record import to_plain

ROWS = 32
_COLUMNS = ("rank", "host", "at", "steps/s", "CPU", "memory", "GPU", "waited")


def gang_of_task(run: Any, task: Any) -> GangNow | None:
    """How the ranks of its last attempt get on, or did at its end; None for a plain step, and where no rank has said anything."""
    size = world_size(task.gang)
    if not size or not task.attempts:
        return None
    now = read_gang(run.workspace.streams, run.id, task.attempts[-1], size)
    return now if now.come else None


def render_gang(now: GangNow) -> list[str]:
    """Its lines below a task."""
    rows = [_row(one) for one in now.ranks[:ROWS]]
    kept = [n for n in range(len(_COLUMNS)) if any(row[n] for row in rows)]
    lines = lay_out([_COLUMNS[n] for n in kept], [[row[n] for n in kept] for row in rows], right=[n for n, at in enumerate(kept) if at > 1])
    if len(now.ranks) > ROWS:
        lines.append(f"and {len(now.ranks) - ROWS} more")
    if now.slowest >= 0:
        lines.append(f"rank {now.slowest} is slow: {now.why}")
    return lines


def plain_gang(now: GangNow) -> list[Any]:
    """The ranks as JSON-ready data."""
    return [to_plain(one) for one in now.ranks]


def _row(one: RankNow) -> Sequence[str]:
    waited = [f"{spell_duration(seconds)} for {_WAITS[kind]}" for kind, seconds in one.waited.items() if seconds >= 0.05]
    return (
        str(one.rank),
        one.host,
        (f"{spell_number(one.done)}/{spell_number(one.total)}" if one.total else spell_number(one.done)) if one.done else "",
        f"{one.rate:.3g}" if one.rate else "",
        f"{one.cpu:.2f}" if one.cpu else "",
        spell_size(one.memory_bytes) if one.memory_bytes else "",
        ", ".join(f"{gpu[1]}%" for gpu in one.gpus),
        ", ".join(waited),
    )


_WAITS = {"input": "input", "checkpoint": "checkpoints", "network": "the network"}
