"""A run's state in which only those tasks are that were asked for: for whatever looks at some tasks of a run of very many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping

from fairway.engine import partstate
from fairway.engine.made import attempts_by_end
from fairway.engine.nodecolumns import ScopeColumns
from fairway.engine.overview import Overview
from fairway.engine.partstate import (
    COPIED,
    Part,
    TooMany,
    add_attempts,
    add_task,
    copy_scope,
    count_groups,
    find_sources,
    read_part,
)
from fairway.engine.resolve import Library, Missing, resolve
from fairway.engine.state import RunState, TaskState
from fairway.errors import FairwayError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import Input
from fairway.spec.event import Index, address
from fairway.spec.graph import Expr
from fairway.spec.ports import Journal, run_now

Place = tuple[str, str, Index]
MOST_LOOKED = 2_000
"""Tasks that are looked at for having made one thing."""
_SLICE_BYTES = 1 << 20
_AT_ONCE = 250


class Source:
    """What one input of a task is made of: (slot of a task, its output), only the first of them where `count` is greater."""

    __slots__ = ("count", "outputs")

    def __init__(self, outputs: list[tuple[int, str]], count: int) -> None:
        self.outputs, self.count = outputs, count

    @property
    def is_large(self) -> bool:
        """There are too many to be put together again."""
        return self.count > len(self.outputs)


class Sketch:
    """`state` is what `engine.apply` would fold, of the tasks that were loaded. For a thread: it reads the journal.

    The overview must not change meanwhile.
    """

    def __init__(self, journal: Journal, overview: Overview) -> None:
        self.overview = overview
        self._journal = journal
        self.state = RunState(overview.run)
        for name in COPIED:
            setattr(self.state, name, getattr(overview, name))
        self.state.totals = overview.counts()
        self._part = Part(self.state, ("", "", ()))
        self._loaded: set[int] = set()
        self._tried: set[int] = set()
        self._fresh: set[tuple[str, str]] = set()
        self._failure_known = False

    # ---- tasks

    def find_slot(self, place: Place) -> int:
        """-1 if there is no such task."""
        scope = self.overview.scopes.get(place[0])
        node = scope.nodes.get(place[1]) if scope is not None else None
        return node.find_slot(place[2]) if node is not None else -1

    def task(self, place: Place) -> TaskState:
        """The task with its outputs. Raises KeyError where there is none."""
        slot = self.find_slot(place)
        if slot < 0:
            raise KeyError(place)
        self.load((slot,))
        return self.state.task(*place)

    def load(self, slots: Iterable[int], *, attempts: bool = False) -> None:
        """Read these tasks, all at once; with `attempts` all that is known of them, else what they made."""
        part = self._part
        for slot in slots:
            if slot in self._tried or (slot in self._loaded and not attempts):
                continue
            scope, node, _ = self.overview.place(slot)
            self._open(scope)
            task = add_task(self.overview, part, slot, outputs=slot not in self._loaded)
            self._loaded.add(slot)
            self._fresh.add((scope, node))
            if attempts:
                self._tried.add(slot)
                add_attempts(self.overview, part, slot, task, row=self.overview.scopes[scope].nodes[node].row)
        if part.numbers:
            run_now(read_part(self._journal, part))
            part.numbers.clear()
        for scope, node in self._fresh:
            found = self.state.scopes[scope].nodes[node]
            found.items = dict(sorted(found.items.items()))  # as the engine makes them: what is gathered is in this order
            for groups in found.groups.values():
                groups.clear()
            count_groups(found)
        self._fresh.clear()

    def _open(self, name: str) -> None:
        scope: ScopeColumns | None = self.overview.scopes[name]
        while scope is not None and scope.name not in self.state.scopes:
            self.state.scopes[scope.name] = copy_scope(scope)
            scope = self.overview.scopes[scope.owner[0]] if scope.owner is not None else None

    # ---- what they took

    def sources(self, place: Place) -> dict[str, Source]:
        """What each input of the task is made of by tasks; nothing is read for it."""
        scope = self.overview.scopes[place[0]]
        node = scope.nodes[place[1]].node
        at = dict(zip(node.axes, place[2], strict=True))
        return {name: self.source_of(scope, expr, at) for name, expr in node.inputs.items()}

    def source_of(self, scope: ScopeColumns, expr: Expr, at: Mapping[str, int]) -> Source:
        """What a value is made of by tasks."""
        named: dict[int, list[str]] = {}
        for one in outputs_in(scope, expr):
            named.setdefault(scope.nodes[one.name].row, []).append(one.output or "result")
        slots: dict[int, None] = {}
        try:
            find_sources(self.overview, scope, expr, at, slots)
        except TooMany:
            nodes = {one.name for one in outputs_in(scope, expr)}
            first = list(slots)[: partstate.MOST_SOURCES]
            count = max(sum(scope.nodes[name].total for name in nodes), len(first) + 1)
            return Source([(slot, output) for slot in first for output in named[self._row(slot)]], count)
        found = [(slot, output) for slot in slots for output in named[self._row(slot)]]
        return Source(found, len(found))

    def given(self, places: Collection[Place], library: Library) -> list[dict[str, Input]]:
        """The inputs of each of these tasks, none of one that has not got all of them. What is gathered from too many is left out."""
        sources = [self.sources(place) for place in places]
        for place in places:
            self._open(place[0])
            if any(_asks_for_run(expr) for expr in self.overview.scopes[place[0]].nodes[place[1]].node.inputs.values()):
                self._load_failure()
        self.load(sorted({slot for some in sources for one in some.values() if not one.is_large for slot, _ in one.outputs}))
        return [self._resolve(place, some, library) for place, some in zip(places, sources, strict=True)]

    def load_value(self, place: Place, expr: Expr) -> bool:
        """Read what the value is made of for this task, so that it can be resolved; False if that is too much."""
        scope = self.overview.scopes[place[0]]
        at = dict(zip(scope.nodes[place[1]].node.axes, place[2], strict=True))
        source = self.source_of(scope, expr, at)
        if not source.is_large:
            self.load(sorted({slot for slot, _ in source.outputs}))
        return not source.is_large

    def _resolve(self, place: Place, sources: Mapping[str, Source], library: Library) -> dict[str, Input]:
        scope = self.state.scopes[place[0]]
        node = scope.nodes[place[1]].node
        at = dict(zip(node.axes, place[2], strict=True))
        inputs: dict[str, Input] = {}
        for name, expr in node.inputs.items():
            if sources[name].is_large:
                continue
            try:
                value = resolve(self.state, scope, expr, at, library)
            except FairwayError:  # gone from the store
                return {}
            if isinstance(value, Missing):
                return {}
            inputs[name] = value if isinstance(value, Input) else Input(ref=value)
        return inputs

    def _load_failure(self) -> None:
        """What an exit handler is told of."""
        if self._failure_known:
            return
        self._failure_known = True
        for slot in self.overview.failed:
            place = self.overview.place(slot)
            if place[0] == "":
                self.load((slot,), attempts=True)
                self.state.failures.append(place)
                return

    # ---- who made it

    def makers(self, digests: Collection[str], limit: int = MOST_LOOKED) -> Iterator[Place]:
        """The tasks that have made one of these, in the order of the run's tasks; at most `limit` are looked at. They are loaded."""
        if not digests:
            return
        self.read_made()
        slots = self.in_order(self.overview.made.find(digests))[:limit]
        for at in range(0, len(slots), _AT_ONCE):
            some = slots[at : at + _AT_ONCE]
            self.load(some)
            for place in map(self.overview.place, some):
                if any(ref.digest in digests for ref in (self.state.task(*place).outputs or {}).values()):
                    yield place

    def in_order(self, slots: Collection[int]) -> list[int]:
        """Those that are slots of tasks still, in the order of the run's tasks."""
        overview = self.overview
        rows = {scope_node.row for scope in overview.scopes.values() for scope_node in scope.nodes.values()}
        found = [(self._row(slot), slot) for slot in slots]
        return [slot for row, slot in sorted(found) if row in rows]

    def _row(self, slot: int) -> int:
        return self.overview.block_node[bisect_right(self.overview.block_start, slot) - 1]

    def read_made(self) -> None:
        """Bring the index of what was made up to date; it is asked for by itself where it is needed."""
        overview, made = self.overview, self.overview.made
        if made.head >= overview.head:
            return
        rows = attempts_by_end(overview, made.head)
        after = made.head
        while after < overview.head:
            texts = run_now(self._journal.read_text(overview.run, after, _SLICE_BYTES))
            if not texts:
                return
            for first, text in texts:
                made.read(overview, first, text, rows)
            if made.head <= after:
                return
            after = made.head

    def find_refs(self, digest: str) -> Iterator[tuple[str, str, ArtifactRef]]:
        """(task, output, reference) of every place where the run names the artifact; task "" for its parameters and outputs."""
        for name, ref in self.state.params.items():
            if ref.digest == digest:
                yield "", f"params.{name}", ref
        for place in self.makers((digest,)):
            for name, ref in (self.state.task(*place).outputs or {}).items():
                if ref.digest == digest:
                    yield address(*place), name, ref
        for name, ref in self.state.outputs.items():
            if ref.digest == digest:
                yield "", name, ref


