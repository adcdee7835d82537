"""Processes that a step forks by itself end where they come back from it: the task has one result, its own."""

from __future__ import annotations

from tests.semantics.rig import Rig, outputs

FORK = """
import os, sys

def wait_for(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

@fw.step
def work(how: str) -> int:
    child = os.fork()
    if child:
        return wait_for(child)
    if how == "raise":
        raise ValueError("of the child")
    if how == "terminated":
        os.kill(os.getpid(), 15)
    if how != "return":
        sys.exit({"done": None, "three": 3, "words": "the child gives up"}[how])
    return 99

@fw.pipeline
def main(how: str):
    return work(how)
"""


def test_a_child_that_comes_back_ends_and_says_so(rig: Rig) -> None:
    run = rig.run(FORK, {"how": "return"})
    assert outputs(run) == {"result": 0}
    assert "fairway: a process that the step had forked returned there: a child ends by os._exit()" in run.tasks["work"].logs()
    run = rig.run(FORK, {"how": "raise"})
    assert outputs(run) == {"result": 1}
    assert "ValueError: of the child" in run.tasks["work"].logs()


def test_a_child_that_calls_sys_exit_or_is_terminated_ends_with_that_status(rig: Rig) -> None:
    for how, status, said in (("done", 0, ""), ("three", 3, ""), ("words", 1, "the child gives up"), ("terminated", 143, "")):
        run = rig.run(FORK, {"how": how})
        assert outputs(run) == {"result": status}
        assert run.tasks["work"].logs().strip() == said
