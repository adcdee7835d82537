"""What killed a process that left no outcome: each kind of death has its own name, cause and cure."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway import errors
from fairway.spec.outcome import ErrorInfo
from fairway.spec.resources import Retry
from fairway.spec.retry import may_retry
from fairway.step.verdict import Evidence, explain_death, name_signal

GIB = 1 << 30

SEGFAULT = b"""getting there
Fatal Python error: Segmentation fault

Current thread 0x00007fb9c72b0b80 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/home/ann/bundles/ab/flow.py", line 4 in crash
  File "/opt/fairway/step/item.py", line 64 in run
  File "<frozen runpy>", line 88 in _run_code
"""


def evidence(status: int, tail: bytes = b"", **more: object) -> Evidence:
    seen = Evidence(status, tail)
    for name, value in more.items():
        setattr(seen, name, value)
    return seen


def test_a_segmentation_fault_names_the_signal_and_the_python_lines_outermost_first() -> None:
    error = explain_death(evidence(signal.SIGSEGV, SEGFAULT))
    assert (error.kind, error.code) == ("crash", "FW-TASK-CRASHED")
    assert error.message == "native code crashed the step's process (SIGSEGV) in string_at"
    assert [(frame.file, frame.line, frame.function) for frame in error.frames] == [
        ("/home/ann/bundles/ab/flow.py", 4, "crash"),
        ("/usr/lib/python3.11/ctypes/__init__.py", 519, "string_at"),
    ]
    assert error.traceback.startswith("Fatal Python error: Segmentation fault")
    assert "item.py" not in error.traceback and "runpy" not in error.traceback


def test_names_that_are_not_ascii_are_read_back() -> None:
    tail = b'Fatal Python error: Aborted\n  File "/home/jos\\xe9/\\u2603\\U0001f6a2.py", line 7 in stra\\xdfe\n'
    (frame,) = explain_death(evidence(signal.SIGABRT, tail)).frames
    assert (frame.file, frame.line, frame.function) == ("/home/josé/☃🚢.py", 7, "straße")


@pytest.mark.parametrize("number", [signal.SIGILL, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV])
def test_native_crashes_are_called_so(number: int) -> None:
    assert "native code crashed" in explain_death(evidence(number)).message
    assert "native code crashed" in explain_death(evidence(number | 0x80)).message, "with a core dumped"


def test_other_signals_are_named_without_blaming_native_code() -> None:
    error = explain_death(evidence(signal.SIGXCPU))
    assert error.message == "the step's process was ended by SIGXCPU"
    assert error.kind == "crash"


def test_a_kill_for_memory_is_told_from_a_kill_from_outside() -> None:
    outside = explain_death(evidence(signal.SIGKILL, peak_bytes=GIB, limit_bytes=16 * GIB))
    assert outside.kind == "crash" and "from outside" in outside.message
    counted = explain_death(evidence(signal.SIGKILL, peak_bytes=GIB, limit_bytes=16 * GIB, oom_kills=1))
    assert (counted.kind, counted.code) == ("oom", "FW-TASK-OOM")
    assert counted.message == "killed by the system for memory at 1.0 GiB of 16.0 GiB"
    assert "memory=" in counted.hint
    near = explain_death(evidence(signal.SIGKILL, peak_bytes=15 * GIB, limit_bytes=16 * GIB))
    assert near.kind == "oom"
    small = explain_death(evidence(signal.SIGKILL, oom_kills=1, peak_bytes=100 << 20))
    assert small.message == "killed by the system for memory at 100 MiB"


def test_a_timeout_says_how_long_and_whether_sigterm_was_ignored() -> None:
    polite = explain_death(evidence(143 << 8, stopped="timeout", timeout_s=2.0, grace_s=10.0))
    assert (polite.kind, polite.code, polite.message) == ("timeout", "FW-TASK-TIMEOUT", "took longer than its timeout of 2 s")
    deaf = explain_death(evidence(signal.SIGKILL, stopped="timeout", forced=True, timeout_s=2.0, grace_s=0.5))
    assert deaf.message == "took longer than its timeout of 2 s; it ignored SIGTERM and was killed after 0.5 s"
    assert "timeout=" in deaf.hint


def test_a_timeout_wins_over_the_memory_that_was_used() -> None:
    assert explain_death(evidence(signal.SIGKILL, stopped="timeout", oom_kills=1, timeout_s=1.0)).kind == "timeout"


def test_a_cancelled_attempt_is_never_tried_again() -> None:
    error = explain_death(evidence(signal.SIGTERM, stopped="cancelled"))
    assert (error.kind, error.code, error.message) == ("cancelled", "FW-TASK-CANCELLED", "cancelled")
    assert not may_retry(Retry(attempts=9), error, tried=1, lost=0)
    forced = explain_death(evidence(signal.SIGKILL, stopped="cancelled", forced=True, grace_s=10.0))
    assert forced.message == "cancelled; it ignored SIGTERM and was killed after 10 s"


def test_os_exit_is_told_with_its_code_and_the_last_line() -> None:
    error = explain_death(evidence(3 << 8, b"loading\nno licence found\n"))
    assert (error.kind, error.code) == ("exit:3", "FW-TASK-FAILED")
    assert error.message == "the step ended its process with exit code 3 before it returned: no licence found"
    assert "os._exit" in error.hint


def test_os_exit_zero_is_a_failure_too() -> None:
    assert explain_death(evidence(0)).kind == "exit:0"


def test_an_outcome_that_cannot_be_written_is_the_stores_fault() -> None:
    error = explain_death(evidence(75 << 8, b"fairway: ...\nStoreUnavailable: cannot store: No space left on device\n"))
    assert (error.kind, error.code) == ("lost", "FW-STORE-UNAVAILABLE")
    assert error.message == "StoreUnavailable: cannot store: No space left on device"
    assert may_retry(Retry(), error, tried=1, lost=1), "it counts as a loss of the infrastructure"


def test_a_defect_of_ours_is_named_as_one() -> None:
    assert explain_death(evidence(70 << 8)).code == "FW-INTERNAL"


@given(
    status=st.one_of(st.integers(1, 64), st.integers(0, 255).map(lambda code: code << 8)),
    tail=st.binary(max_size=300),
    stopped=st.sampled_from(["", "timeout", "cancelled"]),
    forced=st.booleans(),
    peak=st.integers(0, 1 << 45),
    limit=st.integers(0, 1 << 45),
    kills=st.integers(-1, 3),
)
def test_every_death_has_a_kind_a_known_code_and_one_line_that_fits(
    status: int, tail: bytes, stopped: str, forced: bool, peak: int, limit: int, kills: int
) -> None:
    seen = evidence(status, tail, stopped=stopped, forced=forced, peak_bytes=peak, limit_bytes=limit, oom_kills=kills)
    error = explain_death(seen)
    codes = {cls.code for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.FairwayError)}
    assert isinstance(error, ErrorInfo)
    assert error.code in codes
    assert error.kind and error.message and "\n" not in error.message and len(error.message) < 700
    assert (error.kind == "cancelled") == (stopped == "cancelled")
    assert error == explain_death(seen)


@given(st.integers(1, 64))
def test_signals_have_the_names_that_the_system_gives_them(number: int) -> None:
    known = {member.value: member.name for member in signal.Signals}
    assert name_signal(number) in (known.get(number), f"signal {number}")
