"""`apply`, `decide` and what they are made of: pure, deterministic, and calm about what should not happen."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairway.engine
from fairway.engine.apply import apply, fold
from fairway.engine.decide import decide
from fairway.engine.library import StoreLibrary
from fairway.engine.outcomes import abandoned, find_outcome, lost, settle_outcome
from fairway.engine.plan import Planner, name_attempt, task_seed
from fairway.engine.resolve import PENDING, resolve
from fairway.engine.scopegraph import ScopeGraph
from fairway.engine.state import RunState
from fairway.engine.summarise import summarise
from fairway.errors import DefinitionError, InternalError
from fairway.spec import event as ev
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import attempt_id
from fairway.spec.graph import Axis, Expr, Graph, Guard, Node
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome
from fairway.spec.ports import run_now
from fairway.spec.record import replace, to_plain
from fairway.spec.resources import Resources, Retry
from fairway.spec.retry import NEVER, may_retry, wait_s
from fairway.testing.memory import MemoryArtifactStore
from fairway.testing.scripted import Call, Skip, save_json, seeded
from tests.engine.build import by_step, call, collect, graph, mapped, numbers, out, step
from tests.engine.simulate import RUN, World, outputs, statuses

ONE = graph(call("a", "work", x=1), outputs={"r": out("a")})
SEVEN = ArtifactRef("d", 1, "json", "int", "result", "7")
PURE = ("apply", "decide", "resolve", "state", "scopegraph", "trialhistory", "studies")
SECRET = Expr("secret", "TOKEN")


def started(pipeline: Graph, **more: Any) -> RunState:
    state = RunState()
    apply(state, ev.RunStarted(RUN, pipeline, {}, "bundle", 100.0, **more))
    return state


def running(pipeline: Graph = ONE, retry: Retry | None = None) -> RunState:
    if retry is not None:
        pipeline = replace(pipeline, steps={name: replace(s, retry=retry) for name, s in pipeline.steps.items()})
    state = started(pipeline)
    apply(state, ev.AttemptPlanned("a-1", "", "a", ((),), 1, 101.0, ("key",)))
    return state


def ended(status: str = "succeeded", **more: Any) -> ev.AttemptEnded:
    return ev.AttemptEnded("a-1", Outcome("a-1", "ended", (ItemOutcome(status, **more),)), 102.0)


# purity ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", PURE)
def test_the_pure_rooms_import_nothing_that_knows_time_chance_or_the_world(module: str) -> None:
    allowed = {"heapq", "collections.abc", "typing", "sys", "hashlib", "json", "operator", "__future__"}
    tree = ast.parse((Path(fairway.engine.__file__).parent / f"{module}.py").read_text())
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert (
                name in allowed or str(name).startswith(("fairway.spec", "fairway.errors")) or str(name).split(".")[-1] in (*PURE, "keys")
            )
        if isinstance(node, ast.ImportFrom) and node.module == "sys":
            assert [a.name for a in node.names] == ["intern"]
        assert not (isinstance(node, ast.Name) and node.id in ("open", "print", "input")), f"{module}: {ast.unparse(node)}"


@given(st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_the_same_journal_always_folds_to_the_same_state(seed: int) -> None:
    def work(task: Call) -> int:
        if task.n < 2 or task.inputs["x"] == 3:
            raise ConnectionError
        return task.inputs["x"]

    world = World(by_step(work=work), choose=seeded(seed))
    state = world.start(mapped(4, step("work", "x", retry=Retry(attempts=2)), on_error="keep"))
    events = world.events()
    one, two = fold(events), fold(events)
    assert plain(one) == plain(two) == plain(state)


def plain(value: Any) -> Any:
    """All that a state holds, comparable."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "record_fields"):
        return to_plain(value)
    slots = getattr(type(value), "__slots__", None) or list(getattr(value, "__dict__", {}))
    hidden = {"graph", "index", "nodes"} if type(value).__name__ == "ScopeGraph" else set()
    return {n: plain(getattr(value, n)) for n in slots if n not in hidden and n != "index"} if slots else value


