"""The chain and the map in a module that imports and uses pandas and scikit-learn; the map repeated, to see that nothing ever hangs.

The steps of the chain and the map let a model predict; the repeated map fits one (BLAS, after the fork) for each number.
"bare forks" is the least that these steps can cost in processes of their own: a fork, the same computation, and waiting for it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.figures import OURS, Bar, difference_of_pairs
from benchmarks.process import Command, CommandError, run, run_in_turns
from benchmarks.session import Benchmark, Session
from benchmarks.suite.chain import LONG, SHORT, record_slope

COUNT, TASKS = 200, 10_000
HANG_S = 120.0
CHAIN = Bar("heavy-chain-step", "each further step of the chain", 15, "ms")
MAP = Bar("heavy-map-step", "each further task of the map", 15, "ms")
HANGS = Bar("heavy-hangs", f"runs that hung or failed, in {TASKS:,} mapped tasks", 0, "hangs")


def measure(session: Session) -> None:
    folder = session.project("heavy")
    runs = min(session.runs, 5)
    forks = (sys.executable, "heavy_forks.py")
    chains = {(OURS, n): session.ours(folder, "run", f"heavy.py:chain{n}", "--no-cache", expect=rf"result +{n}\b") for n in (SHORT, LONG)}
    chains |= {("bare forks", n): Command((*forks, "chain", str(n)), folder) for n in (SHORT, LONG)}
    record_slope(session, CHAIN.name, chains, runs)

    for figure, pipeline in ((MAP.name, "fan"), ("heavy-fit-step", "fits")):
        maps = {(OURS, n): fan(session, folder, pipeline, n) for n in (SHORT, COUNT)}
        maps |= {("bare forks", n): Command((*forks, pipeline, str(n)), folder) for n in (SHORT, COUNT)}
        found = run_in_turns(maps, runs, progress=session.talk)
        for name in (OURS, "bare forks"):
            long, short = found[name, COUNT], found[name, SHORT]
            row = session.record(figure, name, "ms", difference_of_pairs(long.walls, short.walls, 1000 / (COUNT - SHORT)), long.error)
            row.cpu_s = difference_of_pairs(long.cpus, short.cpus, 1 / (COUNT - SHORT))
    if not session.quick:
        count_hangs(session, folder)


def count_hangs(session: Session, folder: Path) -> None:
    """Repeat the map that fits to 10,000 tasks; a run that takes longer than HANG_S, some thirty times what it should, hangs."""
    hangs, note = 0, ""
    for number in range(TASKS // COUNT):
        session.talk(f"hangs {number + 1}/{TASKS // COUNT}")
        try:
            run(fan(session, folder, "fits", COUNT))
        except CommandError as error:
            hangs, note = hangs + 1, str(error)
    session.record(HANGS.name, OURS, "hangs", [float(hangs)], note)


def fan(session: Session, folder: Path, pipeline: str, count: int) -> Command:
    """A map of heavy.py over `count` numbers."""
    words = ("run", f"heavy.py:{pipeline}", "--count", str(count), "--no-cache")
    return session.ours(folder, *words, expect=rf"result +{count * (count + 1) // 2}\b", timeout_s=HANG_S)


BENCHMARK = Benchmark("heavy", "the chain and the map with pandas and scikit-learn", (CHAIN, MAP, HANGS), measure)
