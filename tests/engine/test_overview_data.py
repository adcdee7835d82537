"""What pages draw of a run: its graph with groups, and where its time went."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.engine import graphdata
from fairway.engine.apply import fold
from fairway.engine.overview import Overview, graph_data, timeline_data
from fairway.spec import event as ev
from fairway.spec.graph import Expr, Graph, Guard, Node
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome, Usage
from fairway.spec.record import replace
from fairway.spec.resources import Retry
from fairway.testing.scripted import Call, seeded
from tests.engine.build import call, collect, graph, mapped, numbers, out, step
from tests.engine.graphs import graphs
from tests.engine.simulate import World
from tests.engine.test_overview import read_overview, scripted

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def told(made: Graph, *events: Any) -> Overview:
    overview = Overview()
    overview.fold_events(enumerate([ev.RunStarted("r", made, {}, "", 100.0), *events], 1))
    return overview


def by_id(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows}


def ended(attempt: str, at: float, *, error: ErrorInfo | None = None, usage: Usage | None = None, items: int = 1) -> ev.AttemptEnded:
    item = ItemOutcome("failed", error=error) if error else ItemOutcome("succeeded")
    return ev.AttemptEnded(attempt, Outcome(attempt, "ended", (item,) * items, usage=usage or Usage()), at)


@given(graphs(), st.integers(0, 10**6))
@QUICK
def test_every_node_has_its_place_and_every_edge_its_ends(made: Graph, seed: int) -> None:
    world = World(scripted, choose=seeded(seed))
    world.start(made)
    overview = read_overview(world)
    data = graph_data(overview)
    nodes, groups = by_id(data["nodes"]), by_id(data["groups"])
    assert len(nodes) == len(data["nodes"]) and len(groups) == len(data["groups"])
    assert not nodes.keys() & groups.keys()
    assert all(edge["from"] in nodes and edge["to"] in nodes for edge in data["edges"])
    assert {node["group"] for node in nodes.values()} | {group["parent"] for group in groups.values()} <= {"", *groups}
    left = any(node.get("scopes_left") for node in nodes.values())
    assert left or sum(node["total"] for node in nodes.values()) == overview.total
    for name, group in groups.items():
        inside = [node for node in nodes.values() if name in _around(groups, node["group"])]
        assert sum(group["counts"].values()) == sum(node["total"] for node in inside)
        assert inside
    times = timeline_data(overview)
    assert [row["id"] for row in times["rows"] if row["id"] not in nodes] == []
    assert left or sum(len(row["bars"]) for row in times["rows"]) == len(overview.columns.planned_at)
    began = [row.get("from", row.get("to", 1e18)) for row in times["rows"]]
    assert began == sorted(began)


def _around(groups: dict[str, Any], group: str) -> Iterable[str]:
    while group:
        yield group
        group = groups[group]["parent"]


def test_nested_pipelines_and_shared_conditions_are_groups() -> None:
    large = Guard(Expr("op", ">", args=(out("a"), Expr("const", value=2))))
    small = Guard(large.expr, wanted=False)
    nodes = (
        call("a", "one"),
        call("b", "one", guards=(large,)),
        call("c", "one", guards=(large,)),
        call("d", "one", guards=(small,)),
        Node("clean.load", "one", group="clean", guards=(large,)),
        Node("clean.deep.fit", "one", group="clean/deep", guards=(large,)),
        Node("clean.deep.end", "one", group="clean/deep"),
    )
    data = graph_data(told(graph(*nodes, steps=[step("one")])))
    found = {node["id"]: (node["label"], node["group"], node.get("guard", "")) for node in data["nodes"]}
    assert found == {
        "a": ("a", "", ""),
        "b": ("b", "?a > 2", "a > 2"),
        "c": ("c", "?a > 2", "a > 2"),
        "d": ("d", "", "not (a > 2)"),
        "clean.load": ("load", "clean", "a > 2"),
        "clean.deep.fit": ("fit", "clean/deep", "a > 2"),
        "clean.deep.end": ("end", "clean/deep", ""),
    }
    groups = [(group["id"], group["label"], group["parent"], group["kind"]) for group in data["groups"]]
    assert sorted(groups) == [
        ("?a > 2", "a > 2", "", "condition"),
        ("clean", "clean", "", "pipeline"),
        ("clean/deep", "deep", "clean", "pipeline"),
    ]


def test_a_group_of_the_same_name_as_a_node_has_another_id() -> None:
    data = graph_data(told(graph(call("clean", "one"), Node("clean.x", "one", group="clean"), steps=[step("one")])))
    assert [(group["id"], group["label"]) for group in data["groups"]] == [("clean/", "clean")]
    assert data["nodes"][1]["group"] == "clean/"


def test_the_digest_is_of_what_is_drawn_and_not_of_its_states() -> None:
    made = graph(call("a", "one"), call("b", "two", x=out("a")))
    before = told(made)
    after = told(made, ev.AttemptPlanned("a-1", "", "a", ((),), 1, 101.0), ended("a-1", 102.0))
    other = told(graph(call("a", "one"), call("b", "two")))
    assert graph_data(before)["digest"] == graph_data(after)["digest"] != graph_data(other)["digest"]
    assert [node["status"] for node in graph_data(after)["nodes"]] == ["succeeded", "waiting"]
    assert graph_data(after)["edges"] == [{"from": "a", "to": "b"}]


def test_edges_say_which_output_is_meant() -> None:
    made = graph(call("a", "one"), call("b", "two", x=Expr("output", "a", "model"), y=Expr("output", "a", "auc")))
    assert graph_data(told(made))["edges"] == [{"from": "a", "to": "b", "label": "model, auc"}]


def test_the_first_failure_of_a_node_is_told_and_forgotten_by_a_resume() -> None:
    def fails(at: int) -> ev.AttemptEnded:
        return ended(f"w-{at}", 103.0 + at, error=ErrorInfo("ValueError", "FW-TASK-FAILED", f"row {at}"))

    events = [
        ev.MapExpanded("", "i", (), 3),
        *[ev.AttemptPlanned(f"w-{at}", "", "each", ((at,),), 1, 102.0) for at in range(3)],
        fails(2),
        fails(0),
        ended("w-1", 109.0),
    ]
    overview = told(mapped(3), *events)
    (node,) = graph_data(overview)["nodes"]
    assert (node["mapped"], node["total"], node["status"], node["counts"]) == (True, 3, "failed", {"failed": 2, "succeeded": 1})
    assert node["error"] == {"kind": "ValueError", "code": "FW-TASK-FAILED", "message": "row 2"}
    assert [(one[0], one[3]) for one in overview.failures()] == [("each[2]", "row 2"), ("each[0]", "row 0")]
    assert [item.address for item in overview.items("", "each", status="failed")[0]] == ["each[0]", "each[2]"]
    overview.fold_events([(99, ev.RunResumed(200.0))])
    (node,) = graph_data(overview)["nodes"]
    assert ("error" in node, node["counts"], overview.failures()) == (False, {"waiting": 2, "succeeded": 1}, [])


def test_lists_of_items_go_on_where_they_ended() -> None:
    overview = told(
        mapped(10), ev.MapExpanded("", "i", (), 10), ev.TasksSkipped("", "each", tuple((n,) for n in range(0, 10, 3)), "condition")
    )
    first, more = overview.items("", "each", status="skipped", limit=2)
    assert ([item.number for item in first], more) == ([0, 3], True)
    rest, more = overview.items("", "each", status="skipped", after=first[-1].number + 1, limit=2)
    assert ([item.number for item in rest], more, rest[0].reason) == ([6, 9], False, "condition")
    assert overview.items("", "each", status="failed") == ([], False)


def test_of_a_dynamic_step_with_many_graphs_those_that_failed_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphdata, "MOST_SCOPES", 3)
    inner = graph(call("fit", "work", x=1), steps=[step("work", "x")])
    grow = call("tune", "grow", ("i",), x=Expr("item", "i"))
    made = graph(grow, steps=[step("grow", "x", kind="dynamic")], axes=(numbers(9),))

    def compute(one: Call) -> Any:
        if one.step == "grow":
            return inner
        if one.task in ("tune[4]/fit", "tune[7]/fit"):
            raise ValueError(one.task)
        return 1

    world = World(compute)
    world.start(made)
    data = graph_data(read_overview(world))
    assert [node["id"] for node in data["nodes"]] == ["tune", "tune[0]/fit", "tune[4]/fit", "tune[7]/fit"]
    assert data["nodes"][0]["scopes_left"] == 6
    assert [(group["id"], group["kind"], group["status"]) for group in data["groups"]] == [
        ("tune[0]/", "dynamic", "succeeded"),
        ("tune[4]/", "dynamic", "failed"),
        ("tune[7]/", "dynamic", "failed"),
    ]
    assert {"from": "tune", "to": "tune[4]/fit"} in data["edges"]


def test_time_is_told_by_phase() -> None:
    usage = Usage(started_at=110.0, running_at=112.0, writing_at=118.0, ended_at=119.0)
    made = graph(call("a", "one"), call("b", "two"), call("c", "three"), call("d", "four"))
    data = timeline_data(
        told(
            made,
            *[ev.AttemptPlanned(f"{name}-1", "", name, ((),), 1, 105.0) for name in "abcd"],
            ended("a-1", 120.0, usage=usage),
            ev.AttemptObserved("b-1", "starting", at=108.0),
            ev.AttemptObserved("b-1", "running", at=109.0),
            ev.AttemptEnded("b-1", Outcome("b-1", "failed", (), ErrorInfo("lost", "FW-LOST", "gone", retryable=False)), 121.0),
            ev.AttemptObserved("c-1", "queued", "no room", 107.0),
            ev.AttemptObserved("d-1", "running", at=115.0),
            ev.ClockAdvanced(130.0),
        )
    )
    rows = by_id(data["rows"])
    assert (data["began_at"], data["now"], "ended_at" in data) == (100.0, 130.0, False)
    assert rows["a"]["totals"] == {"waiting": 5.0, "starting": 2.0, "running": 6.0, "writing": 1.0}
    assert rows["b"]["totals"] == {"waiting": 3.0, "starting": 1.0, "running": 12.0, "writing": 0.0}
    assert rows["c"]["totals"] == {"waiting": 25.0, "starting": 0.0, "running": 0.0, "writing": 0.0}
    assert rows["d"]["totals"] == {"waiting": 10.0, "starting": 0.0, "running": 15.0, "writing": 0.0}
    assert data["totals"] == {"waiting": 43.0, "starting": 3.0, "running": 33.0, "writing": 1.0}
    assert rows["a"]["bars"] == [
        {"task": "a", "attempt": "a-1", "n": 1, "status": "succeeded", "planned_at": 105.0, "started_at": 110.0, "running_at": 112.0,
         "writing_at": 118.0, "ended_at": 119.0}
    ]  # fmt: skip
    assert [(row["bars"][0]["status"], row["bars"][0].get("ended_at")) for row in (rows["b"], rows["c"], rows["d"])] == [
        ("failed", 121.0),
        ("queued", None),
        ("running", None),
    ]


def test_clocks_that_differ_make_no_phase_negative() -> None:
    usage = Usage(started_at=90.0, running_at=91.0, writing_at=80.0, ended_at=95.0)
    data = timeline_data(
        told(graph(call("a", "one")), ev.AttemptPlanned("a-1", "", "a", ((),), 1, 100.0), ended("a-1", 101.0, usage=usage))
    )
    assert all(seconds >= 0 for seconds in data["totals"].values())
    (bar,) = data["rows"][0]["bars"]
    moments = [bar[f"{what}_at"] for what in ("planned", "started", "running", "writing", "ended")]
    assert moments == sorted(moments)


def test_bars_are_bounded_and_the_failed_and_the_slowest_have_theirs() -> None:
    n = 500
    made = graph(
        call("first", "one"),
        call("each", "work", ("i",), x=Expr("item", "i")),
        call("last", "total", xs=collect("each")),
        axes=(numbers(n),),
    )
    events: list[Any] = [ev.AttemptPlanned("f-1", "", "first", ((),), 1, 100.0), ended("f-1", 101.0), ev.MapExpanded("", "i", (), n)]
    for at in range(n):
        events.append(ev.AttemptPlanned(f"w{at}-1", "", "each", ((at,),), 1, 101.0))
    for at in range(n):
        took = 50.0 if at == 77 else 1.0
        usage = Usage(started_at=101.0 + at, running_at=101.0 + at, writing_at=101.0 + at + took, ended_at=101.0 + at + took)
        error = ErrorInfo("ValueError", "FW-TASK-FAILED", "no", retryable=False) if at in (33, 400) else None
        events.append(ended(f"w{at}-1", 700.0, error=error, usage=usage))
    data = timeline_data(told(made, *events), limit=21)
    rows = by_id(data["rows"])
    assert (len(rows["first"]["bars"]), len(rows["each"]["bars"]), rows["each"]["more"]) == (1, 20, n - 20)
    tasks = [bar["task"] for bar in rows["each"]["bars"]]
    assert {"each[33]", "each[400]", "each[77]"} <= set(tasks)
    assert "more" not in rows["first"]
    load = rows["each"]["load"]
    assert len(load) == 200 and [at for at, _ in load] == sorted(at for at, _ in load)
    assert max(count for _, count in load) == 2 and load[-1][1] == 0
    assert rows["each"]["totals"]["running"] == n - 1 + 50.0


def test_a_timeline_is_worked_out_once_for_each_head() -> None:
    overview = told(graph(call("a", "one")), ev.AttemptPlanned("a-1", "", "a", ((),), 1, 101.0))
    first = timeline_data(overview)
    assert timeline_data(overview) is first
    assert timeline_data(overview, limit=1) is not first
    overview.fold_events([(3, ended("a-1", 102.0))])
    assert timeline_data(overview)["rows"][0]["bars"][0]["status"] == "succeeded"


def test_what_was_cached_or_skipped_has_a_mark() -> None:
    made = graph(call("a", "one"), call("b", "two"))
    cached = ev.TasksCached("", "a", (ev.CachedItem((), "k", {}, "other", "a"),), 103.0)
    rows = by_id(timeline_data(told(made, cached, ev.TasksSkipped("", "b", ((),), "condition")))["rows"])
    assert rows["a"]["marks"] == [{"status": "cached", "count": 1, "at": 103.0}]
    assert rows["b"]["marks"] == [{"status": "skipped", "count": 1, "at": 103.0}]
    assert rows["a"]["bars"] == rows["b"]["bars"] == []


def test_attempts_from_before_an_edit_stay_in_the_timeline_and_with_their_task() -> None:
    made = graph(call("a", "one"))
    overview = told(
        made,
        ev.AttemptPlanned("a-1", "", "a", ((),), 1, 101.0),
        ended("a-1", 102.0, error=ErrorInfo("ValueError", "FW-TASK-FAILED", "no", retryable=False)),
        ev.RunEnded("failed", 103.0),
        ev.RunResumed(110.0, graph=made),
        ev.AttemptPlanned("a-2", "", "a", ((),), 2, 111.0),
        ended("a-2", 112.0),
    )
    (row,) = timeline_data(overview)["rows"]
    assert [(bar["n"], bar["status"]) for bar in row["bars"]] == [(1, "failed"), (2, "succeeded")]
    (item,) = overview.items("", "a")[0]
    assert (item.n_attempts, item.attempt, item.status, item.error) == (2, "a-2", "succeeded", "")


def test_attempts_that_a_resume_finds_alive_are_over() -> None:
    overview = told(
        graph(call("a", "one")),
        ev.AttemptPlanned("a-1", "", "a", ((),), 1, 101.0),
        ev.ClockAdvanced(105.0),
        ev.RunResumed(110.0),
    )
    (row,) = timeline_data(overview)["rows"]
    assert [(bar["status"], bar["ended_at"]) for bar in row["bars"]] == [("cancelled", 110.0)]
    assert row["totals"]["waiting"] == 9.0


def test_tasks_that_were_lost_too_often_fail() -> None:
    lost = ErrorInfo("lost", "FW-LOST", "gone")
    events: list[Any] = []
    for n in range(1, 6):
        events += [ev.AttemptPlanned(f"a-{n}", "", "a", ((),), n, 100.0 + n), ended(f"a-{n}", 101.0 + n, error=lost)]
        if n < 4:
            assert told(graph(call("a", "one")), *events).counts() == {"retrying": 1}
    assert told(graph(call("a", "one")), *events).counts() == {"failed": 1}


@pytest.mark.parametrize("skimmed", [False, True])
def test_a_port_that_was_taken_uses_up_no_restart(skimmed: bool) -> None:
    made = graph(call("a", "one"))
    made.steps["one"] = replace(made.steps["one"], retry=Retry(attempts=2, lost_attempts=3))
    taken, crash = ErrorInfo("port", "FW-PORT-TAKEN", "taken"), ErrorInfo("crash", "FW-TASK-CRASHED", "gone")
    assert after(made, skimmed, taken, taken, crash, taken) == "retrying"
    assert after(made, skimmed, taken, crash, crash) == "failed"
    assert after(made, skimmed, *[taken] * 4) == "failed", "a port that the step asks for itself is taken each time"


@pytest.mark.parametrize("skimmed", [False, True])
@pytest.mark.parametrize("code", ["FW-RESIZED", "FW-REQUEUED"])
def test_a_gang_that_grows_or_goes_back_to_its_queue_uses_up_neither_its_restarts_nor_its_losses(code: str, skimmed: bool) -> None:
    made = graph(call("a", "one"))
    made.steps["one"] = replace(made.steps["one"], retry=Retry(attempts=2, lost_attempts=1))
    grows, crash = ErrorInfo("lost", code, "it goes on from its newest checkpoint"), ErrorInfo("crash", "FW-TASK-CRASHED", "gone")
    assert after(made, skimmed, *[grows] * 9) == after(made, skimmed, grows, crash, grows) == "retrying"
    assert after(made, skimmed, grows, crash, grows, crash) == "failed"


def after(made: Graph, skimmed: bool, *errors: ErrorInfo) -> str:
    """The task's status when each of its attempts has ended with one of them."""
    events: list[Any] = []
    for n, error in enumerate(errors, 1):
        events += [ev.AttemptPlanned(f"a-{n}", "", "a", ((),), n, 100.0 + n), ended(f"a-{n}", 101.0 + n, error=error)]
    if skimmed:
        (status,) = told(made, *events).counts()
        return status
    return fold([ev.RunStarted("r", made, {}, "", 100.0), *events]).task("", "a", ()).status