def test_decide_changes_nothing_and_says_the_same_again() -> None:
    library = StoreLibrary(MemoryArtifactStore())
    state = started(ONE)
    before = plain(state)
    touches = [("open", "", "", ())]
    one, two = decide(state, touches, library), decide(state, touches, library)
    assert plain(state) == before
    assert (one.ready, one.events) == (two.ready, two.events) == ([("", "a", ())], [])


def test_nothing_is_decided_for_a_run_that_has_not_begun_or_has_ended() -> None:
    library = StoreLibrary(MemoryArtifactStore())
    assert decide(RunState(), [("open", "", "", ())], library).ready == []
    state = started(ONE)
    apply(state, ev.RunEnded("cancelled", 103.0))
    assert decide(state, [("open", "", "", ())], library).ready == []


def test_what_concerns_a_scope_that_is_no_more_is_passed_over() -> None:
    decision = decide(started(ONE), [("settled", "gone[3]", "a", ()), ("puzzled", "", "a", ())], StoreLibrary(MemoryArtifactStore()))
    assert (decision.events, decision.ready) == ([], [])


# events out of order, or twice -------------------------------------------------------------------------------


def test_an_attempt_ends_once() -> None:
    state = running()
    assert apply(state, ended(outputs={"result": SEVEN}))
    before = plain(state)
    assert apply(state, ended("failed")) == []
    assert apply(state, ev.AttemptEnded("unknown-1", Outcome("unknown-1", "ended"), 103.0)) == []
    assert {**plain(state), "now": 0} == {**before, "now": 0}


def test_what_is_said_of_an_unknown_attempt_is_passed_over() -> None:
    state = running()
    apply(state, ev.AttemptObserved("unknown-1", "running"))
    apply(state, ev.AttemptObserved("a-1", "running", "on node 3", 105.0))
    assert (state.attempts["a-1"].phase, state.attempts["a-1"].reason, state.now) == ("running", "on node 3", 105.0)


def test_a_map_that_is_expanded_again_keeps_its_tasks() -> None:
    state = started(mapped(2))
    assert len(apply(state, ev.MapExpanded("", "i", (), 2))) == 3
    assert apply(state, ev.MapExpanded("", "i", (), 2)) == [("expanded", "", "i", ())]
    assert state.counts() == {"waiting": 2}


def test_a_task_that_has_ended_is_not_skipped() -> None:
    state = running()
    apply(state, ended(outputs={"result": SEVEN}))
    apply(state, ev.TasksSkipped("", "a", ((),), "cancelled"))
    assert state.task("", "a", ()).status == "succeeded"


def test_a_retry_that_was_cancelled_meanwhile_is_neither_scheduled_nor_due() -> None:
    state = running(retry=Retry(attempts=3))
    apply(state, ended("failed"))
    assert state.task("", "a", ()).status == "retrying"
    apply(state, ev.TasksSkipped("", "a", ((),), "cancelled"))
    apply(state, ev.RetryScheduled("", "a", ((),), 2, 103.0))
    assert apply(state, ev.ClockAdvanced(104.0)) == []
    assert (state.task("", "a", ()).status, state.task("", "a", ()).reason) == ("skipped", "cancelled")


def test_a_failure_and_a_stop_at_once_schedule_no_retry() -> None:
    state = running(retry=Retry(attempts=3))
    touches = apply(state, ended("failed")) + apply(state, ev.CancelRequested(103.0))
    decision = decide(state, touches, StoreLibrary(MemoryArtifactStore()))
    assert decision.events == [ev.TasksSkipped("", "a", ((),), "cancelled")]


def test_what_would_have_begun_at_the_moment_of_a_cancel_does_not() -> None:
    state = running(graph(call("a", "work", x=1), call("b", "work", x=out("a"))))
    touches = apply(state, ended(outputs={"result": SEVEN})) + apply(state, ev.CancelRequested(103.0))
    decision = decide(state, touches, StoreLibrary(MemoryArtifactStore()))
    assert (decision.ready, decision.events) == ([], [ev.TasksSkipped("", "b", ((),), "cancelled")])


