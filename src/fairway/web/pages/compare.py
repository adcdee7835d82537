"""Two to fifty runs side by side: what differs in one sentence; values, curves, code, surroundings and results on tabs.

Results of the same name stand beside each other. By convention a table (`fw.Table`) is a ROC curve if it has columns `fpr` and `tpr` (more
of them with a column `class`, `model` or `label`), and a confusion matrix if its name or title says "confusion" or its first column holds
the names of the others; figures that are pictures are shown as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from fairway.engine.codediff import Snapshot, compare
from fairway.engine.differ import shown
from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.query import RunQuery
from fairway.spec.record import replace
from fairway.web.access import check_run
from fairway.web.comparison import (
    SAID,
    Line,
    Phrase,
    as_key,
    compare_maps,
    compare_values,
    phrase_many,
    phrase_names,
    phrase_steps,
    phrase_two,
    shorten,
)
from fairway.web.differences import read_diff
from fairway.web.pages.page import Page, Visit
from fairway.web.pages.runs import find_runs
from fairway.web.pages.shell import spell_query
from fairway.web.pages.words import spell_duration, spell_number, spell_size
from fairway.web.problem import Refused
from fairway.web.runcurves import read_curves
from fairway.web.runresults import read_results
from fairway.web.sides import Side, bring_code, compare_two, machine_of, packages_of, read_side

RUNS_LIMIT = 50
FOUND_ROWS = 8
SERIES = 8
"""Colours that runs are told apart by."""
MACHINE = ("python", "implementation", "platform", "host", "libc", "cpu", "cpus", "memory_bytes", "gpus")
TABS = (
    ("table", "Values"),
    ("curves", "Curves"),
    ("charts", "Charts"),
    ("code", "Code"),
    ("environment", "Environment"),
    ("results", "ROC and pictures"),
)


class CompareQuery(msgspec.Struct, kw_only=True):
    """`run`s in their order. `base`: the one that others are compared to. `equal`: also what is equal. `flip`: metrics whose better
    direction is not the one that is guessed. `other`: whose code is compared to the baseline's. `add`: a run to add, as people name it."""

    run: list[str] = []
    base: str = ""
    equal: bool = False
    flip: list[str] = []
    tab: Literal["table", "curves", "charts", "code", "environment", "results"] = "table"
    other: str = ""
    add: str = ""


class CurvesQuery(msgspec.Struct, kw_only=True):
    """`x`: what lies along the axis."""

    run: list[str] = []
    x: Literal["step", "time"] = "step"


class FindQuery(msgspec.Struct, kw_only=True):
    """`add`: as in the runs' filter, or the end of a run's id. `run`: those that are there already."""

    add: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    run: list[str] = []


async def show_compare(visit: Visit) -> Response:
    """The page, or its body with another tab."""
    asked: CompareQuery = visit.query
    runs = list(dict.fromkeys(asked.run))
    if asked.add:
        return visit.go(link(asked, run=[*runs, await _name_run(visit, asked.add)], add=""))
    if len(runs) > RUNS_LIMIT:
        raise Refused(422, f"{len(runs)} runs are too many to compare", hint=f"choose {RUNS_LIMIT} or fewer", code="FW-CONFIG")
    there = [run for run in runs if await visit.site.services.journal.head(run) and await visit.site.sight.sees_run(visit.identity, run)]
    sides = [await read_side(visit.site, run) for run in there]
    base = there.index(asked.base) if asked.base in there else 0
    context: dict[str, Any] = {
        "asked": asked,
        "sides": sides,
        "base": base,
        "missing": [run for run in runs if run not in there],
        "tabs": TABS,
        "link": lambda **changed: link(replace_runs(asked, there), **changed),
        "series": lambda place: place % SERIES + 1,
        "series_of": {run: place % SERIES + 1 for place, run in enumerate(there)},
        "names": [{"run": side.run, "short": side.run.rpartition("-")[2], "name": side.summary.name} for side in sides],
        "command": f"fairway diff {there[0]} {there[1]}" if len(there) == 2 else "",
    }
    if len(sides) > 1:
        context |= {"phrases": _phrases(sides), **await _TAB_CONTEXT[asked.tab](visit, sides, base)}
    return visit.html("compare.html", block="body" if visit.fragment else "", **context)


def replace_runs(asked: CompareQuery, runs: Sequence[str]) -> CompareQuery:
    """The same question of these runs."""
    return msgspec.structs.replace(asked, run=list(runs))


def link(asked: CompareQuery, **changed: Any) -> str:
    """The page's address with some of it changed."""
    fields = {**msgspec.structs.asdict(asked), **changed}
    fields["equal"] = "1" if fields["equal"] else ""
    fields["tab"] = "" if fields["tab"] == "table" else fields["tab"]
    if fields["base"] not in fields["run"] or fields["base"] == next(iter(fields["run"]), ""):
        fields["base"] = ""
    query = spell_query(fields)
    return f"/compare?{query}" if query else "/compare"


