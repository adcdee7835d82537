"""`fw.log` and `fw.progress`: many points, cheaply, readable afterwards as curves."""

from __future__ import annotations

import json

from tests.semantics.rig import Rig, error_of, events, outputs

TIGHT = """
@fw.step
def train(points: int) -> int:
    for i in range(points):
        fw.log(loss=1 / (i + 1), step=i)
    fw.log(accuracy=0.5)
    return points

@fw.pipeline
def main(points: int = 100_000):
    return train(points)
"""


def test_a_hundred_thousand_points_of_a_tight_loop_are_kept_and_read_as_curves(rig: Rig) -> None:
    run = rig.run(TIGHT)
    curve = run.tasks["train"].curves()["loss"]
    assert [step for step, _ in curve] == list(range(100_000))
    assert curve[9] == (9, 0.1)
    assert run.tasks["train"].metrics == {"loss": 1 / 100_000, "accuracy": 0.5}
    assert run.metrics == {"loss": 1 / 100_000, "accuracy": 0.5}
    assert not [event for event in events(run) if "0.1" in str(type(event))]
    assert len(events(run)) < 10, "points are a stream, not events"


def test_points_without_a_step_are_drawn_over_time(rig: Rig) -> None:
    run = rig.run(TIGHT, {"points": 3})
    ((at, value),) = run.tasks["train"].curves()["accuracy"]
    assert value == 0.5
    assert at >= 0


ODD = """
import numpy as np

@fw.step
def log() -> None:
    fw.log(n=np.float32(0.5), count=np.int64(3), yes=True, bad=float("nan"), huge=float("inf"), word="text", nothing=None, step=0)
    fw.log(**{"val/loss": 0.25, "späß": 1})

@fw.pipeline
def main():
    log()
"""


def test_numbers_of_libraries_and_what_is_no_number_do_no_harm(rig: Rig) -> None:
    run = rig.run(ODD)
    assert run.status == "succeeded"
    assert run.tasks["log"].metrics == {"n": 0.5, "count": 3, "yes": True, "val/loss": 0.25, "späß": 1}
    assert run.tasks["log"].curves()["n"] == [(0, 0.5)]


CHANGED = """
import numpy as np

@fw.step
def log() -> None:
    loss = np.array(1.0)
    for step in range(3):
        fw.log(loss=loss, step=step)
        loss += 1

@fw.pipeline
def main():
    log()
"""


def test_a_tensor_is_logged_as_it_was_then(rig: Rig) -> None:
    assert rig.run(CHANGED).tasks["log"].curves()["loss"] == [(0, 1.0), (1, 2.0), (2, 3.0)]


