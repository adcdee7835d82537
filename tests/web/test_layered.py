"""Layers of small graphs: every edge leads on, nothing is lost, crossings are few."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fairway.web.layered import layer

NODES = [f"n{n}" for n in range(9)]
graphs = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=20)


@given(graphs)
def test_every_node_has_one_place(edges: list[tuple[str, str]]) -> None:
    layers = layer(NODES, edges)
    assert sorted(node for nodes in layers for node in nodes) == NODES
    assert all(layers)


@given(graphs)
def test_edges_lead_to_later_layers(edges: list[tuple[str, str]]) -> None:
    forward = [(a, b) for a, b in edges if a < b]  # without circles
    at = {node: n for n, nodes in enumerate(layer(NODES, forward)) for node in nodes}
    assert all(at[a] < at[b] for a, b in forward)


def test_sources_stand_right_before_what_needs_them() -> None:
    layers = layer(["a", "b", "c", "late"], [("a", "b"), ("b", "c"), ("late", "c")])
    assert [sorted(nodes) for nodes in layers] == [["a"], ["b", "late"], ["c"]]


def test_lines_that_need_not_cross_do_not() -> None:
    edges = [("a", "y"), ("b", "x"), ("x", "p"), ("y", "q")]
    layers = layer(["a", "b", "x", "y", "p", "q"], edges)
    order = {node: n for nodes in layers for n, node in enumerate(nodes)}
    assert (order["a"] < order["b"]) == (order["y"] < order["x"]) == (order["q"] < order["p"])


def test_a_long_chain_and_a_circle_are_no_trouble() -> None:
    chain = [f"c{n}" for n in range(3_000)]
    assert len(layer(chain, list(itertools.pairwise(chain)))) == 3_000
    assert sorted(node for nodes in layer(["a", "b"], [("a", "b"), ("b", "a"), ("a", "a")]) for node in nodes) == ["a", "b"]
