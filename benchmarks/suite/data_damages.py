"""The thirteen damages with the schema inferred by default, false alarms on what is not damaged, damages together: ours, and others'.

Two tables: credit risk with a time column and words, and a simulated sensor (`tests/data/damages.py`). The schema is inferred from one
half of the customers, or one sensor's day; what is validated is drawn, or simulated, anew each time. Ours has to name the damage and its
column; of another it is enough that it says anything that it does not say of the same table without the damage.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.contenders import Present, absent, present
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

MISSED = Bar("data-damages-missed", "of 13 damages, those not found (worse of two tables)", 0, "damages")
ALARMS = Bar("data-damages-alarms", "false alarms on 100 undamaged resamples (worse of two tables)", 1, "tables")
TOGETHER = Bar("data-damages-together", "damages not found in 100 combinations of 2 to 6, masked ones aside", 0, "damages")
BASE = 500
"""The seed of the table that is damaged."""


@dataclass(frozen=True, eq=False)
class Setting:
    """One of the two tables: how it is made from a seed, and what is done to it."""

    name: str
    make: Callable[[int], Any]
    damages: dict[str, Any]
    masks: set[tuple[str, str]]

    def damaged(self, damage: str) -> Any:
        return self.damages[damage].do(self.make(BASE), _random(5))


def measure(session: Session) -> None:
    from tests.data.damages import CREDIT, MASKS, SENSOR, credit, damages_of, sensor

    settings = [
        Setting("credit", credit, damages_of(CREDIT, 60), MASKS["credit"]),
        Setting("sensor", sensor, damages_of(SENSOR, 5), MASKS["sensor"]),
    ]
    measure_ours(session, settings, 100, 20 if session.quick else 100)
    measure_others(session, settings, 3 if session.quick else 30)
    for one in absent(session.peers):
        session.record(MISSED.name, one.name, "damages", [], f"not installed: python -m benchmarks peers install {one.folder}")


def measure_ours(session: Session, settings: list[Setting], count: int, combinations: int) -> None:
    missed, alarms, together = [0], [0], 0
    for setting in settings:
        session.talk(setting.name)
        held = Held(setting)
        found = {one: is_found(setting.damages[one], held.validate(setting.damaged(one))) for one in setting.damages}
        wrong = [one for one, is_there in found.items() if not is_there]
        missed.append(len(wrong))
        session.record(f"{setting.name}: damages not found", OURS, "damages", [len(wrong)], ", ".join(wrong))
        false = [seed for seed in range(1, count + 1) if held.validate(setting.make(seed)).anomalies]
        alarms.append(len(false))
        session.record(f"{setting.name}: false alarms on 100", OURS, "tables", [len(false) * 100 / count])
        hidden = [miss for seed in range(combinations // 2) for miss in held.combined(seed)]
        together += len(hidden)
        figure = f"{setting.name}: damages not found in {combinations // 2} combinations"
        session.record(figure, OURS, "damages", [len(hidden)], ", ".join(hidden))
    session.record(MISSED.name, OURS, "damages", [max(missed)])
    session.record(ALARMS.name, OURS, "tables", [max(alarms) * 100 / count])
    session.record(TOGETHER.name, OURS, "damages", [together])


class Held:
    """A schema inferred from one table, and others held to it."""

    def __init__(self, setting: Setting) -> None:
        from fairway.data.schema.infer import infer
        from fairway.data.schema.parse import parse_schema
        from fairway.data.statistics import measure
        from tests.data.damages import batches

        self._setting, self._batches = setting, batches
        self._schema = parse_schema(infer(measure(batches(setting.make(0)))))

    def validate(self, columns: Any) -> Any:
        from fairway.data.anomalies import validate

        return validate(self._batches(columns), self._schema)

    def combined(self, seed: int) -> list[str]:
        """Which of some damages done together are not found, but for those that another hides."""
        random, damages = _random(seed), self._setting.damages
        chosen = {str(one) for one in random.choice(list(damages), int(random.integers(2, 7)), replace=False)}
        columns = self._setting.make(seed + 1_000)
        for one, damage in damages.items():
            if one in chosen:
                columns = damage.do(columns, random)
        found = self.validate(columns)
        hidden = {one for mask, one in self._setting.masks if mask in chosen}
        return [f"{one} ({'+'.join(sorted(chosen))})" for one in damages if one in chosen - hidden and not is_found(damages[one], found)]


def is_found(damage: Any, validation: Any) -> bool:
    return any(one.kind in damage.kinds and damage.column in ("*", one.column) for one in validation.errors)


def measure_others(session: Session, settings: list[Setting], count: int) -> None:
    """Each peer on the same tables, two at a time: nothing is timed. One that fails on a table has a row that says why."""
    folders = {setting.name: write_all(session, setting, count) for setting in settings}
    asked = [(one, setting) for one in present(session.peers, each_once=session.quick) for setting in settings]

    def answer(pair: tuple[Present, Setting]) -> tuple[list[str], int] | str:
        one, setting = pair
        session.talk(f"{one.label}, {setting.name}")
        try:
            return ask(one, setting, folders[setting.name], count)
        except CommandError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(asked, pool.map(answer, asked), strict=True))
    for one in dict.fromkeys(one for one, _ in asked):
        missed, alarms = list[int](), list[float]()
        for setting in settings:
            found = answers[one, setting]
            if isinstance(found, str):
                session.record(f"{setting.name}: damages not found", one.label, "damages", [], found)
                continue
            wrong, false = found
            missed.append(len(wrong))
            alarms.append(false * 100 / count)
            session.record(f"{setting.name}: damages not found", one.label, "damages", [len(wrong)], ", ".join(wrong))
            session.record(f"{setting.name}: false alarms on 100", one.label, "tables", [alarms[-1]], f"{false} of {count}")
        if len(missed) == len(settings):
            session.record(MISSED.name, one.label, "damages", [max(missed)])
            session.record(ALARMS.name, one.label, "tables", [max(alarms)], f"of {count} resamples")


def write_all(session: Session, setting: Setting, count: int) -> Path:
    """What others are shown, as arrays that every version of numpy reads: reference, the table to damage, damages, resamples."""
    folder = session.work / f"damages-{setting.name}"
    folder.mkdir()
    write(folder / "reference.npz", setting.make(0))
    write(folder / "base.npz", setting.make(BASE))
    for one in setting.damages:
        write(folder / f"damage-{one}.npz", setting.damaged(one))
    for seed in range(1, count + 1):
        write(folder / f"resample-{seed}.npz", setting.make(seed))
    return folder


def write(path: Path, columns: Any) -> None:
    """Numbers that are missing are NaN, as pandas has them."""
    arrays = {name: np.array(one) for name, one in columns.items()}
    given: dict[str, Any] = {name: one.astype(np.float64) if one.dtype == object else one for name, one in arrays.items()}
    np.savez(path, **given)


def ask(one: Present, setting: Setting, folder: Path, count: int) -> tuple[list[str], int]:
    """Which damages a peer does not find, and of how many resamples it says that something is wrong. Raises CommandError."""
    names = ["base", *(f"damage-{each}" for each in setting.damages), *(f"resample-{seed}" for seed in range(1, count + 1))]
    lines = one.run("flags", str(folder / "reference.npz"), *(str(folder / f"{name}.npz") for name in names), timeout_s=1800)
    said = dict(zip(names, map(json.loads, lines), strict=True))
    return judge_flags(said, list(setting.damages))


def judge_flags(said: dict[str, dict[str, Any]], damages: list[str]) -> tuple[list[str], int]:
    """A damage is found by what is said of the damaged table and not of the undamaged one. One that makes the peer fail is not found."""
    base = set(said["base"]["flags"])
    wrong = list[str]()
    for damage in damages:
        answer = said[f"damage-{damage}"]
        if answer["error"]:
            wrong.append(f"{damage} (fails: {answer['error'][:60]})")
        elif not set(answer["flags"]) - base:
            wrong.append(damage)
    return wrong, sum(bool(answer["flags"]) for name, answer in said.items() if name.startswith("resample-"))


def _random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


BENCHMARK = Benchmark("data-damages", "what is found in damaged data", (MISSED, ALARMS, TOGETHER), measure)
