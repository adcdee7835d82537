"""SIGKILL to driver, worker, zygote or attempt of real runs, at hundreds of points; then `fairway resume`. Nothing is lost or redone."""

from __future__ import annotations

import hashlib
import json
import queue
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.apply import fold
from fairway.engine.outcomes import find_outcome
from fairway.spec import event as ev
from fairway.spec.artifact import blob_key
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.spec.record import from_plain
from fairway.step.folder import FolderArtifactStore
from fairway.step.processes import find_marked
from fairway.store import open_journal
from tests.engine.simulate import outputs, statuses
from tests.waiting import await_true

HERE = Path(__file__).parent
AT_ONCE = 2
GONE_WITHIN_S = 60.0

# Calls of ports by the driver that every run makes at least so often.
CALLS = {"append": 6, "submit": 4, "wait": 5, "get": 8, "find_cached": 3, "inbox_version": 3}
TASKS = ("first", "wide", "times[0]", "grow", "grow/first", "grow/flaky", "total", "finish")
WHO = ("attempt", "zygote", "worker", "driver")


def _schedules() -> Iterator[tuple[dict[str, str], list[Any] | None]]:
    """(bomb in a step, moment of the driver) of every run."""
    for call, times in CALLS.items():
        for number in range(1, times + 1):
            for when in ("before", "after"):
                yield {}, [f"{when} {call}", number]
    for who in WHO:
        for task in TASKS:
            for when in ("begin", "end", "before outcome", "after outcome"):
                yield {"who": who, "task": task, "when": when}, None
        for task in ("wide", "grow"):
            for when in ("before output", "after output"):
                yield {"who": who, "task": task, "when": when}, None
        for task in ("times[1]", "times[2]", "times[3]"):
            yield {"who": who, "task": task, "when": "begin"}, None
            yield {"who": who, "task": task, "when": "end"}, None


SCHEDULES = list(_schedules())


class Stage:
    """A process that runs commands of Fairway in forks of itself, one at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "stage.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent.parent
        )

    def run(self, folder: Path, argv: list[str], moment: list[Any] | None = None) -> int:
        """The wait status of one command."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"argv": argv, "dir": str(folder), "moment": moment}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())["status"]

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture(scope="module")
def stages() -> Iterator[queue.SimpleQueue[Stage]]:
    made = [Stage() for _ in range(AT_ONCE)]
    free: queue.SimpleQueue[Stage] = queue.SimpleQueue()
    for stage in made:
        free.put(stage)
    yield free
    for stage in made:
        stage.close()


def _play(stage: Stage, folder: Path, bomb: dict[str, str], moment: list[Any] | None, *, patient: bool) -> None:
    """One run with its kill and, if that was the driver's, its resume. `patient`: not before all that the driver had started is gone."""
    folder.mkdir()
    shutil.copy(HERE / "flow.py", folder)
    (folder / "bomb").write_text(json.dumps(bomb))
    status = stage.run(folder, ["run", "flow.py"], moment)
    struck = moment is not None or (folder / "fuse").exists()
    assert struck or not bomb, "the bomb did not go off"
    if moment is not None or bomb.get("who") == "driver":
        assert status == signal.SIGKILL, f"the driver was to be killed, and ended with {status}"
        if patient:
            _check_no_orphans(folder)
        status = stage.run(folder, ["resume", "last"] if _has_begun(folder) else ["run", "flow.py"])
    assert status == 0, f"ended with {status}"


def _has_begun(folder: Path) -> bool:
    """Anything of the run is on record."""
    if not (folder / "home/fairway.db").exists():
        return False
    journal = open_journal(f"{folder}/home/fairway.db")
    try:
        return bool(run_now(journal.find_runs("")))
    finally:
        run_now(journal.close())


def _check_no_orphans(folder: Path) -> None:
    """All processes that the run has started end by themselves, and soon; those, too, that one of them forks before its own end."""
    mark = f"FAIRWAY_CRASH_DIR={folder}"
    await_true(lambda: not find_marked(mark), "a process was left behind", patience_s=GONE_WITHIN_S)


