"""Where an artifact comes from and what was made of it, within one run: read from the run's graph and from the references it recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fairway.engine.recorded import get_inputs
from fairway.engine.resolve import Library
from fairway.engine.state import RunState, Scope, TaskState
from fairway.errors import FairwayError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import Index, address
from fairway.spec.graph import Expr, Node

Place = tuple[str, str, Index]
MOST_TASKS = 500
_LISTS_UP_TO = 1_000
_JSON_UP_TO_BYTES = 256 << 10


class Lineage:
    """Walks from one artifact through the tasks of a run, up to what it was made of and down to what was made of it.

    At most `MOST_TASKS` tasks are visited; `complete` says whether that was enough.
    """

    def __init__(self, state: RunState, library: Library) -> None:
        self._state, self._library = state, library
        self._given: dict[Place, dict[str, ArtifactRef]] = {}
        self.tasks: dict[Place, None] = {}
        self.complete = True

    def up(self, digest: str, depth: int) -> None:
        """What made it, and what made that, `depth` times."""
        made: dict[str, list[Place]] = {}
        for scope, node, index, task in _tasks(self._state):
            for ref in (task.outputs or {}).values():
                made.setdefault(ref.digest, []).append((scope, node, index))
        wanted = {digest, *(inner for _, _, ref in find_refs(self._state, digest) for inner in self._digests(ref))}
        for _ in range(depth):
            found = [place for one in wanted for place in made.get(one, ()) if self._visit(place)]
            wanted = {inner for place in found for ref in self.given(place).values() for inner in self._digests(ref)}

    def down(self, digest: str, depth: int) -> None:
        """What takes it, and what takes that, `depth` times."""
        wanted = {digest}
        for _ in range(depth):
            found = [place for place in self._takers(wanted) if self._visit(place)]
            wanted = {ref.digest for place in found for ref in (self._state.task(*place).outputs or {}).values()}

    def given(self, place: Place) -> dict[str, ArtifactRef]:
        """The task's inputs as far as they were made."""
        if place not in self._given:
            try:
                found = get_inputs(self._state, *place, self._library)
            except FairwayError:  # not made, or gone from the store
                found = {}
            self._given[place] = {name: value.ref for name, value in found.items() if value.ref is not None}
        return self._given[place]

    def rows(self) -> list[dict[str, Any]]:
        """The visited tasks with the digests that they took and made."""
        out: list[dict[str, Any]] = []
        for place in self.tasks:
            task = self._state.task(*place)
            out.append(
                {
                    "task": address(*place),
                    "status": task.status,
                    "cached_from": {"run": task.cached[0], "task": task.cached[1]} if task.cached else None,
                    "inputs": {name: ref.digest for name, ref in self.given(place).items()},
                    "outputs": {name: ref.digest for name, ref in (task.outputs or {}).items()},
                }
            )
        return out

    def members(self, ref: ArtifactRef) -> list[str]:
        """The digests of an artifact, and of what it lists."""
        return list(self._digests(ref))

    def _visit(self, place: Place) -> bool:
        if place in self.tasks:
            return False
        if len(self.tasks) >= MOST_TASKS:
            self.complete = False
            return False
        self.tasks[place] = None
        return True

    def _digests(self, ref: ArtifactRef) -> Iterator[str]:
        """Of an artifact, and of what it lists."""
        yield ref.digest
        if _may_list(ref):
            try:
                items = self._library.split(ref)
            except FairwayError:
                return
            for item in items[:_LISTS_UP_TO]:
                yield item.digest

    def _takers(self, digests: set[str]) -> Iterator[Place]:
        """Tasks that have one of these among their inputs. Only those are looked at whose wiring leads to one that made it."""
        for scope in list(self._state.scopes.values()):
            sources = self._sources(scope, digests)
            if not sources:
                continue
            for node in scope.nodes.values():
                if not any(self._leads(scope, expr, sources) for expr in node.node.inputs.values()):
                    continue
                for index in list(node.items):
                    place = scope.name, node.node.id, index
                    if len(self._given) > MOST_TASKS * 4:
                        self.complete = False
                        return
                    if any(inner in digests for ref in self.given(place).values() for inner in self._digests(ref)):
                        yield place

    def _sources(self, scope: Scope, digests: set[str]) -> set[str]:
        """Nodes and parameters of the scope that have made one of these; "*" where its graph names one itself."""
        found = {
            node.node.id
            for node in scope.nodes.values()
            for task in list(node.items.values())
            for ref in (task.outputs or {}).values()
            if not digests.isdisjoint(self._digests(ref) if ref.format in ("list", "json") else (ref.digest,))
        }
        if not scope.name:
            found |= {f"param {name}" for name, ref in self._state.params.items() if not digests.isdisjoint(self._digests(ref))}
        if any(ref.digest in digests for node in scope.graph.nodes for ref in _constants(node)):
            found.add("*")
        return found

    def _leads(self, scope: Scope, expr: Expr, sources: set[str]) -> bool:
        if expr.kind == "item":
            return any(self._leads(scope, source, sources) for source in scope.graph.axes[expr.name].sources)
        name = (
            f"param {expr.name}" if expr.kind == "param" else expr.name if expr.kind == "output" else "*" if expr.kind == "artifact" else ""
        )
        return name in sources or any(self._leads(scope, arg, sources) for arg in expr.args)


def find_refs(state: RunState, digest: str) -> Iterator[tuple[str, str, ArtifactRef]]:
    """(task, output, reference) of every place where the run names the artifact; task "" for its parameters and outputs."""
    for name, ref in state.params.items():
        if ref.digest == digest:
            yield "", f"params.{name}", ref
    for scope, node, index, task in _tasks(state):
        for name, ref in (task.outputs or {}).items():
            if ref.digest == digest:
                yield address(scope, node, index), name, ref
    for name, ref in state.outputs.items():
        if ref.digest == digest:
            yield "", name, ref


def _may_list(ref: ArtifactRef) -> bool:
    """Is it a list, and one that may be taken apart here? Of a large one the items are too many to be told of one by one."""
    if ref.format == "list":
        return True
    lists = ref.type.startswith(("list", "tuple", "range")) or not ref.type
    return ref.format == "json" and lists and ref.size_bytes <= _JSON_UP_TO_BYTES and (ref.inline or "[")[:1] == "["


def _tasks(state: RunState) -> Iterator[tuple[str, str, Index, TaskState]]:
    """Every task. The driver may go on meanwhile: what it adds is not seen."""
    for scope in list(state.scopes.values()):
        for node in scope.nodes.values():
            for index, task in list(node.items.items()):
                yield scope.name, node.node.id, index, task


def _constants(node: Node) -> Iterable[ArtifactRef]:
    def walk(expr: Expr) -> Iterator[ArtifactRef]:
        if expr.ref is not None:
            yield expr.ref
        for arg in expr.args:
            yield from walk(arg)

    return (ref for expr in node.inputs.values() for ref in walk(expr))
