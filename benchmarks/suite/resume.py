"""The driver is killed at task 5,000 of 10,000: how long until a resumed run starts its first new task."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.memory import MARK, Sampler
from benchmarks.process import Command, CommandError, check, end_group, start
from benchmarks.session import Benchmark, Session

COUNT, KILLED_AT = 10_000, 5_000
FIRST = Bar("resume-first-task", "from `fairway resume` to the first new task's own line", 1, "s")
TWICE = Bar("resume-twice", "tasks that had succeeded and ran again, beyond those in flight when it was killed", 0, "re-runs")
IN_FLIGHT = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # one task for each core
WAIT_S = 0.001


def measure(session: Session) -> None:
    waits: list[float | None] = []
    twice: list[float | None] = []
    notes: list[str] = []
    for number in range(session.long_runs):
        session.talk(f"resume {number + 1}")
        try:
            wait_s, more = measure_once(session, session.project(f"resume-{number}"))
        except CommandError as error:
            session.record(FIRST.name, OURS, "s", waits, str(error))
            return
        waits.append(wait_s)
        twice.append(float(max(0, more - IN_FLIGHT)))
        notes.append(str(more))
    session.record(FIRST.name, OURS, "s", waits)
    session.record(TWICE.name, OURS, "re-runs", twice, f"tasks begun again: {', '.join(notes)}")


def measure_once(session: Session, folder: Path) -> tuple[float, int]:
    """(seconds to the first new task, tasks that ran twice)."""
    log = folder / "steps"
    variables = {"STEPLOG": str(log)}
    first = session.ours(folder, "run", "resumed.py", "--count", str(COUNT), variables=variables)
    again = session.ours(folder, "resume", variables=variables, expect=rf"result +{COUNT * (COUNT + 1) // 2}\b")
    with (folder / "output").open("w+b") as output:
        killed = start(first, output.fileno(), {MARK: folder.name})
        wait_for(lambda: count_lines(log) >= KILLED_AT, first, killed)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        wait_for(lambda: not Sampler(0, f"{MARK}={folder.name}".encode()).members(), first)
        done = log.stat().st_size
        started = time.perf_counter()
        resumed = start(again, output.fileno())
        wait_for(lambda: log.stat().st_size > done, again, resumed)
        wait_s = time.perf_counter() - started
        _, status = os.waitpid(resumed.pid, 0)
        resumed.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        check(again, resumed.returncode, output.read().decode("utf-8", "replace"))
    return wait_s, count_lines(log) - COUNT


def count_lines(path: Path) -> int:
    """Lines of a file; 0 if there is none yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for(reached: Callable[[], bool], command: Command, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until it is true. Raises CommandError if the process ends first or it takes too long."""
    end = time.monotonic() + command.timeout_s
    while not reached():
        if (process is not None and process.poll() is not None) or time.monotonic() > end:
            if process is not None:
                end_group(process.pid)
            raise CommandError(f"{' '.join(command.argv[1:])}: what was waited for did not come")
        time.sleep(WAIT_S)


BENCHMARK = Benchmark("resume", "resume after SIGKILL of the driver", (FIRST, TWICE), measure)
