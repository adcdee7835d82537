"""One task of a run: what became of it and why, its attempts, log, inputs and outputs, metrics, resources, code, cache."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import msgspec
from markupsafe import Markup
from starlette.responses import Response

from fairway.engine.host import DRIVER_LOG
from fairway.engine.keydiff import pinned
from fairway.engine.keys import packages_of
from fairway.engine.ranks import LEADER, stream_of, world_size
from fairway.engine.state import SETTLED, RunState
from fairway.engine.story import TaskStory, plan_story, tell_story
from fairway.errors import NotFoundError
from fairway.spec.ports import StreamStore
from fairway.web.explaining import explain
from fairway.web.lists import LeanLibrary
from fairway.web.metrics import spell_curve
from fairway.web.pages.page import Page, Visit
from fairway.web.pages.ranks import read_panel
from fairway.web.pages.runparts import read_step
from fairway.web.pages.shell import spell_query
from fairway.web.ports import Site
from fairway.web.rankcurves import TRIES_MOST
from fairway.web.routes.runs import named_run
from fairway.web.stepcode import read_code
from fairway.web.taskview import find_cause, headline, own_frames, short_file, spell_command, view_attempt
from fairway.web.usage import judge_memory, peak_of, read_usage, spell_usage

TABS = (
    ("log", "Log"),
    ("io", "Inputs & outputs"),
    ("metrics", "Metrics"),
    ("resources", "Resources"),
    ("code", "Code"),
    ("cache", "Cache"),
)
RANKS_TAB = ("ranks", "Ranks")
TAIL_BYTES = 16 << 10
Address = Annotated[str, msgspec.Meta(max_length=2048)]


class TaskQuery(msgspec.Struct, kw_only=True):
    """Which task (its address), what of it, and of which attempt ("" is the last one). `line`: of its log, "12" or "12-20". `rank`: of a
    gang, whose log; "all" and "" are all of them."""

    task: Address = ""
    tab: str = ""
    attempt: Annotated[str, msgspec.Meta(max_length=64)] = ""
    line: Annotated[str, msgspec.Meta(max_length=32)] = ""
    rank: Annotated[str, msgspec.Meta(pattern="^(all|leader|[0-9]{1,6}|)$")] = ""


class CurvesQuery(msgspec.Struct, kw_only=True):
    """`points` of each curve at most; `by`: what they lie on."""

    points: Annotated[int, msgspec.Meta(ge=6, le=1000)] = 600
    by: str = "step"


async def show_task(visit: Visit) -> Response:
    """The whole panel, the part of it that has news, or another of its tabs."""
    run = await named_run(visit)
    overview = await visit.site.overviews.get(run)
    if overview.find_slot(visit.query.task) < 0 and read_step(overview, visit.query.task) is not None:
        there = spell_query({"step": visit.query.task})
        return Response(status_code=303, headers={"location": f"/runs/{quote(run)}/items?{there}"})
    plan = plan_story(overview, visit.query.task)
    story = await tell_story(visit.site.services.journal, plan, LeanLibrary(visit.site.services.artifacts))
    told = _Told(visit, plan.part.state, story)
    block = {"task-state": "state", "task-body": "body", "ranks-now": "body"}.get(visit.wanted, "panel" if visit.fragment else "")
    found = await _read_tab(visit, told) if block != "state" else {}
    return visit.html("task/task.html", block=block, **told.context(), found=found)


class _Told:
    """A task as its panel shows it: `chosen` is the attempt that is looked at, None if there is none; `state` has this task alone."""

    def __init__(self, visit: Visit, state: RunState, story: TaskStory) -> None:
        query = visit.query
        self.visit, self.state, self.story = visit, state, story
        attempts = story.attempts
        self.chosen = next((one for one in attempts if one.id == query.attempt), attempts[-1] if attempts else None)
        self.interrupted = state.status == "running" and not visit.site.driven(state.run)
        self.settled = story.status in SETTLED
        usual = "log" if attempts else "cache" if story.status == "cached" else "io"
        self.ranks = world_size(story.step.gang)
        self.tabs = (TABS[0], RANKS_TAB, *TABS[1:]) if self.ranks else TABS
        self.tab = query.tab if query.tab in dict(self.tabs) else usual
        self.rank = query.rank or "all" if self.ranks else ""
        self.error = self.chosen.error if self.chosen is not None and self.chosen.error is not None else story.error

    @property
    def scope(self) -> str:
        """Of the task."""
        return self.story.address.rpartition("/")[0]

    @property
    def live(self) -> bool:
        """May there be more of it?"""
        return self.state.status == "running" and not self.interrupted and not self.settled

    def context(self) -> dict[str, Any]:
        """For the template."""
        visit, state, story, chosen = self.visit, self.state, self.story, self.chosen
        views = [view_attempt(one, ended=self.settled or one is not story.attempts[-1]) for one in story.attempts]
        target = str(visit.site.settings.target.get("name", ""))
        on = ("--on", target) if target not in ("", "local") else ()
        roots = (visit.site.services.home.removesuffix("/.fairway"),)
        return {
            "run": state.run,
            "story": story,
            "views": views,
            "chosen": chosen,
            "view": next((view for view in views if chosen is not None and view.id == chosen.id), None),
            "latest": chosen is None or chosen is story.attempts[-1],
            "cause": find_cause(story, state.run, interrupted=self.interrupted),
            "error": self.error,
            "frames": own_frames(self.error),
            "headline": headline,
            "place_of": lambda frame: short_file(frame.file, roots),
            "live": self.live,
            "tabs": self.tabs,
            "tab": self.tab,
            "ranks": self.ranks,
            "rank": self.rank,
            "line": visit.query.line,
            "own": not visit.fragment or _is_own_page(visit),
            "command": lambda *words: spell_command(*words, *on),
            "pipeline": state.graph.name,
        }


async def show_driver(visit: Visit) -> Response:
    """The log of the run's driver."""
    run = await named_run(visit)
    tail = await asyncio.to_thread(_read_tail, visit.site.services.streams, f"{run}/{DRIVER_LOG}")
    log = {
        **tail,
        "attempt": "driver",
        "attempts": 1,
        "label": "Log of the driver",
        "empty": "All is well: the driver has had nothing to say.",
    }
    return visit.html("task/driver.html", run=run, log=log, line=visit.query.line)


