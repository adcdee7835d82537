"""A chain of 20 steps run again with nothing changed."""

from __future__ import annotations

from benchmarks.figures import Bar
from benchmarks.session import Benchmark, Session

LENGTH = 20
TIME = Bar("cached-20", "re-run of 20 steps, all cached", 0.15, "s")


def measure(session: Session) -> None:
    folder = session.project("cached")
    command = session.ours(folder, "run", f"chain.py:chain{LENGTH}", expect=r"(?s)(cached.*){20}result +20\b")
    first = session.ours(folder, "run", f"chain.py:chain{LENGTH}", expect=r"result +20\b")
    session.run_once(first)
    commands = session.beside(command, "cache", LENGTH, again=True)
    for name in [name for name in commands if name != "fairway"]:
        session.run_once(commands[name])  # fills its cache
    session.time(TIME.name, commands)


BENCHMARK = Benchmark("cached", "20 cached steps", (TIME,), measure)
