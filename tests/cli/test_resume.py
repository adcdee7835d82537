"""`fairway resume`: after a failure, a cancel, a crash; with the code as it was or edited; what is done again and what is not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.project import Package, Project, cached, planned

FAIRWAY = [sys.executable, "-c", "import sys; from fairway.cli import main; sys.exit(main())"]

BROKEN = """
import fairway as fw
from helpers import other, scale


@fw.step
def load(count: int) -> list[int]:
    return list(range(count))


@fw.step
def train(x: int) -> int:
    if x == 1:
        raise ValueError("one is bad")
    return scale(x)


@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)


@fw.pipeline
def flow(count: int = 3):
    return total(train(fw.each(load(count))))
"""


def resume(project: Project, *words: str) -> None:
    said = project.ask("resume", "last", *words)
    assert said.status == 0, said.text


def test_what_failed_and_what_follows_is_done_again(project: Project) -> None:
    project.write("flow.py", BROKEN)
    project.write("bad.txt", "1")
    project.edit("flow.py", "    if x == 1:", f"    if x == int(open({str(project.root / 'bad.txt')!r}).read()):")
    run = project.run()
    assert run.status == "failed"
    assert project.ask("resume").status == 3  # it is still bad
    project.write("bad.txt", "9")
    resume(project)
    assert run.status == "succeeded"
    assert run.outputs["result"].load() == 6
    assert planned(run) == {"load": 1, "train[0]": 1, "train[1]": 3, "train[2]": 1, "total": 1}


def test_edited_code_is_gone_on_with_and_what_it_does_not_reach_is_not_redone(project: Project) -> None:
    project.write(
        "flow.py", BROKEN.replace("raise ValueError", "check(x)\n        raise ValueError").replace("other, scale", "check, other, scale")
    )
    project.edit("helpers.py", "def other(x)", "def check(x):\n    assert x != 1\n\n\ndef other(x)")
    run = project.run()
    project.edit("flow.py", "    return list(range(count))", "    return list(range(count))  # a remark")
    project.edit("helpers.py", "return x + 1", "return x + 2")  # nobody reaches it
    project.edit(
        "flow.py", "def total(xs: list[int]) -> int:\n    return sum(xs)", "def total(xs: list[int]) -> int:\n    return sum(xs) + 100"
    )
    project.edit("helpers.py", "    assert x != 1", "    return x")
    assert project.ask("resume").status == 3
    project.edit("flow.py", '        raise ValueError("one is bad")', "        return 50")
    resume(project)
    assert run.outputs["result"].load() == 154
    assert planned(run)["load"] == 1
    assert planned(run)["total"] == 1


MANY = """
import fairway as fw
import helpers


@fw.step
def numbers(n: int) -> list[int]:
    return list(range(n))


@fw.step
def double(x: int) -> int:
    return helpers.scale(x)


@fw.step
def shift(x: int) -> int:
    return helpers.other(x)


@fw.step
def add(xs: list[int]) -> int:
    return sum(xs)


@fw.step
def big(x: int) -> str:
    return "big"


@fw.step
def small(x: int) -> str:
    return "small"


@fw.dynamic
def tune(n: int) -> int:
    made = n
    for _ in range(2):
        made = shift(made)
    return made


@fw.step
def last(word: str, x: int) -> str:
    raise ValueError("not yet")


@fw.pipeline
def inner(n: int):
    return add(double(fw.each(numbers(n))))


@fw.pipeline
def flow(n: int = 3):
    made = inner(n)
    tuned = tune(made)
    with fw.when(made > 5):
        one = big(made)
    with fw.otherwise():
        other = small(made)
    return last(fw.either(one, other), tuned)
