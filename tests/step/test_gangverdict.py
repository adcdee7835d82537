"""Which rank failed first: from how each ended, whatever the order in which that was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.spec.gang import Place
from fairway.spec.outcome import ErrorInfo, ItemOutcome
from fairway.step.errors_report import Origin
from fairway.step.gangreport import Report
from fairway.step.gangstall import find_straggler, main_frames
from fairway.step.gangverdict import End, explain, first_of, is_avalanche, settle_s, weigh

LOST = (
    "Connection closed by peer [127.0.0.1]:3141",
    "[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection reset by peer",
    "NCCL error: unhandled system error, NCCL version 2.21.5",
    "[Errno 32] Broken pipe",
    "Timed out waiting 1800000ms for recv operation to complete",
)
FAULTS = ("CUDA out of memory", "the loss is not a number", "list index out of range")


def raised(rank: int, at: float, message: str, kind: str = "RuntimeError") -> End:
    error = ErrorInfo(kind, "FW-TASK-FAILED", message, mro=(kind,))
    return End(Place(rank, 4), 0, Report(ItemOutcome("failed", error=error), at), at + 0.01)


def killed(rank: int, at: float, number: int = 9, tail: bytes = b"") -> End:
    return End(Place(rank, 4), number, None, at, tail)


def well(rank: int, at: float) -> End:
    return End(Place(rank, 4), 9, Report(ItemOutcome("succeeded"), at), at)


@given(st.sampled_from(LOST), st.permutations(range(4)), st.floats(-0.3, 0.3), st.sampled_from(["killed", *FAULTS]))
def test_the_cause_is_told_from_what_follows_whatever_is_seen_first(lost: str, order: list[int], off: float, cause: str) -> None:
    ends = [raised(rank, 100.0 + off, lost) for rank in range(3)]
    ends.append(killed(3, 100.0) if cause == "killed" else raised(3, 100.0, cause))
    found = first_of([ends[n] for n in order])
    assert found is not None
    assert found.place.rank == 3


def test_a_crash_precedes_an_exception_of_the_same_moment() -> None:
    assert first_of([raised(0, 10.0, "state is None"), killed(1, 10.2)]).place.rank == 1  # type: ignore[union-attr]
    assert first_of([raised(0, 10.0, "state is None"), killed(1, 12.0)]).place.rank == 0  # type: ignore[union-attr]


def test_a_library_that_aborts_over_a_lost_connection_is_no_cause() -> None:
    aborted = killed(0, 10.0, 6, b"terminate called after throwing: NCCL watchdog: remote process exited")
    assert first_of([aborted, raised(1, 10.1, "the loss is not a number", "ValueError")]).place.rank == 1  # type: ignore[union-attr]
    assert weigh(killed(0, 10.0, 11, b"NCCL INFO ring up")) < weigh(aborted)


def test_who_left_early_is_found_though_it_looked_at_the_clock_a_moment_later() -> None:
    for left, is_told in ((9.0, True), (10.2, True), (12.0, False)):
        first = raised(0, 10.0, LOST[0])
        hint = explain(first, Origin("", ""), [first, well(2, left)]).hint
        assert hint.startswith("rank 2 had returned before") == is_told


def test_who_loses_the_connection_to_a_rank_that_has_skipped_has_not_failed() -> None:
    for left, is_lost in ((5.0, True), (9.9, True), (10.2, True), (12.0, False)):
        skipped = End(Place(0, 4), 0, Report(ItemOutcome("skipped", reason="pruned"), left), left)
        assert (first_of([raised(1, 10.0, LOST[1]), skipped, raised(2, 10.1, LOST[0])]) is None) == is_lost
        assert first_of([raised(1, 10.0, FAULTS[1]), skipped]).place.rank == 1  # type: ignore[union-attr]


def test_what_happens_after_a_report_or_after_we_have_said_so_does_not_count() -> None:
    stopped = killed(2, 10.0, 15)
    stopped.stopped = True
    assert first_of([well(0, 9.0), stopped]) is None
    assert first_of([well(0, 9.0), stopped, killed(3, 11.0)]).place.rank == 3  # type: ignore[union-attr]


def test_the_cause_is_not_waited_for_where_it_is_plain() -> None:
    assert settle_s(killed(0, 1.0)) == 0
    assert settle_s(raised(0, 1.0, LOST[0])) > settle_s(raised(0, 1.0, FAULTS[0])) > 0


def test_a_taken_port_is_no_lost_connection() -> None:
    for said in ("[Errno 98] Address already in use", "The server socket has failed to listen: errno: 98 - EADDRINUSE, connection refused"):
        end = raised(0, 1.0, said)
        assert not is_avalanche(end.report.outcome.error)  # type: ignore[union-attr,arg-type]
        assert explain(end, Origin("")).kind == "port"
    torch = raised(0, 1.0, "The server socket has failed to listen on any local network address. name: EADDRINUSE", "DistNetworkError")
    assert first_of([raised(1, 0.9, LOST[0]), torch]) is torch, "PyTorch has one class for this and for lost connections"
    program = killed(1, 1.0, 1 << 8, b"bind: Address already in use\n")
    assert explain(program, Origin("")).kind == "port"


@pytest.mark.parametrize(
    "said",
    [
        "Could not start gRPC server",  # TensorFlow
        "UNKNOWN: Failed to start RPC server",  # JAX
        "Binding port 41105 failed",  # LightGBM
        "[tracker.cc:132|17:23:30]:\n- [socket.h:79|17:23:30]: Failed to bind socket. system error:Address already in use",  # XGBoost
    ],
)
def test_a_taken_port_is_known_in_the_words_of_each_framework(said: str) -> None:
    for end in (raised(1, 1.0, said, "UnknownError"), killed(1, 1.0, 1 << 8, said.encode())):
        assert explain(end, Origin("")).code == "FW-PORT-TAKEN"


def test_the_machine_is_named_where_there_are_several() -> None:
    end = killed(1, 1.0)
    end.place = Place(1, 2, hosts=("10.0.0.1", "10.0.0.2"))
    assert explain(end, Origin("")).message.startswith("rank 1 of 2 on 10.0.0.2 failed first: ")


def test_memory_is_named_as_the_cause_if_the_kernel_says_so() -> None:
    end = killed(1, 1.0)
    end.oom_kills = 1
    assert explain(end, Origin("")).kind == "oom"


def dump(*frames: str) -> str:
    """What faulthandler writes of a process with two threads."""
    lines = [f'  File "{file}", line {line} in {function}' for file, line, function in (one.split("|") for one in frames)]
    other = ["Thread 0x00007f0 (most recent call first):", '  File "/usr/lib/threading.py", line 1 in wait', ""]
    return "\n".join([*other, "Current thread 0x00007f1 (most recent call first):", *lines]) + "\n"


def test_the_straggler_is_the_one_that_waits_for_nobody() -> None:
    waits = dump("/x/torch/distributed/distributed_c10d.py|2806|all_reduce", "/u/train.py|9|fit")
    stacks = {0: waits, 1: dump("/u/data.py|3|read", "/u/train.py|7|fit"), 2: waits}
    assert find_straggler(stacks, {0: 1.0, 1: 5.0, 2: 2.0}) == 1
    assert find_straggler({0: waits, 2: waits}, {0: 3.0, 2: 2.0}) == 2, "if all wait, the one that was heard of least recently"
    assert main_frames(stacks[1]) == [("/u/data.py", "3", "read"), ("/u/train.py", "7", "fit")]
