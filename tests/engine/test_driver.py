"""What the driver does with the wishes of others, with time, with its own past, and with another driver."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.engine.resolve import Library
from fairway.errors import JournalConflict
from fairway.spec import event as ev
from fairway.spec.artifact import blob_key
from fairway.spec.graph import Expr, Graph
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.record import replace, to_plain
from fairway.spec.resources import Retry
from fairway.testing.faults import Killed, KillSwitch
from fairway.testing.memory import json_text
from fairway.testing.scripted import Call, Faults, seeded
from tests.engine.build import by_step, call, collect, graph, mapped, out, step
from tests.engine.simulate import RUN, World, outputs, statuses

double = by_step()
CHAIN = graph(call("a", "one", x=1), call("b", "two", x=out("a")), call("c", "three", x=out("b")), outputs={"r": out("c")})
WIDE = by_step(work=lambda task: "x" * (2_000 + task.inputs["x"]))


def after_commits(count: int, do: Any) -> Any:
    """An `on_events` that does something once, after so many commits."""
    seen: list[int] = []

    def on_events(state: Any, events: Any) -> None:
        seen.append(1)
        if len(seen) == count:
            do()

    return on_events


def drive(world: World, begin: Any, **more: Any) -> Any:
    return run_now(world.driver(begin, **more).drive())


# the cache ---------------------------------------------------------------------------------------------------


def test_what_is_known_is_not_run_again() -> None:
    world = World(double)
    first = world.start(CHAIN, run="first")
    second = world.start(CHAIN, run="second")
    assert (first.counts(), second.counts()) == ({"succeeded": 3}, {"cached": 3})
    assert outputs(first) == outputs(second)
    assert world.executed() == ["a", "b", "c"]
    found = [item for event in world.events(ev.TasksCached, run="second") for item in event.items]
    assert [(item.run, item.task) for item in found] == [("first", "a"), ("first", "b"), ("first", "c")]
    assert second.task("", "b", ()).cached == ("first", "b")


def test_a_run_may_do_without_the_cache_and_still_fills_it() -> None:
    world = World(double)
    world.start(CHAIN, run="first", cache=False)
    assert world.start(CHAIN, run="second", cache=False).counts() == {"succeeded": 3}
    assert world.start(CHAIN, run="third").counts() == {"cached": 3}


def test_a_step_may_do_without_the_cache() -> None:
    always = graph(call("a", "work", x=1), steps=(step("work", "x", cache=False),))
    world = World(double)
    world.start(always, run="first")
    assert world.start(always, run="second").counts() == {"succeeded": 1}


def test_a_result_whose_artifact_is_gone_is_made_again() -> None:
    world = World(WIDE)
    first = world.start(mapped(1), run="first")
    (ref,) = (first.task("", "each", (0,)).outputs or {}).values()
    world.artifacts.delete(blob_key(ref.digest))
    assert world.start(mapped(1), run="second").counts() == {"succeeded": 1}
    assert world.artifacts.stat(blob_key(ref.digest)) is not None
    assert world.start(mapped(1), run="third").counts() == {"cached": 1}


def test_a_dynamic_step_is_cached_as_the_graph_it_made() -> None:
    def grow(task: Call) -> Graph:
        return graph(call("in", "work", x=task.inputs["x"]), outputs={"result": out("in")})

    tree = graph(call("g", "grow", x=3), steps=(step("grow", "x", kind="dynamic"),), outputs={"r": out("g")})
    world = World(by_step(grow=grow))
    first, second = world.start(tree, run="first"), world.start(tree, run="second")
    assert world.executed() == ["g", "g/in"]
    assert outputs(first) == outputs(second)
    assert second.task("g", "in", ()).status == "cached"


# wishes ------------------------------------------------------------------------------------------------------


def test_a_run_is_cancelled_through_its_inbox() -> None:
    world = World(double, slots=1)
    send = world.journal.send(RUN, "cancel", {"by": "ann", "reason": "too slow", "mood": "bad"})
    state = drive(world, world.begin(mapped(5)), on_events=after_commits(3, lambda: run_now(send)))
    assert state.status == "cancelled"
    assert (state.error.kind, state.error.message) == ("cancelled", "too slow")
    assert "cancelled" in state.counts() or "skipped" in state.counts()
    assert not state.live
    assert run_now(world.journal.inbox(RUN)) == []
    world.check_promises()


def test_a_run_is_cancelled_by_its_own_process() -> None:
    world = World(double, slots=1)
    driver = world.driver(world.begin(mapped(5)))
    driver._on_events = after_commits(2, lambda: driver.cancel(by="ann"))
    state = run_now(driver.drive())
    assert (state.status, state.error and state.error.message) == ("cancelled", "cancelled by ann")


def test_tags_and_notes_come_through_the_inbox_and_what_is_not_known_is_left_aside() -> None:
    world = World(double)

    def send() -> None:
        run_now(world.journal.send(RUN, "dance", {"with": "me"}))
        run_now(world.journal.send(RUN, "label", {"by": "ann", "add_tags": ["x", "y"], "note": "look", "archived": True}))
        run_now(world.journal.send(RUN, "label", {"remove_tags": ["x"], "add_tags": ["z"]}))

    state = drive(world, world.begin(CHAIN), on_events=after_commits(1, send))
    assert (state.tags, state.note, state.archived) == (("y", "z"), "look", True)
    assert state.status == "succeeded"
    summary = run_now(world.journal.find_summary(RUN))
    assert summary is not None
    assert (summary.tags, summary.note, summary.archived) == (("y", "z"), "look", True)


@pytest.mark.parametrize("seed", range(12))
def test_a_late_outcome_of_an_attempt_that_was_given_up_changes_nothing(seed: int) -> None:
    world = World(double, choose=seeded(seed), faults=Faults(stubborn=1), slots=2)
    send = world.journal.send(RUN, "cancel", {})
    state = drive(world, world.begin(mapped(4)), on_events=after_commits(3, lambda: run_now(send)))
    kept = state.status, statuses(state), len(world.events())
    for _ in range(12):
        run_now(world.executor.wait(1.0))
    again = world.go_on()
    assert (again.status, statuses(again), len(world.events())) == kept
    for attempt in (event.attempt for event in world.events(ev.AttemptGivenUp)):
        assert again.attempts[attempt].outcome.status in ("abandoned", "ended")
    world.check_promises()


def test_an_outcome_that_came_before_the_cancel_counts() -> None:
    world = World(double, slots=1)

    def race() -> None:
        (attempt,) = [e.attempt for e in world.events(ev.AttemptPlanned)]
        store, ref = world.artifacts, ev.ArtifactRef("d", 1, "json", "int", "result", "7")
        from fairway.spec.outcome import ItemOutcome

        store.put(outcome_key(RUN, attempt), json_text(Outcome(attempt, "ended", (ItemOutcome("succeeded", {"result": ref}),))).encode())
        run_now(world.journal.send(RUN, "cancel", {}))

    state = drive(world, world.begin(mapped(1)), on_events=after_commits(1, race))
    assert state.status == "cancelled"
    assert statuses(state) == {"each[0]": "succeeded"}


@pytest.mark.parametrize("fail_fast", [True, False])
def test_a_failure_stops_what_has_not_begun_if_asked(fail_fast: bool) -> None:
    def work(task: Call) -> int:
        if task.inputs["x"] == 1:
            raise ValueError("no")
        return task.inputs["x"]

    world = World(by_step(work=work), slots=1, window=1)
    state = world.start(mapped(4), fail_fast=fail_fast)
    assert state.status == "failed"
    assert state.counts() == ({"succeeded": 1, "failed": 1, "skipped": 2} if fail_fast else {"succeeded": 3, "failed": 1})


def test_a_dynamic_step_that_ends_after_the_stop_does_not_hold_the_run() -> None:
    def grow(task: Call) -> Graph:
        return graph(call("in", "work", x=1), outputs={"result": out("in")})

    def bad(task: Call) -> None:
        raise ValueError("no")

    both = graph(call("bad", "bad", x=1), call("g", "grow", x=1), steps=(step("bad", "x"), step("grow", "x", kind="dynamic")))
    for seed in range(20):
        world = World(by_step(grow=grow, bad=bad), choose=seeded(seed))
        state = world.start(both, fail_fast=True)
        assert state.status == "failed"
        assert statuses(state)["g"] in ("cancelled", "succeeded")


def test_a_cancel_during_a_retrys_wait_ends_the_run_and_a_resume_takes_it_up() -> None:
    fails = [True]

    def work(task: Call) -> int:
        if fails:
            raise ConnectionError("not yet")
        return 5

    once = mapped(1, step("work", "x", retry=Retry(attempts=9, backoff_s=100)))
    for commits in (2, 3, 4):  # the cancel arrives before, with and after the failure
        world = World(by_step(work=work))
        send = world.journal.send(RUN, "cancel", {})
        state = drive(world, world.begin(once), on_events=after_commits(commits, lambda send=send: run_now(send)))
        assert state.status == "cancelled", commits
        assert not state.live
        fails.clear()
        state = world.resume()
        assert (state.status, statuses(state)) == ("succeeded", {"each[0]": "succeeded"}), commits
        fails.append(True)


# time --------------------------------------------------------------------------------------------------------


def _endless(task: Call) -> int:
    raise ConnectionError("never works")


RETRYING = mapped(1, step("work", "x", retry=Retry(attempts=99, backoff_s=3, factor=1, jitter=0)))


@pytest.mark.parametrize("where", ["run", "pipeline"])
def test_a_run_ends_at_its_timeout(where: str) -> None:
    world = World(by_step(work=_endless))
    state = world.start(RETRYING if where == "run" else replace(RETRYING, timeout_s=10.0), timeout_s=10.0 if where == "run" else 0.0)
    assert (state.status, state.error and state.error.kind) == ("timeout", "timeout")
    assert 10 <= state.ended_at - state.started_at < 11
    assert len(state.attempts) == 4


def test_attempts_that_run_at_the_timeout_are_given_up() -> None:
    world = World(double, faults=Faults(slow=1))  # a wait always ends by its own timeout: nothing ever starts
    state = world.start(mapped(2), timeout_s=4.0)
    assert state.status == "timeout"
    assert {attempt.outcome.error.kind for attempt in state.attempts.values()} == {"timeout"}
    assert statuses(state) == {"each[0]": "cancelled", "each[1]": "cancelled"}


def test_the_time_in_which_nobody_drove_does_not_count() -> None:
    moments = KillSwitch()
    World(double).start(CHAIN, moments, timeout_s=60.0)
    for moment in range(0, moments.count - 1, 3):
        world = World(double)
        with pytest.raises(Killed):
            world.start(CHAIN, KillSwitch(moment), timeout_s=60.0)
        if world.events():
            world.executor.now += 86_400
            world.executor.restart()
            assert world.go_on().status == "succeeded", f"killed at {moment}"


def test_a_clock_that_was_set_back_does_not_stop_a_retry() -> None:
    world = World(by_step(work=lambda task: 1 if task.n > 2 else _endless(task)))
    before = world.executor.now
    with pytest.raises(Killed):
        run_now(world.driver(world.begin(RETRYING), on_events=after_commits(5, lambda: (_ for _ in ()).throw(Killed()))).drive())
    recorded = max(event.at for event in world.events() if hasattr(event, "at"))
    world.executor.now = before - 50_000
    world.executor.restart()
    began = world.executor.now
    state = world.go_on()
    assert state.status == "succeeded"
    assert world.executor.now - began < 60, "it waited for the clock to come back"
    times = [event.at for event in world.events() if getattr(event, "at", 0)]
    assert times == sorted(times)
    assert state.ended_at >= recorded


def test_a_resume_counts_its_timeout_from_itself() -> None:
    world = World(by_step(work=_endless))
    first = world.start(RETRYING, timeout_s=10.0)
    state = world.resume()
    assert state.status == "timeout"
    assert state.ended_at - first.ended_at == pytest.approx(10, abs=1)


# going on ----------------------------------------------------------------------------------------------------


def test_a_failed_run_goes_on_with_what_failed_only() -> None:
    broken = [True]

    def two(task: Call) -> int:
        if broken:
            raise ValueError("no")
        return task.inputs["x"] + 5

    world = World(by_step(two=two))
    assert world.start(CHAIN).status == "failed"
    broken.clear()
    state = world.resume(options=ev.RunOptions(max_parallel=7))
    assert (state.status, state.resumes, state.options.max_parallel) == ("succeeded", 1, 7)
    assert world.executed() == ["a", "b", "b", "c"]
    assert state.task("", "b", ()).n == 2


def test_an_edit_redoes_what_it_reaches_and_nothing_else() -> None:
    steps = by_step(work=lambda task: task.inputs["x"] + 1, total=lambda task: sum(task.inputs["xs"]))
    nodes = (call("other", "aside", x=5), call("each", "work", ("i",), x=Expr("item", "i")), call("sum", "total", xs=collect("each")))
    whole = graph(*nodes, axes=tuple(mapped(3).axes.values()), outputs={"sum": out("sum"), "other": out("other")})
    whole = replace(whole, steps={**whole.steps, "total": replace(whole.steps["total"], cache=False)})
    world = World(steps)
    world.start(whole, cache=False)
    ran = len(world.executed())
    edited = replace(whole, steps={**whole.steps, "total": replace(whole.steps["total"], code="edited")})
    state = world.resume(edited, bundle="other")
    assert state.status == "succeeded"
    assert world.executed()[ran:] == ["sum"]
    assert (state.bundle, state.task("", "sum", ()).n) == ("other", 2)
    everything = replace(edited, steps={name: replace(s, code="new") for name, s in edited.steps.items()})
    assert world.resume(everything).status == "succeeded"
    assert sorted(world.executed()[ran + 1 :]) == ["each[0]", "each[1]", "each[2]", "other", "sum"]


@pytest.mark.parametrize("lose", [True, False])
def test_a_driver_may_die_at_any_moment_of_an_edited_resume(lose: bool) -> None:
    """The first driver dies while tasks run; the second, with edited code, dies too; the third goes on without knowing of the edit."""

    def start(world: World, first: int) -> None:
        with pytest.raises(Killed):
            world.start(mapped(3), KillSwitch(first))
        world.executor.restart(lose=lose)

    edited = mapped(3, step("work", "x", code="edited"))
    for first in (14, 22, 30):
        counting = KillSwitch()
        world = World(double)
        start(world, first)
        world.go_on(counting, [ev.RunResumed(world.executor.now, graph=edited, bundle="b2")])
        for second in range(counting.count):
            world = World(double)
            start(world, first)
            with pytest.raises(Killed):
                world.go_on(KillSwitch(second), [ev.RunResumed(world.executor.now, graph=edited, bundle="b2")])
            world.executor.restart(lose=lose)
            state = world.go_on()
            where = f"killed at {first}, then at {second}"
            assert state.status == "succeeded", where
            assert statuses(state) == {"each[0]": "succeeded", "each[1]": "succeeded", "each[2]": "succeeded"}, where
            assert not state.live, where


def test_going_on_with_a_run_that_has_ended_changes_nothing() -> None:
    world = World(double)
    state = world.start(CHAIN)
    before = len(world.events())
    again = world.go_on()
    assert (again.status, statuses(again), len(world.events())) == ("succeeded", statuses(state), before)


# two drivers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("commits", [1, 2, 3, 4])
def test_of_two_drivers_the_first_stops_and_changes_nothing_more(commits: int) -> None:
    world = World(double)
    ended: list[Any] = []

    def take_over() -> None:
        ended.append(world.go_on())
        ended.append((len(world.events()), len(world.artifacts.blobs), len(set(world.executor.submitted))))

    with pytest.raises(JournalConflict, match="another process drives it"):
        drive(world, world.begin(CHAIN), on_events=after_commits(commits, take_over))
    state, then = ended
    assert state.status == "succeeded"
    assert (len(world.events()), len(world.artifacts.blobs), len(set(world.executor.submitted))) == then
    world.check_promises()


@pytest.mark.parametrize("begin", [[], [ev.RunResumed(1_700_000_000.0, graph=mapped(2, step("work", "x", code="edited")))]])
def test_a_second_driver_that_comes_too_late_has_changed_nothing(begin: list[Any]) -> None:
    """It reads the run, and before its first record the other driver goes on."""
    world = World(double, slots=1)
    with pytest.raises(Killed):
        world.start(mapped(2), KillSwitch(20))
    assert world.events(ev.AttemptPlanned)
    before = len(world.artifacts.blobs), len(world.executor.submitted), list(world.story)

    class Late(type(world.journal)):  # type: ignore[misc]
        async def append(self, run: str, after: int, *args: Any, **more: Any) -> int:
            head = await world.journal.append(run, after, [ev.ClockAdvanced(world.executor.now)], "the other's")
            return await world.journal.append(run, head - 1, *args, **more)

    services = world.services()
    services.journal = Late(world.story)
    services.journal.__dict__.update(world.journal.__dict__)
    from fairway.engine.driver import Driver

    with pytest.raises(JournalConflict):
        run_now(Driver(RUN, services, begin=begin, clock=world.executor.clock).drive())
    assert (len(world.artifacts.blobs), len(world.executor.submitted), list(world.story)) == before


def test_a_run_cannot_be_started_twice() -> None:
    world = World(double)
    world.start(CHAIN)
    before = len(world.events()), len(world.executor.executed)
    with pytest.raises(JournalConflict):
        late = world.driver(world.begin(CHAIN))

        class Behind(type(world.journal)):  # type: ignore[misc]
            async def read(self, run: str, after: int = 0, limit: int = 0) -> list[Any]:
                return []

        late.services.journal = Behind(world.story)  # to it the run has not begun yet
        late.services.journal.__dict__.update(world.journal.__dict__)
        run_now(late.drive())
    assert (len(world.events()), len(world.executor.executed)) == before


# what the executor says --------------------------------------------------------------------------------------


def test_an_attempt_that_vanishes_is_tried_again_until_it_is_too_often() -> None:
    world = World(double, faults=Faults(vanish=1))
    state = world.start(mapped(1))
    assert (state.status, len(state.attempts)) == ("failed", 4)
    assert state.first_failure()[1].kind == "lost"
    assert state.first_failure()[0] == "each[0]"


def test_why_an_attempt_waits_is_on_record_once() -> None:
    world = World(double, slots=1)
    world.start(mapped(3))
    told = [(event.attempt, event.phase) for event in world.events(ev.AttemptObserved)]
    assert told
    assert len(told) == len(set(told))


def test_an_outcome_that_says_too_little_fails_the_items_it_does_not_speak_of() -> None:
    world = World(double, slots=1)
    key = ErrorInfo("crash", "FW-TASK-CRASHED", "gone")

    def write(outcome: Outcome) -> None:
        (planned,) = world.events(ev.AttemptPlanned)
        world.artifacts.put(outcome_key(RUN, planned.attempt), json_text(to_plain(replace(outcome, attempt=planned.attempt))).encode())

    for outcome, kind in ((Outcome("", "ended"), "lost"), (Outcome("", "failed", error=key), "crash")):
        world = World(double, slots=1)
        never = mapped(2, step("work", "x", retry=Retry(lost_attempts=0)), batch=2)
        state = drive(world, world.begin(never), on_events=after_commits(1, lambda outcome=outcome: write(outcome)))
        assert {state.task("", "each", (i,)).error.kind for i in (0, 1)} == {kind}


def test_the_library_may_be_ones_own() -> None:
    from fairway.engine.library import StoreLibrary

    world = World(double)
    library: Library = StoreLibrary(world.artifacts)
    assert run_now(world.driver(world.begin(CHAIN), library=library).drive()).status == "succeeded"
