"""A project's journal and stores, opened when they are first needed; and how people name runs and tasks in it."""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from fairway.engine.project import Project
from fairway.errors import NotFoundError
from fairway.spec.event import address
from fairway.spec.layout import BLOBS, LOCKS, STREAMS
from fairway.spec.ports import ArtifactStore, Journal, StreamStore, run_now
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary

if TYPE_CHECKING:
    from fairway.engine.remote import Connection

T = TypeVar("T")
PAGE = 200
INTERRUPTED = "interrupted"
"""The status shown of a run that has not ended although nobody drives it any more."""


class Workspace:
    """What was run in a project, at its target. Opening it creates nothing; a project without runs is a NotFoundError on first use of the
    journal."""

    def __init__(self, project: Project, remote: Connection | None = None) -> None:
        self.project = project
        if remote is not None:
            self.remote = remote

    @property
    def is_new(self) -> bool:
        """Nothing has been run here yet."""
        if self.remote is not None:
            return False
        return "://" not in self.project.journal and not os.path.exists(self.project.journal)

    @cached_property
    def remote(self) -> Connection | None:
        """The server where the project's runs are; None if they are this machine's."""
        if self.project.target == "local":
            return None
        from fairway.engine.remote import open_connection

        return open_connection(self.project)

    def close(self) -> None:
        """Let the way to a server go, if there is one. Idempotent."""
        remote = self.__dict__.get("remote")
        if remote is not None:
            remote.close()

    @cached_property
    def journal(self) -> Journal:
        from fairway.store import open_journal

        if self.remote is not None:
            return self.remote.journal
        if self.is_new:
            raise NotFoundError(
                f"nothing has been run in {self.project.root} yet",
                hint="start with `fairway run FILE`, or say where the project is: fairway -C DIR …",
            )
        return open_journal(self.project.journal)

    @cached_property
    def artifacts(self) -> ArtifactStore:
        from fairway.step.folder import FolderArtifactStore

        if self.remote is not None:
            return self.remote.artifacts
        return FolderArtifactStore(os.path.join(self.project.home, BLOBS))

    @cached_property
    def streams(self) -> StreamStore:
        from fairway.step.folder import FolderStreamStore

        if self.remote is not None:
            return self.remote.streams
        return FolderStreamStore(os.path.join(self.project.home, STREAMS))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a port's coroutine; the ports of a workspace never suspend."""
        return run_now(coroutine)

    @cached_property
    def library(self) -> Any:
        """Reads lists, graphs and small values out of the artifact store."""
        from fairway.engine.library import StoreLibrary

        return StoreLibrary(self.artifacts)

    def get_run(self, text: str = "") -> str:
        """The run id meant by `text`: an id, its beginning or end, a run's name, or "last" (also ""). Raises NotFoundError."""
        from fairway.store.runs import get_run

        return self.wait(get_run(self.journal, text))

    def is_driven(self, run: str) -> bool:
        """Does a process of this machine, or the target's server, drive the run now?"""
        from fairway.store.live import is_live

        if self.remote is not None:
            return self.remote.is_driven(run)
        return is_live(os.path.join(self.project.home, LOCKS), run)

    def is_left(self, run: str) -> bool:
        """Has the run neither ended nor anybody who drives it, because its process was killed? False where nobody can tell from here: a
        server takes its runs up again by itself, and a journal with a URL may be written by other machines."""
        if self.remote is not None or "://" in self.project.journal or self.is_driven(run):
            return False
        summary = self.wait(self.journal.find_summary(run))  # looked at last: a run that has just ended was not left
        return summary is not None and summary.status == "running"

    def as_it_is(self, summary: RunSummary) -> RunSummary:
        """The summary with the status "interrupted" if the run was left; its journal cannot know that."""
        if summary.status == "running" and self.is_left(summary.run):
            return replace(summary, status=INTERRUPTED)
        return summary

    def all_summaries(self, *, archived: bool = False) -> Iterator[RunSummary]:
        """Every run, newest first; with `archived`, those that are archived too."""
        before = ""
        while True:
            rows = self.wait(self.journal.summaries(limit=PAGE, before=before, archived=archived))
            yield from rows
            if len(rows) < PAGE:
                return
            before = rows[-1].run

    def get_summary(self, text: str = "") -> RunSummary:
        """The summary of the run meant by `text`. Raises NotFoundError."""
        run = self.get_run(text)
        summary = self.wait(self.journal.find_summary(run))
        if summary is None:
            raise NotFoundError(f"there is no run {run!r}", hint="`fairway runs` lists them")
        return summary

    def events(self, run: str, after: int = 0) -> Sequence[tuple[int, Any]]:
        """The run's events after number `after`, with their numbers."""
        return self.wait(self.journal.read(run, after))

    def history(self, run: str) -> Any:
        """The run's `engine.history.History`: its state, and what a driver needs to go on."""
        from fairway.engine.history import read_history

        return self.wait(read_history(self.journal, run))

    def bring_code(self, *states: Any) -> None:
        """Have the code of these runs in the home, for what looks into it. It is there already unless the runs are a server's."""
        if self.remote is not None:
            for state in states:
                self.remote.bring_code(state)

    def state(self, run: str) -> Any:
        """The run's state now."""
        from fairway.engine.apply import fold

        return fold(event for _, event in self.events(run))


def match_tasks(state: Any, pattern: str) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """(address, scope, node, index) of the tasks meant by `pattern`, in order.

    A task's address ("train[3]", "tune[2]/train[0]"), a step ("train": all its tasks, those of dynamic tasks too), "train.3" for shells
    that do not like brackets, or a glob ("clean.*"); "" is every task. Raises NotFoundError that names what there is.
    """
    from fnmatch import fnmatchcase

    nodes = {node for scope in state.scopes.values() for node in scope.nodes}
    head, _, tail = pattern.rpartition(".")
    if pattern not in nodes and head and tail.replace(",", "").isdigit():
        pattern = f"{head}[{tail}]"
    literal = pattern.replace("[", "[[]") if "*" in pattern or "?" in pattern else ""
    found = []
    for scope in state.scopes:
        for name, node in state.scopes[scope].nodes.items():
            for index in node.items:
                task = address(scope, name, index)
                whole = address(scope, name)
                if (
                    not pattern
                    or pattern in (task, whole, name)
                    or (literal and (fnmatchcase(task, literal) or fnmatchcase(name, literal)))
                ):
                    found.append((task, scope, name, index))
    if pattern and not found:
        import difflib

        close = difflib.get_close_matches(pattern, sorted(nodes), 1)
        known = f"did you mean {close[0]!r}?" if close else f"its steps: {', '.join(sorted(nodes))[:200]}"
        raise NotFoundError(f"run {state.run} has no task {pattern!r}", hint=known)
    return found