def _ending(folder: Path) -> Any:
    """How the run ended; nothing that was recorded is lost, nothing that had succeeded ran again."""
    journal = open_journal(f"{folder}/home/fairway.db")
    store = FolderArtifactStore(f"{folder}/home/blobs")
    try:
        (run,) = run_now(journal.find_runs(""))
        events = [event for _, event in run_now(journal.read(run))]
    finally:
        run_now(journal.close())
    state = fold(events)
    done: dict[tuple[str, str], bool] = {}
    for event in events:
        if isinstance(event, ev.AttemptEnded):
            assert event.outcome == find_outcome(store, run, event.attempt), f"{event.attempt} is recorded otherwise than it ended"
            attempt = state.attempts[event.attempt]
            for index, item in zip(attempt.items, event.outcome.items, strict=False):
                digests = [ref.digest for ref in item.outputs.values() if ref.inline is None] + [item.graph] * bool(item.graph)
                for digest in digests:
                    assert hashlib.sha256(store.get(blob_key(digest))).hexdigest() == digest, f"artifact {digest} is not what it was"
                done[event.attempt, ev.address(attempt.scope, attempt.node, index)] = item.status == "succeeded"
    ended = [event.attempt for event in events if isinstance(event, ev.AttemptEnded)]
    assert len(ended) == len(set(ended)) == len(state.attempts), "an attempt has ended twice, or never"
    _check_log(folder, store, done)
    return state.status, statuses(state), outputs(state)


def _check_log(folder: Path, store: FolderArtifactStore, done: dict[tuple[str, str], bool]) -> None:
    finished: dict[str, str] = {}
    for line in (folder / "log").read_text().splitlines():
        entry = json.loads(line)
        attempt, task = entry["attempt"], entry["task"]
        assert finished.get(task, attempt) == attempt, f"{task} ran in {attempt}, after it had succeeded in {finished[task]}"
        if done.get((attempt, task)):
            finished[task] = attempt
        for key in entry["ended"]:
            assert not key.endswith(f"/{attempt}"), f"{attempt} ran again after it had ended"
            outcome = from_plain(Outcome, json.loads(store.get(key)))
            assert all(item.status != "succeeded" for item in outcome.items), f"{task} ran again after {key} had succeeded"
    assert set(finished) == {task for (_, task), good in done.items() if good}, "a task succeeded that never ran"


def test_hundreds_of_real_runs_survive_a_kill(stages: queue.SimpleQueue[Stage], tmp_path: Path) -> None:
    stage = stages.get()
    _play(stage, tmp_path / "undisturbed", {}, None, patient=False)
    stages.put(stage)
    undisturbed = _ending(tmp_path / "undisturbed")
    assert undisturbed[0] == "succeeded"

    def play(number: int) -> str:
        bomb, moment = SCHEDULES[number]
        folder, stage = tmp_path / str(number), stages.get()
        try:
            _play(stage, folder, bomb, moment, patient=number % 2 == 0)
            _check_no_orphans(folder)
            assert _ending(folder) == undisturbed
        except Exception as error:
            shown = (folder / "out").read_text() if (folder / "out").exists() else ""
            return f"SCHEDULES[{number}]: bomb {bomb}, driver's moment {moment}: {type(error).__name__}: {error}\n{shown[-1500:]}"
        finally:
            stages.put(stage)
        shutil.rmtree(folder)
        return ""

    with ThreadPoolExecutor(AT_ONCE) as pool:
        problems = [problem for problem in pool.map(play, range(len(SCHEDULES))) if problem]
    assert not problems, f"{len(problems)} of {len(SCHEDULES)} runs; {len(problems[:5])} of them:\n" + "\n".join(problems[:5])
    assert len(SCHEDULES) >= 200
    assert outcome_key("r", "a") == "outcome/r/a"
