"""What an attempt finds around it: variables, a working folder, libraries that its zygote has imported for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.executors.local import LocalExecutor
from fairway.spec import layout
from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.outcome import ItemOutcome, Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain
from fairway.spec.resources import Resources
from fairway.step import processes
from fairway.step.folder import FolderArtifactStore
from tests.waiting import await_true

CODE = """
import os
import sys

import matplotlib

def variables():
    return {name: os.environ.get(name) for name in ("OMP_WAIT_POLICY", "PYTHONHASHSEED")}

def pid():
    return os.getpid()

def folder():
    found = os.listdir(".")
    open("left", "w").close()
    os.mkdir("deep")
    return [os.getcwd(), *found]

def drawing():
    return "matplotlib.backends.backend_svg" in sys.modules

def plain():
    return "matplotlib.backends.backend_svg" in sys.modules

def crash():
    with open("../../crashed", "w") as file:
        file.write(os.getcwd())
    os.abort()

def durability():
    from fairway.step import context

    return context.context().durability
"""


class Bench:
    """A local executor in a folder of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        (folder / "code.py").write_text(CODE)
        self.executor = LocalExecutor(folder / "home", settings={"source": str(folder), **settings})
        self.scratch = folder / "home" / layout.SCRATCH
        self._store = FolderArtifactStore(folder / "home" / layout.BLOBS)
        self._n = 0

    def run(self, name: str, returns: str = "") -> ItemOutcome | None:
        """What the function's item became; None if the attempt had no outcome of its own."""
        self._n += 1
        step = StepDef(name, module="code", qualname=name, outputs=(Port("result", returns),))
        spec = AttemptSpec(attempt_id("r", f"t{self._n}", 1), "r", name, 1, step, "", (AttemptItem(f"t{self._n}"),))
        spec.resources = Resources(memory_bytes=1 << 20)  # so that it is reported when its process is gone
        run_now(self.executor.submit([spec]))
        for _ in range(100):
            run_now(self.executor.wait(1.0))
            if self._store.stat(outcome_key("r", spec.id)) is not None:
                outcome = from_plain(Outcome, json.loads(self._store.get(outcome_key("r", spec.id))))
                return outcome.items[0] if outcome.items else None
        raise AssertionError(f"{name} has not ended")

    def value(self, name: str, returns: str = "") -> Any:
        item = self.run(name, returns)
        assert item is not None
        assert item.status == "succeeded", item.error
        return json.loads(item.outputs["result"].inline or "null")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    run_now(made.executor.close())


@pytest.mark.parametrize("asked", ["process", "power"])
def test_an_attempt_knows_what_its_files_have_to_survive(tmp_path: Path, asked: str) -> None:
    made = Bench(tmp_path, durability=asked)
    try:
        assert made.value("durability") == asked
    finally:
        run_now(made.executor.close())


def test_waiting_threads_do_not_spin_unless_the_user_says_so(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert bench.value("variables") == {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    (tmp_path / "other").mkdir()
    other = Bench(tmp_path / "other")
    assert other.value("variables")["OMP_WAIT_POLICY"] == "ACTIVE"
    run_now(other.executor.close())


def test_a_working_folder_is_used_again_and_always_empty(bench: Bench) -> None:
    found = [bench.value("folder") for _ in range(5)]
    assert all(len(one) == 1 and Path(one[0]).parent == bench.scratch for one in found), "nothing lies in it"
    assert len({one[0] for one in found}) < 5
    assert all(os.listdir(one[0]) == [] for one in found)


def test_the_working_folder_of_a_crash_is_not_used_again(bench: Bench) -> None:
    assert bench.run("crash") is None
    crashed = (bench.scratch.parent / "crashed").read_text()
    assert [bench.value("folder")[0] != crashed for _ in range(3)] == [True] * 3
    assert not os.path.exists(crashed)


def test_no_working_folder_outlives_the_executor(bench: Bench) -> None:
    bench.value("folder")
    run_now(bench.executor.close())
    assert os.listdir(bench.scratch) == []


def test_what_the_types_of_a_step_need_is_imported_before_its_attempts_are_forked(bench: Bench) -> None:
    assert bench.value("plain") is False
    assert bench.value("drawing", "fairway.Figure | bool") is True


def _spares(bench: Bench) -> list[int]:
    """Processes below the zygotes: those that wait, as nothing runs."""
    (worker,) = (pid for pid in processes.find_children(os.getpid()) if _is_worker(pid, bench))
    return [spare for zygote in processes.find_children(worker) for spare in processes.find_children(zygote)]


def _await_spare(bench: Bench, before: int) -> int:
    """The one that waits, once the attempt `before` has left: its outcome is known before its process is gone."""
    await_true(lambda: len(found := _spares(bench)) == 1 and found != [before], "no process waits alone")
    return _spares(bench)[0]


def _is_worker(pid: int, bench: Bench) -> bool:
    try:
        return str(bench.scratch.parent) in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):  # a child of another test, which has ended meanwhile
        return False


def test_the_next_attempt_is_a_process_that_was_forked_ahead(bench: Bench) -> None:
    first = bench.value("pid")
    for _ in range(3):
        spare = _await_spare(bench, first)
        first = bench.value("pid")
        assert first == spare


def test_a_process_that_was_forked_ahead_and_killed_costs_nothing(bench: Bench) -> None:
    spare = _await_spare(bench, bench.value("pid"))
    os.kill(spare, signal.SIGKILL)
    await_true(lambda: Path(f"/proc/{spare}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "it has not died")
    assert _await_spare(bench, bench.value("pid")) != spare


def test_a_rehearsal_leaves_nothing_behind(tmp_path: Path) -> None:
    code = f"from fairway.step.attempt import rehearse; rehearse({str(tmp_path / 'home')!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert os.listdir(tmp_path) == []
