"""Run as a program, `python falsealarms.py credit|mixed CHECKS [SEED]`: whole drift checks (columns, classifier, slices) of unchanged rows.

Prints JSON: how many checks there were, how many alarmed, what alarmed. `credit` are disjoint random parts of credit_default.csv,
`mixed` two draws of a table of numbers, counts, truth values, categories with rare ones, texts, times, nulls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CREDIT = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "credit_default.csv"


def check(pairs: Iterator[tuple[Any, Any, str]]) -> dict[str, Any]:
    from fairway.data.drift import compare
    from fairway.data.statistics import measure

    checks, alarmed = 0, list[str]()
    for before, after, by in pairs:
        checks += 1
        sides = [before, after] if checks % 3 else [measure([before]), measure([after])]
        report = compare(*sides, by=(by,) if checks % 3 else ())
        told = [one.key for one in report.columns if one.drifted]
        told += ["classifier"] if report.multivariate is not None and report.multivariate.drifted else []
        told += [f"{name}: {one.key}" for name, slice_ in report.slices.items() for one in slice_.columns if one.drifted]
        assert bool(told) != report.ok
        if told:
            alarmed.append(f"check {checks} ({before.rows:,} against {after.rows:,}): {', '.join(told)}")
    return {"checks": checks, "alarmed": len(alarmed), "what": alarmed}


def credit(checks: int, seed: int) -> Iterator[tuple[Any, Any, str]]:
    """Disjoint parts of a few hundred to 12,000 rows."""
    import numpy as np

    from fairway.data.batch import Batch, taken
    from fairway.data.table import read

    batches = list(read(CREDIT).batches(rows=1_000_000))
    assert len(batches) == 1
    whole = batches[0]
    rng = np.random.default_rng(seed)
    for _ in range(checks):
        order = rng.permutation(whole.rows)
        sizes = [round(10 ** rng.uniform(2.6, 4.08)) for _ in range(2)]
        parts = [np.sort(order[: sizes[0]]), np.sort(order[sizes[0] : sizes[0] + sizes[1]])]
        before, after = (Batch(0, len(one), {name: taken(values, one) for name, values in whole.columns.items()}) for one in parts)
        yield before, after, "SEX"


def mixed(checks: int, seed: int) -> Iterator[tuple[Any, Any, str]]:
    import numpy as np

    rng = np.random.default_rng(seed)
    for _ in range(checks):
        sizes = [round(10 ** rng.uniform(2.5, 4.0)) for _ in range(2)]
        yield mixed_rows(sizes[0], rng), mixed_rows(sizes[1], rng), "grade"


def mixed_rows(count: int, rng: Any) -> Any:
    import numpy as np

    from fairway.data.batch import Batch

    words = np.array(["order", "late", "paid", "again", "refund", "lost", "Zürich", "open"])
    rare = np.array([f"kind {n}" for n in range(60)])
    common = rng.normal(size=count)
    columns: dict[str, Any] = {f"normal{n}": common * 0.5 + rng.normal(size=count) for n in range(4)}
    columns |= {"lognormal": rng.lognormal(3, 1.5, count), "cauchy": rng.standard_cauchy(count), "even": rng.random(count)}
    columns |= {"visits": rng.poisson(2, count), "size": rng.integers(0, 100_000, count), "stars": rng.integers(1, 6, count)}
    columns |= {"often zero": np.where(rng.random(count) < 0.8, 0.0, rng.gamma(2, 3, count)), "is new": rng.random(count) < 0.1}
    columns |= {"nulls": [None if one < 0.3 else float(one) for one in rng.random(count)], "same": np.full(count, 7)}
    columns |= {"grade": np.array(["a", "b", "c"])[rng.choice(3, count, p=[0.6, 0.3, 0.1])]}
    columns |= {"rare": rare[np.minimum(rng.geometric(0.12, count) - 1, 59)], "id": [f"u-{n}" for n in rng.integers(0, 10**9, count)]}
    columns |= {"note": [" ".join(words[one]) for one in rng.integers(0, 8, (count, 5))]}
    columns |= {"at": np.datetime64("2024-01-01", "us") + np.sort(rng.integers(0, 30 * 86_400, count)) * np.timedelta64(1, "s")}
    return Batch.of(columns)


if __name__ == "__main__":
    what, checks, *more = sys.argv[1:]
    print(json.dumps(check({"credit": credit, "mixed": mixed}[what](int(checks), int((more or ["1"])[0])))))