def test_the_first_metric_that_is_no_number_any_more_is_said(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def log() -> None:
            for step in range(6):
                fw.log(loss=float("nan") if step > 2 else 1.0, auc=0.5, step=step)
            fw.log(other=float("-inf"))

        @fw.pipeline
        def main():
            log()
    """)
    said = [line.text for line in run.log_lines(run.tasks.match("log"))]
    assert said == ["fairway: loss is nan at step 3: its curve has a gap there", "fairway: other is -inf: its curve has a gap there"]
    assert run.tasks["log"].metrics == {"auc": 0.5}, "no number that it had before is taken for its last"


def test_points_logged_before_a_failure_and_before_a_kill_are_kept(rig: Rig) -> None:
    run = rig.run("""
        import os
        import signal

        @fw.step
        def fail() -> None:
            fw.log(loss=1.0, step=0)
            raise ValueError("no")

        @fw.step
        def many() -> None:
            for i in range(5000):
                fw.log(loss=float(i), step=i)
            os.kill(os.getpid(), signal.SIGKILL)

        @fw.pipeline
        def main():
            fail()
            many()
    """)
    assert run.tasks["fail"].curves() == {"loss": [(0, 1.0)]}
    assert len(run.tasks["many"].curves()["loss"]) >= 4096, "at most half a second of them is lost"


def test_each_try_draws_on_and_each_item_has_its_own_curve(rig: Rig) -> None:
    run = rig.run("""
        @fw.step(retry=fw.retry(2, backoff=0))
        def train(n: int) -> int:
            fw.log(score=float(10 * n + fw.context().n), step=fw.context().n)
            if fw.context().n == 1:
                raise ValueError("again")
            return n

        @fw.pipeline
        def main():
            return train(fw.each([1, 2]))
    """)
    assert run.tasks["train[0]"].curves() == {"score": [(1, 11.0), (2, 12.0)]}
    assert run.tasks["train[1]"].curves() == {"score": [(1, 21.0), (2, 22.0)]}
    assert run.tasks["train[1]"].metrics == {"score": 22.0}


def test_metrics_are_shown_while_it_runs_and_in_json(rig: Rig) -> None:
    done = rig.fairway("run", rig.write(TIGHT), "--points", "4", "-o", "json")
    assert json.loads(done.stdout)["metrics"] == {"loss": 0.25, "accuracy": 0.5}
    assert "accuracy 0.5" in done.stderr


def test_progress_is_kept_for_people_who_watch_and_costs_nothing_outside(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def work() -> None:
            for i in range(10_000):
                fw.progress(i + 1, 10_000)

        @fw.pipeline
        def main():
            work()
    """)
    (attempt,) = run.tasks["work"].attempts
    lines = run.workspace.streams.read(f"{run.id}/{attempt}/progress", 0).decode().splitlines()
    assert json.loads(lines[-1])[1:] == [10_000, 10_000]
    assert len(lines) < 50, "written a few times a second, and when it is done"


def test_outside_a_run_log_prints_and_progress_is_silent(rig: Rig) -> None:
    done = rig.python(rig.write('fw.log(loss=0.25, word="x", step=3)\nfw.progress(1, 2)\n'))
    assert done.stdout == "step 3  loss=0.25  word=x\n", done.stderr


def test_a_forked_child_of_a_step_logs_too(rig: Rig) -> None:
    run = rig.run("""
        import multiprocessing

        def child():
            fw.log(inner=1.0, step=0)

        @fw.step
        def work() -> int:
            process = multiprocessing.get_context("fork").Process(target=child)
            fw.log(outer=2.0, step=0)
            process.start()
            process.join()
            return process.exitcode

        @fw.pipeline
        def main():
            return work()
    """)
    assert outputs(run) == {"result": 0}
    assert run.tasks["work"].curves() == {"inner": [(0, 1.0)], "outer": [(0, 2.0)]}


def test_names_that_are_no_python_names_are_given_in_a_dict(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def log() -> None:
            fw.log({"val/loss": 0.25}, acc=0.5, step=1)

        @fw.step
        def wrong() -> None:
            fw.log(0.3)

        @fw.pipeline
        def main():
            log()
            wrong()
    """)
    assert run.tasks["log"].curves() == {"val/loss": [(1, 0.25)], "acc": [(1, 0.5)]}
    assert error_of(run).message == "fw.log takes values by name, not 0.3"
    assert "fw.log(loss=0.31" in error_of(run).hint


def test_points_can_be_read_while_the_step_still_runs(rig: Rig) -> None:
    path = rig.write("""
        import threading
        from pathlib import Path

        @fw.step
        def train(bell: str) -> None:
            for i in range(4096):
                fw.log(loss=0.5, step=i)
            Path(bell).write_text("so many are written at once")
            threading.Event().wait()

        @fw.pipeline
        def main(bell: str):
            train(bell)
    """)
    bell = rig.bell("bell")
    process = rig.start("run", path, "--bell", str(rig.root / "bell"))
    bell.wait()
    run = rig.last()
    assert run.status == "running"
    assert run.tasks["train"].curves()["loss"][4095] == (4095, 0.5)
    run.cancel()
    process.communicate(timeout=60)
