"""Where an artifact comes from and what was made of it, within one run: read from the run's graph and from the references it recorded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fairway.engine.nodecolumns import DONE_WELL, NodeColumns, ScopeColumns
from fairway.engine.resolve import Library
from fairway.engine.sketch import Sketch, Source, outputs_in
from fairway.errors import FairwayError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.endpoint import Endpoint
from fairway.spec.event import Index, address
from fairway.spec.graph import Expr
from fairway.spec.record import Record, record

Place = tuple[str, str, Index]
Wanted = dict[int, set[str]]
"""Outputs by the slot of the task that made them."""
MOST_TASKS = 500
_LISTS_UP_TO = 1_000
_MOST_LOOKED = 20_000
_JSON_UP_TO_BYTES = 256 << 10


@record
class Served(Record):
    """An artifact is what this revision of an endpoint serves; `weight`: its share of the traffic now."""

    endpoint: str
    revision: int
    weight: float = 0.0


def find_served(endpoints: Iterable[Endpoint]) -> dict[str, list[Served]]:
    """Digest of a model -> the revisions that serve it, those with traffic first."""
    found: dict[str, list[Served]] = {}
    for endpoint in endpoints:
        weights = dict(endpoint.traffic)
        for one in endpoint.revisions:
            for digest in sorted({str(one.spec.package.get("digest", "")), str(one.spec.lineage.get("artifact", ""))} - {""}):
                found.setdefault(digest, []).append(Served(endpoint.name, one.number, weights.get(one.number, 0.0)))
    return {digest: sorted(some, key=lambda one: (-one.weight, one.endpoint, -one.revision)) for digest, some in found.items()}


class Lineage:
    """Walks from one artifact through the tasks of a run, up to what it was made of and down to what was made of it.

    At most `MOST_TASKS` tasks are visited; `complete` says whether that was enough. For a thread: it reads the journal and the store.
    """

    def __init__(self, sketch: Sketch, library: Library) -> None:
        self._sketch, self._library = sketch, library
        self._sources: dict[Place, dict[str, Source]] = {}
        self._given: dict[Place, dict[str, ArtifactRef]] = {}
        self.tasks: dict[Place, None] = {}
        self.complete = True

    def up(self, digest: str, depth: int) -> None:
        """What made it, and what made that, `depth` times."""
        overview = self._sketch.overview
        found = self._visit_all([*self.makers(digest), *(overview.place(slot) for slot, _ in self.collected(digest))])
        for _ in range(depth - 1):
            if not found:
                return
            slots: dict[int, None] = {}
            for place in found:
                slots.update(dict.fromkeys(self._behind(place)))
            found = self._visit_all(map(overview.place, self._sketch.in_order(slots)))

    def _behind(self, place: Place) -> Iterator[int]:
        """Slots of the tasks that the task's inputs come from; of a dynamic task also those inside that made its outputs."""
        overview = self._sketch.overview
        for source in self.sources(place).values():
            self.complete = self.complete and not source.is_large
            yield from (slot for slot, _ in source.outputs if overview.columns.status[slot] in DONE_WELL)
        inner = overview.scopes.get(address(*place))
        for expr in inner.graph.outputs.values() if inner is not None else ():
            assert inner is not None
            yield from (slot for slot, _ in self._sketch.source_of(inner, expr, {}).outputs)
        named = {ref.digest for expr in overview.scopes[place[0]].nodes[place[1]].node.inputs.values() for ref in _constants(expr)}
        yield from map(self._sketch.find_slot, self._sketch.makers(named, MOST_TASKS))

    def down(self, digest: str, depth: int) -> None:
        """What takes it, and what takes that, `depth` times."""
        wanted: Wanted = {}
        for place in self.makers(digest):
            names = {name for name, ref in self.outputs(place).items() if ref.digest == digest}
            wanted[self._sketch.find_slot(place)] = names
        values, given = {digest}, {name for name, ref in self._sketch.state.params.items() if digest in self._digests(ref)}
        for _ in range(depth):
            found = self._visit_all(self._takers(self._promoted(wanted), values, given))
            if not found:
                return
            wanted = {self._sketch.find_slot(place): set(self.outputs(place)) for place in found}
            values, given = {ref.digest for place in found for ref in self.outputs(place).values()}, set()

    def _promoted(self, wanted: Wanted) -> Wanted:
        """With the outputs of dynamic tasks that are these outputs of tasks inside."""
        overview = self._sketch.overview
        out, rest = dict(wanted), dict(wanted)
        while rest:
            owners: Wanted = {}
            for name in {overview.place(slot)[0] for slot in rest} - {""}:
                scope = overview.scopes[name]
                owner = overview.scopes[scope.owner[0]].nodes[scope.owner[1]].find_slot(scope.owner[2]) if scope.owner is not None else -1
                for output, expr in scope.graph.outputs.items():
                    if any(made in rest.get(slot, ()) for slot, made in self._sketch.source_of(scope, expr, {}).outputs):
                        owners.setdefault(owner, set()).add(output)
            rest = {slot: names for slot, names in owners.items() if slot not in out}
            out.update(rest)
        return out

    def makers(self, digest: str) -> Iterator[Place]:
        """The tasks that have made it."""
        return self._sketch.makers((digest,), MOST_TASKS)

    def collected(self, digest: str) -> list[tuple[int, str]]:
        """(slot, output) of what the run's own output `digest` was collected from."""
        overview = self._sketch.overview
        names = [name for name, ref in overview.outputs.items() if ref.digest == digest]
        found: list[tuple[int, str]] = []
        for name in names:
            if name in overview.graph.outputs:
                found += self._sketch.source_of(overview.scopes[""], overview.graph.outputs[name], {}).outputs
        return found

    def outputs(self, place: Place) -> Mapping[str, ArtifactRef]:
        """What the task made."""
        return self._sketch.task(place).outputs or {}

    def sources(self, place: Place) -> dict[str, Source]:
        """What its inputs were made of, by name."""
        if place not in self._sources:
            self._sources[place] = self._sketch.sources(place)
        return self._sources[place]

    def given(self, place: Place) -> dict[str, ArtifactRef]:
        """The task's inputs as far as they were made; what is gathered from very many tasks is left out."""
        self._load_given([place])
        return self._given[place]

    def rows(self) -> list[dict[str, Any]]:
        """The visited tasks with the digests that they took and made."""
        out: list[dict[str, Any]] = []
        self._load_given(list(self.tasks))
        self._sketch.load(map(self._sketch.find_slot, self.tasks))
        for place in self.tasks:
            task = self._sketch.task(place)
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

    def _load_given(self, places: Sequence[Place]) -> None:
        unknown = [place for place in places if place not in self._given]
        for place, inputs in zip(unknown, self._sketch.given(unknown, self._library) if unknown else (), strict=True):
            self._given[place] = {name: value.ref for name, value in inputs.items() if value.ref is not None}

    def _visit_all(self, places: Iterable[Place]) -> list[Place]:
        """Those that had not been visited."""
        found: list[Place] = []
        for place in places:
            if place in self.tasks:
                continue
            if len(self.tasks) >= MOST_TASKS:
                self.complete = False
                break
            self.tasks[place] = None
            found.append(place)
        self._sketch.load(map(self._sketch.find_slot, found))
        return found

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

    def _takers(self, wanted: Wanted, values: set[str], params: Collection[str]) -> Iterator[Place]:
        """Tasks that take some of the wanted outputs, one of these parameters, or an artifact that their graph names itself."""
        overview = self._sketch.overview
        by_scope: dict[str, dict[str, list[Place]]] = {}
        for place in map(overview.place, wanted):
            by_scope.setdefault(place[0], {}).setdefault(place[1], []).append(place)
        looked = 0
        for scope in list(overview.scopes.values()):
            makers = by_scope.get(scope.name, {})
            for node in scope.nodes.values():
                exprs = node.node.inputs.values()
                takes_all = any(_names(scope, expr, params if not scope.name else (), values) for expr in exprs)
                leading = [expr for expr in exprs if any(one.name in makers for one in outputs_in(scope, expr))]
                if not leading and not takes_all:
                    continue
                for slot in self._candidates(node, [] if takes_all else leading, makers):
                    looked += 1
                    if looked > _MOST_LOOKED:
                        self.complete = False
                        return
                    place = overview.place(slot)
                    taken = self._takes(scope, place, wanted, makers)
                    if takes_all and not taken:
                        taken = any(not values.isdisjoint(self._digests(ref)) for ref in self.given(place).values())
                    if taken:
                        yield place

    def _takes(self, scope: ScopeColumns, place: Place, wanted: Wanted, makers: Mapping[str, Sequence[Place]]) -> bool:
        node = scope.nodes[place[1]].node
        at = dict(zip(node.axes, place[2], strict=True))
        for name, source in self._sketch.sources(place).items():
            if any(output in wanted.get(slot, ()) for slot, output in source.outputs):
                return True
            for one in outputs_in(scope, node.inputs[name]) if source.is_large else ():
                axes = scope.nodes[one.name].node.axes
                for maker in makers.get(one.name, ()):
                    names = wanted[self._sketch.find_slot(maker)]
                    agrees = all(at.get(axis, number) == number for axis, number in zip(axes, maker[2], strict=True))
                    if agrees and (one.output or "result") in names:
                        return True
        return False

    def _candidates(self, node: NodeColumns, leading: Sequence[Expr], makers: Mapping[str, Sequence[Place]]) -> Iterable[int]:
        """The slots of the node's items that may take it: those of the same index where it is taken so."""
        nodes = self._sketch.overview.scopes[node.scope].nodes
        if not leading or any(expr.kind != "output" or nodes[expr.name].node.axes != node.node.axes for expr in leading):
            return node.all_slots()
        slots = {node.find_slot(place[2]) for expr in leading for place in makers.get(expr.name, ())}
        return sorted(slot for slot in slots if slot >= 0)


def _names(scope: ScopeColumns, expr: Expr, params: Collection[str], digests: Collection[str]) -> bool:
    """Is the value made of one of these parameters, or of an artifact that the pipeline names itself?"""
    if expr.kind == "item":
        return _names(scope, scope.graph.axes[expr.name].sources[expr.position], params, digests)
    if (expr.kind == "param" and expr.name in params) or (expr.ref is not None and expr.ref.digest in digests):
        return True
    return any(_names(scope, arg, params, digests) for arg in expr.args)


def _may_list(ref: ArtifactRef) -> bool:
    """Is it a list, and one that may be taken apart here? Of a large one the items are too many to be told of one by one."""
    if ref.format == "list":
        return True
    lists = ref.type.startswith(("list", "tuple", "range")) or not ref.type
    return ref.format == "json" and lists and ref.size_bytes <= _JSON_UP_TO_BYTES and (ref.inline or "[")[:1] == "["


def _constants(expr: Expr) -> Iterator[ArtifactRef]:
    if expr.ref is not None:
        yield expr.ref
    for arg in expr.args:
        yield from _constants(arg)