"""


@pytest.fixture
def many(project: Project) -> Project:
    """A run with a nested, a mapped, a conditional and a dynamic part, that failed at its last step."""
    project.write("flow.py", MANY)
    assert project.run().status == "failed"
    project.edit("flow.py", '    raise ValueError("not yet")', '    return f"{word} {x}"')
    return project


def redone(project: Project) -> set[str]:
    """Tasks that were tried after the first time, or for the first time at the resume."""
    before = planned(project.last())
    resume(project)
    after = planned(project.last())
    return {task for task, times in after.items() if times > before.get(task, 0)}


def test_an_edit_of_the_last_step_redoes_it_alone(many: Project) -> None:
    assert redone(many) == {"last"}
    assert many.last().outputs["result"].load() == "big 8"


def test_an_edit_of_what_a_dynamic_step_calls_redoes_it_and_not_the_rest(many: Project) -> None:
    many.edit("helpers.py", "return x + 1", "return x + 10")
    assert redone(many) == {"tune", "tune/shift", "tune/shift-2", "last"}
    assert many.last().outputs["result"].load() == "big 26"


def test_an_edit_of_a_mapped_and_nested_step_redoes_its_items_and_what_follows(many: Project) -> None:
    many.edit("helpers.py", "return x * SCALE", "return x * SCALE if x != 2 else 0")
    again = redone(many)
    assert {task for task in again if "double" in task} == {"inner.double[0]", "inner.double[1]", "inner.double[2]"}
    assert "inner.numbers" not in again
    assert "small" in again and "big" not in again  # the condition holds no more
    assert many.last().outputs["result"].load() == "small 4"


def test_an_edit_without_other_outputs_stops_there(many: Project) -> None:
    many.edit("helpers.py", "return x * SCALE", "return SCALE * x")
    assert redone(many) == {"inner.double[0]", "inner.double[1]", "inner.double[2]", "last"}


def test_new_steps_and_other_wiring_are_taken_over(many: Project) -> None:
    many.edit("flow.py", "    return last(", "    return last.options(name='final')(")
    assert redone(many) == {"final"}


def test_a_finished_run_says_that_there_is_nothing_to_do(project: Project) -> None:
    run = project.run()
    said = project.ask("resume", run.id)
    assert said.status == 2
    assert said.err.splitlines()[0] == f"error: {run.id} has succeeded: there is nothing to go on with"
    assert "`fairway run` starts a new run" in said.err


def test_parameters_cannot_be_changed_and_the_way_out_is_told(project: Project) -> None:
    project.write("flow.py", BROKEN)
    run = project.run()
    for words in (["--count", "4"], [run.id, "--count=4"]):
        said = project.ask("resume", *words)
        assert said.status == 2
        assert "a resume keeps the run's parameters: 'count' cannot be changed" in said.err
        assert "fairway run flow.py --count" in said.err
    assert project.ask("resume", "--nonsense").status == 2
    assert "No such option '--nonsense'" in project.ask("resume", "last", "--nonsense").err
    assert project.ask("resume", "last", "more").status == 2


def test_the_recorded_code_is_gone_on_with_if_asked_or_if_nothing_else_is_left(project: Project) -> None:
    project.write("flow.py", BROKEN)
    run = project.run()
    project.edit("flow.py", "    if x == 1:", "    if x == -1:")
    assert project.ask("resume", "--recorded").status == 3
    (project.root / "flow.py").unlink()
    said = project.ask("resume", run.id)
    assert said.status == 3
    assert "flow.py is not there any more: going on with the recorded code" in said.err


def test_an_edit_that_is_wrong_is_refused_and_nothing_is_lost(project: Project) -> None:
    project.write("flow.py", BROKEN)
    run = project.run()
    head = project.workspace.wait(project.workspace.journal.head(run.id))
    project.edit("flow.py", "    return total(", "    return totall(")
    assert project.ask("resume").status == 2
    assert project.workspace.wait(project.workspace.journal.head(run.id)) == head
    project.edit("flow.py", "    return totall(", "    return total(")
    project.edit("flow.py", "    if x == 1:", "    if x == -1:")
    resume(project)
    assert run.status == "succeeded"


def test_options_of_the_resume_hold_from_then_on(project: Project) -> None:
    project.write("flow.py", BROKEN)
    run = project.run()
    project.edit("flow.py", "    if x == 1:", "    if x == -1:")
    resume(project, "--max-parallel", "1", "--no-cache", "--timeout", "10m")
    options = run.state().options
    assert (options.max_parallel, options.cache, options.timeout_s) == (1, False, 600.0)


def test_after_a_resume_the_next_run_finds_all_of_it(project: Project) -> None:
    project.write("flow.py", BROKEN)
    project.run()
    project.edit("flow.py", "    if x == 1:", "    if x == -1:")
    resume(project)
    again = project.run()
    assert cached(again) == set(again.tasks)


def test_packages_that_moved_count_for_what_is_still_to_do(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Package(tmp_path, monkeypatch, "1.0")
    project.write("flow.py", BROKEN.replace("import fairway as fw", "import fairway as fw\nimport greet"))
    project.edit("flow.py", '        raise ValueError("one is bad")', f"        open({str(tmp_path / 'there')!r})")
    project.edit("flow.py", "    return scale(x)", "    return greet.hello(x)")
    project.edit("flow.py", "    return sum(xs)", "    return greet.hello(sum(xs))")
    assert project.run().status == "failed"
    package.install("1.1")
    (tmp_path / "there").write_text("")
    resume(project)
    run = project.last()
    assert planned(run) == {"load": 1, "train[0]": 1, "train[1]": 2, "train[2]": 1, "total": 1}
    assert run.state().environment["packages"]["total"] == {"greet": "1.1"}
    assert cached(project.run()) == {"load", "train[1]", "total"}  # what was done with 1.0 is no result of 1.1


GATE = """
import fairway as fw


@fw.step
def first(n: int) -> int:
    return n + 1


@fw.step
def each(x: int, gate: str) -> int:
    if x == 1:
        with open(gate) as file:
            file.read()
    return x


