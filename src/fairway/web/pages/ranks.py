"""A gang's ranks for its task's page: how each gets on, what they used, their lines merged, their metrics and those of past runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from fairway.engine.gangview import RankNow, read_gang
from fairway.engine.ranks import LEADER, merge, parse_lines, read_stacks, stream_of, world_size
from fairway.engine.reading import LogLine
from fairway.engine.story import AttemptStory, TaskStory
from fairway.spec.outcome import ErrorInfo
from fairway.spec.ports import StreamStore
from fairway.spec.query import RunQuery
from fairway.spec.record import Record, record
from fairway.web.curves import Curve
from fairway.web.metrics import CurveReader, spell_curve
from fairway.web.pages.page import Page, Visit
from fairway.web.rankcurves import short, spell_ranks, uses_of
from fairway.web.routes.runs import named_run

RANKS_MOST = 4096
RANKS_READ = 256
"""Of a larger gang the first ones are looked at."""
PAST_MOST = 5
PAST_POINTS = 300
_MERGED_BYTES = 2 << 20
_TAIL_BYTES = 64 << 10
_FIRST = re.compile(r"\brank (\d+) of \d+\b")
Attempt = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{1,128}$")]
Ranks = Annotated[int, msgspec.Meta(ge=0, le=RANKS_MOST)]


class RankCurvesQuery(msgspec.Struct, kw_only=True):
    """`ranks`: how many the gang has, 0 for a plain step. `past`: how many runs before this one. `task`: whose curves they have."""

    task: Annotated[str, msgspec.Meta(max_length=2048)] = ""
    ranks: Ranks = 0
    past: Annotated[int, msgspec.Meta(ge=0, le=PAST_MOST)] = 0
    points: Annotated[int, msgspec.Meta(ge=6, le=1000)] = 600
    by: str = "step"


class UseQuery(msgspec.Struct, kw_only=True):
    """`ranks`: how many the gang has."""

    ranks: Ranks = 0


class MergedQuery(msgspec.Struct, kw_only=True):
    """The last `last` lines of all ranks."""

    attempt: Attempt
    ranks: Ranks = 0
    last: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 1000


@record
class RankRow(Record):
    """One rank as its row shows it. `state`: one of the words of tasks."""

    state: str
    now: RankNow


async def read_panel(visit: Visit, run: str, story: TaskStory, attempt: AttemptStory, live: bool) -> dict[str, Any]:
    """What the tab of a gang's ranks shows."""
    whole = world_size(story.step.gang)
    size = min(whole, RANKS_READ)
    streams = visit.site.services.streams
    now = await asyncio.to_thread(read_gang, streams, run, attempt.id, size)
    stacks = await asyncio.to_thread(read_stacks, streams, run, attempt.id, range(size))
    rows = [RankRow(state_of(one, attempt.status, attempt.error, live), one) for one in now.ranks]
    return {"now": now, "rows": rows, "stacks": stacks, "size": whole, "gang": story.step.gang}


def state_of(one: RankNow, status: str, error: ErrorInfo | None, live: bool) -> str:
    """One for all, all for one: when a rank fails, the others are ended."""
    if error is not None:
        first = _FIRST.search(error.message)
        return "failed" if first is None or int(first[1]) == one.rank else "cancelled"
    if live:
        return "running" if one.seen_at else "waiting"
    return "cancelled" if status in ("abandoned", "cancelled") else "succeeded"


async def send_curves(visit: Visit) -> Response:
    """Metrics of the attempt, by rank if it is a gang's, and those of the same task in runs before this one."""
    run = await named_run(visit)
    query: RankCurvesQuery = visit.query
    found = await asyncio.to_thread(_read_curves, visit.site.curves, run, visit.path["attempt"], query)
    past = await _read_past(visit, run, query) if query.past and query.task else []
    for name, item in found["items"].items():
        item["past"] = [{"run": other, "points": curves[name]} for other, curves in past if name in curves]
    return visit.json({**found, "items": [{"metric": name, **item} for name, item in found["items"].items()]})


