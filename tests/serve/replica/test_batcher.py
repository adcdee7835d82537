"""The batcher alone: what goes together, who waits, who is told what."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.serve.call import Call, Result, failed
from fairway.serve.refusal import Refused
from fairway.serve.replica.batcher import Batcher
from fairway.serve.replica.frames import pack
from fairway.spec.endpoint import Limits


class Machine:
    """A worker that keeps what it is sent until it is told to answer."""

    def __init__(self, room: int = 1) -> None:
        self.limit, self.sent, self.killed = room, list[tuple[Any, list[Any]]](), False
        self.cancelled = list[int]()

    @property
    def room(self) -> int:
        return self.limit - len(self.sent)

    def send(self, header: Any, parts: list[Any]) -> None:
        if header[0] == "cancel":
            self.cancelled.append(header[1])
        else:
            pack(header)
            self.sent.append((header, parts))

    def kill(self) -> None:
        self.killed = True


class Rig:
    def __init__(self, *machines: Machine, batches: bool = True, **limits: Any) -> None:
        self.machines = machines or (Machine(),)
        self.later = list[Callable[[], None]]()
        self.answers = dict[str, Result]()
        self.batcher = Batcher(Limits(**limits), soon=self.later.append, free=self.free, batches=batches)

    def free(self) -> Machine | None:
        return next((machine for machine in self.machines if machine.room > 0), None)

    def turn(self) -> None:
        """The end of a turn of the loop."""
        while self.later:
            self.later.pop(0)()

    def submit(self, name: str, rows: int = 1, **more: Any) -> None:
        call = Call("matrix", bytes(8 * rows), rows=rows)
        for key, value in more.items():
            setattr(call, key, value)
        self.batcher.submit(call, lambda result: self.take(name, result))

    def take(self, name: str, result: Result) -> None:
        assert name not in self.answers, f"{name} was answered twice"
        self.answers[name] = result

    def answer(self, machine: Machine | None = None) -> None:
        """The oldest batch of the machine comes back, each row as the number of its place in the batch."""
        machine = machine or self.machines[0]
        header, _ = machine.sent.pop(0)
        rows = sum(header[2])
        self.batcher.receive(["array", header[1], 0.001, "|u1", [rows], []], memoryview(bytes(range(rows))))
        self.turn()


def test_who_is_alone_is_served_at_once() -> None:
    rig = Rig()
    rig.submit("a")
    rig.turn()
    assert [header[2] for header, _ in rig.machines[0].sent] == [[1]]


def test_whatever_came_in_one_turn_goes_together_and_what_waits_is_the_next_batch() -> None:
    rig = Rig()
    for name in "abc":
        rig.submit(name, rows=2)
    rig.turn()
    for name in "defg":
        rig.submit(name)
        rig.turn()
    assert [header[2] for header, _ in rig.machines[0].sent] == [[2, 2, 2]]
    rig.answer()
    assert {name: bytes(result.payload) for name, result in rig.answers.items()} == {"a": b"\0\1", "b": b"\2\3", "c": b"\4\5"}
    assert [header[2] for header, _ in rig.machines[0].sent] == [[1, 1, 1, 1]]


def test_a_batch_has_at_most_so_many_rows_and_what_is_larger_goes_alone() -> None:
    rig = Rig(Machine(room=9), batch_rows=10)
    for name, rows in (("a", 6), ("b", 4), ("c", 1), ("d", 25), ("e", 3)):
        rig.submit(name, rows=rows)
    rig.turn()
    assert [header[2] for header, _ in rig.machines[0].sent] == [[6, 4], [1], [25], [3]]


def test_calls_of_another_kind_are_not_joined() -> None:
    rig = Rig(Machine(room=9))
    rig.submit("a")
    rig.submit("b", method="predict_proba")
    rig.submit("c", method="predict_proba")
    rig.submit("d", params={"x": 1})
    rig.submit("e", dtype="<f4")
    rig.turn()
    assert [header[2] for header, _ in rig.machines[0].sent] == [[1], [1, 1], [1], [1]]


def test_a_script_gets_one_call_at_a_time() -> None:
    rig = Rig(Machine(room=9), batches=False)
    rig.submit("a")
    rig.submit("b")
    rig.turn()
    assert [header[2] for header, _ in rig.machines[0].sent] == [[1], [1]]


def test_one_more_than_may_wait_is_refused_and_told_when_to_come_again() -> None:
    rig = Rig(queue=2)
    rig.submit("a")
    rig.turn()
    rig.submit("b")
    rig.submit("c")
    with pytest.raises(Refused) as caught:
        rig.submit("d")
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "FW-BUSY", 1.0)
    rig.answer()
    rig.answer()
    assert set(rig.answers) == {"a", "b", "c"}


def test_of_a_batch_whose_process_died_each_goes_again_alone_and_only_the_one_to_blame_gets_the_error() -> None:
    first, second = Machine(), Machine()
    rig = Rig(first)
    for name in "abc":
        rig.submit(name)
    rig.turn()
    rig.machines = (second,)
    rig.batcher.lose(first, "the model process crashed")
    rig.turn()
    assert [header[2] for header, _ in second.sent] == [[1]]
    rig.answer()
    assert set(rig.answers) == {"a"}
    third = Machine()
    rig.machines = (third,)
    rig.batcher.lose(second, "the model process crashed")
    rig.turn()
    assert (rig.answers["b"].form, rig.answers["b"].status, rig.answers["b"].code) == ("error", 502, "FW-MODEL-DIED")
    rig.answer()
    assert rig.answers["c"].form == "array"


def test_at_the_end_all_are_told_whether_they_wait_or_are_with_the_model_and_nobody_twice() -> None:
    rig = Rig(Machine(), batches=False)
    rig.submit("begun")
    rig.turn()
    rig.submit("waits")
    rig.turn()
    rig.batcher.refuse_all(failed(503, "FW-BUSY", "the server is ending"))
    assert {name: (answer.status, answer.code) for name, answer in rig.answers.items()} == {
        "begun": (503, "FW-BUSY"),
        "waits": (503, "FW-BUSY"),
    }
    rig.answer()
    assert rig.batcher.is_idle


def test_who_waits_too_long_is_told_so_and_never_reaches_the_model() -> None:
    rig = Rig()
    rig.submit("a")
    rig.turn()
    rig.submit("late", deadline=time.monotonic() - 0.001)
    rig.batcher.look()
    assert (rig.answers["late"].status, rig.answers["late"].code) == (504, "FW-DEADLINE")
    rig.answer()
    assert set(rig.answers) == {"a", "late"}
    assert not rig.machines[0].sent


def test_a_process_that_keeps_at_it_when_nobody_waits_any_more_is_lost() -> None:
    rig = Rig(deadline_s=-1.0)  # a time that is over as soon as it begins
    rig.submit("a", deadline=time.monotonic() + 60)
    rig.turn()
    rig.batcher.look()
    assert not rig.answers and not rig.machines[0].killed
    rig.batcher._running[1].members[0].call.deadline = time.monotonic() - 1
    rig.batcher.look()
    assert rig.answers["a"].status == 504
    assert rig.machines[0].killed


def test_a_caller_with_little_time_does_not_cost_the_others_their_process() -> None:
    rig = Rig(deadline_s=60.0)
    rig.submit("hasty", deadline=time.monotonic() - 0.001)
    rig.submit("b")
    rig.turn()
    rig.batcher.look()
    assert rig.answers["hasty"].status == 504
    assert not rig.machines[0].killed
    rig.answer()
    assert rig.answers["b"].form == "array"


def test_what_cannot_be_passed_on_is_said_to_its_caller_and_the_worker_is_free() -> None:
    rig = Rig()
    rig.submit("a", form="json", params={"n": 1 << 80}, rows=0)
    rig.turn()
    assert (rig.answers["a"].status, rig.answers["a"].code) == (400, "FW-REQUEST")
    assert rig.batcher.is_idle
    rig.submit("b")
    rig.turn()
    rig.answer()
    assert rig.answers["b"].form == "array"


def test_a_stream_is_passed_on_as_it_comes_and_its_end_frees_the_worker() -> None:
    rig = Rig()
    rig.submit("a", streams=True)
    rig.turn()
    head = ["json", 200, 1, "", [], [], "", "", "", []]
    rig.batcher.receive(["chunk", 1, head], memoryview(b"7"))
    assert rig.answers["a"].form == "stream"
    chunks: Any = rig.answers["a"].chunks
    rig.batcher.receive(["end", 1, 0.1], memoryview(b""))
    import asyncio

    async def read() -> list[bytes]:
        return [bytes(chunk.payload) async for chunk in chunks]

    assert asyncio.run(read()) == [b"7"]
    assert rig.batcher.is_idle


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["", "proba"]), st.booleans()), min_size=1, max_size=60), st.integers(1, 12))
def test_every_call_is_answered_once_with_its_own_rows(calls: list[tuple[int, str, bool]], batch_rows: int) -> None:
    machines = (Machine(), Machine())
    rig = Rig(*machines, batch_rows=batch_rows, queue=1000)
    for number, (rows, method, turns) in enumerate(calls):
        rig.submit(str(number), rows=rows, method=method)
        if turns:
            rig.turn()
    rig.turn()
    while any(machine.sent for machine in machines):
        for machine in machines:
            if machine.sent:
                assert len(machine.sent[0][0][2]) == 1 or sum(machine.sent[0][0][2]) <= batch_rows
                rig.answer(machine)
    assert [rig.answers[str(number)].shape[0] for number in range(len(calls))] == [rows for rows, _, _ in calls]
    assert rig.batcher.is_idle
