"""The read model of one run: what pages show of it, folded from its journal into columns.

Where `engine.state` keeps everything that a decision may need, this keeps counts, statuses and times: a run of 100,000 items takes a few
megabytes. What it leaves out (outputs, errors in full) is in the journal; it knows the numbers of the events that hold it, and
`engine.story` reads them for one task.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from fairway.engine.columns import Columns
from fairway.engine.graphdata import graph_data
from fairway.engine.lean import read_lean
from fairway.engine.made import Made
from fairway.engine.nodecolumns import DONE_WELL, RETRYING, STATUSES, NodeColumns, ScopeColumns, worst_status
from fairway.engine.skim import Seen, skim
from fairway.engine.timelinedata import timeline_data
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import Index, RunOptions, address
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo
from fairway.spec.record import Record, record

Place = tuple[str, str, Index]
"""Scope, node, index."""
MOST_ERRORS = 2_000
"""Different errors whose messages are kept; of further ones the code is."""
_MESSAGE, _HINT = 500, 300
_REASONS = 250


@record
class NodeView(Record):
    """One node: its tasks counted by status. Times are epoch seconds, 0 where there are none."""

    counts: dict[str, int]
    total: int
    status: str
    started_at: float
    ended_at: float


@record
class ItemView(Record):
    """One task in a list. `attempt` is the id of the last of `n_attempts`; times are that attempt's; `waits`: why it has not begun;
    `retried`: what it failed of before it went well."""

    address: str
    index: Index
    status: str
    n_attempts: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    attempt: str = ""
    reason: str = ""
    error_code: str = ""
    error: str = ""
    waits: str = ""
    retried: str = ""
    number: int = 0


def as_error(error: Any) -> ErrorInfo:
    """An error as overviews keep it, with what is known of it."""
    if isinstance(error, ErrorInfo):
        return error
    return ErrorInfo(error.kind, error.code, error.message, error.hint, mro=tuple(error.mro), retryable=error.retryable)


class Overview:
    """See above. Changed by `fold` alone; to be read between two calls of it.

    `error` is the run's own; `failures` has those of its tasks. `now` is the latest time that an event named.
    """

    def __init__(self, run: str = "") -> None:
        self.run = run
        self.head = 0
        self.status = "new"
        self.graph = Graph("")
        self.params: dict[str, ArtifactRef] = {}
        self.outputs: dict[str, ArtifactRef] = {}
        self.bundle = ""
        self.options = RunOptions()
        self.project = self.created_by = self.triggered_by = self.name = self.source = ""
        self.target = "local"
        self.environment: dict[str, Any] = {}
        self.tags: tuple[str, ...] = ()
        self.note = ""
        self.archived = False
        self.started_at = self.resumed_at = self.ended_at = self.now = self.idle_s = 0.0
        self.resumes = 0
        self.error: Any = None
        self.stopping = ""
        self.broken = False
        self.metrics: dict[str, float] = {}
        self.scopes: dict[str, ScopeColumns] = {}
        self.nodes: list[NodeColumns] = []
        self.past: dict[tuple[str, str], NodeColumns] = {}
        self.totals = [0] * len(STATUSES)
        self.columns = Columns()
        self.block_start: array[int] = array("I")
        self.block_node: array[int] = array("I")
        self.block_prefix: list[Index] = []
        self.live: dict[str, int] = {}
        self.seen: dict[int, Seen] = {}
        self.retries: list[tuple[float, int, int, tuple[int, ...]]] = []
        self.lost: dict[int, int] = {}
        self.cached_graphs: dict[int, int] = {}  # slot -> number of the event that took its graph from the cache
        self.failed: array[int] = array("I")
        self.tolerated: array[int] = array("I")
        self.errors: dict[int, int] = {}
        self.known_errors: list[tuple[str, str, str, str]] = []
        self.known_reasons: list[str] = [""]
        self.shape: Any = None  # of its graph, as `graph_data` has drawn it last
        self.timeline: Any = None  # what `timeline_data` has made last, and of which head
        self.made = Made()  # brought up to date by who needs it: `engine.sketch`
        self._error_codes: dict[tuple[str, str, str, str], int] = {}

    def fold(self, text: str, first: int) -> None:
        """Take in a batch that begins with event number `first`; what is known already is passed over."""
        for number, event in read_lean(text, first, self.head):
            skim(self, number, event)

    def fold_events(self, numbered: Iterable[tuple[int, Any]]) -> None:
        """Take in events that have been read already."""
        for number, event in numbered:
            if number > self.head:
                skim(self, number, event)

    def counts(self) -> dict[str, int]:
        """Tasks by status."""
        return {name: n for name, n in zip(STATUSES, self.totals, strict=True) if n}

    @property
    def total(self) -> int:
        """Tasks that there are so far."""
        return sum(self.totals)

    def node(self, scope: str, node: str) -> NodeView:
        """Raises KeyError."""
        found = self.scopes[scope].nodes[node]
        counts = found.named_counts()
        return NodeView(counts, found.total, self.node_status(found), found.started_at, found.ended_at)

    def node_status(self, node: NodeColumns) -> str:
        """One word for a node's tasks. A list that turned out empty, or was never made before the run's end, leaves it skipped."""
        if not node.total and self.status not in ("new", "running"):
            return "skipped"
        return worst_status(node.named_counts())

    def items(self, scope: str, node: str, *, status: str = "", after: int = 0, limit: int = 100) -> tuple[list[ItemView], bool]:
        """Tasks of a node from number `after` on, in order, and whether there are more. Raises KeyError."""
        found = self.scopes[scope].nodes[node]
        wanted = STATUSES.index(status) if status else -1
        out: list[ItemView] = []
        if wanted >= 0 and not found.counts[wanted]:
            return out, False
        for number, slot in self._from(found, after, wanted):
            if len(out) == limit:
                return out, True
            out.append(self.item(slot, number))
        return out, False

    def _from(self, node: NodeColumns, after: int, wanted: int) -> Iterator[tuple[int, int]]:
        """(number, slot) of the node's items from number `after` on that have the status."""
        number = 0
        column = self.columns.status
        for start, count in node.blocks.values():
            at = max(0, after - number)
            while at < count:
                if wanted >= 0:
                    at = column.find(wanted, start + at, start + count) - start
                    if at < 0:
                        break
                yield number + at, start + at
                at += 1
            number += count

    def item(self, slot: int, number: int = 0) -> ItemView:
        """One task. `number`: its place among its node's."""
        columns = self.columns
        scope, node, index = self.place(slot)
        attempts = columns.attempts_of(slot)
        error = self.error_of(slot)
        view = ItemView(
            address(scope, node, index),
            index,
            STATUSES[columns.status[slot]],
            len(attempts),
            reason=self.shown_reason(slot),
            error_code=error[1] if error else "",
            error=error[2] if error else "",
            retried=self._retried(slot),
            number=number,
        )
        if attempts:
            row = attempts[-1]
            planned = columns.planned_at[row]
            view.attempt = columns.id(row)
            view.started_at = planned + columns.started[row] if columns.started[row] >= 0 else 0.0
            view.ended_at = planned + columns.ended[row] if columns.ended_no[row] else 0.0
            seen = self.seen.get(row)
            if seen is not None and not columns.ended_no[row]:
                view.waits = seen.reason
                view.started_at = seen.starting_at or seen.running_at
        return view

    def place(self, slot: int) -> Place:
        """Which task a slot is."""
        block = bisect_right(self.block_start, slot) - 1
        node = self.nodes[self.block_node[block]]
        prefix = self.block_prefix[block]
        return node.scope, node.node.id, (*prefix, slot - self.block_start[block]) if node.node.axes else ()

    def address(self, slot: int) -> str:
        """The task's name within its run."""
        return address(*self.place(slot))

    def find_slot(self, task: str) -> int:
        """The slot of the task with this address, -1 if there is none."""
        scope, _, rest = task.rpartition("/")
        name, bracket, inner = rest.partition("[")
        found = self.scopes.get(scope)
        node = found.nodes.get(name) if found is not None else None
        if node is None or (bracket and inner[-1:] != "]"):
            return -1
        try:
            index = tuple(map(int, inner[:-1].split(","))) if bracket else ()
        except ValueError:
            return -1
        slot = node.find_slot(index)
        return slot if slot >= 0 and address(scope, name, index) == task else -1

    def failures(self, limit: int = 50) -> list[tuple[str, str, str, str, str]]:
        """(address, kind, code, message, hint) of failed tasks, the first to fail first; those that fail the run before those that it
        bears."""
        out: dict[int, tuple[str, str, str, str, str]] = {}
        for slots in (self.failed, self.tolerated):
            for slot in slots:
                if len(out) >= limit:
                    break
                error = self.error_of(slot)
                if error is not None and STATUSES[self.columns.status[slot]] == "failed":
                    out[slot] = (self.address(slot), *error)
        return list(out.values())

    def due_at(self, slot: int) -> float:
        """When a task that failed is tried again (epoch seconds), 0 if it is not."""
        if self.columns.status[slot] != RETRYING:
            return 0.0
        return next((due_at for due_at, _, _, slots in self.retries if slot in slots), 0.0)

    def error_of(self, slot: int) -> tuple[str, str, str, str] | None:
        """(kind, code, message, hint) of the item's last failure; a long message is cut. None of one that went well at last."""
        code = self.errors.get(slot)
        return None if code is None or self.columns.status[slot] in DONE_WELL else self.known_errors[code]

    def _retried(self, slot: int) -> str:
        code = self.errors.get(slot)
        return "" if code is None or self.columns.status[slot] not in DONE_WELL else self.known_errors[code][2]

    def set_error(self, slot: int, error: Any) -> None:
        """Keep what an item failed of; None forgets it."""
        if error is None:
            self.errors.pop(slot, None)
            return
        key = (error.kind, error.code, error.message[:_MESSAGE], error.hint[:_HINT])
        code = self._error_codes.get(key)
        if code is None and len(self.known_errors) >= MOST_ERRORS:
            key = (error.kind, error.code, "", "")
            code = self._error_codes.get(key)
        self.errors[slot] = self.know_error(key) if code is None else code

    def know_error(self, error: tuple[str, str, str, str]) -> int:
        """Add to the errors that items may have failed of; returns its code."""
        code = self._error_codes[error] = len(self.known_errors)
        self.known_errors.append(error)
        return code

    def reason(self, slot: int) -> str:
        """Why it was skipped: "condition", "upstream", "failed", "cancelled", "skip"; of tasks that go on, how."""
        return self.known_reasons[self.columns.reason[slot]]

    def shown_reason(self, slot: int) -> str:
        """Why it was skipped, "" if it was not."""
        return self.reason(slot) if STATUSES[self.columns.status[slot]] == "skipped" else ""

    def set_reason(self, slot: int, reason: str) -> None:
        """Keep it; of too many different ones the later are "other"."""
        if reason not in self.known_reasons:
            reason = reason if len(self.known_reasons) < _REASONS else "other"
            if reason not in self.known_reasons:
                self.known_reasons.append(reason)
        self.columns.reason[slot] = self.known_reasons.index(reason)

    @property
    def size_bytes(self) -> int:
        """About what it takes of memory."""
        blocks = sum(len(node.blocks) for node in self.nodes)
        graphs = 900 * len(self.nodes) + 6_000 * len(self.scopes)
        return (
            self.columns.size_bytes
            + self.made.size_bytes
            + 160 * blocks
            + graphs
            + 250 * (len(self.errors) + len(self.known_errors))
            + 20_000
        )


__all__ = ["ItemView", "NodeView", "Overview", "Place", "as_error", "graph_data", "timeline_data", "worst_status"]