async def _name_run(visit: Visit, text: str) -> str:
    for run in await visit.site.services.journal.find_runs(text.strip()):
        if await visit.site.sight.sees_run(visit.identity, run):
            return run
    raise NotFoundError(f"there is no run {text[:80]!r}", hint="write the beginning or end of a run's id, or its name")


# ---- what differs, in one sentence


def _phrases(sides: Sequence[Side]) -> dict[str, list[Phrase]]:
    """ "given": what went in; "results": what came out. Of two runs the first is before, the second after."""
    lines = _lines(sides, 0, ())
    maps = [packages_of(side) for side in sides]
    packages = [line for line in compare_maps("package", maps, 0) if not line.same] if all(maps) else []
    facts = {line.name: line for line in lines["fact"]}
    two = len(sides) == 2
    found: dict[str, list[Phrase]] = {"given": [], "results": []}

    def tell(where: str, tab: str, what: str, some: Sequence[Line], said: int = SAID) -> None:
        named = [side.run.rpartition("-")[2] for side in sides]
        phrases = phrase_two(some) if two else [one for line in some if (one := phrase_many(line, named, _values(sides, line)))]
        found[where] += shorten(phrases, tab, what, said)

    tell("given", "table", "facts", [facts["pipeline"]])
    tell("given", "table", "parameters", lines["param"])
    found["given"] += phrase_steps([side.codes for side in sides])
    if packages:
        tell("given", "environment", "packages", packages, 2)
    tell("results", "table", "facts", [facts["status"]])
    tell("results", "table", "metrics", sorted(lines["metric"], key=lambda line: line.better == 0))
    metrics = {line.name for line in lines["metric"]}
    outputs = [line for line in lines["output"] if not line.same and line.name not in metrics]
    told = [line for line in outputs if all(name_is_value(side, line.name) for side in sides)]
    tell("results", "table", "outputs", told)
    found["results"] += phrase_names([line.name for line in outputs if line not in told], "output", "results")
    if not two or _much(sides):
        tell("results", "table", "facts", [facts["duration"]])
    return found


def name_is_value(side: Side, name: str) -> bool:
    """Is this output a small value, which can be said in words, or missing?"""
    return name not in side.outputs or side.outputs[name].inline is not None


def _much(sides: Sequence[Side]) -> bool:
    """Do the durations of two runs differ by more than chance would have it?"""
    from fairway.engine.differ import SAME_DURATION_S, SAME_DURATION_SHARE

    one, other = (_took(side) for side in sides)
    return min(one, other) > 0 and abs(one - other) > max(SAME_DURATION_S, SAME_DURATION_SHARE * max(one, other))


def _took(side: Side) -> float:
    return max(side.summary.ended_at - side.summary.started_at, 0.0) if side.summary.ended_at else 0.0


def _values(sides: Sequence[Side], line: Line) -> list[Any]:
    if line.kind == "duration":
        return [_took(side) for side in sides]
    maps = {"metric": [side.summary.metrics for side in sides], "param": [side.summary.params for side in sides]}.get(line.kind)
    return [one.get(line.name, ...) for one in maps] if maps else [cell.text for cell in line.cells]


# ---- the tabs


def _lines(sides: Sequence[Side], base: int, flipped: Sequence[str]) -> dict[str, list[Line]]:
    summaries = [side.summary for side in sides]
    versions = list(dict.fromkeys(side.bundle for side in sides))
    facts = {
        "status": [one.status for one in summaries],
        "pipeline": [one.pipeline for one in summaries],
        "code": [f"version {versions.index(side.bundle) + 1}" for side in sides],
        "who": [one.created_by for one in summaries],
        "where": [one.target for one in summaries],
        "tags": [", ".join(one.tags) for one in summaries],
        "note": [one.note for one in summaries],
        "error": [one.error for one in summaries],
    }
    lines = [compare_values("fact", name, values, base) for name, values in facts.items() if any(values)]
    took = [_took(side) or ... for side in sides]
    lines.insert(1, compare_values("duration", "duration", took, base, -1, spell_duration))
    return {
        "fact": lines,
        "metric": compare_maps("metric", [one.metrics for one in summaries], base, flipped, spell_number),
        "param": compare_maps("param", [one.params for one in summaries], base),
        "output": compare_maps("output", [{name: spell_output(ref) for name, ref in side.outputs.items()} for side in sides], base),
    }


def spell_output(ref: ArtifactRef) -> Any:
    """A small value itself; of anything else its size and what tells it from others."""
    if ref.inline is not None and ref.format == "json":
        return shown(ref)
    return f"{spell_size(ref.size_bytes)} · {ref.digest[:7]}"


