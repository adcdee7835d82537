"""Metric curves of several runs, laid over each other: by metric, one curve a task."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fairway.engine.nodecolumns import CACHED
from fairway.engine.overview import Overview
from fairway.engine.sketch import Sketch
from fairway.web.curves import downsample
from fairway.web.identity import Identity
from fairway.web.metrics import CurveReader
from fairway.web.ports import Site

TASKS_LIMIT = 24
"""Tasks of one run whose curves are drawn: of a step that is mapped over thousands, the first ones."""
POINTS_IN_ALL = 40_000
POINTS_LEAST, POINTS_MOST = 60, 600

Place = tuple[str, str, str, str]
"""The run, its task, and the run and attempt that have logged its metrics."""


async def read_curves(site: Site, identity: Identity, runs: Sequence[str], x: str) -> dict[str, Any]:
    """{"metrics": {name: [{"run", "task", "points": [[x, y], …]}, …]}, "more": tasks left out}. Of a task that was taken from the cache
    the curves are drawn that were made when it ran."""
    places: list[Place] = []
    more = 0
    for run in runs:
        some, left = list_attempts(await site.overviews.get(run))
        places += [(run, task, run, attempt) for task, attempt in some]
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
        attempt = overview.item(slot).attempt if slot >= 0 else ""
        found += [(run, task, maker, attempt)] if attempt else []
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


def list_attempts(overview: Overview) -> tuple[list[tuple[str, str]], int]:
    """((task, its last attempt), …) of tasks that have one, and how many tasks are left out."""
    found: list[tuple[str, str]] = []
    more = 0
    for node in overview.nodes:
        items, _ = overview.items(node.scope, node.node.id, limit=TASKS_LIMIT)
        more += max(0, node.total - len(items))
        found += [(item.address, item.attempt) for item in items if item.attempt]
    return found[:TASKS_LIMIT], more + max(0, len(found) - TASKS_LIMIT)


def _read(curves: CurveReader, places: Sequence[Place], x: str) -> dict[str, list[dict[str, Any]]]:
    read = [(run, task, curves.read(maker, attempt)) for run, task, maker, attempt in places]
    count = sum(len(one.by_step) for _, _, one in read)
    limit = min(POINTS_MOST, max(POINTS_LEAST, POINTS_IN_ALL // max(count, 1)))
    found: dict[str, list[dict[str, Any]]] = {}
    for run, task, one in read:
        with one.lock:
            for metric, curve in (one.by_time if x == "time" else one.by_step).items():
                points = [[_short(at), _short(value)] for at, value in downsample(curve.points(), limit)]
                found.setdefault(metric, []).append({"run": run, "task": task, "points": points})
    return found


def _short(number: float) -> float:
    """Six digits are more than a screen shows."""
    return float(f"{number:.6g}")