def outline(overview: Overview) -> tuple[RunState, dict[str, float]]:
    """(the run's state without its tasks, seconds that the attempts of each step took)."""
    state = RunState(overview.run)
    for name in COPIED:
        setattr(state, name, getattr(overview, name))
    state.totals = overview.counts()
    state.scopes = {scope.name: copy_scope(scope) for scope in overview.scopes.values()}
    columns, nodes = overview.columns, overview.nodes
    spent = [0.0] * len(nodes)
    for row, node in enumerate(columns.node):
        if columns.ended_no[row]:
            spent[node] += columns.ended[row] - max(columns.started[row], 0.0)
    took: dict[str, float] = {}
    for node, seconds in zip(nodes, spent, strict=True):
        scope = overview.scopes.get(node.scope)
        if node.attempts and scope is not None and node.node.id in scope.nodes:
            name = address(node.scope, node.node.id)
            took[name] = took.get(name, 0.0) + seconds
    return state, took


def outputs_in(scope: ScopeColumns, expr: Expr) -> Iterator[Expr]:
    """The outputs that a value is made of, through the lists that it is an item of."""
    if expr.kind == "output":
        yield expr
    elif expr.kind == "item":
        yield from outputs_in(scope, scope.graph.axes[expr.name].sources[expr.position])
    for arg in expr.args:
        yield from outputs_in(scope, arg)


def _asks_for_run(expr: Expr) -> bool:
    return expr.kind == "run" or any(_asks_for_run(arg) for arg in expr.args)
