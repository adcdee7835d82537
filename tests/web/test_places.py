"""Pages of tasks are those that `match_tasks` finds, in the same order, without looking at every task."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.engine.apply import fold
from fairway.engine.overview import Overview
from fairway.engine.workspace import match_tasks
from fairway.errors import ConfigError, NotFoundError
from fairway.spec.event import Event, GraphGrown, MapExpanded, RunStarted, TasksSkipped, address
from fairway.spec.graph import Axis, Expr, Graph, Node, StepDef
from fairway.web.places import find_place, get_place, select


def made() -> list[Event]:
    """`load`, `train` over 12 items, `pair` over 2 x 3, and the graph that `tune[1]` grew, with `train` again."""
    steps = {name: StepDef(name) for name in ("load", "train", "pair", "tune", "v1.2")}
    axes = {id: Axis(id, (Expr("const", value=[]),)) for id in ("a", "b", "c")}
    nodes = (
        Node("load", "load"),
        Node("train", "train", axes=("a",)),
        Node("pair", "pair", axes=("b", "c")),
        Node("tune", "tune", axes=("b",)),
        Node("v1.2", "v1.2"),
    )
    inner = Graph("inner", steps=steps, nodes=(Node("train", "train", axes=("a",)), Node("best", "load")), axes={"a": axes["a"]})
    return [
        RunStarted("r", Graph("g", steps=steps, nodes=nodes, axes=axes), {}, "", 1.0),
        MapExpanded("", "a", (), 12),
        MapExpanded("", "b", (), 2),
        MapExpanded("", "c", (), 3),
        GraphGrown("", "tune", (1,), inner),
        MapExpanded("tune[1]", "a", (), 3),
        TasksSkipped("", "train", ((3,), (5,)), "condition"),
    ]


STATE = fold(made())
OVERVIEW = Overview()
OVERVIEW.fold_events(enumerate(made(), 1))
assert len(list(STATE.tasks())) == 1 + 12 + 6 + 2 + 1 + 3 + 1
PATTERNS = ["", "load", "train", "train[3]", "train.3", "train[11]", "pair[1,2]", "pair.1,2", "tune[1]/train", "tune[1]/train[0]"]
MORE = ["tr*", "t*", "train[1*]", "*", "*[1]", "tune[1]/*", "?oad", "v1.2", "nothing", "train[99]", "train[", "v1.9", "pair[1]"]


def expected(match: str) -> list[str]:
    try:
        return [name for name, *_ in match_tasks(STATE, match)]
    except NotFoundError:
        return []


@pytest.mark.parametrize("match", [*PATTERNS, *MORE])
def test_a_selection_is_what_the_command_line_means(match: str) -> None:
    found = select(OVERVIEW, match)
    assert [address(*place) for place in found.places] == expected(match)
    assert (found.total, found.more) == (len(expected(match)), False)


@given(st.sampled_from([*PATTERNS, *MORE]), st.integers(1, 8), st.sampled_from(["", "waiting", "skipped", "failed"]))
def test_pages_join_to_the_whole(match: str, limit: int, status: str) -> None:
    whole = select(OVERVIEW, match, status=status)
    seen: list[str] = []
    after = ""
    while True:
        page = select(OVERVIEW, match, status=status, after=after, limit=limit)
        seen += [address(*place) for place in page.places]
        assert (len(page.places) <= limit, page.total) == (True, whole.total)
        if not page.more:
            break
        after = seen[-1]
    assert seen == [address(*place) for place in whole.places]
    assert len(seen) == whole.total


@pytest.mark.parametrize("name", [name for name, *_ in match_tasks(STATE, "")])
def test_every_task_is_found_by_its_address(name: str) -> None:
    assert address(*get_place(OVERVIEW, name)) == name


@pytest.mark.parametrize(
    "name", ["", "train", "train[12]", "train[03]", "train[x]", "train[1", "tune[0]/train[0]", "load[0]", "pair[1]", "/load", "*"]
)
def test_what_is_no_address_is_no_task(name: str) -> None:
    assert find_place(OVERVIEW, name) is None
    with pytest.raises(NotFoundError):
        get_place(OVERVIEW, name)


def test_a_cursor_that_names_no_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="cursor"):
        select(OVERVIEW, "train", after="nothing")
