"""Searches that were stopped: what is said of them then and afterwards, and that they go on."""

from __future__ import annotations

import csv
import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.engine.studies import studies_of
from tests.semantics.rig import Rig
from tests.waiting import Gate, await_true
from tests.web.rig import TOKEN, Server

STEP = """
def count(path):
    with open(path, "ab") as file:
        file.write(b".")
        file.flush()
        return file.tell()

@fw.step
def fit(x: float) -> float:
    n = count({count!r})
    if n == 2:
        raise ValueError("too much\\nand this is the second line")
    if n > 2:
        {deaf}
        count({waiting!r})
        {gate}
    return x
"""
SOURCES = {
    "fit": STEP,
    "whole": f"""
@fw.step
def make(x: float) -> float:
    return x

{STEP}

@fw.step
def check(score: float) -> float:
    return score

@fw.pipeline
def whole(x: float = 0.0):
    return {{{{"result": check(fit(make(x)))}}}}
""",
}
WORDS = ["--metric", "result", "--direction", "max", "--vary", "x=float:0:1", "--trials", "6", "--parallel", "2", "--no-cache"]


class Search:
    """A search of six trials: the first one begun is complete, the second fails, those after them wait, two at once. If they are `deaf`,
    they go on when they are told to end."""

    def __init__(self, rig: Rig, name: str, *, deaf: bool = False) -> None:
        self.rig = rig
        self.error = "ValueError: too much" if name == "fit" else "ValueError: fit: too much"
        self.gate, self._waiting, self.told = Gate(rig.root / "gate"), rig.root / "waiting", rig.root / "told"
        hears = f"import signal; signal.signal(signal.SIGTERM, lambda *_: count({str(self.told)!r}))"
        names = {"count": str(rig.root / "count"), "waiting": str(self._waiting), "deaf": hears if deaf else "", "gate": self.gate.code}
        text = SOURCES[name].format(**names)
        self.file = rig.write(text)
        self.process = rig.start("tune", f"{self.file}:{name}", *WORDS)
        await_true(self._do_two_wait, "the search never came to its third and fourth trial", process=self.process)

    def _do_two_wait(self) -> bool:
        return self._waiting.exists() and self._waiting.stat().st_size == 2

    def stop(self, *numbers: int) -> str:
        """Signal the command; what it has said on stderr once it is gone."""
        for number in numbers:
            os.kill(self.process.pid, number)
        return self.process.communicate()[1]

    @property
    def trials(self) -> dict[str, list[Any]]:
        """Of the run's only search, the trials by state."""
        run = self.rig.last()
        (study,) = studies_of(run.workspace.state(run.id))
        found: dict[str, list[Any]] = {}
        for trial in study.trials:
            found.setdefault(trial.state, []).append(trial)
        return found

    def go_on(self, **ends: int) -> None:
        """To the end; `ends`: how many trials have which state then."""
        self.gate.open()
        said = self.rig.fairway("resume", "last")
        assert said.returncode == 0, said.stderr
        assert {state: len(trials) for state, trials in self.trials.items()} == (ends or {"complete": 6})


@pytest.fixture(params=SOURCES)
def search(rig: Rig, request: pytest.FixtureRequest) -> Search:
    return Search(rig, request.param)


def test_ctrl_c_ends_with_the_best_so_far_and_the_command_that_goes_on(search: Search) -> None:
    said = search.stop(signal.SIGINT)
    assert search.process.returncode == 130
    found = search.trials
    (best,), (failed,), cut_off = found["complete"], found["failed"], found["cancelled"]
    assert len(cut_off) == 2 and set(found) == {"complete", "failed", "cancelled"}
    run = search.rig.last().id
    lines = said.splitlines()
    assert f"best so far  trial {best.number}  result {best.values[0]:.4g}  x={best.params['x']:.4g}" in lines
    assert f"all trials:  fairway tune show {run}" in lines
    assert lines[-1] == f"go on:       fairway resume {run}"
    for trial in cut_off:
        assert f"  trial {trial.number}  cancelled  x={trial.params['x']:.4g}" in lines
    assert f"  trial {failed.number}  failed: {search.error}  x={failed.params['x']:.4g}" in lines
    search.go_on()


