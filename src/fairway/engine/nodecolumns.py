"""Scopes and nodes of an overview: which slots their items have, and counters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fairway.engine.scopegraph import ScopeGraph
from fairway.engine.state import walk_indices
from fairway.spec.event import Index
from fairway.spec.graph import Graph, Node
from fairway.spec.resources import Retry

STATUSES = ("waiting", "running", "retrying", "succeeded", "cached", "skipped", "failed", "cancelled")
WAITING, RUNNING, RETRYING, SUCCEEDED, CACHED, SKIPPED, FAILED, CANCELLED = range(8)
SETTLED_FROM = SUCCEEDED
"""This code and all above it are ends."""
DONE_WELL = (SUCCEEDED, CACHED)
PHASES = ("waiting", "starting", "running", "writing")

_WORST_FIRST = ("failed", "running", "retrying", "cancelled", "waiting", "succeeded", "cached", "skipped")


def worst_status(counts: Mapping[str, int]) -> str:
    """One word for some tasks."""
    return next((status for status in _WORST_FIRST if counts.get(status)), "waiting")


class NodeColumns:
    """One node in one scope. Its items lie in blocks: for each index on all axes but the last, as many slots in a row as the last is long.

    `spent`: seconds that its attempts spent in each of PHASES; `first_failed`: the slot of the item that failed first, -1 for none.
    """

    __slots__ = ("attempts", "blocks", "counts", "ended_at", "first_failed", "node", "retry", "row", "scope", "spent", "started_at",
                 "tolerant", "total")  # fmt: skip

    def __init__(self, scope: str, node: Node, retry: Retry, tolerant: bool) -> None:
        self.scope, self.node, self.retry, self.tolerant = scope, node, retry, tolerant
        self.row = -1
        self.blocks: dict[Index, tuple[int, int]] = {}
        self.total = 0
        self.counts = [0] * len(STATUSES)
        self.started_at = self.ended_at = 0.0
        self.spent = [0.0] * len(PHASES)
        self.attempts = 0
        self.first_failed = -1

    def add_block(self, prefix: Index, start: int, count: int) -> None:
        """These slots are the items whose indices begin with `prefix`."""
        self.blocks[prefix] = start, count
        self.total += count

    def slot(self, index: Sequence[int]) -> int:
        """The slot of an item. Raises KeyError where there is none."""
        found = self.find_slot(index)
        if found < 0:
            raise KeyError(index)
        return found

    def find_slot(self, index: Sequence[int]) -> int:
        """The slot of an item, -1 where there is none."""
        block = self.blocks.get(tuple(index[:-1]))
        if block is None or len(index) != len(self.node.axes):
            return -1
        at = index[-1] if index else 0
        return block[0] + at if 0 <= at < block[1] else -1

    def slots(self, indices: Sequence[Index]) -> Sequence[int]:
        """The slots of items. Raises KeyError where there is none."""
        if len(self.node.axes) == 1 and indices:
            start, count = self.blocks[()]
            if not 0 <= min(indices)[0] <= max(indices)[0] < count:
                raise KeyError(max(indices))
            return [start + at for (at,) in indices]
        return [self.slot(index) for index in indices]

    def all_slots(self) -> Iterator[int]:
        """Those of all its items, in the order in which they came to be."""
        for start, count in self.blocks.values():
            yield from range(start, start + count)

    def named_counts(self) -> dict[str, int]:
        """Tasks by status, those of none left out."""
        return {name: n for name, n in zip(STATUSES, self.counts, strict=True) if n}


class ScopeColumns:
    """One graph being run: see `engine.state.Scope`."""

    __slots__ = ("ended", "graph", "index", "lengths", "name", "nodes", "owner")

    def __init__(self, name: str, graph: Graph, owner: tuple[str, str, Index] | None) -> None:
        self.name, self.graph, self.owner = name, graph, owner
        self.index = ScopeGraph(graph)
        self.lengths: dict[str, dict[Index, int]] = {axis: {} for axis in graph.axes}
        self.nodes = {n.id: NodeColumns(name, n, graph.steps[n.step].retry, self.index.tolerant[n.id]) for n in graph.nodes}
        self.ended = False

    def blocks(self, axes: tuple[str, ...], fixed: Mapping[str, int]) -> Iterator[tuple[Index, int]]:
        """(index on all axes but the last, length of the last) wherever it is known and the index agrees with `fixed`."""
        outer = self.graph.axes[axes[-1]].axes
        for prefix in walk_indices(self.graph, self.lengths, axes[:-1], fixed):
            at = dict(zip(axes, prefix, strict=False))
            count = self.lengths[axes[-1]].get(tuple(at[axis] for axis in outer))
            if count is not None and count > 0:
                yield prefix, count
