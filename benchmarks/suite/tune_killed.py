"""The driver of a search of 200 trials is killed ten times at random moments, and resumed: which trials are repeated, and what the sampler
knows at the end."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session
from benchmarks.suite.resume import count_lines
from benchmarks.suite.tune_trials import TRIALS, search
from benchmarks.training.bench import Watched, command, last_run, project
from fairway.engine.client import Run
from fairway.engine.studies import studies_of

KILLS, FEW = 10, 3
TWICE = Bar("tune-repeated", f"200 trials, killed {KILLS} times, resumed: trials that had ended and were run again", 0, "trials")
LACKING = Bar("tune-history", "trials that are not in the sampler's history at the end, with their parameters and values", 0, "trials")


def measure(session: Session) -> None:
    folder = project(session, "tune-killed")
    log = folder / "trials.log"
    variables = {"STEPLOG": str(log)}
    kills = FEW if session.quick else KILLS
    ended: dict[int, tuple[float, float]] = {}
    words, began = search(session, folder, TRIALS, **variables), 0.0
    for goal in sorted(random.Random(0).sample(range(5, TRIALS - 5), kills)):
        searching = Watched(words)
        searching.until(lambda goal=goal: count_lines(log) >= goal)
        os.killpg(searching.process.pid, signal.SIGKILL)
        searching.process.wait()
        ended |= ended_of(last_run(folder))
        words, began = command(session, folder, "fairway", "resume", "last", variables=variables, timeout_s=240), time.perf_counter()
    Watched(words).finish()
    took = time.perf_counter() - began
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
    again = f"killed {kills} times; {sum(ran.values()) - TRIALS} in flight ran again"
    session.record(TWICE.name, OURS, "trials", [float(repeated)], again)
    session.record(LACKING.name, OURS, "trials", [float(TRIALS - len(whole) + changed)], f"{len(whole)} of {TRIALS}, {changed} changed")
    session.record("from the last resume to the end of the search", OURS, "s", [took])


def ended_of(killed: Run) -> dict[int, tuple[float, float]]:
    """Parameters of the trials that have ended, by number."""
    (study,) = studies_of(killed.workspace.state(killed.id))
    return {trial.number: (trial.params["x"], trial.params["y"]) for trial in study.trials if trial.state == "complete"}


BENCHMARK = Benchmark("tune-killed", "a search is killed again and again, and resumed", (TWICE, LACKING), measure)
