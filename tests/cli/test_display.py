"""What is shown while a run goes on, played by scripted runs."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from fairway.cli.board import Board, strip_indices
from fairway.cli.display import PlainDisplay
from fairway.cli.lines import board_of, spell_facts
from fairway.cli.report import group_failures, render_failures, render_outputs, render_way_on
from fairway.cli.show import render_run
from fairway.engine.apply import fold
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import (
    AttemptEnded,
    AttemptGivenUp,
    AttemptPlanned,
    CachedItem,
    CancelRequested,
    MapExpanded,
    RetryScheduled,
    RunEnded,
    RunResumed,
    RunStarted,
    TasksCached,
)
from fairway.spec.graph import Expr, Graph, Node, Port, StepDef
from fairway.spec.outcome import ErrorInfo, Frame, ItemOutcome, Outcome
from fairway.spec.record import replace
from fairway.spec.resources import Retry
from fairway.testing.scripted import Call
from tests.cli.conftest import FIRST_RUN, SECOND_RUN, Shop, compute, inline, make_graph


def shown(shop: Shop, **more: Any) -> tuple[list[str], Any]:
    """(what the plain display wrote, the state at the end), times replaced by T."""
    stream = io.StringIO()
    display = PlainDisplay(stream)
    state = shop.run(on_events=display.update, **more)
    display.finish(state)
    return [re.sub(r"\d+\.\d+s", "T", line) for line in stream.getvalue().splitlines()], state


def words(lines: list[str]) -> list[str]:
    return [" ".join(line.split()) for line in lines]


def test_one_line_per_step_that_has_ended(shop: Shop) -> None:
    lines, _ = shown(shop)
    assert words(lines) == [
        f"churn {FIRST_RUN}",
        "✓ load T",
        "✓ train 3/3 T",
        "✓ best T",
        "- discard skipped (condition)",
        "✓ publish T",
    ]


def test_a_step_that_went_well_at_last_says_why_it_was_tried_again(shop: Shop) -> None:
    def once(call: Call) -> Any:
        if call.step == "load" and call.n == 1:
            raise ValueError("rank 1 of 2 failed first\nand more")
        return compute(call)

    graph = make_graph()
    graph = replace(graph, steps={**graph.steps, "load": replace(graph.steps["load"], retry=Retry(attempts=2))})
    lines, _ = shown(shop, compute=once, graph=graph)
    assert "✓ load T retried 1× (rank 1 of 2 failed first)" in words(lines)


def test_why_a_step_skipped_itself_is_said_in_its_words() -> None:
    events = [
        RunStarted(FIRST_RUN, make_graph(), {"path": inline("data.csv"), "depths": inline([1])}, "", 100.0),
        AttemptPlanned("a-1", "", "load", ((),), 1, 100.5),
        AttemptEnded("a-1", Outcome("a-1", "ended", (ItemOutcome("skipped", reason="no rows\nof today"),)), 102.1),
    ]
    assert spell_facts(board_of(fold(events)).lines[("", "load")]) == "skipped (no rows)"


@pytest.mark.parametrize(
    ("why", "short"),
    [
        (
            "rank 1 of 2 failed first: the step's process was killed by SIGKILL, from outside",
            "rank 1 of 2 failed first: killed by SIGKILL, fr…",
        ),
        (
            "replica 2 failed first: its node is lost on gke-training-a100-1a2b3c4d-x5z9: Taint manager: deleting",
            "replica 2: node is lost on gke-training-a100-1a2b3c4d-x5z9",
        ),
        ("its node was drained on ip-10-0-12-34.compute.internal: Eviction API", "node was drained on ip-10-0-12-34.compute.internal"),
    ],
)
def test_why_a_step_is_tried_again_is_said_while_it_is(why: str, short: str) -> None:
    graph = make_graph()
    graph = replace(graph, steps={**graph.steps, "load": replace(graph.steps["load"], retry=Retry(attempts=3))})
    events = [
        RunStarted(FIRST_RUN, graph, {"path": inline("data.csv"), "depths": inline([1])}, "", 100.0),
        AttemptPlanned("a-1", "", "load", ((),), 1, 100.5),
        AttemptEnded("a-1", Outcome("a-1", "failed", error=ErrorInfo("crash", "FW-TASK-FAILED", why)), 102.1),
        RetryScheduled("", "load", ((),), 2, 102.3),
        AttemptPlanned("a-2", "", "load", ((),), 2, 102.4),
    ]
    said = f"retried 1× ({short})"
    for count in (4, 5):
        state = fold(events[:count])
        live = Board()
        live.apply(events[:count], state)
        for board in (live, board_of(state)):  # as it runs, and as `fairway show` tells it
            assert spell_facts(board.lines[("", "load")]) == said
    assert any(said in line for line in render_run(state, 110.0))
    ended = AttemptEnded("a-2", Outcome("a-2", "ended", (ItemOutcome("succeeded"),)), 103.0)
    assert spell_facts(board_of(fold([*events, ended])).lines[("", "load")]) == f"retried 1×  ({why})"


def test_of_a_mapped_step_the_task_that_is_tried_again_is_named_with_why() -> None:
    graph = make_graph()
    graph = replace(graph, steps={**graph.steps, "train": replace(graph.steps["train"], retry=Retry(attempts=3))})
    why = "the disk is away"
    loaded = Outcome("a-1", "ended", (ItemOutcome("succeeded", outputs={"result": inline([1])}),))
    events = [
        RunStarted(FIRST_RUN, graph, {"path": inline("data.csv"), "depths": inline([1, 2])}, "", 100.0),
        MapExpanded("", "depths", (), 2),
        AttemptPlanned("a-1", "", "load", ((),), 1, 100.2),
        AttemptEnded("a-1", loaded, 100.3),
        AttemptPlanned("a-2", "", "train", ((0,), (1,)), 1, 100.5),
        AttemptEnded(
            "a-2",
            Outcome("a-2", "ended", (ItemOutcome("succeeded"), ItemOutcome("failed", error=ErrorInfo("OSError", "FW-TASK-FAILED", why)))),
            102.1,
        ),
        RetryScheduled("", "train", ((1,),), 2, 102.3),
        AttemptPlanned("a-3", "", "train", ((1,),), 2, 102.4),
    ]
    ended = [*events, AttemptEnded("a-3", Outcome("a-3", "ended", (ItemOutcome("succeeded"),)), 103.0)]
    for some, said in ((events, f"retried 1× (train[1]: {why})"), (ended, f"retried 1×  (train[1]: {why})")):
        live, state = Board(), fold(some)
        live.apply(some, state)
        for board in (live, board_of(state)):
            assert spell_facts(board.lines["", "train"]) == said


def test_a_task_that_failed_before_a_resume_was_not_retried() -> None:
    error = ErrorInfo("crash", "FW-TASK-FAILED", "killed")
    events = [
        RunStarted(FIRST_RUN, make_graph(), {"path": inline("data.csv"), "depths": inline([1])}, "", 100.0),
        AttemptPlanned("a-1", "", "load", ((),), 1, 100.5),
        AttemptEnded("a-1", Outcome("a-1", "failed", error=error), 102.1),
        RunEnded("failed", 102.5),
        RunResumed(103.0),
        AttemptPlanned("a-2", "", "load", ((),), 2, 103.5),
    ]
    assert spell_facts(board_of(fold(events)).lines[("", "load")]) == ""


def test_what_comes_from_the_cache_says_so(shop: Shop) -> None:
    shop.run()
    lines, _ = shown(shop, run=SECOND_RUN)
    assert "≡ load cached from x7kq3" in words(lines)


def test_a_failed_step_is_shown_by_its_errors_once(shop: Shop) -> None:
    graph = make_graph()
    graph = replace(graph, axes={"depths": replace(graph.axes["depths"], batch=250)})
    lines, state = shown(shop, depths=[-1] * 1000, graph=graph)
    assert len(lines) <= 10
    text = "\n".join(lines)
    assert text.count("depth must be positive") == 1
    assert "and 999 more tasks with the same error" in text
    assert render_way_on(state, group_failures(state)) == [
        f"look closer: fairway logs {FIRST_RUN} 'train[0]'",
        f"go on:       fairway resume {FIRST_RUN}",
    ]


def test_errors_at_different_places_are_different() -> None:
    def error(line: int, message: str) -> ErrorInfo:
        return ErrorInfo(
            "ValueError", "FW-TASK-FAILED", message, frames=(Frame("/p/churn.py", line, "train", "raise ValueError", own=True),)
        )

    state = fake_state([error(3, "depth 1"), error(3, "depth 2"), error(9, "other")])
    groups = group_failures(state)
    assert [(group.task, group.count) for group in groups] == [("train[0]", 2), ("train[2]", 1)]


def test_the_users_own_line_stands_first() -> None:
    frames = (
        Frame("/lib/pandas/core.py", 100, "read", "inner()"),
        Frame("/p/churn.py", 12, "train", "fit(data)", own=True),
        Frame("/p/churn.py", 34, "fit", "return data['nope']", own=True),
        Frame("/lib/pandas/core.py", 200, "__getitem__", "raise KeyError(key)"),
    )
    state = fake_state([ErrorInfo("KeyError", "FW-TASK-FAILED", "'nope'", frames=frames)])
    assert render_failures(group_failures(state)) == [
        "✗ train[0]  /p/churn.py:34 in fit",
        "    return data['nope']",
        "  KeyError: 'nope'",
        "  called at /p/churn.py:12 in train: fit(data)",
    ]


def test_an_error_of_the_machinery_says_what_to_do() -> None:
    state = fake_state([ErrorInfo("oom", "FW-TASK-OOM", "used 2.1 GB of 1 GB", hint='ask for more: memory="3Gi"')])
    assert render_failures(group_failures(state)) == ["✗ train[0]  used 2.1 GB of 1 GB", '  ask for more: memory="3Gi"']


def test_many_different_errors_stay_within_bounds() -> None:
    errors = [
        ErrorInfo("ValueError", "FW-TASK-FAILED", f"m{n}", frames=(Frame("/p/c.py", n, "f", "x", own=True),), hint="h") for n in range(50)
    ]
    lines = render_failures(group_failures(fake_state(errors)))
    assert len(lines) <= 8
    assert lines[-1] == "✗ and 49 other errors in 49 tasks"


def fake_state(errors: list[ErrorInfo]) -> Any:
    """A state whose step `train` has failed with these errors, one task each."""
    from fairway.engine.scopegraph import ScopeGraph
    from fairway.engine.state import RunState, Scope, TaskState

    graph = Graph("g", steps={"train": StepDef("train")}, nodes=(Node("train", "train"),))
    state = RunState("r")
    scope = state.scopes[""] = Scope("", graph, ScopeGraph(graph), None)
    for n, error in enumerate(errors):
        task = scope.nodes["train"].items[(n,)] = TaskState()
        task.status, task.error = "failed", error
    scope.nodes["train"].counts["failed"] = len(errors)
    return state


def test_tasks_made_by_dynamic_tasks_are_one_line_per_step(shop: Shop) -> None:
    grow = StepDef("grow", kind="dynamic", inputs=(Port("depth", "int"),))
    leaf = StepDef("leaf", inputs=(Port("depth", "int"),))
    outer = Graph(
        "tree",
        steps={"grow": grow},
        nodes=(
            Node("left", "grow", {"depth": Expr("const", value=2)}),
            Node("right", "grow", {"depth": Expr("const", value=1)}),
        ),
    )

    def play(call: Call) -> Any:
        if call.step == "leaf":
            return call.inputs["depth"]
        depth = call.inputs["depth"]
        inner = (Node("leaf", "leaf", {"depth": Expr("const", value=depth)}),)
        if depth > 1:
            inner = (*inner, Node("grow", "grow", {"depth": Expr("const", value=depth - 1)}))
        return Graph("grown", steps={"grow": grow, "leaf": leaf}, nodes=inner, outputs={"result": Expr("output", "leaf", "result")})

    lines, state = shown(shop, graph=outer, compute=play)
    assert state.status == "succeeded"
    assert sorted(line.split()[1] for line in lines[1:]) == ["left", "left/grow", "left/grow/leaf", "left/leaf", "right", "right/leaf"]
    assert lines.index(next(line for line in lines if "left " in line)) < lines.index(next(line for line in lines if "left/leaf" in line))


def test_counts_on_the_board_agree_with_the_state(shop: Shop) -> None:
    board = Board()
    seen: list[str] = []

    def update(state: Any, events: Any) -> None:
        seen.extend(line.label for line in board.apply(events, state))
        for line in board.lines.values():
            node = state.scopes[line.key[0]].nodes[line.node]
            assert line.counts == {status: n for status, n in node.counts.items() if n} or line.key not in {
                (e.scope, e.node) for e in events if hasattr(e, "node")
            }

    shop.run(on_events=update, depths=list(range(20)))
    assert sorted(seen) == ["best", "discard", "load", "publish", "train"]


def test_indices_are_stripped() -> None:
    assert strip_indices("tune[2]/grow[0,1]") == "tune/grow"


def test_outputs_show_small_values_and_the_size_of_others() -> None:
    refs = {
        "auc": ArtifactRef("0" * 64, 4, "json", "float", inline="0.81"),
        "table": ArtifactRef("1" * 64, 2_000_000, "arrow", "pandas.DataFrame", meta={"rows": 30000, "columns": ["a", "b"]}),
        "array": ArtifactRef("2" * 64, 800, "npy", "numpy.ndarray", meta={"shape": [10, 10]}),
    }
    assert render_outputs(refs) == [
        "auc    0.81",
        "table  pandas.DataFrame, 30,000 rows × 2 columns, 2.0 MB",
        "array  numpy.ndarray, 10 × 10, 800 B",
    ]


def test_what_a_resumed_run_had_done_before_is_kept(shop: Shop) -> None:
    state = shop.run()
    board = Board()
    board.refresh(state)
    board.apply([TasksCached("", "load", (CachedItem((), "key", {}, state.run, "load"),), 1.0)], state)
    assert spell_facts(board.lines[("", "load")]) == "kept"
    hits = (CachedItem((0,), "key", {}, state.run, "train[0]"), CachedItem((1,), "key", {}, SECOND_RUN, "train[1]"))
    board.apply([TasksCached("", "train", hits, 1.0)], state)
    assert spell_facts(board.lines[("", "train")]) == "1 kept"


def test_the_time_of_a_step_that_was_cancelled_before_it_began_stands_still() -> None:
    events = [
        RunStarted(FIRST_RUN, make_graph(), {"path": inline("data.csv"), "depths": inline([1])}, "", 100.0),
        AttemptPlanned("a-1", "", "load", ((),), 1, 100.5),
        CancelRequested(102.0),
        AttemptGivenUp("a-1", "cancelled", 102.0),
        AttemptEnded("a-1", Outcome("a-1", "abandoned", error=ErrorInfo("cancelled", "FW-TASK-CANCELLED", "given up")), 102.1),
        RunEnded("cancelled", 102.5),
    ]
    line = board_of(fold(events)).lines[("", "load")]
    assert (line.status, line.seconds(now=5000.0)) == ("cancelled", 2.0)
