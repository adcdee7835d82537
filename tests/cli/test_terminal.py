"""The command line as people use it: real processes, real runs, a real terminal where one is needed."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fairway.engine.overview import Overview, timeline_data
from fairway.engine.project import load_project
from fairway.engine.story import read_story
from fairway.engine.workspace import Workspace
from fairway.spec.ports import run_now

FAIRWAY = [sys.executable, "-c", "import sys; from fairway.cli import main; sys.exit(main())"]
DEADLINE_S = 60.0

PIPELINE = '''
import fairway as fw


@fw.step
def numbers(count: int) -> list[int]:
    print("making numbers")
    return list(range(count))


@fw.step
def square(n: int) -> int:
    if n == LIMIT:
        raise ValueError(f"{n} is too much")
    fw.log(squared=n * n)
    return n * n


@fw.step
def total(values: list[int]) -> int:
    return sum(values)


@fw.pipeline
def squares(count: int = 4, scale: float = 1.0):
    """Add squares.

    Args:
        count: how many numbers
    """
    return total(square(fw.each(numbers(count))))


LIMIT = 100
'''

MAPPED = """
import threading
import fairway as fw


@fw.step
def work(n: int) -> int:
    fw.progress(1, 4)
    fw.log(loss=0.25)
    print("epoch", n, flush=True)
    threading.Event().wait()
    return n


@fw.pipeline
def mapped():
    return work(fw.each([1, 2, 3]))
"""

SLOW = """
import threading
import fairway as fw


@fw.step
def wait(n: int) -> int:
    print("waiting", n, flush=True)
    threading.Event().wait()


@fw.pipeline
def slow():
    return wait(1)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "squares.py").write_text(PIPELINE)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "mapped.py").write_text(MAPPED)
    return tmp_path


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FAIRWAY_")} | {"TERM": "xterm", "COLUMNS": "100"}


