"""A table of 5,000,000 × 5 floats, 200 MB, from one step to the next.

Ours passes the table, or makes the same table and passes its length: the difference is the passing alone. The others' baseline passes an
int and makes no table, so the time that making takes (measured in the same round) is taken off theirs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from benchmarks.figures import OURS, Bar, difference_of_pairs
from benchmarks.memory import measure_peak
from benchmarks.process import Command, CommandError, run, run_in_turns
from benchmarks.session import Benchmark, Session

DATA_BYTES = 5_000_000 * 5 * 8
EXTRA = Bar("table-extra", "extra time of passing the table over passing an int", 0.5, "s")
WRITTEN = Bar("table-written", "bytes written by the whole run, by the size of the data (once: about 1)", 1.1, "×")
HASHED = Bar("table-hashed", "stored files of that size whose SHA-256 is not their name, or that are not exactly one", 0, "errors")
MEMORY = Bar("table-memory", "peak PSS of any process, by the size of the data", 1.5, "×")
MAPPED = Bar("table-mapped", "part of the data that the reader holds otherwise than by mapping the stored file", 0, "×")
MAKING = "import numpy; numpy.random.default_rng(0).random((5_000_000, 5))"


def measure(session: Session) -> None:
    folder = session.project("table")

    def ours(pipeline: str, *more: str) -> Command:
        words = ("run", f"table.py:{pipeline}", *more, "--no-cache")
        return session.ours(folder, *words, expect=r"\bresult\b", before=lambda: session.remove_home(folder))

    big = session.beside(ours("passed"), "big", 2)
    small = session.beside(ours("counted"), "bigint", 2)
    names = [name for name in big if name in small]
    commands = {(name, size): which[name] for name in names for size, which in (("table", big), ("int", small))}
    commands["making", ""] = Command((sys.executable, "-c", MAKING), folder)
    found = run_in_turns(commands, min(session.runs, 5), progress=session.talk)
    making = found["making", ""].walls
    session.record("table-making", "bare", "s", making, "importing NumPy and making the data, taken off the others' extra")
    for name in names:
        table, one = found[name, "table"], found[name, "int"]
        extra = difference_of_pairs(table.walls, one.walls)
        row = session.record(EXTRA.name, name, "s", extra if name == OURS else difference_of_pairs(extra, making), table.error or one.error)
        row.cpu_s = difference_of_pairs(table.cpus, one.cpus)
    look_at_the_store(session, folder, ours("looked_at", "-o", "json"))
    for figure, pipeline in ((MEMORY.name, "passed"), ("table-memory-making", "counted"), ("table-memory-by-rows", "passed_by_rows")):
        measure_memory(session, figure, ours(pipeline))


def look_at_the_store(session: Session, folder: Path, looked: Command) -> None:
    """What is in the store after a run, and how its reader holds it: our rows of the bars about that."""
    session.talk("what is stored")
    try:
        _, output = run(looked)
    except CommandError as error:
        session.record(HASHED.name, OURS, "errors", [], str(error))
        return
    files = [path for path in (folder / ".fairway").rglob("*") if path.is_file() and path.stat().st_size > DATA_BYTES // 2]
    wrong = sum(not is_named_by_digest(path) for path in files) + abs(len(files) - 1)
    session.record(HASHED.name, OURS, "errors", [float(wrong)], f"{len(files)} file of that size")
    seen = find_look(output)
    session.record(MAPPED.name, OURS, "×", [max(0.0, 1 - seen["mapped_bytes"] / DATA_BYTES)], f"{seen['mapped_bytes'] / 1e6:.0f} MB mapped")


def measure_memory(session: Session, figure: str, command: Command) -> None:
    """Record the peak of any one process; and, of the run that passes the table, what was written."""
    session.talk(figure)
    try:
        peak, _ = measure_peak(command, writes=True)
    except CommandError as error:
        session.record(figure, OURS, "×", [], str(error))
        return
    note = f"{peak.process / 1e6:.0f} MB; whole tree {peak.tree / 1e6:.0f} MB"
    session.record(figure, OURS, "×", [peak.process / DATA_BYTES], note)
    if figure == MEMORY.name:
        session.record(WRITTEN.name, OURS, "×", [peak.written / DATA_BYTES])


def is_named_by_digest(path: Path) -> bool:
    """Is the file's SHA-256 what its path says?"""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest == "".join(path.parts[-2:])


def find_look(output: str) -> dict[str, int]:
    """What the step `look` returned, out of the JSON that `fairway run -o json` prints among its talk."""
    result = json.loads(output[output.index("{") : output.rindex("}") + 1])
    return json.loads(result["outputs"]["result"]["inline"])


BENCHMARK = Benchmark("table", "passing a table of 200 MB", (EXTRA, WRITTEN, HASHED, MEMORY, MAPPED), measure)
