"""Tags, note and archive mark of a run, changed by anybody at any time.

While a run goes on, its driver is the one writer of its journal: the change is put into the run's inbox. Of a run that nobody drives
(it has ended, or its driver was killed) the change is appended here; if a resume starts at that very moment, the compare-and-swap tells,
and the change goes to the inbox.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from fairway.engine.workspace import Workspace
from fairway.errors import JournalConflict
from fairway.spec.event import RunLabelled
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary

_ATTEMPTS = 5


def relabel(
    workspace: Workspace,
    run: str,
    *,
    add_tags: tuple[str, ...] = (),
    remove_tags: tuple[str, ...] = (),
    note: str | None = None,
    archived: bool | None = None,
    clock: Callable[[], float] = time.time,
) -> RunSummary:
    """Change labels of the run (an id) and return its summary as it is or soon will be. Raises NotFoundError."""
    event = RunLabelled(clock(), _user(), tuple(add_tags), tuple(remove_tags), note, archived)
    if workspace.remote is not None:
        return workspace.remote.label(run, event)
    journal = workspace.journal
    batch = f"label-{os.urandom(8).hex()}"
    for _ in range(_ATTEMPTS):
        head = workspace.wait(journal.head(run))
        labelled = labelled_summary(workspace.get_summary(run), event)
        if labelled.status == "running" and ("://" in workspace.project.journal or workspace.is_driven(run)):
            break
        try:
            workspace.wait(journal.append(run, head, [event], batch, summary=labelled))
            return labelled
        except JournalConflict:
            continue
    body: dict[str, Any] = {"at": event.at, "by": event.by, "add_tags": list(event.add_tags), "remove_tags": list(event.remove_tags)}
    workspace.wait(journal.send(run, "label", {**body, "note": note, "archived": archived}))
    return labelled_summary(workspace.get_summary(run), event)


def labelled_summary(summary: RunSummary, event: RunLabelled) -> RunSummary:
    """The summary once `event` has been folded in."""
    tags = [tag for tag in summary.tags if tag not in event.remove_tags]
    tags += [tag for tag in dict.fromkeys(event.add_tags) if tag not in tags]
    return replace(
        summary,
        tags=tuple(tags),
        note=summary.note if event.note is None else event.note,
        archived=summary.archived if event.archived is None else event.archived,
    )


def _user() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or ""
