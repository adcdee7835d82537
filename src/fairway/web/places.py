"""Which tasks of a run are meant, a page at a time. The cost of a page is that of the steps and of the page, not of all tasks."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import islice

from fairway.engine.state import RunState
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


def select(state: RunState, match: str = "", *, status: str = "", after: str = "", limit: int = 0) -> Selection:
    """Tasks meant by `match` (a step, an address, "train.3", a glob; "" is all) in the order of their steps, that come after the task
    `after`; all of them if `limit` is 0. None match: an empty selection. Raises ConfigError if there is no task `after`."""
    start = find_place(state, after) if after else None
    if after and start is None:
        raise ConfigError("this cursor is not of this list", hint="begin with the first page", where="query.cursor")
    found: list[Place] = []
    total = 0
    more = False
    for scope, node, rule in _matching(state, _spelled(state, match)):
        found_node = state.scopes[scope].nodes[node]
        items = found_node.items
        if rule is True:
            total += found_node.counts.get(status, 0) if status else len(items)
        else:
            total += sum(1 for index in list(items) if _is_meant(state, (scope, node, index), rule, status))
        if more:
            continue
        begin = 0
        if start is not None:
            if (scope, node) != start[:2]:
                continue
            begin = next(number for number, index in enumerate(items, 1) if index == start[2])
            start = None
        if status and not found_node.counts.get(status):
            continue
        for index in islice(list(items), begin, None):
            if _is_meant(state, (scope, node, index), rule, status):
                if limit and len(found) == limit:
                    more = True
                    break
                found.append((scope, node, index))
    return Selection(tuple(found), total, more)


def find_place(state: RunState, task: str) -> Place | None:
    """The task with this address, None if there is none."""
    scope, _, rest = task.rpartition("/")
    node, bracket, inner = rest.partition("[")
    found = state.scopes.get(scope)
    if found is None or node not in found.nodes or (bracket and inner[-1:] != "]"):
        return None
    try:
        index = tuple(map(int, inner[:-1].split(","))) if bracket else ()
    except ValueError:
        return None
    place = scope, node, index
    return place if index in found.nodes[node].items and address(*place) == task else None


def get_place(state: RunState, task: str) -> Place:
    """The task with this address. Raises NotFoundError."""
    found = find_place(state, task)
    if found is None:
        raise NotFoundError(f"run {state.run} has no task {task!r}", hint="GET its tasks lists them")
    return found


def _spelled(state: RunState, match: str) -> str:
    """ "train.3" as "train[3]", unless a step is called so."""
    head, _, tail = match.rpartition(".")
    if head and tail.replace(",", "").isdigit() and not any(match in scope.nodes for scope in state.scopes.values()):
        return f"{head}[{tail}]"
    return match


def _matching(state: RunState, match: str) -> Iterator[tuple[str, str, str | bool]]:
    """(scope, node, rule) of nodes that have some of the tasks: True for all, else what a task's address has to match."""
    pattern = match.replace("[", "[[]") if "*" in match or "?" in match else ""
    for scope in list(state.scopes.values()):
        for node in scope.nodes:
            whole = address(scope.name, node)
            if not match or match in (whole, node) or (pattern and fnmatchcase(node, pattern)):
                yield scope.name, node, True
            elif pattern:
                yield scope.name, node, pattern
            elif match.startswith(f"{whole}["):
                yield scope.name, node, match


def _is_meant(state: RunState, place: Place, rule: str | bool, status: str) -> bool:
    if status and state.task(*place).status != status:
        return False
    if rule is True:
        return True
    name = address(*place)
    return name == rule or fnmatchcase(name, str(rule))
