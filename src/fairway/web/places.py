"""Which tasks of a run are meant, a page at a time. The cost of a page is that of the steps and of the page, not of all tasks."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from fairway.engine.nodecolumns import STATUSES, NodeColumns
from fairway.engine.overview import Overview
from fairway.errors import ConfigError, NotFoundError
from fairway.spec.event import Index, address
from fairway.spec.record import Record, record

Place = tuple[str, str, Index]
"""Scope, node, index."""


@record
class Selection(Record):
    """A page of tasks. `total` counts all that are meant; `more`: others follow."""

    places: tuple[Place, ...]
    total: int
    more: bool


def select(overview: Overview, match: str = "", *, status: str = "", after: str = "", limit: int = 0) -> Selection:
    """Tasks meant by `match` (a step, an address, "train.3", a glob; "" is all) in the order of their steps, that come after the task
    `after`; all of them if `limit` is 0. None match: an empty selection. Raises ConfigError if there is no task `after`."""
    start = find_place(overview, after) if after else None
    if after and start is None:
        raise ConfigError("this cursor is not of this list", hint="begin with the first page", where="query.cursor")
    found: list[Place] = []
    total = 0
    more = False
    for node, rule in _matching(overview, _spelled(overview, match)):
        if rule is not None:
            meant = [place for place in _places(overview, node, rule) if not status or _status(overview, place) == status]
            total += len(meant)
        else:
            meant = None
            total += node.named_counts().get(status, 0) if status else node.total
        if more:
            continue
        begin = -1
        if start is not None:
            if (node.scope, node.node.id) != start[:2]:
                continue
            begin = node.find_slot(start[2])
            start = None
        for place in _every(overview, node, status) if meant is None else meant:
            if node.find_slot(place[2]) > begin:
                if limit and len(found) == limit:
                    more = True
                    break
                found.append(place)
    return Selection(tuple(found), total, more)


def find_place(overview: Overview, task: str) -> Place | None:
    """The task with this address, None if there is none."""
    slot = overview.find_slot(task)
    return overview.place(slot) if slot >= 0 else None


def get_place(overview: Overview, task: str) -> Place:
    """The task with this address. Raises NotFoundError."""
    found = find_place(overview, task)
    if found is None:
        raise NotFoundError(f"run {overview.run} has no task {task!r}", hint="GET its tasks lists them")
    return found


def _status(overview: Overview, place: Place) -> str:
    return STATUSES[overview.columns.status[overview.scopes[place[0]].nodes[place[1]].slot(place[2])]]


def _every(overview: Overview, node: NodeColumns, status: str) -> Iterator[Place]:
    """The node's tasks of the status; those of others are stepped over fast."""
    if status and not node.named_counts().get(status):
        return
    column, wanted = overview.columns.status, STATUSES.index(status) if status else -1
    for prefix, (start, count) in node.blocks.items():
        slot = start
        while slot < start + count:
            if status:
                slot = column.find(wanted, slot, start + count)
                if slot < 0:
                    break
            yield node.scope, node.node.id, (*prefix, slot - start) if node.node.axes else ()
            slot += 1


def _places(overview: Overview, node: NodeColumns, rule: str) -> Iterator[Place]:
    """The node's tasks whose addresses match."""
    if rule.startswith(f"{address(node.scope, node.node.id)}[") and not any(sign in rule for sign in "*?"):
        place = find_place(overview, rule)
        if place is not None and place[:2] == (node.scope, node.node.id):
            yield place
        return
    for place in _every(overview, node, ""):
        name = address(*place)
        if name == rule or fnmatchcase(name, rule):
            yield place


def _spelled(overview: Overview, match: str) -> str:
    """ "train.3" as "train[3]", unless a step is called so."""
    head, _, tail = match.rpartition(".")
    if head and tail.replace(",", "").isdigit() and not any(match in scope.nodes for scope in overview.scopes.values()):
        return f"{head}[{tail}]"
    return match


def _matching(overview: Overview, match: str) -> Iterator[tuple[NodeColumns, str | None]]:
    """(node, rule) of nodes that have some of the tasks: None for all, else what a task's address has to match."""
    pattern = match.replace("[", "[[]") if "*" in match or "?" in match else ""
    for scope in list(overview.scopes.values()):
        for name, node in scope.nodes.items():
            whole = address(scope.name, name)
            if not match or match in (whole, name) or (pattern and fnmatchcase(name, pattern)):
                yield node, None
            elif pattern:
                yield node, pattern
            elif match.startswith(f"{whole}["):
                yield node, match
