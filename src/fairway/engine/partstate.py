"""A part of a run's state, as `engine.apply` would fold it: one task, its attempts and what went into it. The rest is left out.

So whatever reads a `RunState` for one task can read this, and a run of 100,000 items costs no more than one of ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.engine.nodecolumns import DONE_WELL, SETTLED_FROM, STATUSES, NodeColumns, ScopeColumns
from fairway.engine.resolve import is_broken
from fairway.engine.state import AttemptState, Group, NodeState, RunState, Scope, TaskState, walk_indices
from fairway.spec import event as ev
from fairway.spec.event import Event, Index, parse_event
from fairway.spec.graph import Expr
from fairway.spec.outcome import ErrorInfo
from fairway.spec.ports import Journal
from fairway.store.wire import parse_events, parse_json

if TYPE_CHECKING:
    from fairway.engine.overview import Overview, Place

MOST_SOURCES = 1_000
"""Tasks that are looked at for one input; what is gathered from more is not put together again."""
COPIED = (
    "run", "status", "graph", "params", "bundle", "options", "project", "created_by", "triggered_by", "name", "source", "target",
    "environment", "tags", "note", "archived", "started_at", "resumed_at", "ended_at", "now", "idle_s", "outputs", "stopping", "metrics",
    "resumes", "error",
)  # fmt: skip
_BATCHES = msgspec.json.Decoder(list[tuple[str, msgspec.Raw]])


class Part:
    """What was taken of an overview. `state` lacks what only the events know until they are read: `numbers` says which.

    `large`: inputs that are gathered from more than MOST_SOURCES tasks, and from how many.
    """

    def __init__(self, state: RunState, place: Place) -> None:
        self.state, self.place = state, place
        self.attempts: list[AttemptState] = []
        self.observed: dict[str, list[tuple[float, str, str]]] = {}
        self.numbers: dict[int, list[_Wanted]] = {}
        self.large: dict[str, int] = {}

    @property
    def task(self) -> TaskState:
        return self.state.task(*self.place)

    def want(self, number: int, task: TaskState, index: Index, position: int = -1, attempt: AttemptState | None = None) -> None:
        """This event is to be read for this task, which has this position among the attempt's items."""
        if number:
            self.numbers.setdefault(number, []).append(_Wanted(task, index, position, attempt))


class _Wanted:
    __slots__ = ("attempt", "index", "position", "task")

    def __init__(self, task: TaskState, index: Index, position: int, attempt: AttemptState | None) -> None:
        self.task, self.index, self.position, self.attempt = task, index, position, attempt


class TooMany(Exception):
    """A value is made of more than MOST_SOURCES tasks."""


def take_part(overview: Overview, slot: int) -> Part:
    """What the overview knows of the task in this slot, its attempts, and the tasks that its inputs are made of."""
    place = overview.place(slot)
    state = RunState(overview.run)
    for name in COPIED:
        setattr(state, name, getattr(overview, name))
    state.totals = overview.counts()
    part = Part(state, place)
    scope: ScopeColumns | None = overview.scopes[place[0]]
    while scope is not None:
        state.scopes[scope.name] = copy_scope(scope)
        scope = overview.scopes[scope.owner[0]] if scope.owner is not None else None
    task = add_task(overview, part, slot)
    add_attempts(overview, part, slot, task)
    definition = overview.scopes[place[0]].nodes[place[1]].node
    at = dict(zip(definition.axes, place[2], strict=True))
    for name, expr in definition.inputs.items():
        found: dict[int, None] = {}
        try:
            find_sources(overview, overview.scopes[place[0]], expr, at, found)
        except TooMany:
            part.large[name] = sum(node.total for node in nodes_of(overview.scopes[place[0]], expr))
            continue
        for source in sorted(found):
            add_task(overview, part, source, outputs=True)
    _first_failure(overview, part)
    for node in state.scopes[place[0]].nodes.values():
        node.items = dict(sorted(node.items.items()))  # as they are created; one input may need but one of those that another collects
        count_groups(node)
    return part


