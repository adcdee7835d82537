"""A line of the board as text: the same words on a terminal, in a pipe and in `fairway show`."""

from __future__ import annotations

import re
from typing import Any, TextIO

from fairway.cli.board import Board, Line
from fairway.cli.style import COLOURS, SYMBOLS, clip, paint, spell_duration, spell_number

MAX_METRICS = 4
SHORT = 48
"""So wide is the reason of a retry while the next try runs: what it reports stands behind."""
_PROCESS = "the step's process was "
_NODE = re.compile(r"(?:(.+?) failed first: )?its (node [^:]{1,20}? on [^\s:]+)")


def board_of(state: Any) -> Board:
    """The board of a run as it stands, with times and metrics."""
    board = Board()
    board.refresh(state)
    for attempt in state.attempts.values():
        line = board.line(attempt.scope, attempt.node, state)
        if not line.started_at or line.started_at < state.resumed_at <= attempt.planned_at:  # the time between two tries is nobody's
            line.started_at = attempt.planned_at
        if attempt.outcome is None:
            continue
        line.ended_at = max(line.ended_at, attempt.outcome.usage.ended_at)
        line.take_metrics(attempt.outcome.metrics)
        if _was_retried(attempt, state):
            line.retries += 1
            line.take_failure(attempt, attempt.outcome)
    for line in board.lines.values():
        if line.started_at and not line.ended_at:  # cancelled before anything of it had begun
            line.ended_at = state.ended_at or line.started_at
    return board


def _was_retried(attempt: Any, state: Any) -> bool:
    """Did what failed in this try go on by itself to another, or is it to?"""
    if attempt.planned_at < state.resumed_at:
        return False
    known, rest = attempt.outcome.items, attempt.outcome.error
    failed = [index for n, index in enumerate(attempt.items) if (known[n].error if n < len(known) else rest) is not None]
    tasks = [state.task(attempt.scope, attempt.node, index) for index in failed]
    return any(task.status == "retrying" or task.attempts[-1] != attempt.id for task in tasks)


def render_line(line: Line, names: int, now: float, stream: TextIO) -> str:
    """One step: symbol, name, count, time, what is worth knowing."""
    status = line.status
    seconds = line.seconds(now)
    took = spell_duration(seconds) if seconds is not None else ""
    symbol = paint(SYMBOLS[status], COLOURS[status], stream)
    return f"{symbol} {line.label:<{names}}  {spell_progress(line):<7} {took:>6}  {spell_facts(line)}".rstrip()


def spell_progress(line: Line) -> str:
    """ "" for one task, "3/8" for a mapped step: how many are done, what failed or was never begun not counted."""
    done = sum(line.counts.get(status, 0) for status in ("succeeded", "cached", "skipped")) - line.not_begun
    return f"{done:,}/{line.total:,}" if line.total > 1 else ""


def _shorten(failure: str) -> str:
    """A failure as it stands behind what goes on: the name of a node that was lost is never cut."""
    found = _NODE.match(failure)
    if found is not None:
        return f"{found[1]}: {found[2]}" if found[1] else found[2]
    return clip(failure.replace(_PROCESS, ""), SHORT)


def spell_facts(line: Line) -> str:
    """Cached or not, why skipped, how many failed or were retried, metrics."""
    facts: list[str] = []
    if line.kept:
        facts.append("kept" if line.kept == line.total else f"{line.kept:,} kept")
    cached = line.counts.get("cached", 0)
    if cached:
        source = f" from {line.cached_from[-5:]}" if line.cached_from else ""
        facts.append(("cached" if cached == line.total else f"{cached:,} cached") + source)
    for status in ("failed", "skipped", "cancelled", "interrupted"):
        count = line.counts.get(status, 0)
        if status == "skipped" and count < line.total:
            count -= line.not_begun
        if count and line.total > 1:
            facts.append(f"{count:,} {status}")
        elif count:
            facts.append(status + (f" ({line.reason})" if status == "skipped" and line.reason else ""))
    if line.not_begun and line.not_begun < line.total:
        facts.append(f"{line.not_begun:,} not begun")
    if line.retries:
        shown = line.failure and line.status in ("running", "retrying")
        facts.append(f"retried {line.retries}×" + (f" ({_shorten(line.failure)})" if shown else ""))
    for name, low in list(line.low.items())[:MAX_METRICS]:
        high = line.high[name]
        facts.append(f"{name} {spell_number(low)}" + (f"–{spell_number(high)}" if high != low else ""))
    if line.retries and line.failure and line.is_over and line.status == "succeeded":  # else the failures say it
        facts.append(f"({clip(line.failure, 100)})")
    return "  ".join(facts)
