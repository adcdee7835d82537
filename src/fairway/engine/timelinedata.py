"""Where a run's time went, as JSON-ready data: a row for each node, a bar for each attempt, phase by phase. Pure and bounded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from heapq import nlargest
from typing import TYPE_CHECKING, Any

from fairway.engine.nodecolumns import CACHED, FAILED, PHASES, SKIPPED, STATUSES, NodeColumns
from fairway.spec.event import address

if TYPE_CHECKING:
    from fairway.engine.overview import Overview

MOST_ROWS = 1_000
LOAD_POINTS = 200


def timeline_data(overview: Overview, *, limit: int = 2_000) -> dict[str, Any]:
    """At most `limit` bars. Where a row has more attempts, those that failed, that live and that took longest have theirs, `more` counts
    the others, and `load` says how many ran when. Worked out once for each head; not to be changed."""
    kept = overview.timeline
    if kept is not None and kept[0] == (overview.head, limit):
        return kept[1]
    data = _timeline(overview, limit)
    overview.timeline = (overview.head, limit), data
    return data


def _timeline(overview: Overview, limit: int) -> dict[str, Any]:
    rows = [node for scope in overview.scopes.values() for node in scope.nodes.values()]
    began = {node.row: node.started_at or node.ended_at or float("inf") for node in rows}
    rows.sort(key=lambda node: began[node.row])
    shown = rows[:MOST_ROWS]
    attempts = _by_row(overview, shown)
    allowed = _shares([len(attempts[node.row]) for node in shown], limit)
    totals = [0.0] * len(PHASES)
    for node in rows:
        for phase, seconds in enumerate(_spent(overview, node, attempts.get(node.row, ()))):
            totals[phase] += seconds
    data: dict[str, Any] = {
        "run": overview.run,
        "head": overview.head,
        "began_at": overview.started_at,
        "now": overview.now,
        "status": overview.status,
        "totals": _named(totals),
        "rows": [_row(overview, node, attempts[node.row], most) for node, most in zip(shown, allowed, strict=True)],
    }
    if overview.ended_at:
        data["ended_at"] = overview.ended_at
    if len(rows) > len(shown):
        data["rows_left"] = len(rows) - len(shown)
    return data


def _by_row(overview: Overview, nodes: Sequence[NodeColumns]) -> dict[int, list[int]]:
    """Attempts of each node, and of the nodes that stood in its place before the graph was edited."""
    found: dict[int, list[int]] = {node.row: [] for node in nodes}
    home = {node.row: found[node.row] for node in nodes}
    if overview.past:
        names = {(node.scope, node.node.id): found[node.row] for node in nodes}
        for node in overview.nodes:
            if node.row not in home and (node.scope, node.node.id) in names:
                home[node.row] = names[node.scope, node.node.id]
    for row, node in enumerate(overview.columns.node):
        if node in home:
            home[node].append(row)
    return found


def _shares(wanted: Sequence[int], limit: int) -> list[int]:
    """How many each gets: all that it wants, or an equal share of what those that want less leave over."""
    given = [0] * len(wanted)
    left = limit
    for done, place in enumerate(sorted(range(len(wanted)), key=lambda place: wanted[place])):
        given[place] = min(wanted[place], left // (len(wanted) - done))
        left -= given[place]
    return given


def _row(overview: Overview, node: NodeColumns, attempts: Sequence[int], most: int) -> dict[str, Any]:
    id = address(node.scope, node.node.id)
    row: dict[str, Any] = {
        "id": id,
        "label": id,
        "status": overview.node_status(node),
        "counts": node.named_counts(),
        "totals": _named(_spent(overview, node, attempts)),
        "bars": [_bar(overview, attempt) for attempt in _choose(overview, attempts, most)],
    }
    if node.started_at:
        row["from"] = node.started_at
    if node.ended_at:
        row["to"] = node.ended_at
    marks = [
        {"status": STATUSES[code], "count": node.counts[code], "at": at}
        for code, at in ((CACHED, node.started_at), (SKIPPED, node.ended_at))
        if node.counts[code] and at
    ]
    if marks:
        row["marks"] = marks
    if len(attempts) > len(row["bars"]):
        row["more"] = len(attempts) - len(row["bars"])
        row["load"] = _load(overview, attempts)
    return row


def _spent(overview: Overview, node: NodeColumns, attempts: Sequence[int]) -> list[float]:
    """Seconds by phase; of attempts that live, until now."""
    spent = list(node.spent)
    for attempt in overview.live.values():
        if overview.columns.node[attempt] == node.row:
            points = [*_points(overview, attempt)[:3], overview.now]
            begun = overview.columns.planned_at[attempt]
            for phase, moment in enumerate(points):
                end = moment or overview.now
                spent[phase] += max(0.0, end - begun)
                begun = end
                if not moment:
                    break
    return spent


def _points(overview: Overview, attempt: int) -> tuple[float, float, float, float]:
    """When the attempt started, ran, wrote and ended; 0 where it has not, or nobody knows."""
    columns = overview.columns
    planned = columns.planned_at[attempt]
    seen = overview.seen.get(attempt)
    if seen is not None and not columns.ended_no[attempt]:
        return seen.starting_at or seen.running_at, seen.running_at, 0.0, 0.0
    started, running, writing, ended = (
        planned + column[attempt] if column[attempt] >= 0 else 0.0
        for column in (columns.started, columns.running, columns.writing, columns.ended)
    )
    return started, running or (started if ended else 0.0), writing, ended  # one that was killed told nobody that it ran


def _bar(overview: Overview, attempt: int) -> dict[str, Any]:
    columns = overview.columns
    slots = columns.slots_of(attempt)
    started, running, writing, ended = _points(overview, attempt)
    live = not columns.ended_no[attempt] and not ended
    seen = overview.seen.get(attempt)
    bar: dict[str, Any] = {
        "task": overview.address(slots[0]),
        "attempt": columns.id(attempt),
        "n": columns.n[attempt],
        "status": (seen.phase if seen is not None else "queued") if live else STATUSES[columns.outcome[attempt]],
        "planned_at": round(columns.planned_at[attempt], 4),
    }
    if len(slots) > 1:
        bar["items"] = len(slots)
    for name, moment in (("started_at", started), ("running_at", running), ("writing_at", writing), ("ended_at", ended)):
        if moment:
            bar[name] = round(moment, 4)
    return bar


def _choose(overview: Overview, attempts: Sequence[int], most: int) -> Sequence[int]:
    """`most` of the attempts, in their order: at most half of them the first that failed, then those that live, then the longest."""
    if len(attempts) <= most:
        return attempts
    columns = overview.columns
    outcome, ended = columns.outcome, columns.ended
    chosen = dict.fromkeys([row for row in attempts if outcome[row] == FAILED][: most // 2])
    if overview.live:
        mine = set(overview.live.values())
        chosen.update(dict.fromkeys([row for row in attempts if row in mine][: most // 4]))
    left = most - len(chosen)
    running = columns.started
    slowest = nlargest(left + len(chosen), attempts, key=lambda row: ended[row] - max(0.0, running[row]))
    for row in slowest:
        if len(chosen) >= most:
            break
        chosen[row] = None
    return sorted(chosen)


def _load(overview: Overview, attempts: Sequence[int]) -> list[list[float]]:
    """[moment, attempts that ran then], evenly spaced from the first start to the last end."""
    columns = overview.columns
    planned, running, ended, ended_no = columns.planned_at, columns.running, columns.ended, columns.ended_no
    starts = sorted(
        planned[row] + (running[row] if running[row] >= 0 else 0.0) for row in attempts if running[row] >= 0 or not ended_no[row]
    )
    ends = sorted(planned[row] + ended[row] for row in attempts if running[row] >= 0 and ended[row] >= 0)
    if not starts:
        return []
    first, last = starts[0], max(ends[-1] if ends else 0.0, overview.now if len(ends) < len(starts) else 0.0, starts[0])
    width = (last - first) / (LOAD_POINTS - 1) or 1.0
    moments = [first + width * n for n in range(LOAD_POINTS)]
    return [[round(at, 3), bisect_right(starts, at) - bisect_right(ends, at)] for at in moments]


def _named(spent: Sequence[float]) -> dict[str, float]:
    return {name: round(seconds, 4) for name, seconds in zip(PHASES, spent, strict=True)}
