"""How a gang's replicas come together, and what their ends mean: the pure machine, over every order of what may happen."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.executors.meeting import LAST_WORDS_S, Coming, Meeting
from fairway.spec.gang import Gang
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome, Usage
from fairway.spec.record import replace

ENDED = Outcome("a", "ended", (ItemOutcome("succeeded"),), usage=Usage(cpu_s=2.0, peak_memory_bytes=5))


def coming(replica: int, pod: str = "") -> Coming:
    return Coming(replica, pod or f"p{replica}", f"10.0.0.{replica}", (replica, 100 + replica))


def failed(message: str, kind: str = "ValueError") -> Outcome:
    return Outcome("a", "ended", (ItemOutcome("failed", error=ErrorInfo(kind, "FW-TASK-FAILED", message)),))


def met(replicas: int = 3, **more: Any) -> Meeting:
    meeting = Meeting(Gang(replicas, **more), patience_s=60.0, grace_s=10.0)
    for index in range(replicas):
        assert meeting.come(coming(index), 1.0) == ""
    assert meeting.is_ready(1.0)
    meeting.open("key")
    return meeting


def test_the_world_is_in_the_order_of_indexes_whoever_comes_first() -> None:
    meeting = Meeting(Gang(3), patience_s=60.0, grace_s=10.0)
    for index in (2, 0, 1):
        assert not meeting.is_ready(1.0)
        meeting.come(coming(index), 1.0)
    world = meeting.open("k").world
    assert world.hosts == ("10.0.0.0", "10.0.0.1", "10.0.0.2")
    assert world.ports == ((0, 100), (1, 101), (2, 102))
    assert [meeting.world_of(f"p{index}").replica for index in range(3)] == [0, 1, 2]  # type: ignore[union-attr]
    assert meeting.world_of("stranger") is None


def test_a_replica_that_comes_twice_counts_once_and_the_pod_before_has_to_go() -> None:
    meeting = Meeting(Gang(2), patience_s=60.0, grace_s=10.0)
    assert meeting.come(coming(0, "old"), 1.0) == ""
    assert meeting.come(coming(0, "new"), 2.0) == ""
    assert not meeting.is_ready(3.0)
    assert meeting.come(coming(0, "old"), 3.0) == "replaced"
    meeting.come(coming(1), 4.0)
    assert meeting.open("k").pods == ("new", "p1")


def test_a_member_that_comes_again_as_another_pod_was_lost() -> None:
    meeting = met()
    assert meeting.come(coming(1, "anew"), 5.0) == "replaced"
    assert meeting.stop == "over"
    assert meeting.verdict("a").error.kind == "lost"  # type: ignore[union-attr]


def test_one_that_never_comes_is_waited_for_as_long_as_said() -> None:
    meeting = Meeting(Gang(3, min_replicas=2), patience_s=60.0, grace_s=10.0)
    meeting.come(coming(0), 1.0)
    assert not meeting.is_ready(61.0), "too few, however long it takes"
    assert meeting.is_overdue(61.0)
    meeting.come(coming(2), 61.0)
    assert meeting.is_ready(61.0)
    assert meeting.open("k").replicas == (0, 2)
    assert meeting.come(coming(1), 70.0) == "late"
    assert meeting.late == {1}
    assert not meeting.stop


def test_the_outcome_is_that_of_the_first_replica_and_the_work_of_all() -> None:
    meeting = met()
    for index in (2, 1):
        meeting.end(index, Outcome("a", "ended", (ItemOutcome("succeeded"),), usage=Usage(cpu_s=1.0, peak_memory_bytes=9)), 2.0)
        assert not meeting.is_over(1e9)
    meeting.end(0, ENDED, 3.0)
    assert meeting.is_over(3.0)
    outcome = meeting.verdict("a")
    assert outcome.items == ENDED.items
    assert (outcome.usage.cpu_s, outcome.usage.peak_memory_bytes) == (4.0, 9)


def blamed(meeting: Meeting) -> tuple[str, str]:
    outcome = meeting.verdict("a")
    error = outcome.error or outcome.items[0].error
    assert error is not None
    return error.kind, error.message


def test_its_metrics_are_the_means_over_its_replicas() -> None:
    meeting = met(2)
    meeting.end(0, replace(ENDED, metrics={"loss": 1.0, "auc": 0.5}), 5.0)
    meeting.end(1, replace(ENDED, metrics={"loss": 3.0}), 5.1)
    assert meeting.verdict("a").metrics == {"loss": 2.0, "auc": 0.5}


def test_a_broken_connection_is_no_cause() -> None:
    meeting = met()
    meeting.end(0, failed("Connection closed by peer [10.0.0.1]:4", "RuntimeError"), 5.0)
    meeting.end(1, failed("bad input"), 5.2)
    meeting.end(2, failed("read: connection reset by peer", "RuntimeError"), 5.3)
    assert blamed(meeting) == ("ValueError", "replica 1 of 3 failed first: bad input")


def test_a_taken_port_is_the_cause_of_what_others_say_of_connections() -> None:
    meeting = met()
    meeting.end(0, failed("Connection closed by peer [10.0.0.1]:4", "RuntimeError"), 5.0)
    meeting.end(1, failed("rank 1 of 3 failed first: The server socket has failed to listen. name: EADDRINUSE", "port"), 5.2)
    meeting.end(2, failed("read: connection reset by peer", "RuntimeError"), 5.3)
    assert blamed(meeting)[0] == "port"


def test_who_loses_the_connection_to_a_replica_that_has_skipped_has_not_failed() -> None:
    skipped = Outcome("a", "ended", (ItemOutcome("skipped", reason="pruned"),), usage=Usage(cpu_s=2.0))
    for said, is_failed in (("Gloo: connection reset by peer", False), ("bad input", True)):
        meeting = met(2)
        meeting.end(1, failed(said), 4.9)
        meeting.end(0, skipped, 5.0)
        outcome = meeting.verdict("b")
        assert (outcome.items[0].status, outcome.attempt) == ("failed" if is_failed else "skipped", "a" if is_failed else "b")


def test_the_clusters_own_word_goes_before_what_others_say_of_it() -> None:
    meeting = met()
    meeting.end(0, failed("something odd", "RuntimeError"), 5.0)
    meeting.fail(1, ErrorInfo("lost", "FW-PREEMPTED", "its node was drained on n2"), 6.0)
    meeting.end(2, ENDED, 6.1, stopped=True)
    assert blamed(meeting) == ("lost", "replica 1 of 3 failed first: its node was drained on n2")


def test_one_that_is_not_heard_of_any_more_is_lost_when_the_others_only_heard_of_it() -> None:
    meeting = met()
    meeting.end(0, failed("Gloo: timed out", "RuntimeError"), 5.0)
    meeting.end(2, failed("told to go", "cancelled"), 6.0, stopped=True)
    assert not meeting.is_over(5.0 + 10.0 + LAST_WORDS_S - 0.1)
    assert meeting.is_over(5.0 + 10.0 + LAST_WORDS_S)
    kind, message = blamed(meeting)
    assert kind == "lost"
    assert message.startswith("replica 1 was lost")


def test_a_wish_that_it_ends_is_its_outcome() -> None:
    meeting = met()
    meeting.give_up(ErrorInfo("cancelled", "FW-TASK-CANCELLED", "cancelled"), 4.0)
    assert meeting.stop == "over"
    for index in range(3):
        meeting.end(index, failed("told to go", "cancelled"), 5.0, stopped=True)
    assert meeting.is_over(5.0)
    assert blamed(meeting) == ("cancelled", "cancelled")


def test_others_that_are_there_for_the_first_only_are_told_to_go() -> None:
    meeting = met()
    meeting.end(0, ENDED, 5.0)
    meeting.release()
    assert meeting.stop == "done"
    for index in (1, 2):
        meeting.end(index, failed("told to go", "cancelled"), 6.0, stopped=True)
    assert meeting.is_over(6.0)
    assert meeting.verdict("a").items == ENDED.items


MOVES = st.one_of(
    st.tuples(st.just("come"), st.integers(0, 3), st.sampled_from(["x", "y"])),
    st.tuples(st.just("leave"), st.integers(0, 3), st.sampled_from(["x", "y"])),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["fine", "bad", "echo", "told"])),
    st.tuples(st.just("fail"), st.integers(0, 3), st.sampled_from(["lost", "oom"])),
    st.tuples(st.just("wait"), st.integers(0, 90), st.just("")),
)


@given(st.lists(MOVES, max_size=40), st.integers(1, 4), st.integers(0, 4))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_everyone_gets_the_same_world_and_there_is_one_outcome(moves: list[Any], replicas: int, least: int) -> None:
    meeting = Meeting(Gang(replicas, min_replicas=min(least, replicas)), patience_s=60.0, grace_s=10.0)
    now, first_stop = 1.0, ""
    for what, number, word in moves:
        index, before = number % replicas, meeting.met
        if what == "come":
            meeting.come(coming(index, f"{index}{word}"), now)
        elif what == "leave":
            meeting.leave(f"{index}{word}")
        elif what == "end" and meeting.met is not None and index in meeting.met.replicas:
            said = {"fine": ENDED, "bad": failed("bad"), "echo": failed("connection reset"), "told": failed("told to go", "cancelled")}[
                word
            ]
            meeting.end(index, said, now, stopped=word == "told" and bool(meeting.stop))
        elif what == "fail":
            meeting.fail(index, ErrorInfo(word, "FW-LOST", f"{word} it is"), now)
        else:
            now += number
        if meeting.is_ready(now):
            meeting.open("key")
        assert before is None or meeting.met is before, "the world never changes"
        assert not first_stop or meeting.stop == first_stop, "who was told to stop is not told to go on"
        first_stop = meeting.stop
        if meeting.met is not None:
            assert len(meeting.met.replicas) >= meeting.gang.fewest
            assert list(meeting.met.replicas) == sorted(set(meeting.met.replicas))
        if meeting.is_over(now):
            outcome = meeting.verdict("a")
            fine = not meeting.failed_at
            assert fine == (
                outcome.status == "ended" and outcome.error is None and all(item.status == "succeeded" for item in outcome.items)
            )
