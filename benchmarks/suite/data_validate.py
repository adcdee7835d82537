"""What validating costs: ten million rows, of their statistics alone; and how long others take to infer a schema and validate by it.

Others hold all their rows in memory, and copies of them, so that they get fewer. Theirs and ours are whole processes, imports and reading
Parquet included: a schema is inferred from one table, and another one is validated by it.
"""

from __future__ import annotations

import json
import sys

from benchmarks.data import rows as table
from benchmarks.data import tables, validated
from benchmarks.data.contenders import CONTENDERS, absent, present, run_json
from benchmarks.figures import OURS, Bar, ratio_of_pairs
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

COST = Bar("data-validate-cost", "inferring a schema and validating 10,000,000 rows: time, of the statistics alone", 1.3, "× statistics")
AGAINST = {
    one.name: Bar(f"data-validate-{one.name}", f"inferring a schema, validating by it: our time, of {one.name}'s", 0.2, f"of {one.name}")
    for one in CONTENDERS
    if one.name == (one.environment or one.name)
}
PROGRAM = [sys.executable, "-m", validated.__name__]


def measure(session: Session) -> None:
    measure_cost(session)
    measure_others(session, 200_000 if session.quick else 1_000_000)


def measure_cost(session: Session) -> None:
    """Ours, in turns: statistics, validation."""
    file = str(tables.whole(session) / "rows.parquet")
    schema = str(session.work / "schema.json")
    session.talk("infer")
    inferring = run_json([*PROGRAM, "infer", file, schema])["infer_s"]
    session.record("inferring a schema once there are statistics", OURS, "ms", [inferring * 1000])
    found: dict[str, list[dict[str, float]]] = {"measure": [], "validate": []}
    for _ in range(session.long_runs):
        for what, each in found.items():
            session.talk(what)
            each.append(run_json([*PROGRAM, what, file, schema]))
    for what, each in found.items():
        session.record(f"{what} {table.FULL:,} rows", OURS, "s", [one["wall_s"] for one in each]).cpu_s = [one["cpu_s"] for one in each]
        session.record(f"memory of {what}", OURS, "MB", [max(one["mb"] for one in each)])
    validating = [one["wall_s"] + inferring for one in found["validate"]]
    ratio = ratio_of_pairs(validating, [one["wall_s"] for one in found["measure"]])
    session.record(COST.name, OURS, "× statistics", [ratio])


def measure_others(session: Session, count: int) -> None:
    """In turns; one that fails drops out and says why."""
    before, now = (str(tables.part(session, first, count)) for first in (0, count))
    walls: dict[str, list[float | None]] = {OURS: []}
    sizes: dict[str, float] = {}
    notes: dict[str, str] = {OURS: ""}
    others = {one.label: one for one in present(session.peers)}
    names = {OURS: OURS} | {label: one.contender.name for label, one in others.items()}
    for _ in range(session.long_runs):
        for label in [OURS, *others]:
            session.talk(f"{label}, {count:,} rows")
            try:
                found = (
                    run_json([*PROGRAM, "both", before, now]) if label == OURS else json.loads(others[label].run("cost", before, now)[-1])
                )
            except CommandError as error:
                walls.setdefault(label, []).append(None)
                notes[label] = str(error)
                continue
            walls.setdefault(label, []).append(found["wall_s"])
            sizes[label] = max(sizes.get(label, 0), found["mb"])
            notes[label] = describe(found)
    for label, each in walls.items():
        session.record(f"infer and validate {count:,} rows", label, "s", each, notes[label])
        session.record(f"memory of it, {count:,} rows", label, "MB", [sizes[label]] if label in sizes else [])
        if names[label] in AGAINST:
            ratio = ratio_of_pairs(walls[OURS], each)
            session.record(AGAINST[names[label]].name, OURS, f"of {names[label]}", [ratio], f"{count:,} rows")
    for one in absent(session.peers):
        session.record("infer and validate", one.name, "s", [], f"not installed: python -m benchmarks peers install {one.folder}")


def describe(found: dict[str, float]) -> str:
    """Where a peer's time goes."""
    if "load_s" not in found:
        return ""
    return f"of it {found['load_s']:.1f} s importing and reading, {found['learn_s']:.1f} s learning, {found['check_s']:.1f} s checking"


BENCHMARK = Benchmark("data-validate", "what validating costs", (COST, *AGAINST.values()), measure)
