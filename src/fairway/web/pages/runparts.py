"""Parts of a run's page: what failed, what came out, its steps in order, the tasks of a mapped step as a strip of cells. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from fairway.engine.nodecolumns import STATUSES
from fairway.engine.overview import NodeView, Overview
from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import Record, field, record
from fairway.spec.summary import RunSummary

MOST_CELLS = 2_000
ROW = 50
_SHOWN_VALUE = 60
_SEVERITY = ("failed", "retrying", "running", "cancelled", "waiting", "skipped", "cached", "succeeded")


@record
class Failure(Record):
    """Why a run did not succeed, in a line: `task` is the one that failed first, "" where none did; `more` others failed, too."""

    task: str
    step: str
    kind: str
    code: str
    message: str
    hint: str
    more: int = 0


@record
class Output(Record):
    """One result of a run. `value` is what it is, where that is short."""

    name: str
    ref: ArtifactRef
    value: str


@record
class StepRow(Record):
    """One line of the list of steps: a node, or with `group` a heading above those in it. `depth` counts the groups around it."""

    id: str
    label: str
    depth: int
    status: str
    kind: str = ""
    group: bool = False
    mapped: bool = False
    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    started_at: float = 0.0
    ended_at: float = 0.0
    note: str = ""
    doc: str = ""


@record
class Strip(Record):
    """The tasks of a mapped step as cells in rows of ROW, each of `width` tasks and as bad as the worst of them. `paths`: by state, what
    of a drawing with cells of 10 by 10 is filled; `rows` of them."""

    width: int
    rows: int
    paths: dict[str, str]


def find_failure(overview: Overview, summary: RunSummary) -> Failure | None:
    """What failed first; of a run that ended by itself, its own error."""
    found = overview.failures(1)
    if found and summary.status != "succeeded":
        task, kind, code, message, hint = found[0]
        return Failure(task, task.partition("[")[0], kind, code, message, hint, max(0, summary.counts.get("failed", 0) - 1))
    error = overview.error
    if error is not None and summary.status in ("failed", "timeout", "cancelled"):
        return Failure("", "", error.kind, error.code, error.message, error.hint)
    return None


def list_outputs(overview: Overview) -> tuple[Output, ...]:
    """The run's results by name."""
    return tuple(Output(name, ref, spell_value(ref)) for name, ref in overview.outputs.items())


def spell_value(ref: ArtifactRef) -> str:
    """A small artifact's value in a word, "" for one that is larger or no plain value."""
    text = ref.inline or ""
    return text if 0 < len(text) <= _SHOWN_VALUE and text[:1] not in "[{" else ""


def split_step(step: str) -> tuple[str, str]:
    """(scope, node) of a step's address."""
    scope, _, node = step.rpartition("/")
    return scope, node


def read_step(overview: Overview, step: str) -> NodeView | None:
    """The node of this address, if it is one that is mapped: of others the one task has the same address."""
    scope, name = split_step(step)
    found = overview.scopes.get(scope)
    node = found.nodes.get(name) if found is not None else None
    return overview.node(scope, name) if node is not None and node.node.axes else None


def list_rows(data: Mapping[str, Any]) -> tuple[StepRow, ...]:
    """The steps of `graph_data` in order, those of a group together under its heading."""
    groups = {group["id"]: group for group in data["groups"]}
    rows: list[StepRow] = []
    members: dict[str, list[Mapping[str, Any]]] = {}
    for node in data["nodes"]:
        members.setdefault(node.get("group", ""), []).append(node)
    inner: dict[str, list[str]] = {}
    for group in groups.values():
        inner.setdefault(group["parent"], []).append(group["id"])

    def first_place(group: str) -> float:
        """What a step has made comes after it; a group without steps comes after all."""
        maker = re.sub(r"\[[\d,]*\]$", "", group.rstrip("/")) if groups[group]["kind"] == "dynamic" else ""
        if maker in places:
            return places[maker] + 0.5
        mine = [places[node["id"]] for node in members.get(group, ())] + [first_place(one) for one in inner.get(group, ())]
        return min(mine, default=len(places))

    def is_empty(group: str) -> bool:
        return not members.get(group) and all(is_empty(one) for one in inner.get(group, ()))

    places = {node["id"]: place for place, node in enumerate(data["nodes"])}

    def add(group: str, depth: int) -> None:
        parts: list[tuple[float, Mapping[str, Any] | str]] = [(places[node["id"]], node) for node in members.get(group, ())]
        parts += [(first_place(one), one) for one in inner.get(group, ())]
        for _, part in sorted(parts, key=lambda item: item[0]):
            if isinstance(part, str):
                if not is_empty(part):
                    found = groups[part]
                    rows.append(StepRow(part, found["label"], depth, found["status"], kind=found["kind"], group=True))
                    add(part, depth + 1)
            else:
                rows.append(_row(part, depth))

    add("", 0)
    return tuple(rows)


def _row(node: Mapping[str, Any], depth: int) -> StepRow:
    error = node.get("error")
    return StepRow(
        node["id"],
        node["label"],
        depth,
        node["status"],
        kind=node["kind"],
        mapped=bool(node.get("mapped")),
        total=node.get("total", 0),
        counts=node["counts"],
        started_at=node.get("started_at", 0.0),
        ended_at=node.get("ended_at", 0.0),
        note=_note(error, node.get("guard")),
        doc=node.get("doc", "").split("\n", 1)[0],
    )


def draw_strip(overview: Overview, scope: str, name: str) -> Strip | None:
    """All tasks of a node in at most MOST_CELLS cells; None if there are none yet."""
    node = overview.scopes[scope].nodes[name]
    codes = b"".join(bytes(overview.columns.status[start : start + count]) for start, count in node.blocks.values())
    if not codes:
        return None
    width = -(-len(codes) // MOST_CELLS)
    ranks = bytes(_SEVERITY.index(status) for status in STATUSES)
    ranked = codes.translate(ranks + bytes(256 - len(ranks)))
    cells = bytes(min(ranked[first : first + width]) for first in range(0, len(ranked), width)) if width > 1 else ranked
    paths: dict[str, list[str]] = {}
    for top in range(0, len(cells), ROW):
        left = 0
        for rank, same in groupby(cells[top : top + ROW]):
            long = len(tuple(same))
            paths.setdefault(_SEVERITY[rank], []).append(f"M{left * 10} {top // ROW * 10}h{long * 10}v10h-{long * 10}z")
            left += long
    return Strip(width, -(-len(cells) // ROW), {status: "".join(parts) for status, parts in paths.items()})


def _note(error: Mapping[str, Any] | None, guard: str | None) -> str:
    """What is said of a step in its line: its first error, or when it runs."""
    if error:
        return f"{error['kind']}: {error['message'].partition(chr(10))[0]}"
    return f"if {guard}" if guard else ""