@fw.step
def last(xs: list[int], n: int) -> int:
    return sum(xs) + n


@fw.pipeline
def flow(gate: str, n: int = 1):
    return last(each(fw.each([0, 1, 2]), gate), first(n))
"""


class Gate:
    """A FIFO that a step reads to its end: `wait` returns when the step has opened it, `open` lets it go on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self.file = -1

    def wait(self) -> None:
        self.file = os.open(self.path, os.O_WRONLY)

    def open(self) -> None:
        if self.file >= 0:
            os.close(self.file)
        self.file = -1

    def give_up(self) -> None:
        """Let a `wait` return although no step will come."""
        os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """Open it for whoever comes meanwhile."""
        opener = threading.Thread(target=lambda: (self.wait(), self.open()))
        opener.start()
        try:
            yield
        finally:
            self.give_up()
            opener.join()


class Background:
    """`fairway` as a process beside the test, in a group of its own."""

    def __init__(self, project: Project, *words: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")}
        self.process = subprocess.Popen(
            [*FAIRWAY, *words],
            cwd=project.root,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> tuple[int, str]:
        out, err = self.process.communicate(timeout=180)
        return self.process.returncode, out + err


@pytest.fixture
def gate(project: Project) -> Iterator[Gate]:
    project.write("flow.py", GATE)
    made = Gate(project.root / "gate")
    yield made
    made.open()


@pytest.fixture
def running(project: Project, gate: Gate) -> Iterator[Background]:
    """A run whose step `each[1]` waits at the gate."""
    made = Background(project, "run", "flow.py", "--gate", str(gate.path))
    threading.Thread(target=lambda: (made.process.wait(), gate.give_up()), daemon=True).start()
    gate.wait()
    assert made.process.poll() is None, made.end()
    yield made
    if made.process.poll() is None:
        os.killpg(made.process.pid, signal.SIGKILL)
    made.process.communicate()


def wait_for(project: Project, *tasks: str) -> None:
    """Until the journal says that the tasks have succeeded. The head is read first, so that nothing said meanwhile is missed."""
    run = project.last()
    journal = run.workspace.journal
    while True:
        head = run.workspace.wait(journal.head(run.id))
        if all(run.tasks[name].status == "succeeded" for name in tasks):
            return
        run.workspace.wait(journal.watch(run.id, head, 30))


def test_a_run_whose_driver_was_killed_goes_on_where_it_was(project: Project, gate: Gate, running: Background) -> None:
    wait_for(project, "first", "each[0]", "each[2]")
    running.process.kill()
    running.end()
    gate.open()
    run = project.last()
    assert run.status == "interrupted"
    cut_off = run.tasks["each[1]"].as_plain()
    assert (cut_off["status"], [one["status"] for one in cut_off["attempts"]]) == ("interrupted", ["interrupted"])
    assert run.tasks["each[1]"].status == "interrupted" and run.tasks["each[0]"].as_plain()["status"] == "succeeded"
    counts = {step["step"]: step["counts"] for step in run.as_plain()["steps"]}
    assert counts["each"] == {"succeeded": 2, "interrupted": 1}
    shown = project.ask("show", "last", "each[1]").text
    assert "each[1]  interrupted\n" in shown and "  attempt 1  interrupted\n" in shown and "running" not in shown
    with gate.opening():
        resume(project)
    assert run.status == "succeeded"
    assert run.outputs["result"].load() == 5
    counts = planned(run)
    assert {name: counts[name] for name in ("first", "each[0]", "each[2]", "last")} == {"first": 1, "each[0]": 1, "each[2]": 1, "last": 1}


def test_a_killed_run_goes_on_with_edited_code(project: Project, gate: Gate, running: Background) -> None:
    wait_for(project, "first", "each[0]", "each[2]")
    running.process.kill()
    running.end()
    gate.open()
    project.edit("flow.py", "        with open(gate) as file:\n            file.read()\n", "        x = 10\n")
    resume(project)
    run = project.last()
    assert run.outputs["result"].load() == 14
    assert planned(run)["first"] == 1


def test_a_resume_while_a_driver_lives_is_refused(project: Project, gate: Gate, running: Background) -> None:
    run = project.last()
    said = project.ask("resume", run.id)
    assert said.status == 5
    assert said.err.splitlines()[0] == f"error: {run.id} is running"
    gate.open()
    status, text = running.end()
    assert status == 0, text


def test_a_cancelled_run_goes_on(project: Project, gate: Gate, running: Background) -> None:
    wait_for(project, "first", "each[0]", "each[2]")
    run = project.last()
    assert project.ask("cancel", run.id).status == 0
    status, _ = running.end()
    assert (status, run.status) == (3, "cancelled")
    gate.open()
    project.edit("flow.py", "            file.read()\n", "            pass\n")
    with gate.opening():
        resume(project, "--recorded")
    assert run.outputs["result"].load() == 5
    assert planned(run)["first"] == 1
