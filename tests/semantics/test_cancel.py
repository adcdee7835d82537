"""Cancelling: from another process, by Ctrl-C once and twice; what is left, and how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import fairway as fw
from tests.semantics.rig import Rig, outputs, statuses

SOURCE = """
import os
import signal
import subprocess
import threading
from pathlib import Path

@fw.step
def first() -> int:
    return 1

@fw.step
def wait(n: int, folder: str, stubborn: bool) -> int:
    if stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"])
    Path(folder, "up").write_text(f"{os.getpid()} {child.pid}")
    if not Path(folder, "go").exists():
        threading.Event().wait()
    child.kill()
    return n + 1

@fw.step
def last(n: int) -> int:
    return n + 1

@fw.pipeline
def main(folder: str, stubborn: bool = False):
    return last(wait(first(), folder, stubborn))
"""


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Started:
    """A run in a process of its own that has come as far as its blocking step."""

    def __init__(self, rig: Rig, *words: str) -> None:
        self.rig = rig
        bell = rig.bell("up")
        self.process: subprocess.Popen[str] = rig.start("run", rig.write(SOURCE), "--folder", str(rig.root), *words)
        self.pids = [int(pid) for pid in bell.wait().split()]

    def end(self) -> tuple[int, str]:
        """(exit status, what it said)."""
        _, said = self.process.communicate(timeout=180)
        return self.process.returncode, said

    def interrupt(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)


def check_cancelled(rig: Rig, one: Started, status: int, said: str) -> None:
    run = rig.last()
    assert run.status == "cancelled"
    assert statuses(run) == {"first": "succeeded", "wait": "cancelled", "last": "skipped"}
    assert "cancelled" in said
    assert f"fairway resume {run.id}" in said
    assert not any(map(is_alive, one.pids)), "the step and its child have ended"
    assert status in (3, 130)


def test_cancelled_from_another_process_it_says_so_and_goes_on_where_it_was(rig: Rig) -> None:
    one = Started(rig)
    asked = rig.fairway("cancel", "last")
    assert asked.returncode == 0, asked.stderr
    status, said = one.end()
    check_cancelled(rig, one, status, said)
    (rig.root / "go").touch()
    resumed = rig.fairway("resume", "last")
    assert resumed.returncode == 0, resumed.stderr
    assert outputs(rig.last()) == {"result": 3}
    assert len(rig.last().tasks["first"].attempts) == 1, "what succeeded is not redone"


def test_cancelled_by_the_client(rig: Rig) -> None:
    one = Started(rig)
    fw.runs.at(rig.root)["last"].cancel()
    status, said = one.end()
    check_cancelled(rig, one, status, said)


def test_ctrl_c_once_stops_cleanly_and_says_how_to_go_on(rig: Rig) -> None:
    one = Started(rig)
    one.interrupt()
    status, said = one.end()
    assert status == 130
    assert "Ctrl-C again stops at once" in said
    check_cancelled(rig, one, status, said)


def test_ctrl_c_twice_stops_now_and_leaves_no_process(rig: Rig) -> None:
    one = Started(rig, "--stubborn", "yes")
    one.interrupt()
    assert one.process.stderr is not None
    for line in one.process.stderr:
        if "Ctrl-C again" in line:
            break
    one.interrupt()
    status, said = one.end()
    assert status == 130
    assert "nothing recorded is lost" in said
    assert not any(map(is_alive, one.pids))
    (rig.root / "go").touch()
    assert rig.fairway("resume", "last").returncode == 0
    assert outputs(rig.last()) == {"result": 3}


def test_a_step_that_ignores_the_request_is_killed_after_a_while(rig: Rig) -> None:
    (rig.root / "fairway.toml").write_text('[targets.local]\ngrace = "300ms"\n')
    one = Started(rig, "--stubborn", "yes")
    rig.fairway("cancel", "last")
    status, said = one.end()
    check_cancelled(rig, one, status, said)


def test_a_run_that_has_ended_stays_as_it_is(rig: Rig) -> None:
    (rig.root / "go").touch()
    path = rig.write(SOURCE)
    assert rig.fairway("run", path, "--folder", str(rig.root)).returncode == 0
    asked = rig.fairway("cancel", "last")
    assert "succeeded" in asked.stdout + asked.stderr
    assert rig.last().status == "succeeded"


def test_cancelling_what_does_not_exist_is_refused(rig: Rig) -> None:
    Path(rig.root, "go").touch()
    rig.fairway("run", rig.write(SOURCE), "--folder", str(rig.root))
    asked = rig.fairway("cancel", "no-such-run")
    assert asked.returncode == 2
    assert "there is no run" in asked.stderr