def test_what_was_never_begun_is_not_counted_as_skipped(search: Search) -> None:
    search.stop(signal.SIGINT)
    shown = search.rig.fairway("show", "last").stdout
    (line,) = [line for line in shown.splitlines() if line.lstrip("│ ").startswith("✗  tune.")]
    assert " 1/6 " in line and "1 failed" in line and "2 cancelled" in line and "2 not begun" in line
    assert "2 skipped" not in line
    (line,) = [line for line in shown.splitlines() if "tune.suggest" in line]
    assert line.startswith("■") and " 4/6 " in line and "2 not begun" in line


def test_a_stopped_search_is_listed_with_its_best_and_with_what_was_done(search: Search) -> None:
    search.stop(signal.SIGINT)
    (best,) = search.trials["complete"]
    run = search.rig.last()
    assert run.summary.metrics == {"result": best.values[0]}
    listed = search.rig.fairway("runs").stdout
    done = run.summary.counts["succeeded"]
    assert f" {done}/{sum(run.summary.counts.values())} " in listed and run.summary.counts["skipped"]
    assert f"result {best.values[0]:.4g}" in listed


@pytest.mark.parametrize("name", SOURCES)
def test_ctrl_c_twice_says_the_best_so_far_too(rig: Rig, name: str) -> None:
    search = Search(rig, name, deaf=True)
    os.kill(search.process.pid, signal.SIGINT)
    await_true(search.told.exists, "no trial was told to end", process=search.process)
    said = search.stop(signal.SIGINT)
    run = search.rig.last().id
    assert search.process.returncode == 130
    assert "best so far  trial " in said
    assert said.splitlines()[-1] == f"go on:       fairway resume {run}"
    search.go_on()


def test_a_search_whose_process_was_killed_is_shown_as_interrupted(search: Search) -> None:
    search.stop(signal.SIGKILL)
    run = search.rig.last().id
    shown = search.rig.fairway("tune", "show").stdout.splitlines()
    assert shown[0].endswith("  tpe  2 of 6 trials: 1 complete, 1 failed, 2 interrupted")
    assert shown[-1] == f"go on:       fairway resume {run}"
    assert "best so far  trial " in shown[-2]
    (best,) = search.trials["complete"]
    assert f"result {best.values[0]:.4g}" in search.rig.fairway("runs").stdout
    rows = list(csv.DictReader(io.StringIO(search.rig.fairway("tune", "show", "-o", "csv").stdout)))
    states = ["complete", "failed", "interrupted", "interrupted"]
    assert sorted(row["state"] for row in rows) == states
    server = Server(Path(search.rig.workspace.project.home))  # which does not take the run up
    with TestClient(server.app, base_url="http://server", headers={"Fairway-Token": TOKEN}) as client:
        told = client.get(f"/runs/{run}/tune.json").json()
        client.portal.call(server.services.journal.close)  # type: ignore[union-attr]
    assert sorted(trial["state"] for trial in told["trials"]) == states
    search.go_on(complete=5, failed=1)  # nobody ended the run: what has failed in it has failed


def test_why_a_trial_failed_stands_in_its_row(search: Search) -> None:
    search.stop(signal.SIGINT)
    head, *rows = search.rig.fairway("tune", "show").stdout.splitlines()[1:6]
    assert head.split() == ["TRIAL", "STATE", "result", "x", "TIME", "ERROR"]
    (row,) = [row for row in rows if " failed " in row]
    assert row.endswith(f"s  {search.error}")
    search.go_on()
    assert "ERROR" not in search.rig.fairway("tune", "show").stdout, "where none has failed there is no such column"


def test_trials_that_had_ended_before_a_resume_are_not_told_again(search: Search) -> None:
    search.stop(signal.SIGINT)
    (best,) = search.trials["complete"]
    search.gate.open()
    said = search.rig.fairway("resume", "last").stderr
    assert f"  trial {best.number}  " not in said.partition("best  trial")[0]
    assert said.count("\n  trial ") == 5


def test_a_run_is_not_listed_with_what_one_trial_of_many_has_logged(rig: Rig) -> None:
    file = rig.write("""
    @fw.step
    def fit(x: float) -> float:
        fw.log(loss=x)
        if x > 0.5:
            raise ValueError("too much")
        return x

    @fw.pipeline
    def whole(x: float = 0.0):
        return {"result": fit(x)}
    """)
    words = ["--metric", "result", "--direction", "min", "--vary", "x=0.9,0.1,0.2", "--sampler", "grid", "--trials", "3"]
    assert rig.fairway("tune", f"{file}:whole", *words).returncode == 0
    run = rig.last()
    assert run.summary.metrics == {"result": 0.1}
