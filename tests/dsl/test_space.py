"""A search's space: every spelling, and what is wrong named by its field; as a file, by its line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.dsl.search import make_search
from fairway.dsl.space import SpaceError, count_points, grid_values, is_active, read_space
from fairway.engine.spacefile import load_space, parse_space
from fairway.errors import ConfigError, DefinitionError, NotFoundError


@pytest.mark.parametrize(
    ("spec", "plain"),
    [
        (("float", 0, 1), {"type": "float", "low": 0.0, "high": 1.0}),
        (("float", 1e-5, 1e-1, "log"), {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}),
        (["float", "1e-5", "1e-1", "log"], {"type": "float", "low": 1e-5, "high": 1e-1, "log": True}),
        (("float", 0.0, 0.5, 0.1), {"type": "float", "low": 0.0, "high": 0.5, "step": 0.1}),
        (("int", 2, 12), {"type": "int", "low": 2, "high": 12}),
        (("int", 16, 256, "log"), {"type": "int", "low": 16, "high": 256, "log": True}),
        (["svm", "forest"], {"choices": ["svm", "forest"]}),
        ([1, 2.5, True, None], {"choices": [1, 2.5, True, None]}),
        (["float", "int"], {"choices": ["float", "int"]}),
        ({"type": "int", "low": 1, "high": 3}, {"type": "int", "low": 1, "high": 3}),
        ({"choices": ["a"]}, {"choices": ["a"]}),
        (["sqrt", 0.5, 1.0], {"choices": ["sqrt", 0.5, 1.0]}),
        (["float", "int"], {"choices": ["float", "int"]}),
    ],
)
def test_every_spelling_has_one_plain_form(spec: Any, plain: dict[str, Any]) -> None:
    assert read_space({"x": spec}) == {"x": plain}
    assert read_space({"x": plain}) == {"x": plain}, "which is read as itself"


@pytest.mark.parametrize(
    ("space", "field", "message"),
    [
        ({}, (), "must name parameters"),
        ([1], (), "must name parameters"),
        ({"a-b": [1]}, ("a-b",), "is not a parameter's name"),
        ({"_x": [1]}, ("_x",), "is not a parameter's name"),
        ({"x": 3}, ("x",), "is 3"),
        ({"x": []}, ("x",), "has no choices"),
        ({"x": [[1], [2]]}, ("x",), "has the choice"),
        ({"x": [1, 1]}, ("x",), "a choice twice"),
        ({"x": ("float", 2, 1)}, ("x", "low"), "above `high`"),
        ({"x": ("float", 0, 1, "log")}, ("x", "low"), "no logarithm"),
        ({"x": ("float", 0, 1, "lgo")}, ("x",), "ends with 'lgo'"),
        ({"x": ("flot", 0, 1, "log")}, ("x",), "begins with 'flot', and is no range"),
        ({"x": ("Float", 0, 1)}, ("x",), "begins with 'Float', and is no range"),
        ({"x": (0.001, 1.0, "log")}, ("x",), 'ends with "log", and is no range'),
        ({"x": ("float", 1)}, ("x",), "begins with 'float', and is no range"),
        ({"x": ("int", "8 64")}, ("x",), "begins with 'int', and is no range"),
        ({"x": ("int", 1.5, 3)}, ("x", "low"), "not a whole number"),
        ({"x": {"type": "float", "low": 0}}, ("x",), "lacks `high`"),
        ({"x": {"type": "real", "low": 0, "high": 1}}, ("x", "type"), "is 'real'"),
        ({"x": {"type": "float", "low": "a", "high": 1}}, ("x", "low"), "not a number"),
        ({"x": {"type": "float", "low": 0, "high": 1, "lgo": True}}, ("x", "lgo"), "is not known"),
        ({"x": {"type": "float", "low": 1, "high": 2, "log": True, "step": 1}}, ("x", "step"), "does not go with"),
        ({"x": {"choices": ["a"], "low": 1}}, ("x", "low"), "does not go with"),
        ({"x": {"choices": "ab"}}, ("x", "choices"), "not a list"),
        ({"x": {"choices": ["a"], "when": {"m": "svm"}}}, ("x", "when", "m"), "stands above"),
        ({"m": ["svm"], "x": {"choices": ["a"], "when": {"m": "smv"}}}, ("x", "when", "m"), "never 'smv'"),
        ({"m": ("int", 1, 2), "x": {"choices": ["a"], "when": {"m": 1}}}, ("x", "when", "m"), "is a range"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(space: Any, field: tuple[str, ...], message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        read_space(space)
    assert caught.value.field == field
    assert caught.value.hint


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["float", "int", "log", "choices"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["type", "low", "high", "choices", "when", "x"]), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["x", "y", "a b"]), JSONISH, max_size=3) | JSONISH)
def test_whatever_is_given_is_read_or_refused(space: Any) -> None:
    try:
        read = read_space(space)
    except SpaceError as error:
        assert error.hint
        return
    assert read_space(read) == read


def test_conditions() -> None:
    space = read_space({"m": ["svm", "forest", "none"], "c": {"type": "float", "low": 0, "high": 1, "when": {"m": ["svm", "forest"]}}})
    assert is_active(space["c"], {"m": "svm"})
    assert not is_active(space["c"], {"m": "none"})
    assert not is_active(space["c"], {})


def test_a_grid_counts_its_points() -> None:
    space = read_space({"n": ("int", 1, 5, 2), "x": ("float", 0, 0.3, 0.1), "k": ["a", "b"]})
    assert grid_values("n", space["n"]) == [1, 3, 5]
    assert grid_values("x", space["x"]) == [0.0, 0.1, 0.2, 0.3]
    assert count_points(space) == 24
    with pytest.raises(SpaceError, match="a grid needs them"):
        count_points(read_space({"x": ("float", 0, 1)}))


def test_nobody_is_asked_whether_they_meant_the_word_that_they_wrote() -> None:
    for word, asked in (("flot", True), ("float", False)):
        with pytest.raises(SpaceError) as caught:
            read_space({"x": (word, 1)})
        assert ("Did you mean `float`?" in caught.value.hint) == asked


def test_a_file_says_the_same() -> None:
    text = "lr: [float, 1e-4, 0.1, log]\ndepth: {type: int, low: 2, high: 9}\nkind:\n  choices: [a, b]\n  when: {depth2: 1}\n"
    with pytest.raises(DefinitionError) as caught:
        parse_space(text, "space.yaml")
    assert caught.value.where == "space.yaml:5"
    assert "depth2" in caught.value.message
    read = parse_space(text.replace("  when: {depth2: 1}\n", ""))
    assert read == read_space({"lr": ("float", 1e-4, 0.1, "log"), "depth": ("int", 2, 9), "kind": ["a", "b"]})


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("a: [1\nb: 2", "s.yaml:2", "not YAML"),
        ("", "s.yaml:1", "must name parameters"),
        ("- 1", "s.yaml:1", "must name parameters"),
        ("a: [int, 1, 2]\nb: [1]\na: [int, 3, 4]", "s.yaml:3", "`a` stands in line 1, too"),
        ("a: [1]\nb:\n  type: float\n  low: x\n  high: 2", "s.yaml:4", "b.low"),
        ("a: [1]\nb:\n  type: float\n  low: 1", "s.yaml:2", "lacks `high`"),
        ("a: &x [*x]", "s.yaml:1", "has the choice"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_by_its_line(text: str, where: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        parse_space(text, "s.yaml")
    assert caught.value.where == where


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="no file nowhere"):
        load_space("nowhere.yaml")


def test_settings_of_samplers_and_pruners_are_read_from_words() -> None:
    found = make_search({"x": [1]}, "a", sampler="tpe:n_startup_trials=5,multivariate=true", pruner="asha:min_resource=2")
    assert found.sampler == {"kind": "tpe", "n_startup_trials": 5, "multivariate": True}
    assert found.pruner == {"kind": "asha", "min_resource": 2}
    assert make_search({"x": [1]}, "a", sampler={"kind": "CMA-ES", "sigma0": 0.5}).sampler == {"kind": "cmaes", "sigma0": 0.5}
    assert make_search({"x": [1]}, "a", pruner="none").pruner == {}
    assert make_search({"x": [1]}, "a", timeout="2m").timeout_s == 120.0
    wrong: list[dict[str, Any]] = [{"sampler": "tpe:5"}, {"seed": -1}, {"seed": 1.5}, {"warm_start": [3]}]
    for bad in (*wrong, {"warm_start": [{"params": {}, "values": [1, 2]}]}):
        with pytest.raises(ConfigError):
            make_search({"x": [1]}, "a", **bad)
    with pytest.raises(ConfigError, match="not ended early"):
        make_search({"x": [1]}, ["a", "b"], pruner="median")