def test_a_run_is_cancelled_once() -> None:
    state = running()
    assert apply(state, ev.CancelRequested(103.0, by="ann"))
    assert apply(state, ev.CancelRequested(104.0, by="bob", reason="me too")) == []
    assert state.error is not None
    assert state.error.message == "cancelled by ann"


def test_an_attempts_metrics_become_the_runs() -> None:
    state = running()
    outcome = Outcome("a-1", "ended", (ItemOutcome("succeeded", {"result": SEVEN}),), metrics={"auc": 0.9})
    apply(state, ev.AttemptEnded("a-1", outcome, 102.0))
    assert state.metrics == {"auc": 0.9}


def test_an_error_without_words_is_still_an_error() -> None:
    state = running()
    apply(state, ended("failed"))
    assert state.first_failure() == ("a", ErrorInfo("unknown", "FW-TASK-FAILED", "failed without saying why"))
    state = running()
    apply(state, ended("cancelled"))
    assert state.task("", "a", ()).status == "cancelled"
    state = started(ONE)
    apply(state, ev.ScopeEnded("", "a", (), "failed", 102.0))
    assert state.task("", "a", ()).error == ErrorInfo("unknown", "FW-TASK-FAILED", "an inner task failed")


def test_a_new_environment_comes_with_a_resume() -> None:
    state = running()
    apply(state, ev.RunResumed(103.0, environment={"python": "3.14"}))
    assert state.environment == {"python": "3.14"}
    assert state.task("", "a", ()).status == "waiting"


def test_what_the_step_of_an_attempt_asks_for() -> None:
    big = graph(call("a", "work", x=1), steps=(step("work", "x", resources=Resources(cpu=4)),))
    state = running(big)
    assert state.asked(state.attempts["a-1"]) == Resources(cpu=4)


# going on with dynamic steps and failed maps -----------------------------------------------------------------


def _tree(task: Call) -> Graph:
    deeper = call("deeper", "grow", x=task.inputs["x"] - 1) if task.inputs["x"] else call("leaf", "leaf", x=1)
    steps = (step("grow", "x", kind="dynamic", cache=False), step("leaf", "x", cache=False))
    return graph(deeper, steps=steps, outputs={"result": out(deeper.id)})


@pytest.mark.parametrize("edited", [False, True])
def test_a_dynamic_task_whose_inside_failed_is_made_anew(edited: bool) -> None:
    broken = [True]

    def leaf(task: Call) -> int:
        if broken:
            raise ValueError("no")
        return 5

    pipeline = graph(call("tree", "grow", x=2), steps=(step("grow", "x", kind="dynamic", cache=False),), outputs={"r": out("tree")})
    world = World(by_step(grow=_tree, leaf=leaf))
    state = world.start(pipeline)
    assert state.status == "failed"
    assert state.first_failure()[1].message == "tree/deeper: tree/deeper/deeper: tree/deeper/deeper/leaf: no"
    broken.clear()
    state = world.resume(replace(pipeline, doc="edited") if edited else None)
    assert state.status == "succeeded"
    assert state.task("tree/deeper/deeper", "leaf", ()).n == 2, "attempt numbers go on"
    assert state.counts() == {"succeeded": 4}


def test_a_dynamic_step_that_makes_no_sense_fails_by_name() -> None:
    def grow(task: Call) -> Graph:
        return Graph("odd", nodes=(Node("in", "nowhere"),))

    world = World(by_step(grow=grow))
    pipeline = graph(call("g", "grow", x=2), steps=(step("grow", "x", kind="dynamic"),))
    state = world.start(pipeline)
    assert state.status == "failed"
    assert state.first_failure()[1].message == "node 'in' calls an unknown step 'nowhere'"