async def _table(visit: Visit, sides: Sequence[Side], base: int) -> dict[str, Any]:
    asked: CompareQuery = visit.query
    lines = _lines(sides, base, asked.flip)
    titles = (("metric", "Metrics"), ("param", "Parameters"), ("fact", "Run"), ("output", "Outputs"))
    groups = [(title, lines[kind]) for kind, title in titles]
    hidden = sum(line.same for _, some in groups for line in some)
    if not asked.equal:
        groups = [(title, [line for line in some if not line.same]) for title, some in groups]
    return {"groups": [(title, some) for title, some in groups if some], "hidden": hidden}


async def _curves(visit: Visit, sides: Sequence[Side], base: int) -> dict[str, Any]:
    return {}


async def _charts(visit: Visit, sides: Sequence[Side], base: int) -> dict[str, Any]:
    """All numbers and words of all runs, for the page's script to draw."""
    lines = _lines(sides, base, ())
    rows: list[dict[str, Any]] = []
    for side in sides:
        values = {f"param {name}": value for name, value in side.summary.params.items() if isinstance(value, int | float | str | bool)}
        values |= {f"metric {name}": value for name, value in side.summary.metrics.items()}
        rows.append({**values, **({"duration": _took(side)} if _took(side) else {})})
    varied = [f"{line.kind} {line.name}" for line in (*lines["param"], *lines["metric"]) if not line.same]
    columns = [name for name in [*varied, "duration"] if any(name in row for row in rows)]
    return {"data": {"columns": columns, "rows": rows, "better": {f"metric {line.name}": line.better for line in lines["metric"]}}}


async def _code(visit: Visit, sides: Sequence[Side], base: int) -> dict[str, Any]:
    """The baseline's code and that of another run."""
    asked: CompareQuery = visit.query
    versions = list(dict.fromkeys(side.bundle for side in sides))
    others = [side for side in sides if side.run != sides[base].run]
    differing = [side for side in others if side.bundle != sides[base].bundle or as_key(side.codes) != as_key(sides[base].codes)]
    other = next((side for side in others if side.run == asked.other), next(iter(differing), others[0]))
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
    from pathlib import Path

    from fairway.spec.layout import BUNDLES

    changed = [name for name, step in second.graph.steps.items() if name in first.graph.steps and first.graph.steps[name].code != step.code]
    folders = [Path(home, BUNDLES, side.bundle) for side in (first, second)]
    if not changed or not all(side.bundle and folder.is_dir() for side, folder in zip((first, second), folders, strict=True)):
        return [(name, []) for name in changed]
    commands = [[step.argv for step in side.graph.steps.values()] for side in (first, second)]
    old, new = (Snapshot(str(folder), argvs) for folder, argvs in zip(folders, commands, strict=True))
    return [(name, compare(old, first.graph.steps[name], new, second.graph.steps[name])) for name in changed]


async def _environment(visit: Visit, sides: Sequence[Side], base: int) -> dict[str, Any]:
    asked: CompareQuery = visit.query
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
    if not asked.equal:
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
    from fairway.engine.keydiff import pinned

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


async def _results(visit: Visit, sides: Sequence[Side], base: int) -> dict[str, Any]:
    def roc(some: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"run": one.run, "part": part, "points": points} for one in some for part, points in one.curves.items()]

    return {"results": await read_results(visit.site, visit.identity, sides), "roc": roc}


_TAB_CONTEXT = {"table": _table, "curves": _curves, "charts": _charts, "code": _code, "environment": _environment, "results": _results}


# ---- what the page's scripts ask for


async def send_curves(visit: Visit) -> Response:
    """All curves of the runs, by metric."""
    asked: CurvesQuery = visit.query
    runs = list(dict.fromkeys(asked.run))[:RUNS_LIMIT]
    for run in runs:
        await check_run(visit.site, visit.identity, run)
    return visit.json(await read_curves(visit.site, runs, asked.x))


async def find_more(visit: Visit) -> Response:
    """Runs to add, as one types."""
    asked: FindQuery = visit.query
    from fairway.engine.query import parse_query
    from fairway.errors import FairwayError

    try:
        query = parse_query(asked.add, visit.site.clock())
    except FairwayError:
        query = RunQuery(words=(asked.add,))
    found = await find_runs(visit, replace(query, limit=FOUND_ROWS + len(asked.run)))
    rows = [row for row in found.rows if row.run not in asked.run][:FOUND_ROWS]
    return visit.html("compare/found.html", rows=rows, asked=asked)


PAGES = (
    Page("GET", "/compare", show_compare, query=CompareQuery),
    Page("GET", "/compare/curves.json", send_curves, query=CurvesQuery),
    Page("GET", "/compare/runs", find_more, query=FindQuery),
)