def copy_scope(scope: ScopeColumns) -> Scope:
    """A scope without its tasks."""
    made = Scope(scope.name, scope.graph, scope.index, scope.owner)
    made.lengths = {axis: dict(lengths) for axis, lengths in scope.lengths.items()}
    made.ended = scope.ended
    for name, node in scope.nodes.items():
        made.nodes[name].counts = node.named_counts()
        made.nodes[name].started_at, made.nodes[name].ended_at = node.started_at, node.ended_at
    return made


def add_task(overview: Overview, part: Part, slot: int, *, outputs: bool = False) -> TaskState:
    """The task in a slot; `outputs`: they are to be read."""
    scope, node, index = overview.place(slot)
    items = part.state.scopes[scope].nodes[node].items
    task = items.get(index)
    if task is None:
        task = items[index] = TaskState()
        columns = overview.columns
        task.status = STATUSES[columns.status[slot]]
        task.tried, task.reason = columns.tried[slot], overview.reason(slot)
        error = overview.error_of(slot)
        task.error = ErrorInfo(*error) if error is not None else None
        if outputs and columns.status[slot] in DONE_WELL:
            row, position = (columns.tries_of(slot) or [(-1, -1)])[-1]
            if row >= 0 and columns.ended_no[row] > columns.told[slot]:
                part.want(columns.ended_no[row], task, index, position)
            else:
                part.want(columns.told[slot], task, index)
    return task


def add_attempts(overview: Overview, part: Part, slot: int, task: TaskState, *, row: int = -1) -> None:
    """The attempts at the task in a slot, to be read; those from before the graph was edited too, unless `row` is that of its node."""
    columns = overview.columns
    scope, node, index = overview.place(slot)
    for tried, position in columns.tries_of(slot):
        if row >= 0 and columns.node[tried] != row:
            continue
        attempt = AttemptState(columns.id(tried), scope, node, ())
        attempt.n, attempt.planned_at = columns.n[tried], columns.planned_at[tried]
        part.attempts.append(attempt)
        part.observed[attempt.id] = []
        part.state.attempts[attempt.id] = attempt
        if attempt.id in overview.live:
            part.state.live[attempt.id] = attempt
        task.attempts = (*task.attempts, attempt.id)
        task.n = attempt.n
        for number in (columns.planned_no[tried], *columns.observations_of(tried), columns.ended_no[tried]):
            part.want(number, task, index, position, attempt)
    for number in {columns.told[slot], overview.cached_graphs.get(slot, 0)}:
        part.want(number, task, index)
    for due_at, n, of, slots in overview.retries:
        if slot in slots:
            part.state.push_retry(due_at, n, overview.nodes[of].scope, overview.nodes[of].node.id, (index,))


def _first_failure(overview: Overview, part: Part) -> None:
    """What an exit handler is told of."""
    for slot in overview.failed:
        scope, node, index = overview.place(slot)
        if scope == "":
            if "" in part.state.scopes:
                add_task(overview, part, slot)
                part.state.failures.append((scope, node, index))
            return


def find_sources(overview: Overview, scope: ScopeColumns, expr: Expr, at: Mapping[str, int], found: dict[int, None]) -> None:
    """Slots of the tasks that a value is made of; those that are not there yet are left out. Raises TooMany."""
    if expr.kind == "output":
        node = scope.nodes[expr.name]
        if all(axis in at for axis in node.node.axes):
            slot = node.find_slot(tuple(at[axis] for axis in node.node.axes))
            if slot >= 0:
                found[slot] = None
                if len(found) > MOST_SOURCES:
                    raise TooMany
    elif expr.kind == "item":
        find_sources(overview, scope, scope.graph.axes[expr.name].sources[expr.position], at, found)
    elif expr.kind == "collect":
        axes = scope.index.axes_of(expr.args[0])
        fixed = {axis: at[axis] for axis in axes if axis in expr.over and axis in at}
        for number, index in enumerate(walk_indices(scope.graph, scope.lengths, axes, fixed)):
            if number >= MOST_SOURCES:
                raise TooMany
            find_sources(overview, scope, expr.args[0], dict(zip(axes, index, strict=True)), found)
    elif expr.kind == "history":
        raise TooMany  # all trials before; a search's own page shows them
    elif expr.kind == "at":
        raise TooMany  # which one is known by value only
    else:
        for arg in expr.args:
            find_sources(overview, scope, arg, at, found)


