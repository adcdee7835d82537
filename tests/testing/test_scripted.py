"""The scripted executor is deterministic, goes wrong on demand, and the kill switch stops a caller at every port call."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.graph import Graph, Port, StepDef
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.testing.contracts.executor import json_input
from fairway.testing.faults import Killed, KillSwitch, watched
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal, MemoryStreamStore
from fairway.testing.scripted import Call, Crash, Faults, ScriptedExecutor, Skip, load_json, read_outcome, render_outcome, save_json, seeded


def _spec(n: int, *values: Any, outputs: tuple[str, ...] = ("result",)) -> AttemptSpec:
    step = StepDef("step", inputs=(Port("x"),), outputs=tuple(Port(name) for name in outputs))
    items = tuple(AttemptItem(f"step[{i}]", {"x": json_input(value)}) for i, value in enumerate(values))
    return AttemptSpec(attempt_id("r", "step", n), "r", "step", n, step, "", items)


def _drive(executor: ScriptedExecutor, specs: list[AttemptSpec]) -> list[Any]:
    """Submit, then wait until all have an outcome or are unknown; what happened, in order."""
    run_now(executor.submit(specs))
    story: list[Any] = []
    waiting = {spec.id for spec in specs}
    while waiting:
        for id in run_now(executor.wait(60.0)):
            seen = run_now(executor.observe([id]))
            phase = seen[id].phase if id in seen else "unknown"
            story.append((id, phase, executor.clock()))
            if phase in ("ended", "unknown"):
                waiting.discard(id)
    return story


@given(st.integers(0, 50))
def test_the_same_seed_is_the_same_story(seed: int) -> None:
    def story() -> tuple[Any, ...]:
        store = MemoryArtifactStore(lambda: 0.0)
        faults = Faults(vanish=4, crash=4, stubborn=2, slow=5)
        executor = ScriptedExecutor(store, lambda call: call.inputs["x"], choose=seeded(seed), faults=faults)
        return _drive(executor, [_spec(n, n, n + 1) for n in range(6)]), executor.executed, store.blobs

    assert story() == story()


def test_seeds_give_different_orders() -> None:
    def order(seed: int) -> tuple[Any, ...]:
        executor = ScriptedExecutor(MemoryArtifactStore(), lambda call: 1, choose=seeded(seed))
        _drive(executor, [_spec(n, n) for n in range(5)])
        return tuple(executor.executed)

    assert len({order(seed) for seed in range(20)}) > 10


@given(st.data())
def test_hypothesis_can_choose(data: st.DataObject) -> None:
    store = MemoryArtifactStore()
    executor = ScriptedExecutor(store, lambda call: call.n, choose=lambda n, what: data.draw(st.integers(0, n - 1), label=what))
    specs = [_spec(n, n) for n in range(3)]
    _drive(executor, specs)
    assert all(read_outcome(store, "r", spec.id) is not None for spec in specs)


def test_values_skips_crashes_graphs_and_errors() -> None:
    store = MemoryArtifactStore()

    def compute(call: Call) -> Any:
        match call.inputs["x"]:
            case "skip":
                raise Skip("nothing to do")
            case "crash":
                raise Crash("killed by signal 11 (SIGSEGV)")
            case "error":
                raise KeyError("column")
            case "graph":
                return Graph("made")
            case value:
                return {"a": value, "b": [value] * 1000}

    executor = ScriptedExecutor(store, compute)
    first, second = _spec(1, "skip", "error", "graph", 7, outputs=("a", "b")), _spec(2, 7, "crash", 8, outputs=("a", "b"))
    _drive(executor, [first, second])
    outcome = read_outcome(store, "r", first.id)
    assert outcome is not None
    assert [item.status for item in outcome.items] == ["skipped", "failed", "succeeded", "succeeded"]
    assert outcome.items[0].reason == "nothing to do"
    error = outcome.items[1].error
    assert error is not None
    assert error.mro == ("KeyError", "LookupError", "Exception", "BaseException", "object")
    assert b'"made"' in store.get(f"sha256/{outcome.items[2].graph[:2]}/{outcome.items[2].graph[2:]}")
    assert load_json(outcome.items[3].outputs["b"], store) == [7] * 1000
    crashed = read_outcome(store, "r", second.id)
    assert crashed is not None
    assert (crashed.status, len(crashed.items), crashed.error and crashed.error.kind) == ("failed", 1, "crash")


def test_what_vanished_can_be_submitted_again() -> None:
    store = MemoryArtifactStore()
    strikes = iter([True, False])
    executor = ScriptedExecutor(
        store, lambda call: 1, faults=Faults(vanish=2), choose=lambda n, what: int("vanish" in what and next(strikes))
    )
    spec = _spec(1, 1)
    assert _drive(executor, [spec])[-1][1] == "unknown"
    assert read_outcome(store, "r", spec.id) is None
    assert _drive(executor, [spec])[-1][1] == "ended"
    assert len(executor.executed) == 1


def test_a_late_result_changes_nothing() -> None:
    store = MemoryArtifactStore()
    executor = ScriptedExecutor(store, lambda call: 1)
    spec = _spec(1, 1)
    run_now(executor.submit([spec]))
    run_now(executor.wait(None))
    store.put(outcome_key("r", spec.id), render_outcome(Outcome(spec.id, "abandoned")))
    run_now(executor.wait(None))
    outcome = read_outcome(store, "r", spec.id)
    assert outcome is not None
    assert outcome.status == "abandoned"
    assert executor.executed == []


def test_a_wait_for_ever_is_refused() -> None:
    executor = ScriptedExecutor(MemoryArtifactStore(), lambda call: 1)
    with pytest.raises(RuntimeError, match="never end"):
        run_now(executor.wait(None))
    before = executor.clock()
    assert run_now(executor.wait(5.0)) == []
    assert executor.clock() == before + 5.0


def test_lists_of_artifacts_are_loaded() -> None:
    store = MemoryArtifactStore()
    listed = save_json({"items": [save_json(1, store), save_json("x" * 2000, store)]}, store)
    from fairway.spec.record import replace

    assert load_json(replace(listed, format="list"), store) == [1, "x" * 2000]


def test_a_kill_switch_stops_before_or_after_each_call() -> None:
    def caller(switch: KillSwitch) -> MemoryJournal:
        journal, streams = MemoryJournal(), MemoryStreamStore()
        port, other = watched(journal, switch), watched(streams, switch)
        try:
            run_now(port.send("r", "cancel", {}))
            other.append("r/a/log", b"x")
        except Killed:
            with pytest.raises(Killed):  # the dead do nothing more
                run_now(port.send("r", "again", {}))
        return journal

    counting = KillSwitch()
    caller(counting)
    assert counting.moments == ["before send", "after send", "before append", "after append"]
    sent = [len(run_now(caller(KillSwitch(at)).inbox("r"))) for at in range(5)]
    assert sent == [0, 1, 1, 1, 1]


def test_a_kill_switch_can_watch_some_calls_only() -> None:
    switch = KillSwitch()
    port = watched(MemoryJournal(), switch, frozenset({"append"}))
    run_now(port.head("r"))
    assert switch.moments == []
