"""Graph files: what is written reads back; what is wrong is named by line and field."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.dsl.load import load_pipeline
from fairway.engine import graphfile
from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.environment import Environment
from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Param, Port, StepDef
from fairway.spec.resources import Resources, Retry

SMALL = """\
name: main
params:
- name: n
  type: int
  default: 3
steps:
  square:
    name: square
    module: flow
    qualname: square
    inputs:
    - name: x
      type: int
nodes:
- id: b
  step: square
  inputs:
    x: {kind: output, name: a, output: result}
- id: a
  step: square
  inputs:
    x: {kind: param, name: n}
"""


def test_written_by_hand():
    graph = graphfile.parse(SMALL, "flow.yaml")
    assert [n.id for n in graph.nodes] == ["a", "b"]  # in the order in which they can run
    assert [n.where for n in graph.nodes] == ["flow.yaml:19", "flow.yaml:15"]
    assert graph.steps["square"].where == "flow.yaml:7"


@pytest.mark.parametrize(
    "old, new, message, hint, line",
    [
        ("  step: square\n", "  stp: square\n", "`nodes[0].stp` is not a field of a node", "Did you mean `step`?", 16),
        ("- id: b\n  step", "- step", "`nodes[0]` lacks the field `id`", "add `id:`", 15),
        ("name: main", "name: 3", "`name` is 3; expected text", "quotes", 1),
        ("type: int\n  default", "type: [int]\n  default", "`params[0].type` is ['int']; expected text", "text", 4),
        ("kind: param", "kind: parm", "unknown kind `parm`", "param", 19),
        ("name: a, ", "name: c, ", "`c`, which is not a node", "the nodes are", 15),
        (
            "step: square\n  inputs:\n    x: {kind: param",
            "step: sqare\n  inputs:\n    x: {kind: param",
            "not defined",
            "Did you mean `square`?",
            19,
        ),
        ("    x: {kind: param", "    y: {kind: param", "without `x`", "`x`", 19),
        ("{kind: param, name: n}", "{kind: output, name: b}", "in a circle", "remove", 15),
        ("steps:\n", "version: 9\nsteps:\n", "`version` is 9", "upgrade", 6),
        ("default: 3", "default: 2020-01-01", "expected a JSON value", "quotes", 5),
        ("nodes:\n", "nodes: {}\nmore:\n", "`more` is not a field of a graph", "its fields", 15),
        ("    x: {kind: param", "    x: {kind: [param", "not YAML", "syntax", 22),
    ],
)
def test_mistakes_have_line_and_field(old, new, message, hint, line):
    assert old in SMALL
    with pytest.raises(DefinitionError) as caught:
        graphfile.parse(SMALL.replace(old, new, 1), "flow.yaml")
    assert message in caught.value.message and hint in caught.value.hint
    assert caught.value.where == f"flow.yaml:{line}"


def test_json_too():
    graph = graphfile.parse(SMALL, "flow.yaml")
    text = graphfile.render_json(graph)
    assert graphfile.parse(text, "flow.json") == graph
    with pytest.raises(DefinitionError) as caught:
        graphfile.parse(text.replace('"id"', '"ident"', 1), "flow.json")
    assert "`nodes[0].ident`" in caught.value.message
    line = int(caught.value.where.rpartition(":")[2])
    assert '"id"' in text.splitlines()[line - 1]
    with pytest.raises(DefinitionError, match="not JSON"):
        graphfile.parse("{", "flow.json")
    with pytest.raises(DefinitionError, match="expected the fields of a graph"):
        graphfile.parse("[]", "flow.json")


def test_load_pipeline_reads_them(tmp_path):
    path = tmp_path / "flow.yaml"
    with pytest.raises(NotFoundError):
        load_pipeline(str(path))
    path.write_text(SMALL)
    graph = load_pipeline(str(path))
    assert isinstance(graph, Graph) and graph.name == "main"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DefinitionError, match="cannot be read"):
        load_pipeline(str(path))


AWKWARD = "\x00\t\n\r\x1b \x7f\x80\x85\xa0\xad\u2028\u2029\udc80\udcff\ue000\ufeff\ufffe\uffff\U0001f600\U0010ffff\"'\\:#-[{&*!|>%@`"


@pytest.mark.parametrize("around", ["{}", "a{}", "{} b", "a\n{}\nb", "x" * 118 + " {} y", "- {}"])
@pytest.mark.parametrize("name, render", [("g.yaml", graphfile.render_yaml), ("g.json", graphfile.render_json)])
def test_no_character_is_lost_in_a_file(around, name, render, tmp_path):
    texts = [around.format(char) for char in AWKWARD]
    graph = Graph("odd", params=tuple(Param(f"p{i}", default={text: text}, help=text) for i, text in enumerate(texts)), where="flow.py:1")
    path = tmp_path / name
    path.write_text(render(graph), encoding="utf-8")
    assert graphfile.load(str(path)) == graph


WORD = st.sampled_from(["a", "bc", "total", "yes", "null", "on", "e1"])
TEXT = st.text(st.sampled_from(AWKWARD) | st.characters(codec="utf-8"), max_size=9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def graphs(draw):
    """Graphs that are right, with much of what a graph can say."""
    params = draw(st.lists(WORD, unique=True, min_size=1, max_size=3))
    step = StepDef(
        "work",
        module="flow",
        qualname="work",
        inputs=(
            Port("x", draw(st.sampled_from(["", "int", "list[int]"])), draw(st.none() | st.builds(Expr, st.just("const"), value=JSON))),
        ),
        resources=Resources(
            draw(st.floats(0.1, 8)), draw(st.integers(0, 2**40)), 0, draw(st.dictionaries(WORD, st.integers(1, 4), max_size=2))
        ),
        retry=Retry(draw(st.integers(1, 5)), kinds=tuple(draw(st.lists(WORD, max_size=2)))),
        environment=Environment(tuple(draw(st.lists(WORD, max_size=2))), variables=draw(st.dictionaries(WORD, TEXT, max_size=2))),
        exit_codes=draw(st.dictionaries(st.sampled_from(["1", "75"]), st.sampled_from(["ok", "skip"]), max_size=2)),
        cache=draw(st.booleans()),
        doc=draw(TEXT),
        where="flow.py:1",
    )
    axis = Axis(
        "a", (Expr("param", params[0]),), batch=draw(st.integers(1, 9)), on_error=draw(st.sampled_from(["fail", "keep"])), where="flow.py:2"
    )
    nodes: list[Node] = []
    for number in range(draw(st.integers(0, 5))):
        known = (
            [Expr("output", n.id, "result") for n in nodes if not n.axes]
            + [Expr("param", p) for p in params]
            + [Expr("const", value=draw(JSON))]
        )
        known += [Expr("collect", args=(Expr("output", n.id, "result"),)) for n in nodes if n.axes]
        mapped = draw(st.booleans())
        left = draw(st.sampled_from(known))
        value = Expr("item", "a") if mapped else Expr("op", "+", args=(left, draw(st.sampled_from(known))))
        guards = (Guard(left, draw(st.booleans())),) if draw(st.booleans()) else ()
        after = tuple(draw(st.lists(st.sampled_from([n.id for n in nodes]), unique=True, max_size=2))) if nodes else ()
        nodes.append(
            Node(f"n{number}", "work", {"x": value}, ("a",) if mapped else (), guards, after, draw(WORD | st.just("")), where="flow.py:3")
        )
    return Graph(
        draw(TEXT),
        params=tuple(Param(p, "", draw(JSON), help=draw(TEXT)) for p in params),
        steps={"work": step},
        nodes=tuple(nodes),
        axes={"a": axis},
        outputs={n.id: Expr("output", n.id, "result") for n in nodes if not n.axes},
        doc=draw(TEXT),
        where="flow.py:4",
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs())
def test_every_graph_survives_both_forms(graph):
    assert graphfile.parse(graphfile.render_json(graph), "g.json") == graph
    assert graphfile.parse(graphfile.render_yaml(graph), "g.yaml") == graph
