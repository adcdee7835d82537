"""What goes wrong with steps, and what one does about it while and after they run."""

from __future__ import annotations

import pytest

from tests.cluster.rig import Rig

pytestmark = pytest.mark.cluster


def test_log_lines_come_while_the_step_runs_and_are_kept_when_its_pod_is_gone(rig: Rig):
    run = rig.detach("trouble.py:gated", "--words", "good morning")
    following = rig.start("logs", "-f", run, "--on", "test")
    following.await_line("good morning")
    following.await_line("at the gate")
    (pod,) = [pod["metadata"]["name"] for pod in rig.pods_of(run)]
    rig.pass_gate(pod)
    assert "through the gate" in following.finish()
    assert rig.finish(run).status == "succeeded"
    rig.await_gone([pod])
    assert "through the gate" in rig.fairway("logs", run, "talk", "--on", "test").stdout


def test_a_step_that_fails_is_tried_again_in_a_pod_of_its_own(rig: Rig):
    done = rig.run("trouble.py:retried")
    assert done["outputs"]["result"]["inline"] == "2"
    assert len(rig.pods_of(done["run"])) == rig.attempts(done["run"])["flaky"] == 2


def test_a_cancelled_run_ends_and_its_pod_goes(rig: Rig):
    run = rig.detach("trouble.py:gated", "--words", "to be cancelled")
    rig.start("logs", "-f", run, "--on", "test").await_line("at the gate")
    rig.fairway("cancel", run, "--on", "test")
    assert rig.finish(run).status == "cancelled"
    rig.await_gone([pod["metadata"]["name"] for pod in rig.pods_of(run)])
    assert rig.attempts(run) == {"talk": 1}


def test_a_resume_after_an_edit_redoes_what_the_edit_touches(rig: Rig):
    failed = rig.run("trouble.py:edited", expect=3)
    shown = rig.fairway("show", failed["run"], "--on", "test").stdout
    assert "ZeroDivisionError" in shown
    assert "trouble.py" in shown
    file = rig.folder / "trouble.py"
    file.write_text(file.read_text().replace("x // 0", "x + 1"))
    resumed = rig.json("resume", failed["run"], "--on", "test")
    assert resumed["outputs"]["result"]["inline"] == "21"
    assert rig.attempts(failed["run"]) == {"first": 1, "second": 2}


def test_a_run_goes_on_when_the_server_is_killed_and_nothing_runs_twice(rig: Rig):
    run = rig.detach("trouble.py:gated", "--words", "the server dies")
    rig.start("logs", "-f", run, "--on", "test").await_line("at the gate")
    (pod,) = [pod["metadata"]["name"] for pod in rig.pods_of(run)]
    rig.kill_server()
    rig.pass_gate(pod)
    assert rig.finish(run).status == "succeeded"
    assert rig.attempts(run) == {"talk": 1, "add": 1}
    assert len(rig.pods_of(run)) == 2


def test_a_pod_that_is_deleted_is_done_again_and_that_is_no_failure(rig: Rig):
    run = rig.detach("trouble.py:gated", "--words", "the pod dies")
    following = rig.start("logs", "-f", run, "--on", "test")
    following.await_line("at the gate")
    (first,) = [pod["metadata"]["name"] for pod in rig.pods_of(run)]
    rig.wait(rig.kube.delete("Pod", first, grace_s=0))
    following.await_line("at the gate")
    (second,) = [pod["metadata"]["name"] for pod in rig.pods_of(run) if pod["metadata"]["name"] != first]
    rig.pass_gate(second)
    assert rig.finish(run).status == "succeeded"
    assert rig.attempts(run) == {"talk": 2, "add": 1}
