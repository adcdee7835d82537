"""Paced nodes and the history they see: suggestions one after the other, beside their trials, whatever the schedule and who is killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.dsl.lint import check
from fairway.engine import graphfile, trialhistory
from fairway.engine.apply import apply, fold
from fairway.engine.recorded import get_inputs
from fairway.engine.studies import studies_of
from fairway.errors import DefinitionError
from fairway.spec import event as ev
from fairway.spec.graph import Axis, Expr, Graph, Node, Pace, Port, StepDef
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain, replace, to_plain
from fairway.spec.study import SAMPLER_STATE, SUGGESTION
from fairway.testing.scripted import Call, Faults, Skip, seeded
from tests.engine.build import call, graph, numbers, out, step
from tests.engine.simulate import RUN, World, outputs, statuses

SMALL = 4  # trials of a block
BAD = 7  # trials whose number divides by it fail; those after them are skipped


def search(count: int, ahead: int, **told: Any) -> Graph:
    """`suggest` and `trial` on one axis, `best` of all."""
    axis = numbers(count, "k", on_error="keep")
    suggest = StepDef(
        "suggest",
        module="flow",
        qualname="suggest",
        code="suggest",
        inputs=(Port("history"), Port("rest"), Port("ended")),
        outputs=(Port("x"), Port(SUGGESTION), Port(SAMPLER_STATE)),
        returns="dict",
    )
    best = replace(step("best", "history"), outputs=(Port("number"), Port("trials")), returns="dict")
    known = {"metrics": ["result"], "directions": ["max"], "space": {"x": {"type": "int", "low": 0, "high": 9}}, **told}
    history = Expr("history", "trial")
    seen = {"history": history, "rest": Expr("history", "trial", "rest"), "ended": Expr("history", "trial", "ended")}
    return graph(
        Node("suggest", "suggest", seen, ("k",), pace=Pace("trial", ahead, known)),
        call("trial", "trial", ("k",), x=Expr("output", "suggest", "x")),
        call("best", "best", history=history),
        steps=(suggest, step("trial", "x"), best),
        axes=(axis,),
        outputs={
            "best": Expr("at", "k", args=(out("trial"), Expr("output", "best", "number"))),
            "trials": Expr("output", "best", "trials"),
        },
    )


def work(task: Call) -> Any:
    """x is the number of the trial; the state counts the suggestions."""
    if task.step == "suggest":
        history = task.inputs["history"]
        n = history.get("state", 0)
        return {"x": n, SUGGESTION: {"n": n}, SAMPLER_STATE: n + 1}
    if task.step == "best":
        done = [one for one in task.inputs["history"]["trials"] if one["status"] == "succeeded"]
        return {"number": max(done, key=lambda one: one["values"][0])["index"], "trials": task.inputs["history"]["trials"]}
    x = task.inputs["x"]
    if x and x % BAD == 0:
        raise ValueError(f"{x} is bad")
    if x and x % BAD == 1 and x > 1:
        raise Skip("pruned")
    return x * 10


def check_pace(world: World, count: int, ahead: int) -> None:
    """Of the record: each suggestion begins after that before it and beside few enough trials."""
    suggested, ended = -1, set[int]()
    node: dict[str, tuple[str, int]] = {}
    for event in world.events():
        if isinstance(event, ev.AttemptPlanned):
            k = event.items[0][0] if event.items[0] else 0
            node[event.attempt] = event.node, k
            if event.node == "suggest" and event.n == 1:
                assert k <= suggested + 1
                assert k - len([one for one in ended if one < k]) < ahead
        elif isinstance(event, ev.AttemptEnded):
            name, k = node[event.attempt]
            if name == "suggest" and event.outcome.items and event.outcome.items[0].status == "succeeded":
                suggested = max(suggested, k)
            elif name == "trial":
                ended.add(k)
    assert suggested == count - 1


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trialhistory, "BLOCK", SMALL)
        yield


def watching(world_work: Any, found: dict[int, list[dict[str, Any]]]) -> Any:
    def compute(task: Call) -> Any:
        if task.step == "suggest":
            found[int(task.task.partition("[")[2][:-1])] = task.inputs["history"]["trials"]
        return world_work(task)

    return compute


@given(st.integers(1, 25), st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_suggestions_come_in_order_beside_as_many_trials_as_allowed(count: int, ahead: int, seed: int) -> None:
    found: dict[int, list[dict[str, Any]]] = {}
    world = World(watching(work, found), choose=seeded(seed), slots=4)
    state = world.start(search(count, ahead))
    assert state.status == "succeeded"
    check_pace(world, count, ahead)
    for k, trials in found.items():
        assert [one["index"] for one in trials] == list(range(k)), "each suggestion sees all trials before it"
        assert sum(one["status"] == "running" for one in trials) < ahead
        for one in trials:
            assert one["params"] == {"x": one["index"]}
            assert one["suggestion"] == {"n": one["index"]}
            if one["status"] == "succeeded":
                assert one["values"] == [one["index"] * 10]
            elif one["status"] == "failed":
                assert "is bad" in one["error"]
            elif one["status"] == "skipped":
                assert one["reason"] == "pruned"
    (study,) = studies_of(state)
    assert [trial.number for trial in study.trials] == list(range(count))
    good = [n for n in range(count) if not (n and n % BAD == 0) and not (n > 1 and n % BAD == 1)]
    assert [trial.number for trial in study.trials if trial.state == "complete"] == good
    assert study.best == (max(good),)
    assert study.asked == count


@given(st.integers(2, 15), st.integers(1, 4), st.integers(0, 10**6), st.lists(st.integers(1, 120), min_size=1, max_size=5), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_search_whose_driver_is_killed_goes_on_as_if_nothing_had_happened(
    count: int, ahead: int, seed: int, kills: list[int], lose: bool
) -> None:
    calm = World(work).start(search(count, ahead))
    world = World(work, choose=seeded(seed), faults=Faults(slow=5))
    state = world.survive(search(count, ahead), kills, lose=lose)
    assert statuses(state) == statuses(calm)
    assert outputs(state)["best"] == outputs(calm)["best"]
    check_pace(world, count, ahead)
    world.check_promises()  # no succeeded attempt ran twice


@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_what_a_suggestion_was_given_can_be_worked_out_again_from_the_record(count: int, ahead: int, seed: int) -> None:
    found: dict[int, list[dict[str, Any]]] = {}
    world = World(watching(work, found), choose=seeded(seed))
    world.start(search(count, ahead))
    state = fold(world.events())
    library = world.driver()._library
    for k, trials in found.items():
        again = get_inputs(state, "", "suggest", (k,), library)
        ref, rest, ended = again["history"].ref, again["rest"].ref, again["ended"].ref
        assert ref is not None and rest is not None and ended is not None
        assert library.value(ref)["trials"] == trials
        inside = [one for block in library.split(ended) for one in library.value(block)]
        assert sorted([*inside, *library.value(rest)["trials"]], key=lambda one: one["index"]) == trials


@given(st.integers(1, 25), st.integers(1, 6), st.integers(0, 10**6), st.lists(st.integers(1, 200), max_size=3))
@settings(max_examples=60, deadline=None)
def test_blocks_of_trials_that_have_ended_and_the_rest_are_the_whole_history(count: int, ahead: int, seed: int, kills: list[int]) -> None:
    given: list[dict[str, Any]] = []

    def compute(task: Call) -> Any:
        if task.step == "suggest":
            given.append(task.inputs)
        return work(task)

    World(compute, choose=seeded(seed), slots=4, faults=Faults(slow=3)).survive(search(count, ahead), kills)
    blocks: dict[int, list[Any]] = {}
    for inputs in given:
        trials, rest = inputs["history"]["trials"], inputs["rest"]["trials"]
        assert sorted([*rest, *(one for block in inputs["ended"] for one in block)], key=lambda one: one["index"]) == trials
        assert rest == sorted(rest, key=lambda one: one["index"])
        assert inputs["rest"].get("state") == inputs["history"].get("state")
        for block in inputs["ended"]:
            assert [one["index"] for one in block] == list(range(block[0]["index"], block[0]["index"] + SMALL))
            assert all(one["status"] != "running" for one in block)
            assert blocks.setdefault(block[0]["index"], block) == block, "it never changes"
        whole = [one for one in trials if one["index"] < len(trials) // SMALL * SMALL]
        held_back = {one["index"] // SMALL for one in whole if one["status"] == "running"}
        assert len(inputs["ended"]) == len(trials) // SMALL - len(held_back), "as many as have ended"


def test_a_failed_trial_that_is_made_again_is_told_of_as_it_went_then() -> None:
    """Of a resume: the blocks from before it do not count."""
    broken, given = [True], dict[str, Any]()

    def flaky(task: Call) -> Any:
        if task.step == "suggest":
            given[task.task] = task.inputs["ended"]
            if broken[0] and len(given) == 7:
                raise ImportError("no sampler")
        if task.step == "trial" and not broken[0]:
            return 1
        return work(task) if task.step != "trial" or task.inputs["x"] != 2 else 1 / 0

    world = World(flaky)
    assert world.start(search(12, 1)).status == "failed"
    assert given["suggest[6]"][0][2]["status"] == "failed"
    broken[0] = False
    record, library = world.events(), world.driver()._library
    state, at = fold(record), {"k": 6}
    old = trialhistory.ended_blocks(state, state.scopes[""], Expr("history", "trial", "ended"), at, library)
    assert world.resume().status == "succeeded"
    assert world.executed("trial").count("trial[2]") == 2
    assert given["suggest[11]"][0][2]["status"] == "succeeded"
    for event in world.events()[len(record) :]:  # who has looked at them before
        apply(state, event)
    new = trialhistory.ended_blocks(state, state.scopes[""], Expr("history", "trial", "ended"), at, library)
    assert [library.value(block)[2]["status"] for block in (old[0], new[0])] == ["failed", "succeeded"]


def test_with_one_at_a_time_nothing_runs_beside_a_suggestion() -> None:
    found: dict[int, list[dict[str, Any]]] = {}
    World(watching(work, found)).start(search(6, 1))
    assert all(one["status"] != "running" for trials in found.values() for one in trials)


def test_a_suggestion_that_skips_ends_the_search() -> None:
    def tired(task: Call) -> Any:
        if task.step == "suggest" and task.inputs["history"].get("state", 0) == 3:
            raise Skip("the time is over")
        return work(task)

    world = World(tired)
    state = world.start(search(50, 2))
    assert state.status == "succeeded"
    assert world.executed("suggest") == ["suggest[0]", "suggest[1]", "suggest[2]", "suggest[3]"]
    assert world.executed("trial") == ["trial[0]", "trial[1]", "trial[2]"]
    assert state.counts() == {"succeeded": 7, "skipped": 47 * 2}
    assert [trial.number for trial in studies_of(state)[0].trials] == [0, 1, 2]


def test_a_suggestion_that_fails_fails_the_run_though_failed_trials_do_not() -> None:
    def broken(task: Call) -> Any:
        if task.step == "suggest" and task.inputs["history"].get("state", 0) == 2:
            raise ImportError("no sampler")
        return work(task)

    world = World(broken)
    state = world.start(search(9, 1))
    assert state.status == "failed"
    assert state.error is not None and "no sampler" in state.error.message
    assert world.executed("best") == []
    again = World(work)
    assert again.start(search(9, 1)).status == "succeeded"


def test_a_failed_suggestion_is_made_again_by_a_resume_and_no_ended_trial_is() -> None:
    broken = [True]

    def flaky(task: Call) -> Any:
        if task.step == "suggest" and task.inputs["history"].get("state", 0) == 3 and broken[0]:
            raise ImportError("no sampler")
        return work(task)

    world = World(flaky)
    assert world.start(search(6, 1)).status == "failed"
    before = world.executed("trial")
    broken[0] = False
    state = world.resume()
    assert state.status == "succeeded"
    assert world.executed("trial") == [*before, "trial[3]", "trial[4]", "trial[5]"]


def test_the_trials_of_a_search_are_cached_and_so_are_its_suggestions() -> None:
    world = World(lambda task: work(task) if task.step != "trial" else task.inputs["x"])
    first = world.start(search(8, 1), run="first")
    n = len(world.executed())
    second = world.start(search(8, 1), run="second")
    assert len(world.executed()) == n
    assert outputs(first) == outputs(second)
    assert [trial.state for trial in studies_of(second)[0].trials] == ["complete"] * 8


def test_metrics_that_were_logged_stand_for_outputs() -> None:
    world = World(lambda task: work(task) if task.step != "trial" else "a text")
    world.start(search(3, 1, metrics=["auc"]))
    trials = {event.attempt for event in world.events(ev.AttemptPlanned) if event.node == "trial"}
    record = [
        replace(event, outcome=replace(event.outcome, metrics={"auc": 0.5}))
        if isinstance(event, ev.AttemptEnded) and event.attempt in trials
        else event
        for event in world.events()
    ]
    assert [trial.values for trial in studies_of(fold(record))[0].trials] == [(0.5,)] * 3
    assert {trial.error for trial in studies_of(fold(world.events()))[0].trials} == {"it gave no value for the metric"}


def test_metrics_that_a_cached_trial_had_logged_count_too() -> None:
    world = World(work)
    world.start(search(2, 1, metrics=["auc"]))
    made = [event for event in world.events() if isinstance(event, ev.RunStarted | ev.MapExpanded)]
    x = ev.CachedItem((0,), "k", {"x": world.driver()._library.constant(4)}, "past", "suggest[0]")
    trial = ev.CachedItem((0,), "k", {"result": world.driver()._library.constant("text")}, "past", "trial[0]", metrics={"auc": 0.25})
    record = [*made, ev.TasksCached("", "suggest", (x,), 1.0), ev.TasksCached("", "trial", (trial,), 1.0)]
    assert studies_of(fold(record))[0].trials[0].values == (0.25,)


def test_a_settled_trial_touches_only_the_next_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 10: entries of the history are made once each, and decisions look at a bounded number of tasks for each trial."""
    from fairway.engine import decide

    looked, told = [0], [0]
    plain_task, plain_tell = decide._Round._task, trialhistory.tell_trial

    def task(self: Any, *args: Any) -> None:
        looked[0] += 1
        plain_task(self, *args)

    def tell(*args: Any, **more: Any) -> Any:
        told[0] += 1
        return plain_tell(*args, **more)

    monkeypatch.setattr(decide._Round, "_task", task)
    monkeypatch.setattr(trialhistory, "tell_trial", tell)
    costs: list[tuple[int, int]] = []
    for count in (50, 200):
        looked[0] = told[0] = 0
        World(lambda task: work(task) if task.step != "trial" else 1).start(search(count, 2))
        costs.append((looked[0], told[0]))
    assert costs[1][0] <= 4.5 * costs[0][0]
    assert costs[1][1] <= 4.5 * costs[0][1]


