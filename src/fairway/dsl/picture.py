"""A graph as a picture: who needs whom, what is said of each node, and both as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.graph import Expr, Graph, Node

_BOX_WIDTH, _BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 168, 44, 28, 46, 16
FILLS = {
    "succeeded": "#2e9d5b",
    "cached": "#2b8fb3",
    "failed": "#d1434b",
    "running": "#3b73d9",
    "retrying": "#c98a1b",
    "cancelled": "#c98a1b",
    "skipped": "#9aa3ad",
    "waiting": "#c3c9d0",
}


_SHOWN_ITEMS = 12


def needed_nodes(graph: Graph, node: Node) -> list[str]:
    """Ids of the nodes that `node` waits for: through inputs, axes, guards and `after`; in no node twice."""
    found: dict[str, None] = {}
    for expr in node.inputs.values():
        found.update(dict.fromkeys(_nodes_in(expr)))
    for guard in node.guards:
        found.update(dict.fromkeys(_nodes_in(guard.expr)))
    for axis in node.axes:
        for source in graph.axes[axis].sources if axis in graph.axes else ():
            found.update(dict.fromkeys(_nodes_in(source)))
    found.update(dict.fromkeys(node.after))
    if node.pace is not None:
        found.pop(node.pace.by, None)
    known = {other.id for other in graph.nodes}
    return [name for name in found if name in known and name != node.id]


def find_edges(graph: Graph) -> dict[str, list[str]]:
    """For each node, in the graph's order, the nodes it waits for directly: what follows from another edge is left out."""
    needs = {node.id: needed_nodes(graph, node) for node in graph.nodes}
    above: dict[str, set[str]] = {}
    for name, direct in needs.items():
        above[name] = set(direct).union(*(above.get(other, set()) for other in direct))
    return {
        name: [one for one in direct if not any(one in above.get(two, ()) for two in direct if two != one)]
        for name, direct in needs.items()
    }


def _nodes_in(expr: Expr) -> Iterator[str]:
    if expr.kind in ("output", "history"):
        yield expr.name
    for argument in expr.args:
        yield from _nodes_in(argument)


def describe_node(graph: Graph, node: Node) -> str:
    """What the picture says of a node beside its name: mapped over what, only if what."""
    facts = []
    if node.axes:
        facts.append("each " + " × ".join(describe_axis(graph, axis) for axis in node.axes))
    facts += [("if " if guard.wanted else "unless ") + describe_expr(guard.expr) for guard in node.guards]
    if node.exit:
        facts.append("on exit")
    return ", ".join(facts)


def describe_axis(graph: Graph, axis: str) -> str:
    """The list that an axis runs over."""
    found = graph.axes.get(axis)
    return ", ".join(_describe_list(source) for source in found.sources) if found else axis


def _describe_list(source: Expr) -> str:
    """A long constant list by its ends."""
    values: Any = source.value
    if source.kind == "const" and isinstance(values, list) and len(values) > _SHOWN_ITEMS:  # pyright: ignore[reportUnknownArgumentType]
        return f"[{values[0]!r}, {values[1]!r}, … {values[-1]!r}]"
    return describe_expr(source)


def describe_expr(expr: Expr) -> str:
    """The expression as one would write it."""
    if expr.kind == "const":
        return repr(expr.value)
    if expr.kind == "output":
        return expr.name if expr.output in ("", "result") else f"{expr.name}.{expr.output}"
    if expr.kind == "op":
        parts = [f"({describe_expr(part)})" if part.kind == "op" else describe_expr(part) for part in expr.args]
        return f" {expr.name} ".join(parts) if len(parts) > 1 else f"{expr.name} {parts[0]}" if parts else expr.name
    if expr.kind in ("either", "collect"):
        return f"{expr.kind}({', '.join(describe_expr(part) for part in expr.args)})"
    if expr.kind == "at":
        return f"{describe_expr(expr.args[0])}[{describe_expr(expr.args[1])}]"
    if expr.kind == "history":
        return f"history of {expr.name}"
    if expr.kind == "list":
        return f"[{', '.join(describe_expr(part) for part in expr.args)}]"
    if expr.kind == "artifact":
        return expr.value if expr.ref is None and expr.value else _describe_ref(expr.ref)
    if expr.kind in ("secret", "run"):
        return f"{expr.kind} {expr.name}"
    return expr.name


