"""What is done to a run from its page: stop, go on, again, tags and note, archive, delete. The doing is the API's."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from fairway.engine.host import DRIVER_LOG
from fairway.errors import ConfigError
from fairway.spec.event import RunLabelled
from fairway.spec.record import replace
from fairway.web.pages.page import Page, Visit
from fairway.web.routes.runs import cancel_run, delete_run, find_summary, named_run, rerun, resume_run
from fairway.web.taskview import spell_command

Line = Annotated[str, msgspec.Meta(max_length=1000)]
Note = Annotated[str, msgspec.Meta(max_length=10_000)]
TAG_LENGTH, TAGS_MOST = 100, 64


class ActQuery(msgspec.Struct, kw_only=True):
    """What is wished."""

    what: Literal["cancel", "resume", "rerun", "label", "more", "delete"]


class CancelForm(msgspec.Struct, kw_only=True):
    """Why the run is to stop."""

    reason: Line = ""


class ResumeForm(msgspec.Struct, kw_only=True):
    """Nothing is asked: it goes on with the code as recorded."""

    resumed: None = None


class RerunForm(msgspec.Struct, kw_only=True):
    """`cache`: what has not changed is taken from the cache."""

    name: Line = ""
    cache: bool = False
    run: None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """The new run begins without."""
        return ()


class LabelForm(msgspec.Struct, kw_only=True):
    """What is to be from now on; what is left out stays. `tags`: all of them, separated by spaces or commas."""

    tags: Line | None = None
    note: Note | None = None
    archived: bool | None = None


class DeleteForm(msgspec.Struct, kw_only=True):
    """The run's id once more: what is deleted is never guessed."""

    confirm: Line = ""


async def show_act(visit: Visit) -> Response:
    """What is about to be done, and the command that does the same; as a dialog, or as a page."""
    run = await named_run(visit)
    summary = await find_summary(visit, run)
    if summary.status == "running" and not visit.site.driven(run):
        summary = replace(summary, status="interrupted")
    target = str(visit.site.settings.target.get("name", ""))
    on = ("--on", target) if target not in ("", "local") else ()
    return visit.html(
        "task/act_dialog.html" if visit.fragment else "task/act.html",
        run=summary,
        what=visit.query.what,
        driver_bytes=visit.site.services.streams.size(f"{run}/{DRIVER_LOG}"),
        command=lambda *words: spell_command(*words, *on),
    )


async def post_cancel(visit: Visit) -> Response:
    """Ask for the run's end."""
    await cancel_run(visit)
    return _done(visit, "The run is being stopped")


async def post_resume(visit: Visit) -> Response:
    """Go on with the run, with its code as recorded."""
    await resume_run(visit)
    return _done(visit, "The run goes on")


async def post_rerun(visit: Visit) -> Response:
    """Start the same again; the new run's page follows."""
    reply = await rerun(visit)
    begun: Any = reply.value
    return visit.go(f"/runs/{quote(begun['run'])}")


async def post_label(visit: Visit) -> Response:
    """Change tags, note or archive mark."""
    run = await named_run(visit)
    form: LabelForm = visit.form
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    if form.tags is not None:
        wanted = split_tags(form.tags)
        there = (await find_summary(visit, run)).tags
        added, removed = tuple(t for t in wanted if t not in there), tuple(t for t in there if t not in wanted)
    event = RunLabelled(visit.site.clock(), visit.user, added, removed, form.note, form.archived)
    await visit.site.host.label(run, event)
    said = {True: "Archived: listings leave it out", False: "Back in listings", None: "Kept"}
    return _done(visit, said[form.archived])


async def post_delete(visit: Visit) -> Response:
    """Delete a run that has ended."""
    if visit.form.confirm != visit.path["run"]:
        raise ConfigError("what was to be deleted is not certain", hint="the form names the run once more", where="form.confirm")
    await delete_run(visit)
    return visit.go("/runs")


def split_tags(text: str) -> tuple[str, ...]:
    """The tags in what was typed, each once. Raises ConfigError for too many, or for one that is too long."""
    tags = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if len(tags) > TAGS_MOST or any(len(tag) > TAG_LENGTH for tag in tags):
        raise ConfigError(f"at most {TAGS_MOST} tags of {TAG_LENGTH} characters each", hint="shorten them", where="form.tags")
    return tags


def _done(visit: Visit, text: str) -> Response:
    """Say it where the page itself has asked; else lead back to the run."""
    if not visit.fragment:
        return visit.go(f"/runs/{quote(visit.path['run'])}")
    return Response(status_code=204, headers={"hx-trigger": json.dumps({"fairway:done": {"text": text}})})


PAGES = (
    Page("GET", "/runs/{run}/act", show_act, role="run", query=ActQuery),
    Page("POST", "/runs/{run}/cancel", post_cancel, role="run", form=CancelForm),
    Page("POST", "/runs/{run}/resume", post_resume, role="run", form=ResumeForm),
    Page("POST", "/runs/{run}/rerun", post_rerun, role="run", form=RerunForm),
    Page("POST", "/runs/{run}/label", post_label, role="run", form=LabelForm),
    Page("POST", "/runs/{run}/delete", post_delete, role="admin", form=DeleteForm),
)
