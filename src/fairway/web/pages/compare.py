"""Two to fifty runs side by side: what differs in one sentence; values, curves, code, surroundings and results on tabs.

Results of the same name stand beside each other. By convention a table (`fw.Table`) is a ROC curve if it has columns `fpr` and `tpr` (more
of them with a column `class`, `model` or `label`), and a confusion matrix if its name or title says "confusion" or its first column holds
the names of the others; figures that are pictures are shown as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import Response

from fairway.engine.query import parse_query
from fairway.errors import FairwayError, NotFoundError
from fairway.spec.query import RunQuery
from fairway.spec.record import replace
from fairway.web.access import check_run
from fairway.web.pages.comparetabs import CONTEXTS
from fairway.web.pages.page import Page, Visit
from fairway.web.pages.runs import find_runs
from fairway.web.pages.shell import spell_query
from fairway.web.problem import Refused
from fairway.web.runcurves import read_curves
from fairway.web.sidelines import compare_sides, tell_differences
from fairway.web.sides import read_side

RUNS_LIMIT = 50
FOUND_ROWS = 8
SERIES = 8
"""Colours that runs are told apart by."""
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
        compared = compare_sides(sides, base, asked.flip)
        context |= {"phrases": tell_differences(compared), **await CONTEXTS[asked.tab](visit, compared)}
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


# ---- what the page's scripts ask for


async def send_curves(visit: Visit) -> Response:
    """All curves of the runs, by metric."""
    asked: CurvesQuery = visit.query
    runs = list(dict.fromkeys(asked.run))[:RUNS_LIMIT]
    for run in runs:
        await check_run(visit.site, visit.identity, run)
    return visit.json(await read_curves(visit.site, visit.identity, runs, asked.x))


async def find_more(visit: Visit) -> Response:
    """Runs to add, as one types."""
    asked: FindQuery = visit.query
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