def test_a_dynamic_step_whose_graph_is_gone_fails() -> None:
    class Gone(StoreLibrary):
        def graph(self, digest: str) -> Graph:
            raise DefinitionError(f"{digest[:4]} is gone", hint="look")

    pipeline = graph(call("g", "grow", x=0), steps=(step("grow", "x", kind="dynamic"),))
    world = World(by_step(grow=_tree))
    state = run_now(world.driver(world.begin(pipeline), library=Gone(world.artifacts)).drive())
    assert (state.status, state.first_failure()[1].kind) == ("failed", "DefinitionError")


@pytest.mark.parametrize("inner, status", [(lambda x: 1, "succeeded"), (lambda x: (_ for _ in ()).throw(Skip("no")), "skipped")])
def test_a_dynamic_task_ends_as_its_graph_does(inner: Any, status: str) -> None:
    world = World(by_step(grow=_tree, leaf=inner))
    state = world.start(graph(call("g", "grow", x=1), steps=(step("grow", "x", kind="dynamic"),), outputs={"r": out("g")}))
    assert (state.status, statuses(state)["g"]) == ("succeeded", status)
    assert bool(outputs(state)) == (status == "succeeded")


def test_lists_walked_together_must_be_of_one_length_and_a_resume_looks_again() -> None:
    lengths = [2]

    def span(task: Call) -> list[int]:
        return list(range(lengths[0] if task.inputs["x"] else 3))

    both = Axis("i", (out("one"), out("two")), where="flow.py:9")
    nodes = (call("one", "span", x=0), call("two", "span", x=1), call("each", "work", ("i",), x=Expr("item", "i", position=1)))
    pipeline = graph(*nodes, axes=(both,), steps=(step("span", "x", cache=False), step("work", "x")))
    world = World(by_step(span=span))
    state = world.start(pipeline)
    assert (state.status, state.error.message) == ("failed", "flow.py:9: fw.each got lists of 3 and 2 items")
    state = world.resume()
    assert state.status == "failed", "the lists are what they were"
    lengths[0] = 3
    redo = replace(pipeline, steps={**pipeline.steps, "span": replace(pipeline.steps["span"], code="edited")})
    assert world.resume(redo).status == "succeeded"


# values ------------------------------------------------------------------------------------------------------


def refused(*nodes: Node, axes: tuple[Axis, ...] = (), outputs: Any = None) -> str:
    """How a run fails whose values cannot be had."""
    state = World(by_step()).start(graph(call("a", "work", x=1), *nodes, axes=axes, outputs=outputs))
    assert state.status == "failed"
    error = state.error or state.first_failure()[1]
    return error.message


def test_secrets_have_no_value_in_the_pipeline() -> None:
    less = Expr("op", "<", args=(SECRET, Expr("const", value=1)))
    assert "a secret has no value in the pipeline" in refused(call("b", "work", x=less))
    assert "a secret cannot be put into a list" in refused(call("b", "work", x=Expr("list", args=(SECRET,))))
    assert "a secret cannot be mapped over" in refused(call("b", "work", ("i",), x=Expr("item", "i")), axes=(Axis("i", (SECRET,)),))
    gathered = Expr("collect", args=(SECRET,))
    assert "secrets cannot be collected" in refused(call("b", "work", x=gathered))
    guard = Guard(Expr("op", "not", args=(SECRET,)))
    assert "a secret has no value" in refused(call("b", "work", guards=(guard,), x=1))


def test_a_secret_reaches_the_step_and_a_guard_of_one_always_holds() -> None:
    seen: list[Any] = []
    world = World(by_step(work=lambda task: seen.append((task.spec.secrets, task.inputs)) or 1))
    state = world.start(graph(call("a", "work", guards=(Guard(SECRET),), x=1, token=SECRET)))
    assert state.status == "succeeded"
    assert seen == [(("TOKEN",), {"x": 1})]
    assert "TOKEN" not in str(to_plain(state.attempts[next(iter(state.attempts))].outcome))


def test_operators_that_cannot_be_computed_show_their_values_in_short() -> None:
    long = Expr("const", value="x" * 100)
    message = refused(call("b", "work", x=Expr("op", "/", args=(long, Expr("const", value=0)))))
    assert message.startswith('`/` cannot be computed for "xxxxx')
    assert "..." in message
    assert "0: " in message
    outputs = {"r": Expr("op", "/", args=(out("a"), Expr("const", value=0)))}
    assert "cannot be computed" in refused(outputs=outputs)