def nodes_of(scope: ScopeColumns, expr: Expr) -> Iterator[NodeColumns]:
    """The nodes that a value is made of."""
    if expr.kind == "output":
        yield scope.nodes[expr.name]
    for arg in expr.args:
        yield from nodes_of(scope, arg)


def count_groups(node: NodeState) -> None:
    """Count the items that were taken as the engine counts them all."""
    for positions, groups in node.groups.items():
        for index, task in node.items.items():
            group = groups.setdefault(tuple(index[p] for p in positions), Group())
            settled = STATUSES.index(task.status) >= SETTLED_FROM
            group.created += 1
            group.settled += settled
            group.broken += settled and is_broken(node, task)


async def read_part(journal: Journal, part: Part) -> Part:
    """Read the part's events and fill it in."""
    for number, event in await read_numbers(journal, part.state.run, part.numbers):
        for wanted in part.numbers[number]:
            _fill(part, event, wanted)
    return part


async def read_numbers(journal: Journal, run: str, numbers: Iterable[int]) -> list[tuple[int, Event]]:
    """These events of a run, in order. Of each batch only they are parsed."""
    out: list[tuple[int, Event]] = []
    wanted = sorted(numbers)
    while wanted:
        texts = await journal.read_text(run, wanted[0] - 1, 1)
        if not texts:
            break
        first, text = texts[0]
        try:
            batch = _BATCHES.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError):  # lone surrogates, which only the standard library reads
            known = dict(parse_events(text, first))
            out += [(number, known[number]) for number in wanted if number in known]
            wanted = [number for number in wanted if number >= first + len(known)]
            continue
        for number in wanted:
            if number < first + len(batch):
                name, fields = batch[number - first]
                out.append((number, parse_event(name, parse_json(bytes(fields)))))
        wanted = [number for number in wanted if number >= first + len(batch)]
    return out


def _fill(part: Part, event: Any, wanted: _Wanted) -> None:
    """Take from an event what it says of one task. They come in order: what is told last holds."""
    task, attempt = wanted.task, wanted.attempt
    match event:
        case ev.AttemptPlanned() if attempt is not None:
            attempt.items, attempt.keys = event.items, event.keys
            task.cached, task.key = None, event.keys[wanted.position] if event.keys else ""
        case ev.AttemptObserved() if attempt is not None:
            attempt.phase, attempt.reason = event.phase, event.reason
            part.observed[attempt.id].append((event.at, event.phase, event.reason))
        case ev.AttemptGivenUp() if attempt is not None:
            part.state.given_up[attempt.id] = event.reason
            part.observed[attempt.id].append((event.at, "given up", event.reason))
        case ev.AttemptEnded():
            _fill_ended(event, wanted)
        case ev.TasksCached():
            item = next(one for one in event.items if one.index == wanted.index)
            task.key, task.outputs = item.key, item.outputs
            task.cached = (item.run, item.task) if item.run != part.state.run else None
        case ev.TasksRefused() if task.status == "failed":
            task.error = event.error
        case ev.ScopeEnded():
            task.outputs = event.outputs
            task.error = event.error or task.error
        case _:
            return


def _fill_ended(event: ev.AttemptEnded, wanted: _Wanted) -> None:
    task, attempt, outcome = wanted.task, wanted.attempt, event.outcome
    item = outcome.items[wanted.position] if wanted.position < len(outcome.items) else None
    if attempt is not None:
        attempt.outcome, attempt.phase = outcome, "ended"
        if attempt.id != task.attempts[-1]:
            return
    if task.status in ("failed", "retrying", "cancelled"):
        task.error = (item.error if item is not None else None) or outcome.error or task.error
    elif task.status == "succeeded" and item is not None and not item.graph:
        task.outputs = item.outputs
