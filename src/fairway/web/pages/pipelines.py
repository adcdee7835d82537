"""Pipelines: how each has been doing, its versions and steps, and a form that starts a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from fairway.errors import NotFoundError
from fairway.spec.event import RunStarted
from fairway.spec.query import PipelineStats
from fairway.spec.record import replace
from fairway.store.runs import new_run_id
from fairway.web.checks import check_started
from fairway.web.forms import FIELD, is_file, make_fields, read_form, spell, value_of
from fairway.web.pages.page import Page, Visit
from fairway.web.stepstats import read_step_stats
from fairway.web.versions import Version, read_started

VERSIONS_OF = 200
STEPS_OF = 20


class PipelineQuery(msgspec.Struct, kw_only=True):
    """`run`: the form begins with its code and parameters, "" = those of the newest run. `tab`: overview, versions, start."""

    tab: str = "overview"
    run: str = ""


class StartForm(msgspec.Struct, kw_only=True):
    """`run`: whose code is run again. Beside these there is a field "p.NAME" for each parameter."""

    run: str
    name: str = ""
    tags: str = ""
    cache: str = ""


async def list_pipelines(visit: Visit) -> Response:
    """All pipelines, the one that ran last first."""
    return visit.html("pipelines.html", block="list" if visit.fragment else "", pipelines=await _list(visit))


async def show_pipeline(visit: Visit) -> Response:
    """One pipeline."""
    name = visit.path["pipeline"]
    stats = await _stats(visit, name)
    tab = visit.query.tab if visit.query.tab in ("overview", "versions", "start") else "overview"
    shown: dict[str, Any] = {"name": name, "stats": stats, "tab": tab, "doc": "", "source": ""}
    newest = await read_started(visit.site.services.journal, visit.query.run or _to_start_from(stats))
    shown |= {"graph": newest.graph, "doc": newest.graph.doc, "source": newest.source, "newest": newest}
    if tab == "start":
        shown |= await _form(visit, newest)
    if tab == "versions":
        shown["versions"] = await _versions(visit, stats)
    if tab == "overview":
        shown["chart"] = _chart(stats)
    return visit.html("pipeline.html", block="content" if visit.wanted == "pipeline-content" else "", **shown)


async def show_steps(visit: Visit) -> Response:
    """Which of its steps is slow, which fails: of the last runs. A part of the page, for it reads the runs."""
    name = visit.path["pipeline"]
    stats = await _stats(visit, name)
    steps = await read_step_stats(visit.site.overviews, [run.run for run in stats.recent[:STEPS_OF]])
    return visit.html("pipeline_steps.html", name=name, steps=steps, runs=min(len(stats.recent), STEPS_OF))


async def start_pipeline(visit: Visit) -> Response:
    """Start a run with what was written into the form; what is wrong is said beside its field."""
    name, form = visit.path["pipeline"], visit.form
    site = visit.site
    first = await read_started(site.services.journal, form.run)
    if first.graph.name != name or not visit.identity.sees(first.project):
        raise NotFoundError(f"{form.run} is no run of {name}", hint="choose another version")
    given = _given(visit)
    params, wrong = read_form(first.graph.params, first.params, given, site.library)
    if wrong:
        shown = {
            **await _form(visit, first, given, wrong),
            "name": name,
            "newest": first,
            "graph": first.graph,
            "run_name": form.name,
            "run_tags": form.tags,
        }
        return visit.html("pipeline.html", block="form", status=422, **shown)
    tags = tuple(dict.fromkeys(tag for part in form.tags.split(",") if (tag := part.strip())))
    started = replace(
        first,
        run=new_run_id(),
        params=params,
        name=form.name.strip(),
        tags=tags,
        options=replace(first.options, cache=bool(form.cache)),
        created_by=visit.user,
        triggered_by=f"the page of {name}",
        at=site.clock(),
    )
    await site.host.start(check_started(started, site))
    return visit.go(f"/runs/{started.run}")


def _given(visit: Visit) -> dict[str, str]:
    """Parameter -> what was written into its field."""
    return {name.removeprefix(FIELD): text for name, text in visit.items if name.startswith(FIELD)}


def _to_start_from(stats: PipelineStats) -> str:
    """The run whose code and values a form begins with: the last that succeeded, for what failed would fail again."""
    return next((run.run for run in stats.recent if run.status == "succeeded"), stats.recent[0].run)


async def _form(
    visit: Visit, first: RunStarted, given: Mapping[str, str] | None = None, wrong: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the form is drawn from."""
    summary = await visit.site.services.journal.find_summary(first.run)
    fields = make_fields(first.graph.params, first.params, given, wrong, summary.params if summary else {})
    return {"fields": fields, "command": spell_command(first, given), "wrong": wrong or {}, "run_name": "", "run_tags": ""}


def spell_command(first: RunStarted, given: Mapping[str, str] | None = None) -> str:
    """The command line that does what the form does."""
    words = ["fairway", "run", first.source or f"{first.graph.name}.py"]
    for param in first.graph.params:
        if is_file(param):
            continue
        ref = first.params.get(param.name)
        text = (given or {}).get(param.name, spell(value_of(ref)) if ref is not None and ref.inline is not None else "")
        if param.required or text != spell(param.default):
            words += [f"--{param.name.replace('_', '-')}", text]
    if first.target != "local":
        words += ["--on", first.target]
    return shlex.join(words)


async def _list(visit: Visit) -> list[PipelineStats]:
    """Statistics of every pipeline that may be seen."""
    journal, projects = visit.site.services.journal, visit.identity.projects
    names = [row.pipeline for row in sorted(await journal.tally(), key=lambda row: row.newest, reverse=True) if not row.archived]
    found = [await journal.pipeline_stats(name, projects) for name in dict.fromkeys(names)]
    return [stats for stats in found if stats.runs]


async def _stats(visit: Visit, name: str) -> PipelineStats:
    stats = await visit.site.services.journal.pipeline_stats(name, visit.identity.projects)
    if not stats.recent:
        raise NotFoundError(f"there is no pipeline {name!r} here", hint="/pipelines lists those that have been run")
    return stats


async def _versions(visit: Visit, stats: PipelineStats) -> Sequence[Version]:
    return await visit.site.versions.group(stats.recent[:VERSIONS_OF])


def _chart(stats: PipelineStats) -> dict[str, Any]:
    """Durations over time, oldest first."""
    runs = [run for run in reversed(stats.recent) if run.duration_s]
    return {
        "runs": [{"run": run.run, "status": run.status, "at": run.started_at, "duration_s": round(run.duration_s, 4)} for run in runs],
        "usual_s": stats.usual_s,
    }


PAGES = (
    Page("GET", "/pipelines", list_pipelines),
    Page("GET", "/pipelines/{pipeline:path}/steps", show_steps),
    Page("POST", "/pipelines/{pipeline:path}/start", start_pipeline, role="run", form=StartForm),
    Page("GET", "/pipelines/{pipeline:path}", show_pipeline, query=PipelineQuery),
)