def test_a_condition_on_something_big_is_refused() -> None:
    library = StoreLibrary(MemoryArtifactStore())
    with pytest.raises(DefinitionError, match=r"not a pandas\.DataFrame"):
        library.value(ArtifactRef("d", 10, "arrow", "pandas.DataFrame"))
    store = MemoryArtifactStore()
    big = save_json("x" * 2_000, store)
    assert StoreLibrary(store).value(big) == "x" * 2_000


def test_the_library_remembers_only_so_many_lists() -> None:
    store = MemoryArtifactStore()
    library = StoreLibrary(store)
    lists = [library.constant([i, i + 1]) for i in range(40)]
    assert [len(library.split(ref)) for ref in lists] == [2] * 40
    assert len(library._lists) == 16
    assert library.split(lists[-1]) is library.split(lists[-1])
    assert library.constant("y" * 5_000) is not library.constant("y" * 5_000)
    assert library.constant(1) != library.constant(True)


def test_parameters_and_facts_of_the_run_are_values() -> None:
    world = World(by_step(work=lambda task: task.inputs))
    library = StoreLibrary(world.artifacts)
    facts = {f"run_{name}": Expr("run", name) for name in ("id", "status", "error", "started_at", "mood")}
    given = {"given": Expr("param", "n"), "missing": Expr("param", "m"), "ref": Expr("artifact", ref=SEVEN), "none": Expr("artifact")}
    state = world.start(graph(call("a", "work", **facts, **given)), params={"n": library.constant(5)})
    made = library.value(state.task("", "a", ()).outputs["result"])
    known = {"run_id": RUN, "run_status": "succeeded", "run_error": None, "run_started_at": state.started_at, "run_mood": None}
    assert made == {**known, "given": 5, "missing": None, "ref": 7, "none": None}


def test_a_value_is_pending_until_all_that_it_is_made_of_is_there() -> None:
    """Asked at the wrong moment, and of a state that cannot be, the answer is never a value."""
    library = StoreLibrary(MemoryArtifactStore())
    later = graph(call("list", "span", x=1), call("each", "work", ("i",), x=Expr("item", "i")), axes=(Axis("i", (out("list"),)),))
    state = started(later)
    scope = state.scopes[""]
    assert resolve(state, scope, out("each"), {"i": 0}, library) is PENDING
    assert resolve(state, scope, Expr("item", "i"), {"i": 0}, library) is PENDING
    with pytest.raises(InternalError, match="input of each was planned but is pending"):
        Planner(state, library, "3.11").inputs(scope, scope.nodes["each"], (0,))
    apply(state, ev.MapExpanded("", "i", (), 2))
    assert list(scope.indices(("i",), {"i": 9})) == []
    apply(state, ev.TasksSkipped("", "each", ((0,), (1,)), "condition"))
    del scope.nodes["each"].items[1,]
    assert resolve(state, scope, Expr("collect", args=(Expr("either", args=(out("each"),)),)), {}, library) is PENDING


def test_a_choice_waits_for_all_it_may_choose_from() -> None:
    library = StoreLibrary(MemoryArtifactStore())
    state = running(graph(call("a", "work", x=1), call("b", "work", x=1)))
    either = Expr("either", args=(out("a"), out("b")))
    apply(state, ended(outputs={"result": SEVEN}))
    assert resolve(state, state.scopes[""], either, {}, library) is PENDING


