"""The ranks of a gang in `fairway show`: a row each, what holds them up, how long they waited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.cli.listing import lay_out
from fairway.cli.style import spell_duration, spell_number, spell_size
from fairway.engine.gangview import GangNow, RankNow, read_gang, spell_still
from fairway.engine.ranks import world_size
from fairway.spec.record import to_plain

ROWS = 32
_BEFORE = ("rank", "host", "PID", "at", "steps/s")
_BEHIND = ("CPU", "memory", "GPU", "waited")


def gang_of_task(run: Any, task: Any) -> GangNow | None:
    """How the ranks of its last attempt get on, or did at its end; None for a plain step, and where no rank has said anything."""
    size = world_size(task.gang)
    if not size or not task.attempts:
        return None
    *before, last = task.attempts
    now = read_gang(run.workspace.streams, run.id, last, size, before=before, ended_well=task.status == "succeeded")
    return now if now.come else None


def render_gang(now: GangNow) -> list[str]:
    """Its lines below a task."""
    names = list(now.works)
    columns = (*_BEFORE, *(f"{name}/s" for name in names), *_BEHIND)
    rows = [_row(one, names, now.hosts > 1) for one in now.ranks[:ROWS]]
    kept = [n for n in range(len(columns)) if any(row[n] for row in rows)]
    lines = lay_out([columns[n] for n in kept], [[row[n] for n in kept] for row in rows], right=[n for n, at in enumerate(kept) if at > 1])
    if len(now.ranks) > ROWS:
        lines.append(f"and {len(now.ranks) - ROWS} more")
    if now.slowest >= 0:
        lines.append(f"rank {now.slowest} is slow: {now.why}")
    return lines


def plain_gang(now: GangNow) -> list[Any]:
    """The ranks as JSON-ready data."""
    return [to_plain(one) for one in now.ranks]


def _row(one: RankNow, names: Sequence[str], with_host: bool) -> Sequence[str]:
    waited = [f"{spell_duration(seconds)} for {_WAITS[kind]}" for kind, seconds in one.waited.items() if seconds >= 0.05]
    return (
        str(one.rank),
        one.host if with_host else "",
        str(one.pid) if one.pid else "",
        (f"{spell_number(one.done)}/{spell_number(one.total)}" if one.total else spell_number(one.done)) if one.done else "",
        f"{one.rate:.3g}" if one.rate else spell_still(one.still_s) if one.still_s else "",
        *(spell_number(float(f"{one.works[name]:.3g}")) if name in one.works else "" for name in names),
        f"{one.cpu:.2f}" if one.cpu else "",
        spell_size(one.memory_bytes) if one.memory_bytes else "",
        ", ".join(f"{gpu[1]}%" if gpu[1] >= 0 else spell_size(gpu[2]) for gpu in one.gpus),
        ", ".join(waited),
    )


_WAITS = {"input": "input", "checkpoint": "checkpoints", "network": "the network"}
