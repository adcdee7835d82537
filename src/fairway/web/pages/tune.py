"""The searches of a run: trials as they come, and what they say of the parameters."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from fairway.engine.studies import studies_of
from fairway.errors import NotFoundError
from fairway.spec.study import Study, interrupt
from fairway.web.pages.page import Page, Visit
from fairway.web.routes.runs import named_run
from fairway.web.studies import spell_study

KEPT_S = 3600.0


class TuneQuery(msgspec.Struct, kw_only=True):
    """`study`: which search of the run, "" for the first."""

    study: Annotated[str, msgspec.Meta(max_length=2048)] = ""


async def show_tune(visit: Visit) -> Response:
    """The page; its script draws."""
    run = await named_run(visit)
    studies = await read_studies(visit, run)
    chosen = _choose(studies, visit.query.study, run)
    summary = await visit.site.services.journal.find_summary(run)
    pipeline = summary.pipeline if summary is not None else ""
    return visit.html("tune.html", run=run, studies=studies, study=chosen, data=spell_study(chosen), pipeline=pipeline)


async def send_tune(visit: Visit) -> Response:
    """The search as it is now, for the page's script."""
    run = await named_run(visit)
    studies = await read_studies(visit, run)
    return visit.json(spell_study(_choose(studies, visit.query.study, run)))


async def read_studies(visit: Visit, run: str) -> list[Study]:
    """The run's searches as they are, folded once for each length of its journal."""
    site = visit.site
    driven = site.driven(run)  # asked first: a run that ends meanwhile was not left
    head = await site.services.journal.head(run)
    workspace = site.workspace()

    async def ask() -> list[Study]:
        return await asyncio.to_thread(lambda: studies_of(workspace.state(run)))

    studies = await site.remembered.get(("studies", run, head), ask, KEPT_S)
    return studies if driven else [interrupt(study) for study in studies]


def _choose(studies: list[Study], name: str, run: str) -> Study:
    for study in studies:
        if not name or study.name == name:
            return study
    if name and studies:
        raise NotFoundError(f"run {run} has no search {name!r}", hint=f"its searches: {', '.join(study.name for study in studies)}")
    raise NotFoundError(f"run {run} holds no search", hint="`fairway tune FILE` starts one; so does fw.tune in a pipeline")


PAGES: tuple[Any, ...] = (
    Page("GET", "/runs/{run}/tune", show_tune, query=TuneQuery),
    Page("GET", "/runs/{run}/tune.json", send_tune, query=TuneQuery),
)
