"""A step that raises: how much is printed, and how far down the user's own line stands."""

from __future__ import annotations

import re

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError, run
from benchmarks.session import Benchmark, Session

LINES = Bar("failing-lines", "lines printed by a run whose second step raises", 10, "lines")
FIRST = Bar("failing-frames-before", "places in code shown before the user's own", 0, "lines")
OWN = re.compile(r"""return y\[['"]missing['"]\]|\bin boom\b|\braise self\.missing\b|self\.z = y\[""")
PLACE = re.compile(r"""File "[^"]+", line \d+|[\w./-]+\.py:\d+""")


def measure(session: Session) -> None:
    folder = session.project("failing")
    command = session.ours(folder, "run", "failing.py", expect="KeyError", statuses=(3,))
    for name, each in session.beside(command, "fail", 1).items():
        session.talk(f"{name} failing")
        try:
            _, output = run(each if name == OURS else session.tolerant(each))
        except CommandError as error:
            session.record(LINES.name, name, "lines", [], str(error))
            continue
        lines, own, before = read_failure(output)
        session.record(
            LINES.name, name, "lines", [float(lines)], f"the user's own line stands at {own}" if own else "the user's own line is not shown"
        )
        session.record(FIRST.name, name, "lines", [float(before)] if own else [])


def read_failure(output: str) -> tuple[int, int, int]:
    """(lines printed, number of the first that shows the user's own failing line or 0, places in code named before it that are not it)."""
    lines = [line for line in output.splitlines() if line.strip()]
    own = next((number for number, line in enumerate(lines, 1) if OWN.search(line)), 0)
    places = [number for number, line in enumerate(lines[: max(0, own - 1)], 1) if PLACE.search(line)]
    if own and not PLACE.search(lines[own - 1]):
        places = [number for number in places if number != own - 1]  # the place right above a source line is that line's own
    return len(lines), own, len(places)


BENCHMARK = Benchmark("failing", "a failing step", (LINES, FIRST), measure)
