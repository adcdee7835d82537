"""The thirteen damages with the schema inferred by default, false alarms on what is not damaged, damages together; what validating costs.

Two tables: credit risk with a time column and words, and a simulated sensor (`tests/data/damages.py`). The schema is inferred from one
half of the customers, or one sensor's day; what is validated is drawn, or simulated, anew each time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import rows as table
from benchmarks.figures import OURS, Bar, ratio_of_pairs
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

MISSED = Bar("data-damages-missed", "of 13 damages, those not found (worse of two tables)", 0, "damages")
ALARMS = Bar("data-damages-alarms", "false alarms on 100 undamaged resamples (worse of two tables)", 1, "tables")
TOGETHER = Bar("data-damages-together", "damages not found in 100 combinations of 2 to 6, masked ones aside", 0, "damages")
COST = Bar("data-validate-cost", "validating 10,000,000 rows × 20 columns: time, of the statistics alone", 1.3, "× statistics")
_PROGRAM = Path(table.__file__).with_name("validated.py")


def measure(session: Session) -> None:
    from tests.data.damages import CREDIT, MASKS, SENSOR, credit, damages_of, sensor

    count = 10 if session.quick else 100
    tables = {"credit": (credit, damages_of(CREDIT, 60)), "sensor": (sensor, damages_of(SENSOR, 5))}
    missed, alarms, together = [0], [0], 0
    for name, (make, damages) in tables.items():
        session.talk(name)
        held = Held(make, MASKS[name])
        wrong = [one for one, damage in damages.items() if not is_found(damage, held.validate(damage.do(make(500), _random(5))))]
        missed.append(len(wrong))
        session.record(f"damages of {name} not found", OURS, "damages", [len(wrong)], ", ".join(wrong))
        false = [seed for seed in range(1, count + 1) if held.validate(make(seed)).anomalies]
        alarms.append(len(false))
        session.record(f"false alarms of {name} on {count}", OURS, "tables", [len(false)])
        hidden = [miss for seed in range(count // 2) for miss in held.combined(damages, seed)]
        together += len(hidden)
        session.record(f"damages of {name} not found in {count // 2} combinations", OURS, "damages", [len(hidden)], ", ".join(hidden))
    session.record(MISSED.name, OURS, "damages", [max(missed)])
    session.record(ALARMS.name, OURS, "tables", [max(alarms) * 100 / count])
    session.record(TOGETHER.name, OURS, "damages", [together])
    _measure_cost(session)


class Held:
    """A schema inferred from one table, and others held to it."""

    def __init__(self, make: Callable[[int], Any], masks: set[tuple[str, str]]) -> None:
        from fairway.data.schema.infer import infer
        from fairway.data.schema.parse import parse_schema
        from fairway.data.statistics import measure
        from tests.data.damages import batches

        self._make, self._batches, self._masks = make, batches, masks
        self._schema = parse_schema(infer(measure(batches(make(0)))))

    def validate(self, columns: Any) -> Any:
        from fairway.data.anomalies import validate

        return validate(self._batches(columns), self._schema)

    def combined(self, damages: dict[str, Any], seed: int) -> list[str]:
        """Which of some damages done together are not found, but for those that another hides."""
        random = _random(seed)
        chosen = {str(one) for one in random.choice(list(damages), int(random.integers(2, 7)), replace=False)}
        columns = self._make(seed + 1_000)
        for one, damage in damages.items():
            if one in chosen:
                columns = damage.do(columns, random)
        found = self.validate(columns)
        hidden = {one for mask, one in self._masks if mask in chosen}
        return [f"{one} ({'+'.join(sorted(chosen))})" for one in damages if one in chosen - hidden and not is_found(damages[one], found)]


def is_found(damage: Any, validation: Any) -> bool:
    return any(one.kind in damage.kinds and damage.column in ("*", one.column) for one in validation.errors)


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _measure_cost(session: Session) -> None:
    folder = session.work / "data"
    folder.mkdir()
    _run([sys.executable, table.__file__, str(folder), str(table.FULL // 10 if session.quick else table.FULL)])
    file, schema = str(folder / "rows.parquet"), str(folder / "schema.json")
    _run([sys.executable, str(_PROGRAM), "infer", file, schema])
    found: dict[str, list[dict[str, float]]] = {"measure": [], "validate": []}
    for _ in range(session.long_runs):
        for what, each in found.items():
            session.talk(what)
            each.append(json.loads(_run([sys.executable, str(_PROGRAM), what, file, schema])))
    for what, each in found.items():
        session.record(f"{what} rows.parquet", OURS, "s", [one["wall_s"] for one in each]).cpu_s = [one["cpu_s"] for one in each]
        session.record(f"memory of {what}", OURS, "MB", [max(one["mb"] for one in each)])
    walls = {what: [one["wall_s"] for one in each] for what, each in found.items()}
    session.record(COST.name, OURS, "× statistics", [ratio_of_pairs(walls["validate"], walls["measure"])])


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False, cwd=ROOT)
    if done.returncode:
        raise CommandError(f"{Path(words[1]).name}: {(done.stderr.strip().splitlines() or ['it failed'])[-1][:200]}")
    return done.stdout


BENCHMARK = Benchmark("data-damages", "what is found in damaged data, and what it costs", (MISSED, ALARMS, TOGETHER, COST), measure)
