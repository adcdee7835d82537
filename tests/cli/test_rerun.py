"""`fairway rerun`: one task again, in a terminal of its own, beside what was recorded."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.project import Project

FAIRWAY = [sys.executable, "-c", "import sys; from fairway.cli import main; sys.exit(main())"]

FLOW = """
import json
import fairway as fw


@fw.step
def load(count: int) -> list[int]:
    return list(range(count))


@fw.step
def train(x: int, bad: int) -> float:
    half = x / 2
    if x == bad:
        raise ValueError(f"{x} is bad")
    print("training", x)
    return half


@fw.step
def parse(text: str) -> dict:
    wanted = text
    return json.loads(wanted)


@fw.dynamic
def tune(n: int) -> float:
    return train(n, -1)


@fw.pipeline
def flow(count: int = 3, bad: int = 99, text: str = "{}"):
    train(fw.each(load(count)), bad)
    parse(text)
    return tune(count)
"""


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")} | {"TERM": "xterm", "NO_COLOR": "1"}


def rerun(project: Project, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """`fairway rerun WORDS` as a process: a rerun has the terminal's own input and output."""
    return subprocess.run(
        [*FAIRWAY, "rerun", *words], cwd=project.root, env=environ(), input=given, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.fixture
def project(project: Project) -> Project:
    project.write("flow.py", FLOW)
    return project


def heads(project: Project, run: str) -> tuple[int, list[str]]:
    """What of the run a rerun could change: its journal, its streams and outcomes."""
    workspace = project.workspace
    kept = [*workspace.streams.list(run), *(stat.key for stat in workspace.artifacts.list(f"outcome/{run}"))]
    return workspace.wait(workspace.journal.head(run)), sorted(kept)


@pytest.mark.parametrize("task", ["train[1]", "train.1"])
def test_a_task_that_succeeded_does_so_again_and_says_that_it_is_the_same(project: Project, task: str) -> None:
    run = project.run()
    before = heads(project, run.id)
    done = rerun(project, "last", task)
    assert done.returncode == 0
    assert done.stdout == "training 1\nresult  0.5\n"
    assert re.fullmatch(r"✓ train\[1\] succeeded in [\d.]+s\nthe same as recorded\n", done.stderr)
    assert heads(project, run.id) == before


def test_a_task_that_failed_fails_again_with_the_users_line_first(project: Project) -> None:
    run = project.run("--bad", "2")
    before = heads(project, run.id)
    done = rerun(project, "last", "train.2")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    line = FLOW.strip("\n").splitlines().index('        raise ValueError(f"{x} is bad")') + 1
    assert lines[:3] == [f"✗ train[2]  flow.py:{line} in train", '    raise ValueError(f"{x} is bad")', "  ValueError: 2 is bad"]
    assert lines[-1] == "the same error as recorded"
    assert heads(project, run.id) == before


def test_edited_code_is_tried_and_compared(project: Project) -> None:
    project.run("--bad", "2")
    project.edit("flow.py", "    if x == bad:", "    if x == bad + 1:")
    assert rerun(project, "last", "train.2").returncode == 3  # the recorded code
    done = rerun(project, "last", "train.2", "--edited")
    assert (done.returncode, done.stdout) == (0, "training 2\nresult  1.0\n")
    assert done.stderr.endswith("recorded: failed\n")
    project.edit("flow.py", "half = x / 2", "half = x / 4")
    done = rerun(project, "last", "train.1", "--edited")
    assert done.stderr.endswith("result differs from the recorded one: 0.5\n")
    assert done.stdout == "training 1\nresult  0.25\n"


def test_another_error_than_the_recorded_one_says_so(project: Project) -> None:
    project.run("--bad", "2")
    project.edit("flow.py", "raise ValueError", "raise KeyError")
    done = rerun(project, "last", "train.2", "--edited")
    assert done.returncode == 3
    assert done.stderr.endswith("recorded: failed: ValueError\n")


def test_a_mapped_step_must_be_named_by_one_of_its_tasks(project: Project) -> None:
    project.run()
    done = rerun(project, "last", "train")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'train' is 4 tasks" in done.stderr and "such as 'train[0]'" in done.stderr


def test_dynamic_tasks_and_theirs_are_done_again(project: Project) -> None:
    project.run()
    assert rerun(project, "last", "tune").returncode == 0
    done = rerun(project, "last", "tune/train")
    assert (done.returncode, done.stdout) == (0, "training 3\nresult  1.5\n")


def test_a_task_that_never_got_its_inputs_says_so(project: Project) -> None:
    project.edit("flow.py", "    return tune(count)", "    return tune(broken(count))")
    project.edit("flow.py", "@fw.dynamic", "@fw.step\ndef broken(n: int) -> int:\n    raise ValueError\n\n\n@fw.dynamic")
    project.run()
    done = rerun(project, "last", "tune")
    assert done.returncode == 2
    assert "tune never got its input 'n'" in done.stderr


def test_the_debugger_stops_at_the_users_line(project: Project) -> None:
    project.run("--bad", "2")
    done = rerun(project, "last", "train.2", "--pdb", given="p x, half\nq\n")
    assert done.returncode == 3
    assert "-> raise ValueError" in done.stdout
    assert "(2, 1.0)" in done.stdout
    assert "fairway/step" not in done.stdout + done.stderr


def test_the_debugger_goes_up_from_a_librarys_frame_to_the_users(project: Project) -> None:
    project.run("--text", "{nonsense")
    done = rerun(project, "last", "parse", "--pdb", given="p wanted\nw\nq\n")
    assert "-> return json.loads(wanted)" in done.stdout
    assert "'{nonsense'" in done.stdout


def test_the_debugger_does_not_open_where_nothing_is_raised(project: Project) -> None:
    project.run()
    done = rerun(project, "last", "train.0", "--pdb")
    assert (done.returncode, done.stdout) == (0, "training 0\nresult  0.0\n")


def test_a_terminal_is_the_debuggers_own(project: Project) -> None:
    project.run("--bad", "2")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        os.execve(FAIRWAY[0], [*FAIRWAY, "rerun", "last", "train.2", "--pdb"], environ())
    screen = read_until(terminal, b"(Pdb)")
    os.write(terminal, b"p x * 1000\n")
    screen += read_until(terminal, b"2000")
    os.write(terminal, b"q\n")
    screen += read_until(terminal, b"\0")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 3
    assert b"raise ValueError" in screen


def read_until(terminal: int, wanted: bytes) -> bytes:
    """What the terminal shows until `wanted`, or its end."""
    screen = b""
    while wanted not in screen:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the other side is gone
            break
        if not data:
            break
        screen += data
    return screen


def test_the_runs_code_must_be_kept(project: Project) -> None:
    import shutil

    project.run()
    shutil.rmtree(project.root / ".fairway" / "bundles")
    done = rerun(project, "last", "load")
    assert done.returncode == 2
    assert "the run's code is not kept any more" in done.stderr


def test_edited_code_needs_its_file(project: Project) -> None:
    project.run()
    Path(project.root / "flow.py").unlink()
    done = rerun(project, "last", "load", "--edited")
    assert done.returncode == 2
    assert "the file that the run came from is not there any more" in done.stderr


def test_a_gang_is_run_again_and_no_debugger_is_promised(tmp_path: Path) -> None:
    project = Project(tmp_path)
    gang = "import fairway as fw\n\n\n@fw.step(gang=fw.gang(replicas=2), cpu=0.1)\ndef fit() -> int:\n    raise ValueError('no')\n\n\n"
    project.write("together.py", f"{gang}@fw.pipeline\ndef together():\n    return fit()\n")
    assert project.ask("run", "together.py").status == 3
    said = project.ask("rerun", "last", "fit", "--pdb")
    assert "a debugger cannot stop in one of several processes" in said.err
    again = project.ask("rerun", "last", "fit")
    assert "ValueError" in again.text


BREAKPOINT = """
import fairway as fw


@fw.step(retries=2)
def alone(n: int) -> int:
    breakpoint()
    return n + 1


@fw.step(gang=fw.gang(replicas=2), cpu=0.1)
def together(n: int) -> int:
    breakpoint()
    return n + 1


@fw.pipeline
def stopped(n: int = 1):
    return alone(n)


@fw.pipeline
def several(n: int = 1):
    return together(n)
"""


def at_terminal(project: Project, *words: str, given: bytes) -> str:
    """`fairway rerun WORDS` in a terminal of its own, where `given` is typed; the screen."""
    pid, file = pty.fork()
    if pid == 0:
        os.chdir(project.root)
        os.execve(FAIRWAY[0], [*FAIRWAY, "rerun", *words], environ())
    os.write(file, given)
    screen = b""
    try:
        while piece := os.read(file, 4096):
            screen += piece
    except OSError:
        pass  # the other end has gone
    os.close(file)
    os.waitpid(pid, 0)
    return screen.decode()


def test_a_breakpoint_in_a_run_says_how_to_stop_there(project: Project) -> None:
    project.write("stop.py", BREAKPOINT)
    said = project.ask("run", "stop.py:stopped")
    run = project.last()
    assert said.status == 3
    assert "the step came to a breakpoint, and a run has no terminal for the debugger" in said.err
    assert f"fairway rerun {run.id} alone --pdb" in said.err
    assert len(run.tasks["alone"].attempts) == 1, "nobody will answer the next time either"
    screen = at_terminal(project, "last", "alone", "--pdb", given=b"p n + 41\nc\n")
    assert "42" in screen and "alone succeeded" in screen
    screen = at_terminal(project, "last", "alone", "--pdb", given=b"q\n")
    assert screen.count("(Pdb)") == 1 and "the debugger was left at a breakpoint" in screen


def test_a_gang_at_a_breakpoint_does_not_wait_for_a_terminal(project: Project) -> None:
    project.write("stop.py", BREAKPOINT)
    assert project.ask("run", "stop.py:several").status == 3
    screen = at_terminal(project, "last", "together", given=b"c\n")
    assert "a debugger cannot stop in one of several processes" in screen and "without gang=" in screen


def test_a_step_that_asks_a_question_is_told_that_nobody_answers(project: Project) -> None:
    project.write("ask.py", 'import fairway as fw\n\n\n@fw.step\ndef ask() -> str:\n    return input("name? ")\n')
    project.write("flow.py", "import fairway as fw\nfrom ask import ask\n\n\n@fw.pipeline\ndef flow():\n    return ask()\n")
    said = project.ask("run", "flow.py")
    assert said.status == 3 and "nobody answers a step that asks: make it a parameter" in said.err
