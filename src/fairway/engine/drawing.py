"""A graph as Mermaid, and as rails in a terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.dsl.picture import FILLS, describe_node, find_edges
from fairway.spec.graph import Graph


def render_mermaid(graph: Graph, states: Mapping[str, str] | None = None) -> str:
    """A Mermaid flowchart, as Markdown pages draw it. `states`: node id -> status."""
    names = {node.id: f"n{n}" for n, node in enumerate(graph.nodes)}
    lines = ["flowchart TD"]
    groups: dict[str, list[str]] = {}
    for node in graph.nodes:
        label = node.id.replace('"', "'")
        note = describe_node(graph, node).replace('"', "'")
        left, right = ('{{"', '"}}') if node.axes else ('(["', '"])') if node.guards or node.exit else ('["', '"]')
        groups.setdefault(node.group, []).append(f"{names[node.id]}{left}{label}{f'<br/><small>{note}</small>' if note else ''}{right}")
    for n, (group, members) in enumerate(groups.items()):
        if group:
            lines.append(f'  subgraph g{n}["{group}"]')
        lines += [f"  {'  ' if group else ''}{member}" for member in members]
        if group:
            lines.append("  end")
    for name, direct in find_edges(graph).items():
        lines += [f"  {names[other]} --> {names[name]}" for other in direct]
    if states:
        used = sorted({status for status in states.values() if status in FILLS})
        lines += [f"  classDef {status} fill:{FILLS[status]},color:#fff,stroke:none" for status in used]
        lines += [f"  class {names[name]} {status}" for name, status in states.items() if name in names and status in FILLS]
    return "\n".join(lines) + "\n"


def draw_rails(edges: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Rows of a terminal drawing: (rails, node id), with "" for rows that only join or part rails. "●" stands where the node is."""
    followers: dict[str, list[str]] = {name: [] for name in edges}
    for name, direct in edges.items():
        for other in direct:
            followers[other].append(name)
    rails: list[str | None] = []
    rows: list[tuple[str, str]] = []
    for name in edges:
        mine = [n for n, awaited in enumerate(rails) if awaited == name]
        if not mine:
            mine = [_free(rails)]
        if len(mine) > 1:
            rows.append((_join(rails, mine, "╯", "┴"), ""))
        for n in mine[1:]:
            rails[n] = None
        here = mine[0]
        rails[here] = name
        rows.append((" ".join("●" if n == here else "│" if awaited else " " for n, awaited in enumerate(rails)).rstrip(), name))
        after = followers[name]
        rails[here] = after[0] if after else None
        new = []
        for other in after[1:]:
            free = _free(rails, here + 1)
            rails[free] = other
            new.append(free)
        if new:
            before = [None if n in new else awaited for n, awaited in enumerate(rails)]
            rows.append((_join(before, [here, *new], "╮", "┬"), ""))
        while rails and rails[-1] is None:
            rails.pop()
    return rows


def _free(rails: list[str | None], start: int = 0) -> int:
    for n in range(start, len(rails)):
        if rails[n] is None:
            return n
    rails.extend([None] * max(1, start + 1 - len(rails)))
    return len(rails) - 1


def _join(rails: Sequence[str | None], ends: Sequence[int], corner: str, tee: str) -> str:
    """A row that ties the rails at `ends` together; others it crosses."""
    first, last = min(ends), max(ends)
    cells = []
    for n in range(max(len(rails), last + 1)):
        busy = n < len(rails) and rails[n] is not None
        if n == first:
            cells.append("├")
        elif n == last:
            cells.append(corner)
        elif n in ends:
            cells.append(tee)
        elif first < n < last:
            cells.append("┼" if busy else "─")
        else:
            cells.append("│" if busy else " ")
    text = ""
    for n, cell in enumerate(cells):
        text += cell + ("─" if first <= n < last else " ")
    return text.rstrip()
