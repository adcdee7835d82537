"""Ctrl-C, signals, closed terminals and pipes: a run stops cleanly or goes on, and what was promised is kept."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest

from tests.reliability.rig import DEADLINE_S, FAIRWAY, Shell, Terminal
from tests.waiting import await_true

SLOW = """
import os, signal, threading
HERE = os.environ["SHELL_FOLDER"]

@fw.step
def wait(x: int) -> int:
    try:
        open(HERE + "/started", "w").close()
        if os.path.exists(HERE + "/go"):
            return x
        threading.Event().wait()
    finally:
        open(HERE + "/tidied", "w").close()

@fw.step
def deaf(x: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(HERE + "/started", "w").close()
    while not os.path.exists(HERE + "/go"):
        signal.pause()
    return x

@fw.pipeline
def slow():
    return wait(7)

@fw.pipeline
def stubborn():
    return deaf(7)
"""


@pytest.fixture
def shell(shell: Shell) -> Shell:
    (shell.folder / "fairway.toml").write_text('[targets.local]\ngrace = "300s"\n')
    shell.write(SLOW)
    return shell


def run_until_it_waits(shell: Shell, pipeline: str = "slow") -> subprocess.Popen[str]:
    process = shell.start("run", f"flow.py:{pipeline}")
    await_true(shell.touched("started"), "the step has not started", process=process)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_lets_steps_tidy_up_and_says_how_to_go_on(shell: Shell, number: signal.Signals) -> None:
    process = run_until_it_waits(shell)
    process.send_signal(number)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (130, "")
    lines = err.splitlines()
    assert "cancelling: what runs is told to stop; Ctrl-C again stops at once" in lines
    assert re.search(r"^■ cancelled in ", err, re.MULTILINE)
    assert re.fullmatch(r"go on: +fairway resume \S+", lines[-1])
    assert len(lines) <= 6 and "Traceback" not in err
    assert shell.touched("tidied")(), "its finally block has run"
    assert shell.status() == "cancelled"
    shell.check_nothing_left()
    (shell.folder / "go").touch()
    resumed = shell(*lines[-1].split()[3:])
    assert (resumed.returncode, resumed.stdout) == (0, "result  7\n"), resumed.stderr


def test_the_second_signal_stops_at_once(shell: Shell) -> None:
    process = run_until_it_waits(shell, "stubborn")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    told = ""
    while "cancelling" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)  # and not the 300 s that a deaf step has
    assert (process.returncode, out) == (130, "")
    assert "stopped; nothing recorded is lost" in err
    assert re.search(r"^go on: +fairway resume \S+$", err, re.MULTILINE)
    shell.check_nothing_left()
    (shell.folder / "go").touch()
    resumed = shell("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "result  7\n"), resumed.stderr


def test_ctrl_c_in_a_terminal_reaches_the_run_and_not_the_step(shell: Shell) -> None:
    terminal = Terminal(shell, "run", "flow.py:slow")
    await_true(shell.touched("started"), "the step has not started")
    terminal.press(b"\x03")
    terminal.read_until(lambda screen: "go on:" in screen)
    terminal.read_until(lambda screen: False)
    assert terminal.end() == 130
    assert "cancelling" in terminal.screen
    assert shell.touched("tidied")() and shell.status() == "cancelled"
    terminal.close()


def test_a_closed_terminal_cancels_the_run_cleanly(shell: Shell) -> None:
    terminal = Terminal(shell, "run", "flow.py:slow")
    await_true(shell.touched("started"), "the step has not started")
    terminal.close()
    assert terminal.end() == 130
    assert shell.touched("tidied")() and shell.status() == "cancelled"


QUICK = """
@fw.step
def talk(x: int) -> int:
    for n in range(3):
        print("line", n)
    return x

@fw.pipeline
def quick():
    return talk(fw.each([1, 2]))
"""


@pytest.mark.parametrize("redirect", ["| true", "2>&1 | head -1", "2>&1 | true", ">&-", ">&- 2>&- <&-"])
def test_a_run_whose_reader_is_gone_goes_on_to_its_end(shell: Shell, redirect: str) -> None:
    shell.write(QUICK, "quick.py")
    (shell.folder / "fairway.toml").write_text('[[hooks]]\non = ["succeeded"]\ncommand = ["sh", "-c", "echo ended >> hooks.txt"]\n')
    script = f'set -o pipefail; "$@" {redirect}; exit $?'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *FAIRWAY, "run", "quick.py"],
        cwd=shell.folder,
        env=shell.environ(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode in (0, 141), done.stderr
    assert "Traceback" not in done.stderr and "Error" not in done.stderr
    assert shell.status() == "succeeded"
    assert (shell.folder / "hooks.txt").read_text() == "ended\n", "hooks run whoever reads"


def test_other_commands_end_quietly_when_nobody_reads(shell: Shell) -> None:
    shell.write(
        """
        @fw.step
        def talk(x: int) -> int:
            print("\\n".join(map(str, range(50_000))))
            return x

        @fw.pipeline
        def flow():
            return talk(1)
        """
    )
    assert shell("run", "flow.py").returncode == 0
    script = 'set -o pipefail; "$@" | head -1'
    done = subprocess.run(
        ["bash", "-c", script, "bash", *FAIRWAY, "logs"], cwd=shell.folder, env=shell.environ(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")


def test_what_a_module_prints_does_not_mix_with_the_json(shell: Shell) -> None:
    shell.write('print("hello from import")\n' + QUICK)
    done = shell("run", "flow.py", "-o", "json")
    assert json.loads(done.stdout)["status"] == "succeeded"
    assert done.stderr.count("hello from import") == 1


def test_a_driver_that_was_killed_leaves_nothing_and_its_run_goes_on(shell: Shell) -> None:
    process = run_until_it_waits(shell)
    process.kill()
    process.communicate()
    shell.check_nothing_left()
    (shell.folder / "go").touch()
    resumed = shell("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "result  7\n"), resumed.stderr


def test_a_worker_that_was_killed_is_replaced_and_the_run_succeeds(shell: Shell) -> None:
    process = run_until_it_waits(shell)
    before = {*shell.left()} - {process.pid}
    os.kill(worker_of(shell, process.pid), signal.SIGKILL)
    await_true(lambda: before.isdisjoint(shell.left()), "the attempt outlives its worker", process=process)
    (shell.folder / "go").touch()  # for the next attempt: that one must not see it
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (0, "result  7\n"), err
    (task,) = shell.ask("show", "last", "wait")
    first, second = task["attempts"]
    assert (first["error"]["kind"], second["status"]) == ("lost", "ended")


def worker_of(shell: Shell, driver: int) -> int:
    for pid in shell.left():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:  # an attempt that waited may have ended since
            if int(file.read().rpartition(")")[2].split()[1]) == driver:
                return pid
    raise AssertionError("the driver has no worker")