def test_a_scope_knows_its_indices() -> None:
    axes = (Axis("i", (Expr("const", value=[1, 2]),)), Axis("j", (Expr("item", "i"),), ("i",)), numbers(2, "k"))
    scope = started(graph(call("a", "work", ("i", "j", "k"), x=Expr("item", "j")), axes=axes)).scopes[""]
    assert list(scope.indices((), {})) == [()]
    assert not scope.expanded(("i", "j", "k"), {})
    scope.lengths["i"][()] = 0
    assert list(scope.indices(("i", "j"), {})) == []
    assert not scope.expanded(("i", "j", "k"), {}), "k is still to come, though nothing lies on i and j"
    scope.lengths["k"][()] = 2
    assert scope.expanded(("i", "j", "k"), {})
    scope.lengths["i"][()] = 2
    assert not scope.expanded(("i", "j"), {})
    scope.lengths["j"].update({(0,): 1, (1,): -1})
    assert scope.expanded(("i", "j"), {})
    assert list(scope.indices(("i", "j", "k"), {"k": 1})) == [(0, 0, 1)]


def test_a_graph_grows_once() -> None:
    pipeline = graph(call("a", "grow", x=1), steps=(step("grow", "x", kind="dynamic"),))
    state, library = running(pipeline), StoreLibrary(MemoryArtifactStore())
    apply(state, ev.GraphGrown("", "a", (), ONE))
    assert decide(state, [("grown", "", "a", ())], library).events == []


def test_a_list_within_a_list_that_was_lost_is_lost() -> None:
    def span(task: Call) -> list[int]:
        if task.inputs["x"] == 1:
            raise ValueError("no")
        return [1, 2]

    inner = Expr("collect", args=(out("each"),), over=("i",))
    nodes = (
        call("list", "span", ("i",), x=Expr("item", "i")),
        call("each", "work", ("i", "j"), x=Expr("item", "j")),
        call("all", "work", x=Expr("collect", args=(inner,))),
    )
    state = World(by_step(span=span)).start(graph(*nodes, axes=(numbers(3), Axis("j", (out("list"),), ("i",)))))
    assert (state.status, statuses(state)["all"], state.task("", "all", ()).reason) == ("failed", "skipped", "failed")


def test_a_plan_without_keys_leaves_the_task_without_one() -> None:
    state = started(ONE)
    apply(state, ev.AttemptPlanned("a-1", "", "a", ((),), 1, 101.0))
    assert state.task("", "a", ()).key == ""


def test_the_first_outcome_stands() -> None:
    store = MemoryArtifactStore()
    first, second = abandoned("a-1", "cancelled"), lost("a-1")
    assert find_outcome(store, RUN, "a-1") is None
    assert settle_outcome(store, RUN, first) == first
    assert settle_outcome(store, RUN, second) == first == find_outcome(store, RUN, "a-1")


def test_a_listing_shows_big_parameters_by_name_and_an_error_in_one_line() -> None:
    library = StoreLibrary(MemoryArtifactStore())
    state = running()
    state.params = {"n": library.constant(3), "data": ArtifactRef("0123456789abcdef", 9, "file", meta={"name": "a.csv"})}
    apply(state, ended("failed", error=ErrorInfo("ValueError", "FW", "no\nreally")))
    row = summarise(state, library, {})
    assert row.params == {"n": 3, "data": "a.csv (0123456789ab)"}
    assert (row.error, row.counts) == ("a: ValueError: no", {"failed": 1})


# retries -----------------------------------------------------------------------------------------------------

KINDS = st.sampled_from(["ValueError", "crash", "timeout", "oom", "lost", "exit:75", *NEVER])
POLICIES = st.builds(
    Retry,
    attempts=st.integers(1, 5),
    backoff_s=st.floats(0, 100),
    factor=st.floats(1, 10),
    cap_s=st.floats(0.1, 1000),
    jitter=st.floats(0, 1),
    kinds=st.lists(KINDS, max_size=2).map(tuple),
    lost_attempts=st.integers(0, 4),
)
ERRORS = st.builds(ErrorInfo, KINDS, st.just("FW"), st.just(""), mro=st.lists(KINDS, max_size=2).map(tuple), retryable=st.booleans())