@pytest.mark.parametrize("pruner", ["median", "asha", "patience"])
def test_a_trial_that_may_be_ended_early_is_told_of_the_others(pruner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON that is spelled once for each that has ended; not to a pruner that looks at nobody else."""
    told: dict[int, Any] = {}
    spelled: list[int] = []
    plain = trialhistory._for_a_pruner

    def spell(entry: Any, kind: str) -> Any:
        spelled.append(entry["index"]) if entry["status"] != "running" else None
        return plain(entry, kind)

    def compute(task: Call) -> Any:
        if task.step == "trial":
            told[task.spec.context["trial"]["number"]] = task.spec.context["trial"].get("trials")
        return work(task)

    monkeypatch.setattr(trialhistory, "_for_a_pruner", spell)
    assert World(compute).start(search(20, 2, pruner={"kind": pruner})).status == "succeeded"
    assert sorted(told) == list(range(20))
    if pruner == "patience":
        assert set(told.values()) == {None} and not spelled
        return
    assert sorted(spelled) == sorted(set(spelled)) and len(spelled) >= 18
    for number, text in told.items():
        others = json.loads(text)
        assert [one["index"] for one in others if one["index"] < number] == list(range(number))
        assert number not in [one["index"] for one in others]
        assert all(set(one) <= {"index", "status", "reason", "values", "reports", "attrs"} for one in others)
        assert all(one["values"] == [one["index"] * 10] for one in others if one["status"] == "succeeded")


@pytest.mark.parametrize(("kind", "kept"), [("median", [[1, 0.5], [2, 0.25]]), ("asha", [[2, 0.25]]), ("hyperband", [[2, 0.25]])])
def test_of_another_trials_curve_a_pruner_is_told_what_it_looks_at(kind: str, kept: list[Any]) -> None:
    entry: dict[str, Any] = {
        "index": 0,
        "status": "succeeded",
        "params": {"x": 1},
        "values": [1.0],
        "reports": [[1, 0.5], [2, 0.25]],
        "attrs": {"a": 1},
    }
    assert trialhistory._for_a_pruner(entry, kind) == {
        "index": 0,
        "status": "succeeded",
        "values": [1.0],
        "reports": kept,
        "attrs": {"a": 1},
    }
    assert "reports" not in trialhistory._for_a_pruner({**entry, "status": "skipped"}, kind), "only what went to its end is compared with"
    assert len(entry["reports"]) == 2, "the record stays as it is"


def test_a_search_lies_on_an_axis_of_its_own_search_each() -> None:
    """One search for each data set: none sees the trials of another."""
    plan = search(4, 1)
    outer = Axis("d", (Expr("const", value=["a", "b"]),))
    nodes = [replace(node, axes=("d", *node.axes), inputs={**node.inputs, "d": Expr("item", "d")}) for node in plan.nodes]
    steps = {name: replace(one, inputs=(*one.inputs, Port("d"))) for name, one in plan.steps.items()}
    found: dict[str, list[dict[str, Any]]] = {}

    def compute(task: Call) -> Any:
        if task.step == "suggest":
            found[task.task] = task.inputs["history"]["trials"]
        return work(task)

    made = replace(plan, nodes=tuple(nodes), steps=steps, axes={"d": outer, **plan.axes}, outputs={})
    assert [problem.message for problem in check(made, lambda kind: True, ())] == []
    state = World(compute).start(made)
    assert state.status == "succeeded"
    for d in range(2):
        for k in range(4):
            assert [one["index"] for one in found[f"suggest[{d},{k}]"]] == list(range(k))
    assert [study.name for study in studies_of(state)] == ["trial[0]", "trial[1]"]


def test_a_cancelled_search_ends() -> None:
    world = World(work)
    driver = world.driver(world.begin(search(30, 2)))
    seen = [0]

    def cancel(state: Any, events: Any) -> None:
        seen[0] += 1
        if seen[0] == 12:
            driver.cancel()

    driver._on_events = cancel
    state = run_now(driver.drive())
    assert state.status == "cancelled"
    assert not state.live
    assert RUN == state.run


def test_paced_graphs_travel_as_yaml_and_json() -> None:
    plan = search(5, 2)
    assert from_plain(Graph, to_plain(plan)) == plan
    for render, name in ((graphfile.render_yaml, "g.yaml"), (graphfile.render_json, "g.json")):
        read = graphfile.parse(render(plan), name)
        assert {node.id: node.pace for node in read.nodes} == {node.id: node.pace for node in plan.nodes}
        assert World(work).start(read).status == "succeeded"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pace": Pace("nobody")}, "no other node"),
        ({"pace": Pace("suggest")}, "no other node"),
        ({"pace": Pace("best")}, "not on the same axes"),
        ({"pace": Pace("trial", 0)}, "0 ahead"),
        ({"axes": ()}, "not on the same axes"),
    ],
)
def test_a_pace_that_cannot_hold_is_refused(change: dict[str, Any], message: str) -> None:
    plan = search(3, 1)
    broken = replace(plan, nodes=(replace(plan.nodes[0], **change), *plan.nodes[1:]))
    assert any(message in problem.message for problem in check(broken, lambda kind: True, ()))


def test_a_history_of_what_paces_nobody_is_refused() -> None:
    plan = graph(call("a", "a", x=1), call("b", "b", x=Expr("history", "a")))
    assert "no node is paced" in check(plan, lambda kind: True, ())[0].message
    with pytest.raises(DefinitionError, match="no node is paced"):
        World(work).start(plan)


def test_an_index_that_is_not_on_the_axis_fails_the_task_that_wants_it() -> None:
    plan = graph(
        call("each", "each", ("i",), x=Expr("item", "i")),
        call("one", "one", x=Expr("at", "i", args=(out("each"), Expr("const", value=9)))),
        axes=(numbers(3),),
    )
    state = World(lambda task: task.inputs["x"]).start(plan)
    assert state.status == "failed"
    assert state.error is not None and "no item 9 on the axis" in state.error.message
    fine = replace(plan, nodes=(plan.nodes[0], call("one", "one", x=Expr("at", "i", args=(out("each"), Expr("const", value=2))))))
    assert World(lambda task: task.inputs["x"]).start(fine).status == "succeeded"
