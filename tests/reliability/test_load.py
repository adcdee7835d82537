"""Much at once: lines, bytes, runs, long and foreign names; and drivers that meet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from fairway.engine.driver import Driver
from fairway.engine.project import load_project
from fairway.engine.services import Services
from fairway.engine.workspace import Workspace
from fairway.errors import JournalConflict
from fairway.spec.event import Event, RunStarted
from fairway.spec.graph import Expr, Graph, Node, Port, StepDef
from fairway.spec.ports import run_now
from fairway.store import open_journal
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal, MemoryStreamStore
from fairway.testing.scripted import Call, ScriptedExecutor
from tests.reliability.rig import DEADLINE_S, Shell
from tests.waiting import await_true


def test_twenty_thousand_lines_of_a_tight_loop_are_all_kept_in_order(shell: Shell) -> None:
    shell.write(
        """
        import sys, time

        @fw.step
        def talk(x: int) -> float:
            began = time.perf_counter()
            for n in range(20_000):
                print("line", n)
                if n % 100 == 0:
                    print("error", n, file=sys.stderr)
            return time.perf_counter() - began

        @fw.pipeline
        def flow():
            return talk(1)
        """
    )
    done = shell("run", "flow.py")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[1]) < 20, "the step is not held up: at least a thousand lines a second on a busy machine"
    wanted = [text for n in range(20_000) for text in ([f"line {n}", f"error {n}"] if n % 100 == 0 else [f"line {n}"])]
    assert shell("logs").stdout.splitlines() == wanted


def test_binary_garbage_is_kept_readable_and_harms_nothing(shell: Shell) -> None:
    shell.write(
        """
        import os

        @fw.step
        def spill(x: int) -> int:
            os.write(1, b"\\xff\\xfe\\x00\\x80 before\\n")
            os.write(2, bytes(range(256)) * 500 + b"\\n")
            os.write(1, b"after, with no end")
            return x

        @fw.pipeline
        def flow():
            return spill(3)
        """
    )
    done = shell("run", "flow.py")
    assert (done.returncode, done.stdout) == (0, "result  3\n"), done.stderr
    logs = shell("logs", text=False)
    lines = logs.stdout.decode("utf-8").split("\n")
    assert lines[0] == "\ufffd\ufffd\x00\ufffd before"
    assert lines[-2:] == ["after, with no end", ""]


LONG = "n" * 200


@pytest.mark.parametrize("name", [LONG, "żółw_ñandú_数据", "ð" * 100])
def test_long_and_foreign_names_work_everywhere(shell: Shell, name: str) -> None:
    shell.write(
        f"""
        @fw.step
        def {name}(path: fw.File) -> fw.File:
            with open("{name}.txt", "w") as file:
                file.write(path.read_text() + "{name}")
            return fw.File("{name}.txt")

        @fw.pipeline
        def pipeline_{name}(path: fw.File):
            return {name}(path)
        """,
        f"flow_{name}.py",
    )
    (shell.folder / f"{name} data ☃.txt").write_text("given ")
    done = shell("run", f"flow_{name}.py", "--path", f"{name} data ☃.txt", "--name", f"run {name} ☃", "--tag", "täg")
    assert done.returncode == 0, done.stderr
    assert "fairway.File" in done.stdout
    assert shell.ask("show", f"run {name} ☃")["status"] == "succeeded"
    (row,) = shell.ask("runs", "--tag", "täg")
    assert row["name"] == f"run {name} ☃"
    (task,) = shell.ask("show", "last", name)
    assert task["status"] == "succeeded"
    assert shell("artifacts", "cat", "last", "result").stdout == f"given {name}"
    assert shell("show").returncode == shell("logs").returncode == shell("graph", "last").returncode == 0


def test_fifty_runs_at_once_from_separate_shells_all_succeed(shell: Shell) -> None:
    shell.write(
        """
        @fw.step
        def double(x: int) -> int:
            return 2 * x

        @fw.step
        def add(xs: list[int]) -> int:
            return sum(xs)

        @fw.pipeline
        def flow(x: int = 1):
            return add(double(fw.each([x, x + 1])))
        """
    )
    runs = [shell.start("run", "flow.py", "--x", str(n), "--no-cache") for n in range(50)]
    ends = [run.communicate(timeout=DEADLINE_S * 3) for run in runs]
    assert [run.returncode for run in runs] == [0] * 50, [err for run, (_, err) in zip(runs, ends, strict=True) if run.returncode]
    assert [out for out, _ in ends] == [f"result  {4 * n + 2}\n" for n in range(50)]
    rows = shell.ask("runs", "--limit", "100")
    assert len(rows) == 50 and {row["status"] for row in rows} == {"succeeded"}


def test_two_gigabytes_pass_as_a_file_without_being_held(shell: Shell) -> None:
    size = 2 << 30
    shell.write(
        f"""
        import os

        @fw.step
        def make(x: int) -> fw.File:
            with open("big.bin", "wb") as file:
                file.truncate({size})  # sparse
                file.seek({size // 2})
                file.write(b"not all zeros")
            return fw.File("big.bin")

        @fw.step
        def use(data: fw.File) -> int:
            return os.path.getsize(data)

        @fw.pipeline
        def flow():
            return use(make(1))
        """
    )
    done = shell("run", "flow.py")
    assert (done.returncode, done.stdout) == (0, f"result  {size}\n"), done.stderr
    for task in ("make", "use"):
        (found,) = shell.ask("show", "last", task)
        assert found["attempts"][0]["usage"]["peak_memory_bytes"] < 128 << 20
    (blob,) = [path for path in (shell.home / "blobs" / "sha256").glob("*/*") if path.stat().st_size == size]
    assert blob.stat().st_blocks * 512 < 64 << 20, "it was moved into the store, not copied"


GRAPH = Graph(
    "flow",
    (),
    {"one": StepDef("one", outputs=(Port("result"),)), "two": StepDef("two", inputs=(Port("x"),), outputs=(Port("result"),))},
    (Node("one", "one"), Node("two", "two", {"x": Expr("output", "one", "result")})),
    {},
    {"result": Expr("output", "two", "result")},
)


def test_a_clock_that_jumps_keeps_events_in_order_and_the_run_whole() -> None:
    store = MemoryArtifactStore()
    executor = ScriptedExecutor(store, lambda call: 1)
    jumps = iter([0.0, 86_400.0, -1e9, 5.0, -5.0, 1e9, -1e9] * 100)
    now = 1_700_000_000.0

    def clock() -> float:
        return now + next(jumps)

    seen: list[Event] = []
    journal = MemoryJournal()
    services = Services("", journal, store, MemoryStreamStore(), executor)
    begin = [RunStarted("r", GRAPH, {}, "", now)]
    state = run_now(Driver("r", services, begin=begin, on_events=lambda _, events: seen.extend(events), clock=clock).drive())
    assert state.status == "succeeded"
    times = [event.at for event in seen]
    assert times == sorted(times)
    assert [event for _, event in run_now(journal.read("r"))] == seen


def test_the_clock_of_a_driver_does_not_follow_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryArtifactStore()
    seen: list[Event] = []

    def compute(call: Call) -> int:
        monkeypatch.setattr(time, "time", lambda: 0.0)  # somebody sets the machine's clock to 1970
        return 1

    services = Services("", MemoryJournal(), store, MemoryStreamStore(), ScriptedExecutor(store, compute))
    began = time.time()
    run_now(Driver("r", services, begin=[RunStarted("r", GRAPH, {}, "", began)], on_events=lambda _, events: seen.extend(events)).drive())
    assert all(began <= event.at < began + DEADLINE_S for event in seen)


class Meeting:
    """Two drivers of one run: when the first has recorded `after` batches, the second drives the run to its end."""

    def __init__(self, folder: Path, after: int) -> None:
        self.workspace = Workspace(load_project(str(folder), variables={}))
        self.after = after
        self.executed: list[tuple[str, str]] = []
        self.batches = 0
        os.makedirs(self.workspace.project.home, exist_ok=True)

    def driver(self, begin: Sequence[Event] = (), *, meets: bool = False) -> Driver:
        artifacts = self.workspace.artifacts

        def compute(call: Call) -> int:
            self.executed.append((call.task, str(call.n)))
            return 1

        services = Services(
            "", open_journal(self.workspace.project.journal), artifacts, self.workspace.streams, ScriptedExecutor(artifacts, compute)
        )
        return Driver("r", services, begin=begin, on_events=self._meet if meets else None)

    def _meet(self, state: object, events: Sequence[Event]) -> None:
        self.batches += 1
        if self.batches == self.after:
            assert run_now(self.driver().drive()).status == "succeeded"


@pytest.mark.parametrize("after", [1, 2, 3])
def test_of_two_drivers_of_a_run_one_stops_with_a_conflict_and_nothing_is_wrong(tmp_path: Path, after: int) -> None:
    meeting = Meeting(tmp_path, after)
    first = meeting.driver([RunStarted("r", GRAPH, {}, "", time.time())], meets=True)
    with pytest.raises(JournalConflict):
        run_now(first.drive())
    state = meeting.workspace.state("r")
    assert state.status == "succeeded"
    assert {name: ref.inline for name, ref in state.outputs.items()} == {"result": "1"}
    ended = [event.attempt for _, event in meeting.workspace.events("r") if type(event).__name__ == "AttemptEnded"]
    assert len(ended) == len(set(ended)) == 2


def _start_and_wait_at_the_gate(shell: Shell) -> subprocess.Popen[str]:
    """A run whose only step has started and goes on when somebody opens the FIFO `gate`."""
    shell.write(
        """
        import os

        @fw.step
        def wait(x: int) -> int:
            open(os.environ["SHELL_FOLDER"] + "/started", "w").close()
            with open(os.environ["SHELL_FOLDER"] + "/gate") as gate:
                gate.read()
            return x

        @fw.pipeline
        def flow():
            return wait(1)
        """
    )
    os.mkfifo(shell.folder / "gate")
    process = shell.start("run", "flow.py")
    await_true(shell.touched("started"), "the step has not started", process=process)
    return process


def test_a_second_command_on_a_live_run_is_refused_and_the_run_goes_on(shell: Shell) -> None:
    process = _start_and_wait_at_the_gate(shell)
    second = shell("resume")
    assert (second.returncode, second.stdout) == (5, "")
    assert re.search(r"is running", second.stderr) and len(second.stderr.splitlines()) <= 5
    with open(shell.folder / "gate", "w"):
        pass
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (0, "result  1\n"), err


def test_the_driver_that_loses_its_journal_says_so_in_a_few_lines(shell: Shell) -> None:
    process = _start_and_wait_at_the_gate(shell)
    usurper = f"""
import sys
from fairway.engine.project import load_project
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.store import open_journal
journal = open_journal(load_project({str(shell.folder)!r}).journal)
run = run_now(journal.find_runs("2"))[0]
head = run_now(journal.head(run))
run_now(journal.append(run, head, [ClockAdvanced(1e10)], "usurper"))
"""
    subprocess.run([sys.executable, "-c", usurper], check=True, cwd=shell.folder, env=shell.environ())
    with open(shell.folder / "gate", "w"):
        pass
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out) == (5, ""), err
    assert "Traceback" not in err and len(err.splitlines()) <= 6
    assert re.search(r"^error: .*(another|other) ", err, re.MULTILINE), err


def test_what_was_used_stands_beside_what_was_asked(shell: Shell) -> None:
    shell.write(
        """
        @fw.step(cpu=0.5, memory="200Mi")
        def use(x: int) -> int:
            return len(bytearray(x))

        @fw.pipeline
        def flow():
            return use(30_000_000)
        """
    )
    assert shell("run", "flow.py").returncode == 0
    assert re.search(r"attempt 1 +ended +\S+ wall, \S+ CPU \(0\.5 asked\) +\d+ MB \(210 MB asked\)", shell("show", "last", "use").stdout)
    (task,) = shell.ask("show", "last", "use")
    assert (task["asked"]["cpu"], task["asked"]["memory_bytes"]) == (0.5, 200 << 20)
    assert 30_000_000 <= task["attempts"][0]["usage"]["peak_memory_bytes"] < 200 << 20
