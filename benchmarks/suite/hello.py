"""Two steps that pass an int: the least that a run can be."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

TIME = Bar("hello", "shell to exit, each attempt its own process, journal and artifacts durable", 0.15, "s")
MEMORY = Bar("hello-memory", "peak PSS of the whole process tree", 60, "MB")


def measure(session: Session) -> None:
    folder = session.project("hello")
    command = session.ours(folder, "run", "hello.py", "--no-cache", expect=r"result +2\b")
    commands = session.beside(command, "hello", 2)
    session.time(TIME.name, commands)
    # In a folder without runs the database is made too.
    new = {OURS: replace(command, before=lambda: session.remove_home(folder))}
    session.time("hello-first", new, warm_up=False)
    session.peak(MEMORY.name, commands, runs=3 if session.quick else 5)


BENCHMARK = Benchmark("hello", "two steps passing an int", (TIME, MEMORY), measure)
