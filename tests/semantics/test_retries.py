"""Retries: how often, after how long, and for which errors."""

from __future__ import annotations

import pytest

from fairway.spec.retry import wait_s
from tests.semantics.rig import Rig, error_of, events, outputs

FLAKY = """
import os
import signal

class Broken(ConnectionError):
    pass

@fw.step({settings})
def flaky(good: int) -> int:
    n = fw.context().n
    if n < good:
        {failure}
    return n

@fw.pipeline
def main(good: int = 3):
    return flaky(good)
"""


def run_flaky(rig: Rig, settings: str, failure: str = 'raise ConnectionError("down")', good: int = 3):
    return rig.run(FLAKY.format(settings=settings, failure=failure), {"good": good})


def test_a_step_is_tried_again_until_it_succeeds(rig: Rig) -> None:
    run = run_flaky(rig, "retry=fw.retry(3, backoff=0)")
    assert outputs(run) == {"result": 3}
    assert len(run.tasks["flaky"].attempts) == 3


def test_retries_counts_the_tries_after_the_first(rig: Rig) -> None:
    run = run_flaky(rig, 'retries=2, retry=fw.retry(backoff="1ms")', good=9)
    assert run.status == "failed"
    assert len(run.tasks["flaky"].attempts) == 3
    assert error_of(run).message == "down"


def test_without_retries_there_is_one_try(rig: Rig) -> None:
    assert len(run_flaky(rig, "").tasks["flaky"].attempts) == 1


def test_the_wait_doubles_less_some_jitter_drawn_from_the_attempt(rig: Rig) -> None:
    run = run_flaky(rig, 'retry=fw.retry(4, backoff="40ms", factor=2, jitter=0.5)', good=4)
    assert outputs(run) == {"result": 4}
    policy = run.state().graph.steps["flaky"].retry
    ended = {event.attempt: event.at for event in events(run, "AttemptEnded")}
    scheduled = events(run, "RetryScheduled")
    planned = events(run, "AttemptPlanned")
    for tried, (attempt, retry) in enumerate(zip(run.tasks["flaky"].attempts, scheduled, strict=False), start=1):
        wait = wait_s(policy, attempt, tried)
        assert 0.02 * 2 ** (tried - 1) <= wait <= 0.04 * 2 ** (tried - 1)
        assert retry.due_at == pytest.approx(ended[attempt] + wait, abs=0.005)
        assert planned[tried].at >= retry.due_at
    assert len(scheduled) == 3


ON = [
    ("on=ConnectionError", 'raise ConnectionError("x")', 3),
    ("on=[ConnectionError]", 'raise Broken("a subclass counts")', 3),
    ('on="Broken"', 'raise Broken("by name")', 3),
    ("on=[TimeoutError]", 'raise ConnectionError("x")', 1),
    ('on="crash"', "os.kill(os.getpid(), signal.SIGSEGV)", 3),
    ('on="crash"', 'raise ValueError("x")', 1),
    ('on="exit:75"', "raise SystemExit(75)", 3),
    ('on="exit:75"', "raise SystemExit(3)", 1),
    ('on="oom"', "raise MemoryError()", 3),
]


@pytest.mark.parametrize(("on", "failure", "tries"), ON, ids=[f"{on} {failure}" for on, failure, _ in ON])
def test_only_the_named_kinds_of_error_are_tried_again(rig: Rig, on: str, failure: str, tries: int) -> None:
    run = run_flaky(rig, f"retry=fw.retry(3, backoff=0, {on})", failure)
    assert len(run.tasks["flaky"].attempts) == tries
    assert run.status == ("succeeded" if tries == 3 else "failed")


def test_a_mistake_in_the_definition_is_not_tried_again(rig: Rig) -> None:
    run = rig.run("""
        @fw.step(retries=3)
        def wrong() -> int:
            fw.each([1])
            return 1

        @fw.pipeline
        def main():
            return wrong()
    """)
    assert run.status == "failed"
    assert len(run.tasks["wrong"].attempts) == 1


def test_every_try_keeps_its_own_log(rig: Rig) -> None:
    path = rig.write(FLAKY.format(settings="retry=fw.retry(3, backoff=0)", failure='print("try", n); raise ConnectionError("down")'))
    assert rig.fairway("run", path).returncode == 0
    assert "try 1" in rig.fairway("logs", "last", "flaky", "--attempt", "1").stdout
    assert "try 2" in rig.fairway("logs", "last", "flaky", "--attempt", "2").stdout


def test_a_try_that_leaves_a_half_written_file_does_not_see_it_again(rig: Rig) -> None:
    run = rig.run("""
        import os

        @fw.step(retry=fw.retry(2, backoff=0))
        def write() -> bool:
            there = os.path.exists("half")
            open("half", "w").close()
            if fw.context().n == 1:
                raise ValueError("half way")
            return there

        @fw.pipeline
        def main():
            return write()
    """)
    assert outputs(run) == {"result": False}


PATIENCE = "5s"
"""Both steps have run by then, on a busy machine as well."""
WAITING = """
@fw.step(retry=fw.retry(3, backoff="1h", jitter=0))
def far() -> int:
    with open({mark!r}, "w") as file:
        file.write("here")
    raise ConnectionError("down")

@fw.step
def near() -> int:
    return 1

@fw.pipeline
def main():
    return [far(), near()]
"""


def test_a_run_that_only_waits_for_a_retry_ends_by_its_timeout(rig: Rig) -> None:
    source = WAITING.format(mark=str(rig.root / "mark")).replace("return [far(), near()]", "far()\n    return near()")
    run = rig.run(source, timeout=PATIENCE)
    assert run.status == "timeout"
    assert run.tasks["far"].status == "skipped"
    assert outputs(run, status="timeout") == {"result": 1}


def test_a_retry_that_is_far_away_can_be_cancelled_and_a_resume_does_not_wait_for_it(rig: Rig) -> None:
    source = WAITING.format(mark=str(rig.root / "mark")).replace("return [far(), near()]", "return far()")
    path = rig.write(source)
    bell = rig.bell("mark")
    process = rig.start("run", path)
    bell.wait()
    rig.await_event("RetryScheduled")
    assert rig.fairway("cancel", "last").returncode == 0
    process.communicate(timeout=60)
    assert rig.last().status == "cancelled"
    path.write_text(path.read_text().replace('raise ConnectionError("down")', "return 5"))
    assert rig.fairway("resume", "last").returncode == 0
    assert outputs(rig.last()) == {"result": 5}
