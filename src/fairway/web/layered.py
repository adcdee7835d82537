"""Puts the nodes of a small graph into layers, left to right, with few crossings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

_SWEEPS = 6


def layer(nodes: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The nodes by layer: every edge leads from a layer to a later one, sources stand right before what needs them first. An edge that
    would close a circle is left out of account."""
    known = set(nodes)
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for start, end in dict.fromkeys(edges):
        if start in known and end in known and start != end:
            after[start].append(end)
    order = _order(nodes, after)
    rank = {node: n for n, node in enumerate(order)}
    forward = {node: [end for end in after[node] if rank[end] > rank[node]] for node in nodes}
    depth = dict.fromkeys(nodes, 0)
    for node in order:
        for end in forward[node]:
            depth[end] = max(depth[end], depth[node] + 1)
    before: dict[str, list[str]] = {node: [] for node in nodes}
    for node, ends in forward.items():
        for end in ends:
            before[end].append(node)
    for node in reversed(order):
        if not before[node] and forward[node]:
            depth[node] = min(depth[end] for end in forward[node]) - 1
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in nodes:
        layers[depth[node]].append(node)
    return _untangle(layers, before, forward)


def _order(nodes: Sequence[str], after: Mapping[str, Sequence[str]]) -> list[str]:
    """Topological, as far as there is one; without recursion, as chains may be long."""
    done: dict[str, None] = {}
    seen: set[str] = set()
    for first in nodes:
        stack = [(first, iter(after[first]))] if first not in seen else []
        seen.add(first)
        while stack:
            node, rest = stack[-1]
            following = next((one for one in rest if one not in seen), None)
            if following is None:
                done[node] = None
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(after[following])))
    return list(reversed(done))


def _untangle(layers: list[list[str]], before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Each node near the middle of its neighbours, sweeping to and fro."""
    place: dict[str, float] = {}
    for nodes in layers:
        _number(nodes, place)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        near = before if forth else after
        for nodes in layers if forth else reversed(layers):
            middle = {node: sum(place[other] for other in near[node]) / len(near[node]) if near[node] else place[node] for node in nodes}
            nodes.sort(key=lambda node, middle=middle: middle[node])
            _number(nodes, place)
    return layers


def _number(nodes: Sequence[str], place: dict[str, float]) -> None:
    """Places of a layer's nodes, from 0 to 1."""
    for n, node in enumerate(nodes):
        place[node] = n / (len(nodes) - 1) if len(nodes) > 1 else 0.5
