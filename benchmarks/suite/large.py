"""Maps of 10,000 and 100,000 items: one process each, and in batches."""

from __future__ import annotations

from benchmarks.figures import OURS, Bar, difference_of_pairs
from benchmarks.memory import measure_peak
from benchmarks.process import Command, CommandError, run_in_turns
from benchmarks.session import Benchmark, Session

EACH = Bar("map-10000", "1 → 10,000 → 1, one process each", 25, "s")
BATCHED = Bar("map-10000-batch", "1 → 10,000 → 1 with batch=100", 3, "s")
MANY = Bar("map-100000", "100,000 items with batch=1000", 30, "s")
DRIVER = Bar("map-100000-driver", "peak resident memory of the driver", 300, "MB")
FLAT = Bar("map-100000-flat", "time per item at 100,000 by that at 1,000, both less the time of an empty map", 1.2, "×")
LIMITS = ("bare pool",)  # the only one of the others that is made for this many


def measure(session: Session) -> None:
    folder = session.project("large")

    def ours(pipeline: str, count: int) -> Command:
        words = ("run", f"fan.py:{pipeline}", "--count", str(count), "--no-cache")
        return session.ours(folder, *words, expect=rf"result +{count * (count + 1) // 2}\b")

    def beside(command: Command, count: int) -> dict[str, Command]:
        return {name: found for name, found in session.beside(command, "fan", count).items() if name in (OURS, *LIMITS)}

    session.time(BATCHED.name, beside(ours("hundreds", 10_000), 10_000), runs=session.long_runs)
    session.time(EACH.name, beside(ours("fan", 10_000), 10_000), runs=session.long_runs, warm_up=False)
    commands = {count: ours("thousands", count) for count in (0, 1000, 100_000)}
    found = run_in_turns(commands, session.long_runs, progress=session.talk)
    session.record_series(MANY.name, {OURS: found[100_000]})
    some = difference_of_pairs(found[1000].walls, found[0].walls, 1e6 / 1000)
    many = difference_of_pairs(found[100_000].walls, found[0].walls, 1e6 / 100_000)
    session.record("map-1000-item", OURS, "µs", some)
    session.record("map-100000-item", OURS, "µs", many)
    ratios = [a / b if a is not None and b is not None and b > 0 else None for a, b in zip(many, some, strict=True)]
    session.record(FLAT.name, OURS, "×", ratios)
    try:
        session.talk("memory of 100,000 items")
        peak, _ = measure_peak(commands[100_000])
    except CommandError as error:
        session.record(DRIVER.name, OURS, "MB", [], str(error))
        return
    session.record(DRIVER.name, OURS, "MB", [peak.leader / 1e6], f"whole tree {peak.tree / 1e6:.0f} MB PSS")


BENCHMARK = Benchmark("large", "maps of 10,000 and 100,000 items", (EACH, BATCHED, MANY, DRIVER, FLAT), measure)