def _describe_ref(ref: ArtifactRef | None) -> str:
    return (ref.name or f"{ref.type or ref.format} {ref.digest[:8]}") if ref else "artifact"


def render_svg(graph: Graph, states: Mapping[str, str] | None = None, notes: Mapping[str, str] | None = None) -> str:
    """A picture of its own: boxes in layers, edges from top to bottom. `notes`: node id -> second line of its box."""
    edges = find_edges(graph)
    layers = _layers(edges)
    width = max(len(layer) for layer in layers) * (_BOX_WIDTH + _GAP_X) - _GAP_X if layers else _BOX_WIDTH
    at: dict[str, tuple[float, float]] = {}
    for depth, layer in enumerate(layers):
        left = (width - len(layer) * (_BOX_WIDTH + _GAP_X) + _GAP_X) / 2
        for n, name in enumerate(layer):
            at[name] = (_MARGIN + left + n * (_BOX_WIDTH + _GAP_X), _MARGIN + 28 + depth * (_BOX_HEIGHT + _GAP_Y))
    height = 2 * _MARGIN + 28 + max(1, len(layers)) * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y
    size = f'viewBox="0 0 {width + 2 * _MARGIN:g} {height:g}" width="{width + 2 * _MARGIN:g}"'
    title = f'<text x="{_MARGIN}" y="{_MARGIN + 10}" font-weight="600" fill="#1d2733">{escape(graph.name)}</text>'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="13">',
        '<rect width="100%" height="100%" rx="8" fill="#fbfcfd"/>',
        title,
    ]
    for name, direct in edges.items():
        x, y = at[name]
        for other in direct:
            x0, y0 = at[other][0] + _BOX_WIDTH / 2, at[other][1] + _BOX_HEIGHT
            bend = (y - y0) / 2
            parts.append(
                f'<path d="M{x0:g} {y0:g} C{x0:g} {y0 + bend:g} {x + _BOX_WIDTH / 2:g} {y - bend:g} {x + _BOX_WIDTH / 2:g} {y:g}" '
                'fill="none" stroke="#8a94a0" stroke-width="1.5"/>'
            )
    by_id = {node.id: node for node in graph.nodes}
    for name, (x, y) in at.items():
        parts += _svg_box(graph, by_id[name], x, y, (states or {}).get(name, ""), (notes or {}).get(name, ""))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _svg_box(graph: Graph, node: Node, x: float, y: float, status: str, note: str) -> list[str]:
    second = note or describe_node(graph, node)
    parts = [f"<g><title>{escape(f'{node.id} {second}'.strip())}</title>"]
    if node.axes:  # a mapped step looks like a stack of cards
        parts.append(f'<rect x="{x + 4:g}" y="{y + 4:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" fill="#fff" stroke="#c3c9d0"/>')
    dash = ' stroke-dasharray="5 3"' if node.guards else ""
    parts.append(f'<rect x="{x:g}" y="{y:g}" width="{_BOX_WIDTH}" height="{_BOX_HEIGHT}" rx="6" fill="#fff" stroke="#8a94a0"{dash}/>')
    if status:
        parts.append(f'<rect x="{x:g}" y="{y:g}" width="6" height="{_BOX_HEIGHT}" rx="3" fill="{FILLS.get(status, "#c3c9d0")}"/>')
    parts.append(
        f'<text x="{x + 14:g}" y="{y + (19 if second else 27):g}" font-weight="600" fill="#1d2733">{escape(_clip(node.id, 21))}</text>'
    )
    if second:
        parts.append(f'<text x="{x + 14:g}" y="{y + 35:g}" font-size="11" fill="#5b6673">{escape(_clip(second, 26))}</text>')
    return [*parts, "</g>"]


def _clip(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _layers(edges: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Nodes by their distance from the start; within a layer near the middle of what they wait for."""
    depth: dict[str, int] = {}
    for name, direct in edges.items():
        depth[name] = max((depth[other] + 1 for other in direct), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in edges:
        layers[depth[name]].append(name)
    place: dict[str, float] = {}
    for layer in layers:
        wanted = {
            name: sum(place[other] for other in edges[name]) / len(edges[name]) if edges[name] else float(n) for n, name in enumerate(layer)
        }
        layer.sort(key=lambda name: wanted[name])
        place.update({name: n - (len(layer) - 1) / 2 for n, name in enumerate(layer)})
    return layers