def fairway(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FAIRWAY, *words],
        cwd=folder,
        env=environ() | more,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Terminal:
    """A command in a terminal of its own. `screen` is everything it has written so far, without escape sequences."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(FAIRWAY[0], [*FAIRWAY, *words], environ())
        self.screen = ""

    def read_until(self, found: Callable[[str], bool]) -> str:
        """Read until `found(screen)`, or the command's end, or the deadline."""
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until and not found(self.screen):
            ready, _, _ = select.select([self.file], [], [], 0.2)
            if ready:
                try:
                    data = os.read(self.file, 65536)
                except OSError:
                    break
                if not data:
                    break
                self.screen += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode("utf-8", "replace"))
        return self.screen

    def press(self, keys: bytes) -> None:
        os.write(self.file, keys)

    def end(self) -> int:
        """Wait for its end; returns the exit status."""
        self.read_until(lambda screen: False)
        os.close(self.file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_run_in_a_pipe(folder: Path) -> None:
    done = fairway(folder, "run", "squares.py", "--count", "5")
    assert (done.returncode, done.stdout) == (0, "result  30\n"), done.stderr
    lines = [" ".join(line.split()) for line in done.stderr.splitlines()]
    assert lines[0].startswith("squares 2")
    assert [line.split()[1] for line in lines[1:4]] == ["numbers", "square", "total"]
    assert "5/5" in lines[2] and "squared 0–16" in lines[2]
    assert re.fullmatch(r"look: fairway show \S+", lines[-1])
    assert "\x1b" not in done.stderr


def test_a_second_run_comes_from_the_cache(folder: Path) -> None:
    fairway(folder, "run", "squares.py")
    again = fairway(folder, "run", "squares.py")
    assert again.stdout == "result  14\n"
    assert again.stderr.count("cached") == 3
    fresh = fairway(folder, "run", "squares.py", "--no-cache")
    assert "cached" not in fresh.stderr


def test_a_run_in_a_pipe_imports_neither_click_nor_rich(folder: Path) -> None:
    done = fairway(folder, "run", "squares.py", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "fairway" in modules
    assert modules.isdisjoint({"click", "rich", "asyncio", "dataclasses", "inspect", "logging", "subprocess", "tomllib", "argparse"})


def test_the_result_as_json(folder: Path) -> None:
    done = fairway(folder, "run", "squares.py", "-o", "json", "--name", "one", "--tag", "a")
    data = json.loads(done.stdout)
    assert (data["status"], data["outputs"]["result"]["inline"], data["counts"]) == ("succeeded", "14", {"succeeded": 6})
    (row,) = json.loads(fairway(folder, "runs", "-o", "json").stdout)
    assert (row["run"], row["name"], row["tags"]) == (data["run"], "one", ["a"])


def test_help_lists_the_pipelines_parameters(folder: Path) -> None:
    out = fairway(folder, "run", "squares.py", "--help").stdout
    assert "Add squares." in out
    assert re.search(r"--count N +how many numbers \[default: 4\]", out)
    assert re.search(r"--scale X +\[default: 1.0\]", out)
    assert "--no-cache" in out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("run", "squares.py", "--cuont", "3"), 2, "cuont"),
        (("run", "squares.py", "--count", "many"), 2, "many"),
        (("run", "nowhere.py"), 2, "nowhere.py"),
        (("run", "."), 2, "name the Python file, such as ./mapped.py"),
        (("run", "/etc/hosts"), 2, "/etc/hosts is not a Python file"),
        (("run", "squares.py", "--on", "moon"), 2, "moon"),
        (("run", "squares.py", "--timeout", "soon"), 2, "soon"),
        (("run", "squares.py", "--max-parallel", "x"), 2, "max-parallel"),
        (("run",), 2, "FILE"),
        (("show",), 2, "nothing has been run"),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_bad_input_is_refused_in_a_few_lines(folder: Path, words: tuple[str, ...], status: int, message: str) -> None:
    done = fairway(folder, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 5
    assert "Traceback" not in done.stderr


def test_a_failing_step_is_shown_in_ten_lines_its_own_line_first(folder: Path) -> None:
    (folder / "squares.py").write_text(PIPELINE.replace("LIMIT = 100", "LIMIT = 2"))
    done = fairway(folder, "run", "squares.py", "--count", "3")
    assert done.returncode == 3
    assert len((done.stdout + done.stderr).splitlines()) <= 10
    lines = done.stderr.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("✗"))
    assert lines[first].startswith("✗ square[2]  squares.py:14 in square")
    assert lines[first + 1].strip() == 'raise ValueError(f"{n} is too much")'
    assert lines[first + 2].strip() == "ValueError: 2 is too much"
    assert re.fullmatch(r"look closer: fairway logs \S+ 'square\[2\]'", lines[-2])
    assert "ValueError: 2 is too much" in fairway(folder, "logs", "last", "square.2").stdout


def test_break_it_see_why_mend_it_go_on(folder: Path) -> None:
    (folder / "squares.py").write_text(PIPELINE.replace("LIMIT = 100", "LIMIT = 2"))
    assert fairway(folder, "run", "squares.py").returncode == 3
    again = fairway(folder, "rerun", "last", "square.2")
    assert again.returncode == 3 and "squares.py:14 in square" in again.stderr
    assert fairway(folder, "rerun", "last", "square.1").stdout.split() == ["result", "1"]
    (folder / "squares.py").write_text(PIPELINE)
    assert fairway(folder, "rerun", "last", "square.2", "--edited").stdout.split() == ["result", "4"]
    resumed = fairway(folder, "resume")
    assert (resumed.returncode, resumed.stdout) == (0, "result  14\n"), resumed.stderr
    (kept,) = json.loads(fairway(folder, "show", "last", "numbers", "-o", "json").stdout)
    assert len(kept["attempts"]) <= 1  # the edit does not reach it
    assert "has succeeded" in fairway(folder, "resume").stderr


def test_a_graph_from_a_file_runs_again(folder: Path) -> None:
    assert fairway(folder, "graph", "squares.py", "--to", "graph.yaml").returncode == 0
    done = fairway(folder, "run", "graph.yaml", "--count", "3")
    assert (done.returncode, done.stdout) == (0, "result  5\n"), done.stderr


def test_the_scaffold_runs(tmp_path: Path) -> None:
    assert fairway(tmp_path, "init", "new").returncode == 0
    done = fairway(tmp_path / "new", "run", "pipeline.py", "--degrees", "1,3")
    assert done.returncode == 0, done.stderr
    assert "2/2" in done.stderr and "publish" in done.stderr


def test_a_live_view_on_a_terminal(folder: Path) -> None:
    terminal = Terminal(folder, "run", "squares.py")
    assert terminal.end() == 0
    assert "✓ square" in terminal.screen and "4/4" in terminal.screen and "result  14" in terminal.screen


def test_the_last_picture_of_a_long_pipeline_is_whole(folder: Path) -> None:
    """While it runs only what fits the terminal is drawn."""
    steps = "".join(f"    x = step.options(name='s{n}')(x)\n" for n in range(40))
    head = "import fairway as fw\n\n\n@fw.step\ndef step(x: int) -> int:\n    return x + 1\n\n\n"
    text = f"{head}@fw.pipeline\ndef long():\n    x = 0\n{steps}    return x\n"
    (folder / "long.py").write_text(text)
    terminal = Terminal(folder, "run", "long.py")
    assert terminal.end() == 0, terminal.screen
    last = terminal.screen[terminal.screen.rindex("✓ s0 ") :]
    assert re.findall(r"✓ (s\d+) ", last) == [f"s{n}" for n in range(40)]
    assert "result  40" in last


def test_a_failed_run_on_a_terminal_ends_in_ten_lines(folder: Path) -> None:
    (folder / "squares.py").write_text(PIPELINE.replace("LIMIT = 100", "LIMIT = 2"))
    terminal = Terminal(folder, "run", "squares.py")
    assert terminal.end() == 3
    last = terminal.screen[terminal.screen.rindex("✓ numbers") :].splitlines()
    assert len(last) + 1 <= 10, terminal.screen
    assert "total" not in "".join(last)  # it only follows from what failed
    assert [line.strip() for line in last if "squares.py:14 in square" in line] == ["✗ square[2]  squares.py:14 in square"]


def test_ctrl_c_cancels_cleanly_and_says_how_to_go_on(folder: Path) -> None:
    terminal = Terminal(folder, "run", "slow.py")
    terminal.read_until(lambda screen: "waiting 1" in screen)
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert "cancelling" in terminal.screen
    assert re.search(r"go on: +fairway resume \S+", terminal.screen)
    assert json.loads(fairway(folder, "show", "-o", "json").stdout)["status"] == "cancelled"
    shown = fairway(folder, "show", "last", "wait").stdout
    assert "attempt 1  cancelled\n  the run was cancelled while this ran\n" in shown, "it has not failed, and nobody has measured it"
    workspace = Workspace(load_project(str(folder), variables={}))
    overview = Overview()
    overview.fold_events(workspace.events(workspace.get_run("last")))
    assert [bar["status"] for row in timeline_data(overview)["rows"] for bar in row["bars"]] == ["cancelled"]
    assert [one.status for one in run_now(read_story(workspace.journal, overview, "wait")).attempts] == ["cancelled"]


def test_a_mapped_step_shows_what_one_of_its_tasks_does_and_ctrl_c_twice_stops_at_once(folder: Path) -> None:
    terminal = Terminal(folder, "run", "mapped.py")
    terminal.read_until(lambda screen: re.search(r"work +0/3 .*\n.*work\[0\]  25%  loss 0\.25  epoch 1", screen) is not None)
    assert "work[0]  25%  loss 0.25  epoch 1" in terminal.screen
    terminal.press(b"\x03")
    terminal.press(b"\x03")
    assert terminal.end() == 130
    assert re.search(r"go on: +fairway resume \S+", terminal.screen)


def test_a_killed_driver_is_noticed_and_its_run_goes_on(folder: Path) -> None:
    process = subprocess.Popen([*FAIRWAY, "run", "slow.py"], cwd=folder, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + DEADLINE_S
    while "waiting 1" not in fairway(folder, "logs").stdout and time.monotonic() < until:
        assert process.poll() is None
    assert "is running" in fairway(folder, "resume").stderr
    process.send_signal(signal.SIGKILL)
    process.communicate()
    refused = fairway(folder, "cancel")
    assert refused.returncode == 5 and "nobody drives" in refused.stderr
    listed = fairway(folder, "runs")
    assert "■ interrupted" in listed.stdout and "go on: fairway resume" in listed.stderr
    shown = fairway(folder, "show").stdout
    assert re.search(r"■ +wait +interrupted", shown) and "running" not in shown and "go on:       fairway resume" in shown
    assert re.search("interrupted: .* is gone; go on: fairway resume", fairway(folder, "logs", "-f").stderr), "it waits no longer"
    assert "left by a killed process" in fairway(folder, "doctor").stdout
    (folder / "slow.py").write_text(SLOW.replace("    threading.Event().wait()\n", "    return n\n"))
    resumed = fairway(folder, "resume")
    assert (resumed.returncode, resumed.stdout) == (0, "result  1\n"), resumed.stderr


def test_cancel_from_another_terminal(folder: Path) -> None:
    process = subprocess.Popen([*FAIRWAY, "run", "slow.py"], cwd=folder, env=environ(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + DEADLINE_S
    while "waiting 1" not in fairway(folder, "logs").stdout and time.monotonic() < until:
        assert process.poll() is None
    assert fairway(folder, "tag", "last", "live").returncode == 0
    cancelled = fairway(folder, "cancel")
    assert cancelled.returncode == 0 and "ended: cancelled" in cancelled.stderr
    assert process.wait(DEADLINE_S) == 3
    assert process.stderr is not None
    process.stderr.close()
    assert json.loads(fairway(folder, "runs", "-o", "json").stdout)[0]["tags"] == ["live"]


def test_hooks_run_when_a_run_ends(folder: Path) -> None:
    (folder / "fairway.toml").write_text('[[hooks]]\non = ["succeeded"]\ncommand = ["sh", "-c", "echo $FAIRWAY_RUN_STATUS >> ends.txt"]\n')
    fairway(folder, "run", "squares.py")
    assert (folder / "ends.txt").read_text() == "succeeded\n"


def test_commands_name_the_project_where_the_current_folder_does_not(folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "fairway.toml").write_text("")
    (inner / "squares.py").write_text(PIPELINE)
    done = fairway(tmp_path, "run", "inner/squares.py")
    assert re.search(r"look: fairway -C inner show \S+\n$", done.stderr)
    assert fairway(tmp_path, "-C", "inner", "show").returncode == 0
