"""A run's graph as JSON-ready data for the page that draws it: nodes, what folds them, edges. Pure.

Nested pipelines, conditions that several nodes share and the graphs of dynamic tasks are groups. Of a dynamic step with many tasks a few
graphs are shown: those that failed, those that run, the first ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fairway.dsl.picture import describe_expr, find_edges
from fairway.engine.nodecolumns import FAILED, RETRYING, RUNNING, NodeColumns, ScopeColumns, worst_status
from fairway.spec.event import Index, address
from fairway.spec.graph import Graph, Guard, Node

if TYPE_CHECKING:
    from fairway.engine.overview import Overview

MOST_SCOPES = 12
"""Graphs shown of one dynamic node."""
MOST_NODES = 3_000
"""Beyond those of the pipeline itself."""
_DOC = 400


class Shape:
    """What of a picture does not change while the run goes on. `members`: for each group, the nodes in it, however deep."""

    def __init__(self, scopes: Sequence[ScopeColumns]) -> None:
        self.scopes = tuple(scopes)
        self.nodes: list[tuple[NodeColumns, dict[str, Any]]] = []
        self.groups: list[dict[str, Any]] = []
        self.members: dict[str, list[NodeColumns]] = {}
        self.edges: list[dict[str, Any]] = []
        self._taken = {address(scope.name, id) for scope in scopes for id in scope.nodes}
        self._of: dict[str, str] = {}  # node -> its group
        for scope in scopes:
            if scope.nodes:
                self._add(scope)
        plain = json.dumps([[node for _, node in self.nodes], self.groups, self.edges], separators=(",", ":"))
        self.digest = hashlib.sha256(plain.encode()).hexdigest()[:32]

    def _add(self, scope: ScopeColumns) -> None:
        around = ""
        if scope.owner is not None:
            owner = address(scope.owner[0], scope.owner[1])
            around = self.group(f"{scope.name}/", scope.name.rpartition("/")[2], self._of.get(owner, ""), "dynamic")
        placed = _place(self, scope, around)
        for node in scope.nodes.values():
            id = address(scope.name, node.node.id)
            group = self._of[id] = placed[node.node.id]
            self.nodes.append((node, _describe(scope.graph, node, id, group)))
            for above in self._around(group):
                self.members.setdefault(above, []).append(node)
        edges = find_edges(scope.graph)
        for name, needs in edges.items():
            for other in needs:
                label = _label(scope.graph, scope.nodes[name].node, other)
                edge = {"from": address(scope.name, other), "to": address(scope.name, name), "label": label}
                self.edges.append({key: value for key, value in edge.items() if value})
        if scope.owner is not None:
            owner = address(scope.owner[0], scope.owner[1])
            self.edges += [{"from": owner, "to": address(scope.name, name)} for name, needs in edges.items() if not needs]

    def group(self, id: str, label: str, parent: str, kind: str) -> str:
        """The group of this id, made if need be; nodes and groups share no id."""
        while id in self._taken:
            id += "/"
        if all(group["id"] != id for group in self.groups):
            self.groups.append({"id": id, "label": label, "parent": parent, "kind": kind})
        return id

    def _around(self, group: str) -> Iterable[str]:
        above = {one["id"]: one["parent"] for one in self.groups}
        while group:
            yield group
            group = above[group]


def _place(shape: Shape, scope: ScopeColumns, around: str) -> dict[str, str]:
    """The group of each node: its nested pipelines, then the conditions that it shares with others there."""
    prefix = f"{scope.name}/" if scope.name else ""
    pipelines: dict[str, str] = {}
    for node in scope.nodes.values():
        parent, path = around, ""
        for part in node.node.group.split("/") if node.node.group else ():
            path = f"{path}/{part}" if path else part
            parent = shape.group(f"{prefix}{path}", part, parent, "pipeline")
        pipelines[node.node.id] = parent
    sharing: dict[tuple[str, str], list[str]] = {}
    for node in scope.nodes.values():
        for depth in range(1, len(node.node.guards) + 1):
            sharing.setdefault((pipelines[node.node.id], _describe_guards(node.node.guards[:depth])), []).append(node.node.id)
    inside = {group: sum(1 for other in pipelines.values() if other == group) for group in set(pipelines.values())}
    placed: dict[str, str] = {}
    for node in scope.nodes.values():
        home = parent = pipelines[node.node.id]
        for depth in range(1, len(node.node.guards) + 1):
            text = _describe_guards(node.node.guards[:depth])
            others = sharing[home, text]
            if len(others) > 1 and not (home != around and len(others) == inside[home]):
                label = _describe_guards(node.node.guards[depth - 1 : depth])
                parent = shape.group(f"{home}?{text}" if home else f"{prefix}?{text}", label, parent, "condition")
        placed[node.node.id] = parent
    return placed


def _describe(graph: Graph, node: NodeColumns, id: str, group: str) -> dict[str, Any]:
    step = graph.steps[node.node.step]
    found: dict[str, Any] = {
        "id": id,
        "label": node.node.id.rpartition(".")[2] if node.node.group else node.node.id,
        "step": node.node.step,
        "kind": "exit" if node.node.exit else step.kind,
        "group": group,
        "guard": _describe_guards(node.node.guards),
        "doc": step.doc[:_DOC],
        "where": node.node.where or step.where,
    }
    if node.node.axes:
        found["mapped"] = True
    return {key: value for key, value in found.items() if value or key == "group"}


def _describe_guards(guards: Sequence[Guard]) -> str:
    return " and ".join(describe_expr(guard.expr) if guard.wanted else f"not ({describe_expr(guard.expr)})" for guard in guards)


def _label(graph: Graph, node: Node, other: str) -> str:
    """Which outputs of `other` the node takes, where it has names for them."""
    names: dict[str, None] = {}

    def look(expr: Any) -> None:
        if expr.kind == "output" and expr.name == other and expr.output not in ("", "result"):
            names[expr.output] = None
        if expr.kind == "item":
            for source in graph.axes[expr.name].sources:
                look(source)
        for arg in expr.args:
            look(arg)

    for expr in node.inputs.values():
        look(expr)
    return ", ".join(names)


def graph_data(overview: Overview) -> dict[str, Any]:
    """The graph as it stands. `digest` is that of what is drawn without its states: the same digest, the same layout."""
    scopes, left = _shown_scopes(overview)
    shape: Shape | None = overview.shape
    if shape is None or shape.scopes != tuple(scopes):
        shape = overview.shape = Shape(scopes)
    nodes = [_with_state(overview, node, plain, left) for node, plain in shape.nodes]
    groups = [_group_state(overview, group, shape.members.get(group["id"], [])) for group in shape.groups]
    return {
        "run": overview.run,
        "digest": shape.digest,
        "head": overview.head,
        "status": overview.status,
        "nodes": nodes,
        "groups": groups,
        "edges": shape.edges,
    }


def _shown_scopes(overview: Overview) -> tuple[list[ScopeColumns], dict[str, int]]:
    """Scopes that are drawn, those of a dynamic node after its own; and how many of a node's are not."""
    scopes = overview.scopes
    if len(scopes) <= 1:
        return list(scopes.values()), {}
    inner: dict[tuple[str, str], list[ScopeColumns]] = {}
    for scope in scopes.values():
        if scope.owner is not None:
            inner.setdefault(scope.owner[:2], []).append(scope)
    shown: list[ScopeColumns] = []
    left: dict[str, int] = {}
    room = MOST_NODES

    def show(scope: ScopeColumns) -> None:
        nonlocal room
        shown.append(scope)
        for name in scope.nodes:
            found = inner.get((scope.name, name), [])
            some = sorted(found, key=_by_interest)[:MOST_SCOPES] if len(found) > MOST_SCOPES else found
            drawn = 0
            for one in sorted(some, key=_by_index):
                if room >= len(one.nodes):
                    room -= len(one.nodes)
                    drawn += 1
                    show(one)
            if drawn < len(found):
                left[address(scope.name, name)] = len(found) - drawn

    if "" in scopes:
        show(scopes[""])
    return shown, left


