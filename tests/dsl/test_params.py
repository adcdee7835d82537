"""Parameters from text and from values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.dsl.params import bind, coerce
from fairway.errors import ConfigError
from fairway.spec.graph import Graph, Param

GOOD = [
    ("int", "3", 3),
    ("int", " -1_000 ", -1000),
    ("int", "1e3", 1000),
    ("int", 4.0, 4),
    ("float", "3", 3.0),
    ("float", "1e-3", 0.001),
    ("float", 2, 2.0),
    ("bool", "yes", True),
    ("bool", "False", False),
    ("bool", 1, True),
    ("str", "2,4", "2,4"),
    ("list[int]", "2,4,8", [2, 4, 8]),
    ("list[int]", "[2, 4]", [2, 4]),
    ("list[int]", "", []),
    ("list[int]", "[]", []),
    ("list[int]", range(3), [0, 1, 2]),
    ("list[int]", (1, 2), [1, 2]),
    ("list[float]", "0.5,1", [0.5, 1.0]),
    ("list[str]", "a, b", ["a", "b"]),
    ("list[str]", "[a, b]", ["a", "b"]),
    ("list[list[int]]", "[[1],[2,3]]", [[1], [2, 3]]),
    ("list", "1,a", [1, "a"]),
    ("tuple[int, str]", "1,a", [1, "a"]),
    ("dict", '{"a": 1}', {"a": 1}),
    ("dict[str, float]", '{"a": 1}', {"a": 1.0}),
    ("int | None", "none", None),
    ("int | None", "3", 3),
    ("str | None", "", ""),
    ("str | None", "none", None),
    ("int | str", "3", 3),
    ("int | str", "x", "x"),
    ("fairway.File", "data.csv", "data.csv"),
    ("fairway.File", Path("a/b.csv"), "a/b.csv"),
    ("list[fairway.File]", "a.csv,b.csv", ["a.csv", "b.csv"]),
    ("", "3", 3),
    ("", "text", "text"),
    ("", [1, {"a": None}], [1, {"a": None}]),
    ("fairway.File | None", None, None),
]


@pytest.mark.parametrize("kind, given, wanted", GOOD)
def test_coerced(kind, given, wanted):
    made = coerce(Param("p", kind), given)
    assert made == wanted and type(made) is type(wanted)


BAD = [
    ("int", "x", "a whole number"),
    ("int", "1.5", "a whole number"),
    ("int", True, "a whole number"),
    ("int", "inf", "a whole number"),
    ("float", "nan", "a number"),
    ("float", 10**400, "a number"),
    ("bool", "maybe", "true or false"),
    ("bool", 2, "true or false"),
    ("str", 3, "text"),
    ("list[int]", "2,x", "item 1 is 'x'"),
    ("list[int]", 3, "a list (list[int])"),
    ("list[int]", "[1, 2", "a list"),
    ("tuple[int, int]", "1", "2 values"),
    ("dict", "[1]", "a JSON object"),
    ("dict", '{"a": NaN}', "a JSON object"),
    ("None", "x", "nothing"),
    ("fairway.Directory", "", "path of a folder"),
    ("int | None", "x", "whole number (int) or nothing"),
    ("", object(), "a number, text"),
]


@pytest.mark.parametrize("kind, given, message", BAD)
def test_refused(kind, given, message):
    with pytest.raises(ConfigError) as caught:
        coerce(Param("depth", kind), given)
    assert message in caught.value.message.replace("nothing (none) or a whole number (int)", "a whole number (int) or nothing")
    assert "`depth`" in caught.value.message and "--depth" in caught.value.hint


def test_choices():
    param = Param("kind", "str", choices=("a", "b"))
    assert coerce(param, "a") == "a"
    with pytest.raises(ConfigError) as caught:
        coerce(param, "c")
    assert caught.value.hint == "it is one of a, b"
    assert coerce(Param("n", "int", choices=(1, 2)), "2") == 2


TOLD = Graph(
    "flow",
    params=(
        Param("depth", "int", required=True),
        Param("rate", "float", required=True),
        Param("kind", "str", choices=("a", "b"), default="a"),
        Param("ns", "list[int]", default=[]),
    ),
    where="flow.py:9",
)
SEVERAL = [
    ({"a": 1, "ratee": 2, "depth": 1, "rate": 1}, "pipeline 'flow' has no parameters 'a', 'ratee'", ". Did you mean `rate`?", "flow.py:9"),
    ({}, "parameters 'depth' (int), 'rate' (float) have no value", "give them: --depth … --rate …", "flow.py:9"),
    (
        {"depth": "x", "rate": "y"},
        "`depth` cannot be 'x': expected a whole number (int)\n  the parameter `rate` cannot be 'y': expected a number (float)",
        "for example --depth 3 --rate 0.5",
        "",
    ),
    (
        {"a": 1, "depth": "x", "kind": "c"},
        "pipeline 'flow' has no parameter 'a'\n  parameter 'rate' (float) has no value\n  nor can `depth`, `kind` be what they are given",
        "its parameters: depth, kind, ns, rate; give it: --rate …; `kind` is one of a, b; for example --depth 3",
        "flow.py:9",
    ),
    (
        {"depth": "x", "rate": "y", "kind": "c", "ns": "z"},
        "`rate` cannot be 'y': expected a number (float)\n  nor can `kind`, `ns` be what they are given",
        "`kind` is one of a, b; for example --depth 3 --rate 0.5 --ns 2,4,8",
        "",
    ),
]


@pytest.mark.parametrize("given, message, hint, where", SEVERAL)
def test_all_mistakes_are_told_at_once(given, message, hint, where):
    with pytest.raises(ConfigError) as caught:
        bind(TOLD, given, lambda name: f"--{name} ")
    assert message in caught.value.message
    assert caught.value.message.count("\n") < 3
    assert caught.value.hint.endswith(hint)
    assert caught.value.where == where


def test_what_is_not_given_has_its_default():
    assert bind(TOLD, {"depth": "3", "rate": 1}, str) == {"depth": 3, "rate": 1.0, "kind": "a", "ns": []}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.integers())
def test_every_int_survives_its_text(value):
    assert coerce(Param("p", "int"), str(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives_its_text(value):
    assert coerce(Param("p", "float"), repr(value)) == value


@given(st.lists(st.integers()))
def test_lists_survive_both_spellings(values):
    param = Param("p", "list[int]")
    assert coerce(param, ",".join(map(str, values))) == values == coerce(param, json.dumps(values)) == coerce(param, values)


@given(st.dictionaries(st.text(), JSON))
def test_objects_survive_their_json(value):
    assert coerce(Param("p", "dict"), json.dumps(value)) == value == coerce(Param("p", "dict"), value)


@given(st.text(), st.sampled_from(["int", "float", "bool", "list[int]", "dict[str, int]", "int | None", "list[list[float]]", ""]))
def test_any_text_becomes_json_or_a_clear_error(text, kind):
    try:
        made = coerce(Param("p", kind), text)
    except ConfigError as error:
        assert error.hint and "expected" in error.message
    else:
        json.dumps(made, allow_nan=False)
        assert coerce(Param("p", kind), made) == made or kind == ""