async def send_curves(visit: Visit) -> Response:
    """The attempt's metrics, for the page's script."""
    run = await named_run(visit)
    query = visit.query
    found = await asyncio.to_thread(visit.site.curves.read, run, visit.path["attempt"])
    curves = found.by_time if query.by == "time" else found.by_step
    items = [{"metric": name, **spell_curve(curve, query.points)} for name, curve in list(curves.items())]
    return visit.json({"by": "time" if query.by == "time" else "step", "began_at": found.began_at, "items": items})


async def send_usage(visit: Visit) -> Response:
    """What the attempt used, for the page's script."""
    run = await named_run(visit)
    overview = await visit.site.overviews.get(run)
    story = await tell_story(visit.site.services.journal, plan_story(overview, visit.query.task))
    attempt = next((one for one in story.attempts if one.id == visit.path["attempt"]), None)
    if attempt is None:
        raise NotFoundError(f"the task has no attempt {visit.path['attempt']!r}", hint="its page names its attempts")
    series = await asyncio.to_thread(read_usage, visit.site.services.streams, run, attempt.id)
    return visit.json(spell_usage(series, story.step.resources, attempt.usage))


async def _read_tab(visit: Visit, told: _Told) -> dict[str, Any]:
    """What only the tab that is shown needs."""
    services, run, chosen = visit.site.services, told.state.run, told.chosen
    if told.tab == "log" and chosen is not None:
        rank = int(told.rank) if told.rank.isdecimal() else LEADER
        return await asyncio.to_thread(_read_tail, services.streams, f"{run}/{chosen.id}/{stream_of('log', rank)}")
    if told.tab == "ranks" and chosen is not None:
        return await read_panel(visit, run, told.story, chosen, told.live and chosen is told.story.attempts[-1])
    if told.tab == "metrics" and chosen is not None:
        last: dict[str, float] = {}
        attempts = told.story.attempts[: told.story.attempts.index(chosen) + 1]
        for attempt in attempts[-TRIES_MOST:]:
            curves = await asyncio.to_thread(visit.site.curves.read, run, attempt.id)
            last |= {name: curve.points()[-1][1] for name, curve in curves.by_step.items() if curve.count}
        return {"names": list(last), "last": {**last, **chosen.metrics}, "tries": len(attempts)}
    if told.tab == "resources" and chosen is not None:
        series = await asyncio.to_thread(read_usage, services.streams, run, chosen.id)
        peak = peak_of(series, chosen.usage)
        return {"samples": series.samples, "peak": peak, "verdict": judge_memory(peak, told.story.step.resources.memory_bytes)}
    if told.tab == "code":
        return await asyncio.to_thread(_read_surroundings, visit.site, told)
    if told.tab == "cache":
        return {"why": await explain(visit.site, visit.identity, run, told.story.address)}
    return {}


def _read_tail(streams: StreamStore, name: str) -> dict[str, Any]:
    """The log's size, and its end as an attribute holds it, to be seen at once; "" where that would not be these very bytes."""
    size = streams.size(name)
    data = streams.read(name, max(0, size - TAIL_BYTES), TAIL_BYTES) if size else b""
    if size > TAIL_BYTES:
        data = data[data.find(b"\n") + 1 :]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    tail = Markup.escape(text).replace("\r", Markup("&#13;")) if "\0" not in text else ""
    return {"size": size, "tail": tail}


def _read_surroundings(site: Site, told: _Told) -> dict[str, Any]:
    state, step = told.state, told.story.step
    facts: Any = state.environment
    code = read_code(step, state.bundle, site.services.home, site.services.artifacts)
    marks = {frame.line for frame in own_frames(told.error) if code is not None and frame.file.endswith(f"/{code.file}")}
    return {
        "code": code,
        "facts": facts,
        "used": packages_of(facts, told.scope, told.story.node.step, step),
        "marks": marks,
        "lock": pinned(step.environment.lock, site.services.home) if step.environment.lock else {},
    }


def _is_own_page(visit: Visit) -> bool:
    return urlsplit(visit.request.headers.get("hx-current-url", "")).path.endswith("/task")


PAGES = (
    Page("GET", "/runs/{run}/task", show_task, query=TaskQuery),
    Page("GET", "/runs/{run}/driver", show_driver, query=TaskQuery),
    Page("GET", "/runs/{run}/attempts/{attempt}/curves.json", send_curves, query=CurvesQuery),
    Page("GET", "/runs/{run}/attempts/{attempt}/usage.json", send_usage, query=TaskQuery),
)
