"""The driver of a search is killed in the middle of 200 trials, and resumed: which are repeated, and what the sampler knows."""

from __future__ import annotations

import os
import signal
from collections import Counter

from benchmarks.figures import OURS, Bar
from benchmarks.process import run
from benchmarks.session import Benchmark, Session
from benchmarks.suite.resume import count_lines
from benchmarks.suite.tune_trials import TRIALS, search
from benchmarks.training.bench import Watched, command, last_run, project
from fairway.engine.client import Run
from fairway.engine.studies import studies_of

TWICE = Bar("tune-repeated", "200 trials, killed at 100, resumed: trials that had ended and were run again", 0, "trials")
LACKING = Bar("tune-history", "trials that are not in the sampler's history at the end, with their parameters and values", 0, "trials")
KILLED_AT = 100


def measure(session: Session) -> None:
    folder = project(session, "tune-killed")
    log = folder / "trials.log"
    searching = Watched(search(session, folder, TRIALS, STEPLOG=str(log)))
    searching.until(lambda: count_lines(log) >= KILLED_AT)
    os.killpg(searching.process.pid, signal.SIGKILL)
    searching.process.wait()
    killed = last_run(folder)
    ended = ended_of(killed)
    took = run(command(session, folder, "fairway", "resume", "last", variables={"STEPLOG": str(log)}, timeout_s=240))[0].wall_s
    told = last_run(folder)
    (study,) = studies_of(told.workspace.state(told.id))
    ran = Counter(log.read_text().splitlines())
    repeated = sum(ran[f"{x!r} {y!r}"] > 1 for x, y in ended.values())
    whole = {
        trial.number
        for trial in study.trials
        if trial.state == "complete" and trial.values == ((trial.params["x"] - 2) ** 2 + (trial.params["y"] + 1) ** 2,)
    }
    changed = sum(ended[trial.number] != (trial.params["x"], trial.params["y"]) for trial in study.trials if trial.number in ended)
    again = f"{len(ended)} had ended, {sum(ran.values()) - TRIALS} in flight ran again"
    session.record(TWICE.name, OURS, "trials", [float(repeated)], again)
    session.record(LACKING.name, OURS, "trials", [float(TRIALS - len(whole) + changed)], f"{len(whole)} of {TRIALS}, {changed} changed")
    session.record("from resuming to the end of the search", OURS, "s", [took])


def ended_of(killed: Run) -> dict[int, tuple[float, float]]:
    """Parameters of the trials that have ended, by number."""
    (study,) = studies_of(killed.workspace.state(killed.id))
    return {trial.number: (trial.params["x"], trial.params["y"]) for trial in study.trials if trial.state == "complete"}


BENCHMARK = Benchmark("tune-killed", "a search is killed and resumed", (TWICE, LACKING), measure)