def _by_index(scope: ScopeColumns) -> Index:
    return scope.owner[2] if scope.owner is not None else ()


def _by_interest(scope: ScopeColumns) -> int:
    """Those that failed first, then those that go on; in their order else."""
    codes = [code for code in (FAILED, RUNNING, RETRYING) if any(node.counts[code] for node in scope.nodes.values())]
    return 0 if FAILED in codes else 1 if codes else 2


def _with_state(overview: Overview, node: NodeColumns, plain: dict[str, Any], left: dict[str, int]) -> dict[str, Any]:
    found = {**plain, "total": node.total, "counts": node.named_counts(), "status": overview.node_status(node)}
    if node.started_at:
        found["started_at"] = node.started_at
    if node.ended_at:
        found["ended_at"] = node.ended_at
    error = overview.error_of(node.first_failed) if node.first_failed >= 0 else None
    if error is not None and node.counts[FAILED]:
        found["error"] = {"kind": error[0], "code": error[1], "message": error[2]}
    if plain["id"] in left:
        found["scopes_left"] = left[plain["id"]]
    return found


def _group_state(overview: Overview, group: dict[str, Any], members: Sequence[NodeColumns]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for node in members:
        for status, n in node.named_counts().items():
            counts[status] = counts.get(status, 0) + n
    if not counts:
        return {**group, "counts": counts, "status": "waiting" if overview.status in ("new", "running") else "skipped"}
    return {**group, "counts": counts, "status": worst_status(counts)}
