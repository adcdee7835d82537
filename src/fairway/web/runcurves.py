"""Metric curves of several runs, laid over each other: by metric, one curve a task, whole over all its tries."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fairway.engine.nodecolumns import CACHED
from fairway.engine.overview import Overview
from fairway.engine.ranks import world_size
from fairway.engine.sketch import Sketch
from fairway.spec.record import Record, record
from fairway.web.curves import downsample
from fairway.web.identity import Identity
from fairway.web.mergedlog import RANKS_READ
from fairway.web.metrics import CurveReader
from fairway.web.ports import Site
from fairway.web.rankcurves import TRIES_MOST, read_lines, short

TASKS_LIMIT = 24
"""Tasks of one run whose curves are drawn: of a step that is mapped over thousands, the first ones."""
POINTS_IN_ALL = 40_000
POINTS_LEAST, POINTS_MOST = 60, 600


@record
class Place(Record):
    """Where the metrics of a run's task are: the run that has logged them, and the attempts one after the other. `ranks`: of a gang."""

    run: str
    task: str
    maker: str
    attempts: tuple[str, ...]
    ranks: int = 0


async def read_curves(site: Site, identity: Identity, runs: Sequence[str], x: str) -> dict[str, Any]:
    """{"metrics": {name: [{"run", "task", "points": [[x, y], …]}, …]}, "more": tasks left out}. Of a gang the mean over its ranks; of a
    task that was taken from the cache the curves that were made when it ran."""
    places: list[Place] = []
    more = 0
    for run in runs:
        some, left = find_places(await site.overviews.get(run))
        places += some
        places += await _list_cached(site, identity, run, TASKS_LIMIT - len(some))
        more += left
    return {"metrics": await asyncio.to_thread(_read, site.curves, places, x), "more": more}


async def _list_cached(site: Site, identity: Identity, run: str, limit: int) -> list[Place]:
    """Tasks that other runs have done, as far as these are there and may be seen."""
    cached = await site.overviews.read(run, lambda sketch: _find_cached(sketch, limit)) if limit > 0 else []
    found: list[Place] = []
    for task, maker, made in cached:
        if not await site.services.journal.head(maker) or not await site.sight.sees_run(identity, maker):
            continue
        overview = await site.overviews.get(maker)
        slot = overview.find_slot(made)
        place = place_of(overview, slot, run, task) if slot >= 0 else None
        found += [place] if place is not None else []
    return found


def _find_cached(sketch: Sketch, limit: int) -> list[tuple[str, str, str]]:
    """(task, run, task of that run) of the first tasks that another run has done."""
    overview = sketch.overview
    slots: list[int] = []
    for node in (node for scope in overview.scopes.values() for node in scope.nodes.values()):
        for slot in node.all_slots() if node.counts[CACHED] else ():
            if overview.columns.status[slot] == CACHED:
                slots.append(slot)
                if len(slots) == limit:
                    break
        if len(slots) == limit:
            break
    sketch.load(slots)
    tasks = [(overview.address(slot), sketch.task(overview.place(slot)).cached) for slot in slots]
    return [(task, *cached) for task, cached in tasks if cached is not None]


def find_places(overview: Overview) -> tuple[list[Place], int]:
    """Those of the run's tasks that have been tried, and how many tasks are left out."""
    found: list[Place] = []
    more = 0
    for node in (node for scope in overview.scopes.values() for node in scope.nodes.values()):
        items, _ = overview.items(node.scope, node.node.id, limit=TASKS_LIMIT)
        more += max(0, node.total - len(items))
        tried = [overview.find_slot(item.address) for item in items if item.attempt]
        places = [place_of(overview, slot, overview.run, overview.address(slot)) for slot in tried]
        found += [place for place in places if place is not None]
    return found[:TASKS_LIMIT], more + max(0, len(found) - TASKS_LIMIT)


def place_of(overview: Overview, slot: int, run: str, task: str) -> Place | None:
    """None if it has never been tried."""
    columns = overview.columns
    attempts = tuple(columns.id(row) for row in columns.attempts_of(slot)[-TRIES_MOST:])
    if not attempts:
        return None
    scope, node, _ = overview.place(slot)
    graph = overview.scopes[scope].graph
    ranks = world_size(graph.steps[overview.scopes[scope].nodes[node].node.step].gang)
    return Place(run, task, overview.run, attempts, min(ranks, RANKS_READ))


def _read(curves: CurveReader, places: Sequence[Place], x: str) -> dict[str, list[dict[str, Any]]]:
    read = [(place, read_lines(curves, place.maker, place.attempts, place.ranks, x)) for place in places]
    count = sum(len(lines) for _, lines in read)
    limit = min(POINTS_MOST, max(POINTS_LEAST, POINTS_IN_ALL // max(count, 1)))
    found: dict[str, list[dict[str, Any]]] = {}
    for place, lines in read:
        for metric, line in lines.items():
            found.setdefault(metric, []).append({"run": place.run, "task": place.task, "points": short(downsample(line.points, limit))})
    return found
