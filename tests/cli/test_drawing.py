"""Pictures of graphs."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from fairway.dsl.picture import describe_expr, find_edges, render_svg
from fairway.engine.drawing import draw_rails, render_mermaid
from fairway.spec.graph import Expr, Graph, Node
from tests.cli.conftest import make_graph


def test_edges_go_through_inputs_axes_guards_and_after() -> None:
    assert find_edges(make_graph()) == {"load": [], "train": ["load"], "best": ["train"], "publish": ["best"], "discard": ["best"]}
    graph = Graph("g", nodes=(Node("a", "s"), Node("b", "s", after=("a",))))
    assert find_edges(graph) == {"a": [], "b": ["a"]}


def test_an_edge_that_follows_from_others_is_left_out() -> None:
    needs = {"x": Expr("output", "a"), "y": Expr("output", "b")}
    graph = Graph("g", nodes=(Node("a", "s"), Node("b", "s", {"x": Expr("output", "a")}), Node("c", "s", needs)))
    assert find_edges(graph)["c"] == ["b"]


def test_rails_of_a_diamond() -> None:
    rows = draw_rails({"load": [], "left": ["load"], "right": ["load"], "join": ["left", "right"]})
    assert rows == [("●", "load"), ("├─╮", ""), ("● │", "left"), ("│ ●", "right"), ("├─╯", ""), ("●", "join")]


@st.composite
def edges(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"n{n}" for n in range(draw(st.integers(1, 12)))]
    return {name: sorted(draw(st.sets(st.sampled_from(names[:n])))) if n else [] for n, name in enumerate(names)}


@given(edges())
def test_rails_show_every_node_once_in_order(graph: dict[str, list[str]]) -> None:
    rows = draw_rails(graph)
    assert [name for _, name in rows if name] == list(graph)
    for rails, name in rows:
        assert rails.count("●") == (1 if name else 0)
        assert rails == rails.rstrip()
    followed = {other for direct in graph.values() for other in direct}
    last = rows[-1][0]
    assert "│" not in last or not followed


def test_svg_is_well_formed_and_escapes_names() -> None:
    graph = Graph("a <b> & c", nodes=(Node("x<y", "s"), Node("z", "s", {"v": Expr("output", "x<y")})))
    root = ET.fromstring(render_svg(graph, {"z": "failed"}))
    assert "a <b> & c" in "".join(root.itertext())
    assert ET.fromstring(render_svg(Graph("empty"))).tag.endswith("svg")


def test_mermaid_has_every_node_edge_and_state() -> None:
    text = render_mermaid(make_graph(), {"train": "failed"})
    assert text.count("-->") == 4
    assert "classDef failed" in text and "class n1 failed" in text


def test_expressions_are_spelled_as_written() -> None:
    expr = Expr(
        "op",
        "and",
        args=(
            Expr("op", ">", args=(Expr("output", "best", "auc"), Expr("const", value=0.7))),
            Expr("op", "not", args=(Expr("param", "dry"),)),
        ),
    )
    assert describe_expr(expr) == "(best.auc > 0.7) and (not dry)"
