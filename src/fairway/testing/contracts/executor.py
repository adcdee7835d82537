"""What every executor promises. Give a fixture `subject`: an `ExecutorSubject`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.ports import ArtifactStore, Executor, run_now
from fairway.spec.record import Record, from_plain, record
from fairway.testing.memory import json_text

_DEADLINE_S = 60.0


@record
class ExecutorSubject(Record):
    """An executor under test. `make(n, inputs, items)` gives an AttemptSpec of a step of one input `x` that returns x + 1, raises
    ValueError for x = -1 and does not end by itself for x = -2. Attempts of different `n` are different attempts.
    """

    executor: Executor
    artifacts: ArtifactStore
    make: Callable[[int, dict[str, Input], tuple[AttemptItem, ...]], AttemptSpec]


def json_input(value: Any) -> Input:
    """A small JSON value as an argument."""
    import hashlib

    text = json_text(value)
    return Input(ArtifactRef(hashlib.sha256(text.encode()).hexdigest(), len(text.encode()), "json", type(value).__name__, inline=text))


class ExecutorContract:
    """Subclass it and give the fixture `subject`."""

    def run(self, coroutine: Any) -> Any:
        """Override where the executor needs an event loop."""
        return run_now(coroutine)

    def attempt(self, subject: ExecutorSubject, n: int, *values: Any) -> AttemptSpec:
        return subject.make(n, {}, tuple(AttemptItem(f"step[{i}]", {"x": json_input(v)}, seed=i) for i, v in enumerate(values)))

    def outcome(self, subject: ExecutorSubject, spec: AttemptSpec) -> Outcome:
        """Wait for the attempt to end."""
        until = time.monotonic() + _DEADLINE_S
        key = outcome_key(spec.run, spec.id)
        while subject.artifacts.stat(key) is None:
            assert time.monotonic() < until, f"{spec.id} has not ended: {self.run(subject.executor.observe([spec.id]))}"
            self.run(subject.executor.wait(0.5))
        return from_plain(Outcome, json.loads(subject.artifacts.get(key)))

    def test_an_attempt_ends_with_an_outcome(self, subject: ExecutorSubject) -> None:
        spec = self.attempt(subject, 1, 41)
        self.run(subject.executor.submit([spec]))
        outcome = self.outcome(subject, spec)
        assert (outcome.attempt, outcome.status) == (spec.id, "ended")
        assert [item.status for item in outcome.items] == ["succeeded"]
        assert outcome.items[0].outputs["result"].inline == "42"

    def test_each_item_has_its_own_end(self, subject: ExecutorSubject) -> None:
        spec = self.attempt(subject, 1, 1, -1, 3)
        self.run(subject.executor.submit([spec]))
        outcome = self.outcome(subject, spec)
        assert [item.status for item in outcome.items] == ["succeeded", "failed", "succeeded"]
        error = outcome.items[1].error
        assert error is not None
        assert (error.kind, error.code) == ("ValueError", "FW-TASK-FAILED")
        assert [outcome.items[i].outputs["result"].inline for i in (0, 2)] == ["2", "4"]

    def test_many_at_once_all_end_and_are_all_reported(self, subject: ExecutorSubject) -> None:
        specs = [self.attempt(subject, n, n) for n in range(1, 21)]
        self.run(subject.executor.submit(specs))
        waiting = {spec.id for spec in specs}
        until = time.monotonic() + _DEADLINE_S
        while waiting:
            assert time.monotonic() < until, waiting
            changed = self.run(subject.executor.wait(1.0))
            seen = self.run(subject.executor.observe(changed))
            waiting -= {id for id in changed if id not in seen or seen[id].phase == "ended"}
        for n, spec in enumerate(specs, 1):
            assert self.outcome(subject, spec).items[0].outputs["result"].inline == str(n + 1)

    def test_the_same_id_twice_is_one_execution(self, subject: ExecutorSubject) -> None:
        spec = self.attempt(subject, 1, 1)
        self.run(subject.executor.submit([spec, spec]))
        self.run(subject.executor.submit([spec]))
        first = self.outcome(subject, spec)
        self.run(subject.executor.submit([spec]))
        self.run(subject.executor.wait(0.1))
        assert self.outcome(subject, spec) == first

    def test_an_unknown_attempt_is_absent(self, subject: ExecutorSubject) -> None:
        assert dict(self.run(subject.executor.observe(["a-unknown-1"]))) == {}
        self.run(subject.executor.cancel("a-unknown-1", 0.1))

    def test_a_given_up_attempt_does_not_start(self, subject: ExecutorSubject) -> None:
        spec = self.attempt(subject, 1, 1)
        key = outcome_key(spec.run, spec.id)
        subject.artifacts.put(key, json_text(Outcome(spec.id, "abandoned")).encode())
        self.run(subject.executor.submit([spec]))
        self.run(subject.executor.wait(0.1))
        assert self.outcome(subject, spec).status == "abandoned"

    def test_an_attempt_whose_outcome_is_there_is_reported_as_ended(self, subject: ExecutorSubject) -> None:
        spec = self.attempt(subject, 1, 1)
        subject.artifacts.put(outcome_key(spec.run, spec.id), json_text(Outcome(spec.id, "abandoned")).encode())
        self.run(subject.executor.submit([spec]))
        until = time.monotonic() + _DEADLINE_S
        while spec.id not in self.run(subject.executor.wait(0.2)):
            assert time.monotonic() < until, "its driver would wait for ever"
        seen = self.run(subject.executor.observe([spec.id]))
        assert spec.id not in seen or seen[spec.id].phase == "ended"

    def test_a_cancelled_attempt_stops_and_cannot_change_what_was_decided(self, subject: ExecutorSubject) -> None:
        spec = self.attempt(subject, 1, -2)
        self.run(subject.executor.submit([spec]))
        subject.artifacts.put(outcome_key(spec.run, spec.id), json_text(Outcome(spec.id, "abandoned")).encode())
        self.run(subject.executor.cancel(spec.id, 0.2))
        until = time.monotonic() + _DEADLINE_S
        while (seen := self.run(subject.executor.observe([spec.id]))) and seen[spec.id].phase != "ended":
            assert time.monotonic() < until
            self.run(subject.executor.wait(0.2))
        assert self.outcome(subject, spec).status == "abandoned"

    def test_wake_ends_a_wait(self, subject: ExecutorSubject) -> None:
        subject.executor.wake()
        began = time.monotonic()
        assert list(self.run(subject.executor.wait(30.0))) == []
        assert time.monotonic() - began < 10

    def test_a_wait_ends_in_time(self, subject: ExecutorSubject) -> None:
        began = time.monotonic()
        assert list(self.run(subject.executor.wait(0.05))) == []
        assert time.monotonic() - began < 10

    def test_inventory_can_hold_one_attempt(self, subject: ExecutorSubject) -> None:
        inventory = self.run(subject.executor.inventory())
        assert inventory.largest.cpu >= 1
        assert inventory.total.cpu >= inventory.largest.cpu

    def test_close_can_be_called_twice(self, subject: ExecutorSubject) -> None:
        self.run(subject.executor.submit([self.attempt(subject, 1, -2)]))
        self.run(subject.executor.close())
        self.run(subject.executor.close())
