"""A gang's ranks for its task's page: how each gets on, what they used, their lines merged, their metrics and those of past runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from fairway.engine.gangview import RankNow, read_gang, spell_still
from fairway.engine.ranks import read_stacks, world_size
from fairway.engine.story import AttemptStory, TaskStory, plan_story, tell_story
from fairway.spec.outcome import ErrorInfo
from fairway.spec.query import RunQuery
from fairway.spec.record import Record, record
from fairway.web.curves import downsample
from fairway.web.mergedlog import RANKS_READ, read_merged
from fairway.web.metrics import CurveReader
from fairway.web.pages.page import Page, Visit
from fairway.web.ports import Site
from fairway.web.rankcurves import TRIES_MOST, read_lines, read_tries, short, spell_tries, uses_of
from fairway.web.routes.runs import named_run

RANKS_MOST = 4096
PAST_MOST = 5
PAST_POINTS = 300
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
    """The last `last` lines of all ranks; of those from before the time `before`, if it is given."""

    attempt: Attempt
    ranks: Ranks = 0
    before: Annotated[str, msgspec.Meta(max_length=40)] = ""
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
    before = [one.id for one in story.attempts[: story.attempts.index(attempt)]]
    now = await asyncio.to_thread(read_gang, streams, run, attempt.id, size, before=before, ended_well=attempt.status == "succeeded")
    stacks = await asyncio.to_thread(read_stacks, streams, run, attempt.id, range(size))
    rows = [RankRow(state_of(one, attempt.status, attempt.error, live), one) for one in now.ranks]
    return {"now": now, "rows": rows, "stacks": stacks, "spell_still": spell_still, "size": whole, "gang": story.step.gang}


def state_of(one: RankNow, status: str, error: ErrorInfo | None, live: bool) -> str:
    """One for all, all for one: when a rank fails, the others are ended."""
    if error is not None:
        first = _FIRST.search(error.message)
        return "failed" if first is None or int(first[1]) == one.rank else "cancelled"
    if live:
        return "succeeded" if one.ended else "running" if one.seen_at else "waiting"
    return "cancelled" if status in ("abandoned", "cancelled") else "succeeded"


async def send_curves(visit: Visit) -> Response:
    """Metrics of the attempt, by rank if it is a gang's, and those of the same task in runs before this one."""
    run = await named_run(visit)
    query: RankCurvesQuery = visit.query
    attempts = await _tries_of(visit.site, run, query.task, visit.path["attempt"]) if query.task else [visit.path["attempt"]]
    items = await asyncio.to_thread(_read_curves, visit.site.curves, run, attempts, query)
    past = await _read_past(visit, run, query) if query.past and query.task else []
    for name, item in items.items():
        item["past"] = [{"run": other, "points": curves[name]} for other, curves in past if name in curves]
    by = "time" if query.by == "time" else "step"
    return visit.json({"by": by, "items": [{"metric": name, **item} for name, item in items.items()]})


async def _tries_of(site: Site, run: str, task: str, until: str = "") -> list[str]:
    """The task's attempts, the newest `TRIES_MOST` up to `until`."""
    overview = await site.overviews.get(run)
    if overview.find_slot(task) < 0:
        return [until] if until else []
    ids = [one.id for one in (await tell_story(site.services.journal, plan_story(overview, task))).attempts]
    return ids[: ids.index(until) + 1][-TRIES_MOST:] if until in ids else [until] if until else ids[-TRIES_MOST:]


def _read_curves(reader: CurveReader, run: str, attempts: Sequence[str], query: RankCurvesQuery) -> dict[str, dict[str, Any]]:
    read = read_tries(reader, run, attempts, min(max(query.ranks, 1), RANKS_READ), query.by)
    return {name: spell_tries(tries, query.points, reduced=query.ranks > 0, by=query.by) for name, tries in read.items()}


async def _read_past(visit: Visit, run: str, query: RankCurvesQuery) -> list[tuple[str, dict[str, list[list[float]]]]]:
    """(run, metric -> points) of the task in the newest runs of the pipeline that began before this one."""
    site = visit.site
    summary = await site.services.journal.find_summary(run)
    if summary is None:
        return []
    asked = RunQuery(pipelines=(summary.pipeline,), until=summary.started_at, limit=2 * query.past)
    found: list[tuple[str, dict[str, list[list[float]]]]] = []
    for other in (await site.sight.search(visit.identity, asked)).rows:
        attempts = await _tries_of(site, other.run, query.task) if other.run != run else []
        ranks = min(query.ranks, RANKS_READ)
        lines = await asyncio.to_thread(read_lines, site.curves, other.run, attempts, ranks, query.by) if attempts else {}
        if not lines:
            continue
        found.append((other.run, {name: short(downsample(line.points, PAST_POINTS)) for name, line in lines.items()}))
        if len(found) == query.past:
            break
    return found


async def send_use(visit: Visit) -> Response:
    """What the ranks used and waited for over time, for the page's script."""
    run = await named_run(visit)
    reader = uses_of(visit.site.services.streams)
    return visit.json(await asyncio.to_thread(reader.read, run, visit.path["attempt"], visit.query.ranks))


async def send_merged(visit: Visit) -> Response:
    """The last lines of all ranks and their leader, in the order of their times: {"items": [[rank, at, text], …], "cut", "since"}. What is
    "cut" off is had with "before" as "since" was: all lines of that time are in one answer."""
    run = await named_run(visit)
    query: MergedQuery = visit.query
    streams = visit.site.services.streams
    lines, cut = await asyncio.to_thread(read_merged, streams, f"{run}/{query.attempt}", query.ranks, query.last, query.before)
    since = next((line.at for line in lines if line.at), "")
    return visit.json({"items": [[line.rank, line.at, line.text] for line in lines], "cut": cut and bool(since), "since": since})


PAGES = (
    Page("GET", "/runs/{run}/attempts/{attempt}/rankcurves.json", send_curves, query=RankCurvesQuery),
    Page("GET", "/runs/{run}/attempts/{attempt}/rankuse.json", send_use, query=UseQuery),
    Page("GET", "/runs/{run}/log/merged", send_merged, query=MergedQuery),
)
