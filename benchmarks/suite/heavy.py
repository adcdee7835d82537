"""The chain and the map in a module that imports and uses pandas and scikit-learn; the map repeated, to see that nothing ever hangs.

"bare forks" is the least that these steps can cost in processes of their own: a fork, the same computation, and waiting for it.
"""

from __future__ import annotations

import sys

from benchmarks.figures import OURS, Bar, difference_of_pairs
from benchmarks.process import Command, CommandError, run, run_in_turns
from benchmarks.session import Benchmark, Session
from benchmarks.suite.chain import LONG, SHORT, record_slope

COUNT, TASKS = 200, 10_000
HANG_S = 60.0
CHAIN = Bar("heavy-chain-step", "each further step of the chain", 15, "ms")
MAP = Bar("heavy-map-step", "each further task of the map", 15, "ms")
HANGS = Bar("heavy-hangs", f"runs that hung, in {TASKS:,} mapped tasks", 0, "hangs")


def measure(session: Session) -> None:
    folder = session.project("heavy")
    runs = min(session.runs, 5)
    forks = (sys.executable, "heavy_forks.py")
    chains = {(OURS, n): session.ours(folder, "run", f"heavy.py:chain{n}", "--no-cache", expect=rf"result +{n}\b") for n in (SHORT, LONG)}
    chains |= {("bare forks", n): Command((*forks, "chain", str(n)), folder) for n in (SHORT, LONG)}
    record_slope(session, CHAIN.name, chains, runs)

    def fan(count: int) -> Command:
        total = count * (count + 1) // 2
        words = ("run", "heavy.py:fan", "--count", str(count), "--no-cache")
        return session.ours(folder, *words, expect=rf"result +{total}\b", timeout_s=HANG_S)

    maps = {(OURS, n): fan(n) for n in (SHORT, COUNT)} | {
        ("bare forks", n): Command((*forks, "fan", str(n)), folder) for n in (SHORT, COUNT)
    }
    found = run_in_turns(maps, runs, progress=session.talk)
    for name in (OURS, "bare forks"):
        values = difference_of_pairs(found[name, COUNT].walls, found[name, SHORT].walls, 1000 / (COUNT - SHORT))
        session.record(MAP.name, name, "ms", values, found[name, COUNT].error)
    if session.quick:
        return
    hangs, note = 0, ""
    for number in range(TASKS // COUNT):
        session.talk(f"hangs {number + 1}/{TASKS // COUNT}")
        try:
            run(fan(COUNT))
        except CommandError as error:
            hangs, note = hangs + 1, str(error)
    session.record(HANGS.name, OURS, "hangs", [float(hangs)], note)


BENCHMARK = Benchmark("heavy", "the chain and the map with pandas and scikit-learn", (CHAIN, MAP, HANGS), measure)