@given(POLICIES, ERRORS, st.integers(1, 12), st.integers(0, 6))
def test_a_policy_is_kept(policy: Retry, error: ErrorInfo, tried: int, lost: int) -> None:
    again = may_retry(policy, error, tried, min(lost, tried))
    if not error.retryable or error.kind in NEVER:
        assert not again
    elif error.kind == "lost":
        assert again == (min(lost, tried) <= policy.lost_attempts)
    else:
        wanted = not policy.kinds or error.kind in policy.kinds or bool(set(error.mro) & set(policy.kinds))
        assert again == (wanted and tried - min(lost, tried) < policy.attempts)


@given(POLICIES, st.text(), st.integers(1, 5_000))
def test_a_wait_keeps_its_bounds_and_is_the_same_for_every_driver(policy: Retry, attempt: str, tried: int) -> None:
    waited = wait_s(policy, attempt, tried)
    longest = min(policy.cap_s, policy.backoff_s * policy.factor ** min(tried - 1, 64)) if policy.backoff_s else 0.0
    assert longest * (1 - policy.jitter) <= waited <= longest
    assert waited == wait_s(policy, attempt, tried)
    assert wait_s(replace(policy, jitter=0.0), attempt, tried) <= wait_s(replace(policy, jitter=0.0), attempt, tried + 1)


# graphs and names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, message",
    [
        (graph(call("a", "work", ("i",), x=1)), "'a' lies on an unknown axis 'i'"),
        (Graph("g", nodes=(Node("a", "work"),)), "'a' calls an unknown step 'work'"),
        (graph(replace(call("a", "work", x=1), after=("b",))), "'a' comes after an unknown node 'b'"),
        (graph(call("a", "work", x=out("b"))), "'a' uses the output of an unknown node 'b'"),
        (
            graph(call("b", "work", ("i",), x=1), call("a", "work", x=out("b")), axes=(numbers(1),)),
            "which is mapped over axes that 'a' is not",
        ),
        (graph(call("a", "work", x=Expr("item", "i")), axes=(numbers(1),)), "'a' uses an element of axis 'i' but is not mapped over it"),
    ],
)
def test_a_graph_that_does_not_hold_together_is_refused(wrong: Graph, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        ScopeGraph(wrong)
    assert message in str(caught.value)


def test_the_elements_of_a_list_can_be_collected_themselves() -> None:
    world = World(by_step(total=lambda task: sum(task.inputs["xs"])))
    gathered = Expr("collect", args=(Expr("op", "*", args=(Expr("item", "i"), Expr("const", value=2))),))
    nodes = (call("list", "span", x=3), call("each", "work", ("i",), x=Expr("item", "i")), call("sum", "total", xs=gathered))
    world = World(by_step(span=lambda task: [1, 2, 3], total=lambda task: sum(task.inputs["xs"])))
    state = world.start(graph(*nodes, axes=(Axis("i", (out("list"),)),), outputs={"sum": out("sum"), "all": collect("each")}))
    library = StoreLibrary(world.artifacts)
    assert {name: library.value(ref) for name, ref in state.outputs.items()} == {"sum": 12, "all": [2, 4, 6]}


def test_attempts_are_named_by_their_tasks_and_numbered_on() -> None:
    state = started(mapped(3))
    apply(state, ev.MapExpanded("", "i", (), 3))
    names = {name_attempt(state, "", "each", items) for items in ([(0,)], [(1,)], [(0,), (1,)], [(0,), (2,)], [(0,), (1,), (2,)])}
    assert len(names) == 5
    assert name_attempt(state, "", "each", [(1,)]) == (attempt_id(RUN, "each[1]", 1), 1)
    state.tries["each[1]"] = 4
    assert name_attempt(state, "", "each", [(1,)]) == (attempt_id(RUN, "each[1]", 5), 5)
    assert name_attempt(state, "", "each", [(0,), (1,)])[1] == 5


@given(st.integers(0, 99), st.integers(0, 99))
def test_a_tasks_seed_depends_on_the_task_alone(i: int, j: int) -> None:
    assert 0 <= task_seed("", "each", (i,)) < 2**32
    assert (task_seed("", "each", (i,)) == task_seed("", "each", (j,))) == (i == j)
    assert sys.hash_info.width >= 32
