"""What one step more costs: the slope from a chain of 2 to one of 100."""

from __future__ import annotations

from benchmarks.figures import Bar, difference_of_pairs
from benchmarks.process import Command, run_in_turns
from benchmarks.session import Benchmark, Session

SHORT, LONG = 2, 100
STEP = Bar("chain-step", "each further step in a chain (slope from 2 to 100)", 4, "ms")


def record_slope(session: Session, figure: str, commands: dict[tuple[str, int], Command], runs: int) -> None:
    """Time short and long chains in turns; record for each contender (long - short) / steps, round by round, in time and in CPU time."""
    found = run_in_turns(commands, runs, progress=session.talk)
    for name in dict.fromkeys(name for name, _ in commands):
        short, long = found[name, SHORT], found[name, LONG]
        scale = 1000 / (LONG - SHORT)
        row = session.record(figure, name, "ms", difference_of_pairs(long.walls, short.walls, scale), short.error or long.error)
        row.cpu_s = difference_of_pairs(long.cpus, short.cpus, scale / 1000)


def measure(session: Session) -> None:
    folder = session.project("chain")
    ours = {n: session.ours(folder, "run", f"chain.py:chain{n}", "--no-cache", expect=rf"result +{n}\b") for n in (SHORT, LONG)}
    beside = {n: session.beside(ours[n], "chain", n) for n in (SHORT, LONG)}
    commands = {(name, n): beside[n][name] for name in beside[SHORT] for n in (SHORT, LONG)}
    record_slope(session, STEP.name, commands, session.runs)


BENCHMARK = Benchmark("chain", "a chain of steps", (STEP,), measure)
