"""What the tabs of the comparing page show, each made when it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairway.engine.codediff import Snapshot, compare
from fairway.engine.keydiff import pinned
from fairway.spec.layout import BUNDLES
from fairway.web.comparison import as_key, compare_maps
from fairway.web.differences import read_diff
from fairway.web.pages.page import Visit
from fairway.web.pages.words import spell_size
from fairway.web.runresults import read_results
from fairway.web.sidelines import Compared, took_s
from fairway.web.sides import Side, bring_code, compare_two, machine_of, packages_of

MACHINE = ("python", "implementation", "platform", "host", "libc", "cpu", "cpus", "memory_bytes", "gpus")


async def _table(visit: Visit, compared: Compared) -> dict[str, Any]:
    titles = (("metric", "Metrics"), ("param", "Parameters"), ("fact", "Run"), ("output", "Outputs"))
    groups = [(title, compared.lines[kind]) for kind, title in titles]
    hidden = sum(line.same for _, some in groups for line in some)
    if not visit.query.equal:
        groups = [(title, [line for line in some if not line.same]) for title, some in groups]
    return {"groups": [(title, some) for title, some in groups if some], "hidden": hidden}


async def _curves(visit: Visit, compared: Compared) -> dict[str, Any]:
    return {}


async def _charts(visit: Visit, compared: Compared) -> dict[str, Any]:
    """All numbers and words of all runs, for the page's script to draw."""
    sides, lines = compared.sides, compared.lines
    rows: list[dict[str, Any]] = []
    for side in sides:
        values = {f"param {name}": value for name, value in side.summary.params.items() if isinstance(value, int | float | str | bool)}
        values |= {f"metric {name}": value for name, value in side.summary.metrics.items()}
        rows.append({**values, **({"duration": took_s(side)} if took_s(side) else {})})
    varied = [f"{line.kind} {line.name}" for line in (*lines["param"], *lines["metric"]) if not line.same]
    columns = [name for name in [*varied, "duration"] if any(name in row for row in rows)]
    return {"data": {"columns": columns, "rows": rows, "better": {f"metric {line.name}": line.better for line in lines["metric"]}}}


async def _code(visit: Visit, compared: Compared) -> dict[str, Any]:
    """The baseline's code and that of another run."""
    sides, base = compared.sides, compared.base
    versions = list(dict.fromkeys(side.bundle for side in sides))
    others = [side for side in sides if side.run != sides[base].run]
    differing = [side for side in others if side.bundle != sides[base].bundle or as_key(side.codes) != as_key(sides[base].codes)]
    other = next((side for side in others if side.run == visit.query.other), next(iter(differing), others[0]))
    home, artifacts = visit.site.services.home, visit.site.services.artifacts
    found = await asyncio.to_thread(compare_two, sides[base], other, home, artifacts)
    steps = await asyncio.to_thread(_changed_steps, sides[base], other, home)
    return {
        "versions": [(number + 1, [side for side in sides if side.bundle == bundle]) for number, bundle in enumerate(versions)],
        "other": other,
        "files": [read_diff(one) for one in found if one.section == "code"],
        "pipeline": [one for one in found if one.section == "pipeline"],
        "steps": steps,
    }


def _changed_steps(first: Side, second: Side, home: str) -> list[tuple[str, list[Any]]]:
    """(step, how its code differs) of the steps that both have."""
    changed = [name for name, step in second.graph.steps.items() if name in first.graph.steps and first.graph.steps[name].code != step.code]
    folders = [Path(home, BUNDLES, side.bundle) for side in (first, second)]
    if not changed or not all(side.bundle and folder.is_dir() for side, folder in zip((first, second), folders, strict=True)):
        return [(name, []) for name in changed]
    commands = [[step.argv for step in side.graph.steps.values()] for side in (first, second)]
    old, new = (Snapshot(str(folder), argvs) for folder, argvs in zip(folders, commands, strict=True))
    return [(name, compare(old, first.graph.steps[name], new, second.graph.steps[name])) for name in changed]


async def _environment(visit: Visit, compared: Compared) -> dict[str, Any]:
    sides, base = compared.sides, compared.base
    home, artifacts = visit.site.services.home, visit.site.services.artifacts
    machine = [machine_of(side, MACHINE) for side in sides]
    for one in machine:
        if isinstance(one.get("memory_bytes"), int):
            one["memory"] = spell_size(one.pop("memory_bytes"))
    groups = [
        ("Machine", compare_maps("fact", machine, base)),
        ("Steps", compare_maps("fact", [_surroundings(side) for side in sides], base)),
        ("Locked packages", compare_maps("package", await asyncio.to_thread(_locked, sides, home, artifacts), base)),
        ("Installed packages", compare_maps("package", [packages_of(side) for side in sides], base)),
    ]
    hidden = sum(line.same for _, some in groups for line in some)
    if not visit.query.equal:
        groups = [(title, [line for line in some if not line.same]) for title, some in groups]
    return {"groups": [(title, some) for title, some in groups if some], "hidden": hidden}


def _surroundings(side: Side) -> dict[str, Any]:
    """What steps ask of where they run."""
    found: dict[str, Any] = {}
    for name, step in side.graph.steps.items():
        facts = {"python": step.environment.python, "image": step.image, "lock": step.environment.lock[:12]}
        found |= {f"{name}: {fact}": value for fact, value in facts.items() if value}
    return found


def _locked(sides: Sequence[Side], home: str, artifacts: Any) -> list[dict[str, str]]:
    """Packages of locked environments whose lock is not the same in all runs, by step."""
    locks = {name: {side.graph.steps[name].environment.lock for side in sides if name in side.graph.steps} for name in sides[0].graph.steps}
    found: list[dict[str, str]] = []
    for side in sides:
        bring_code(side, home, artifacts)
        named: dict[str, str] = {}
        for name, step in side.graph.steps.items():
            if len(locks.get(name, ())) > 1 and step.environment.lock:
                named |= {f"{name}: {package}": version for package, version in pinned(step.environment.lock, home).items()}
        found.append(named)
    return found


async def _results(visit: Visit, compared: Compared) -> dict[str, Any]:
    def roc(some: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"run": one.run, "part": part, "points": points} for one in some for part, points in one.curves.items()]

    return {"results": await read_results(visit.site, visit.identity, compared.sides), "roc": roc}


CONTEXTS = {"table": _table, "curves": _curves, "charts": _charts, "code": _code, "environment": _environment, "results": _results}