def _read_curves(reader: CurveReader, run: str, attempt: str, query: RankCurvesQuery) -> dict[str, Any]:
    items: dict[str, dict[str, Any]] = {}
    read = [(rank, reader.read(run, attempt, rank)) for rank in range(min(max(query.ranks, 1), RANKS_READ))]
    by_metric: dict[str, list[tuple[int, Curve]]] = {}
    for rank, one in read:
        for name, curve in list((one.by_time if query.by == "time" else one.by_step).items()):
            by_metric.setdefault(name, []).append((rank, curve))
    for name, curves in by_metric.items():
        items[name] = spell_curve(curves[0][1], query.points)
        if query.ranks:
            items[name] |= spell_ranks(curves, query.points)
    return {"by": "time" if query.by == "time" else "step", "began_at": read[0][1].began_at, "items": items}


async def _read_past(visit: Visit, run: str, query: RankCurvesQuery) -> list[tuple[str, dict[str, list[list[float]]]]]:
    """(run, metric -> points) of the task in the newest runs of the pipeline that began before this one."""
    site = visit.site
    summary = await site.services.journal.find_summary(run)
    if summary is None:
        return []
    asked = RunQuery(pipelines=(summary.pipeline,), until=summary.started_at, limit=2 * query.past)
    found: list[tuple[str, dict[str, list[list[float]]]]] = []
    for other in (await site.sight.search(visit.identity, asked)).rows:
        overview = await site.overviews.get(other.run)
        slot = overview.find_slot(query.task)
        attempt = overview.item(slot).attempt if slot >= 0 else ""
        if not attempt or other.run == run:
            continue
        items = (await asyncio.to_thread(_read_curves, site.curves, other.run, attempt, query))["items"]
        found.append((other.run, {name: _one_line(item) for name, item in items.items()}))
        if len(found) == query.past:
            break
    return found


def _one_line(item: dict[str, Any]) -> list[list[float]]:
    """Of a gang the mean over its ranks."""
    points: list[list[float]] = [[at, mean] for at, mean, *_ in item.get("spread", ())] or short(item["points"])
    return points[:: max(1, len(points) // PAST_POINTS)]


async def send_use(visit: Visit) -> Response:
    """What the ranks used and waited for over time, for the page's script."""
    run = await named_run(visit)
    reader = uses_of(visit.site.services.streams)
    return visit.json(await asyncio.to_thread(reader.read, run, visit.path["attempt"], visit.query.ranks))


async def send_merged(visit: Visit) -> Response:
    """The last lines of all ranks and their leader, in the order of their times: {"items": [[rank, at, text], …], "cut"}."""
    run = await named_run(visit)
    query: MergedQuery = visit.query
    streams = visit.site.services.streams
    lines, cut = await asyncio.to_thread(read_merged, streams, f"{run}/{query.attempt}", query.ranks, query.last)
    return visit.json({"items": [[line.rank, line.at, line.text] for line in lines], "cut": cut})


def read_merged(streams: StreamStore, prefix: str, ranks: int, last: int) -> tuple[list[LogLine], bool]:
    """The last lines, and whether there are more before them. No line is shown without all that other ranks wrote after it."""
    tail = max(4096, min(_TAIL_BYTES, _MERGED_BYTES // (ranks + 1)))
    parts: list[Sequence[LogLine]] = []
    since, cut = "", False
    for rank in range(LEADER, min(ranks, RANKS_READ)):
        name = f"{prefix}/{stream_of('log', rank)}"
        size = streams.size(name)
        data = streams.read(name, max(0, size - tail))
        if size > tail:
            data, cut = data[data.find(b"\n") + 1 :], True
        lines = parse_lines(data, "", "", rank)
        if size > tail and lines:
            since = max(since, lines[0].at)
        parts.append(lines)
    merged = [line for line in merge(parts) if line.at >= since or not line.at]
    return merged[-last:], cut or len(merged) > last


PAGES = (
    Page("GET", "/runs/{run}/attempts/{attempt}/rankcurves.json", send_curves, query=RankCurvesQuery),
    Page("GET", "/runs/{run}/attempts/{attempt}/rankuse.json", send_use, query=UseQuery),
    Page("GET", "/runs/{run}/log/merged", send_merged, query=MergedQuery),
)
