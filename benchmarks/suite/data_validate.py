"""What validating costs: ten million rows, of their statistics alone; and how long others take to infer a schema and validate by it.

Others hold all their rows in memory, and copies of them, so that they get fewer. Theirs and ours are whole processes, imports and reading
Parquet included: a schema is inferred from one table, and another one is validated by it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from benchmarks.data import rows as table
from benchmarks.data import tables, validated
from benchmarks.data.contenders import CONTENDERS, Present, absent, present, run_json
from benchmarks.figures import OURS, Bar, ratio_of_pairs
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

COST = Bar("data-validate-cost", "inferring a schema and validating 10,000,000 rows: time, of the statistics alone", 1.3, "× statistics")
AGAINST = {
    one.name: Bar(f"data-validate-{one.name}", f"inferring a schema, validating by it: our time, of {one.name}'s", 0.2, f"of {one.name}")
    for one in CONTENDERS
    if one.name == (one.environment or one.name)
}
MANY, FEW = 1_000_000, 200_000
SLOW = frozenset({"evidently"})
"""Who gets few rows in a quick run."""
PROGRAM = [sys.executable, "-m", validated.__name__]


def measure(session: Session) -> None:
    measure_cost(session)
    others = [one for one in present(session.peers, each_once=True) if one.contender.name in AGAINST]
    slow = [one for one in others if session.quick and one.contender.name in SLOW]
    measure_others(session, MANY, [one for one in others if one not in slow])
    if slow:
        measure_others(session, FEW, slow)
    for one in absent(session.peers):
        session.record("infer and validate", one.name, "s", [], f"not installed: python -m benchmarks peers install {one.folder}")


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


def measure_others(session: Session, count: int, peers: Sequence[Present]) -> None:
    """In turns; one that fails says why."""
    before, now = (str(tables.part(session, first, count)) for first in (0, count))
    others = {one.label: one for one in peers}
    found: dict[str, list[dict[str, float] | None]] = {label: [] for label in (OURS, *others)}
    failed: dict[str, str] = {}
    for _ in range(session.long_runs):
        for label, each in found.items():
            session.talk(f"{label}, {count:,} rows")
            try:
                ours = label == OURS
                each.append(run_json([*PROGRAM, "both", before, now]) if ours else json.loads(others[label].run("cost", before, now)[-1]))
            except CommandError as error:
                each.append(None)
                failed[label] = str(error)
    walls = {label: [one and one["wall_s"] for one in each] for label, each in found.items()}
    for label, each in found.items():
        there = [one for one in each if one]
        note = failed.get(label) or describe(there[-1])
        row = session.record(f"infer and validate {count:,} rows", label, "s", walls[label], note)
        row.cpu_s = [one and one["cpu_s"] for one in each]
        session.record(f"memory of it, {count:,} rows", label, "MB", [max(one["mb"] for one in there)] if there else [])
        if label in others:
            name = others[label].contender.name
            ratio = ratio_of_pairs(walls[OURS], walls[label])
            session.record(AGAINST[name].name, OURS, f"of {name}", [ratio], f"{count:,} rows, {label}")


def describe(found: dict[str, float]) -> str:
    """Where a peer's time goes."""
    if "load_s" not in found:
        return ""
    return f"of it {found['load_s']:.1f} s importing and reading, {found['learn_s']:.1f} s learning, {found['check_s']:.1f} s checking"


BENCHMARK = Benchmark("data-validate", "what validating costs", (COST, *AGAINST.values()), measure)
