"""A run that a server drives, watched from here. It has the face of `engine.session.Session`, and goes on if nobody watches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from fairway.engine import submit
from fairway.engine.apply import apply
from fairway.engine.ending import as_fact, split_hooks
from fairway.engine.history import History, read_history
from fairway.engine.hooks import run_hooks
from fairway.engine.project import Project
from fairway.engine.remote import Connection, RemoteExecutor, RemotePlace, open_connection
from fairway.engine.services import Services
from fairway.engine.session import OnEvents, find_source, prepare_again
from fairway.engine.state import RunState
from fairway.engine.workspace import Workspace
from fairway.errors import ConflictError, FairwayError
from fairway.spec.event import RunOptions
from fairway.spec.ports import run_now
from fairway.spec.record import replace, to_plain
from fairway.store.http import read_event
from fairway.store.runs import new_run_id
from fairway.store.serverapi import LONGEST_WAIT_S, SLACK_S

PAGE = 2_000


class Watcher:
    """`state`: the run as far as its events have come."""

    def __init__(self, run: str, history: History | None = None) -> None:
        self.run = run
        self.head = history.head if history else 0
        self.state: Any = history.state if history else RunState()


class RemoteSession:
    """A run at a server. `begin` asks the server to start or resume it; `drive` follows its events until it has ended."""

    remote = True

    def __init__(
        self,
        run: str,
        project: Project,
        services: Services,
        connection: Connection,
        begin: Callable[[], object],
        *,
        on_events: OnEvents | None = None,
        history: History | None = None,
    ) -> None:
        self.run, self.project, self.services = run, project, services
        self.connection = connection
        self.driver = Watcher(run, history)
        self._begin = begin
        self._begun = False
        self._on_events = on_events
        self._problem = ""
        self.on_problem: Callable[[str], None] | None = None

    def begin(self) -> None:
        """Ask the server, once; the run goes on there from now on. Raises what the server refuses with."""
        if not self._begun:
            self._begin()
            self._begun = True

    def drive(self) -> RunState:
        """Follow the run until it has ended; returns its state. A connection that breaks is made again."""
        self.begin()
        self.connection.be_patient(self.on_problem)
        while True:
            events = self._next()
            if not events:
                self._look_for_problem()
            elif self._on_events is not None:
                self._on_events(self.driver.state, events)
            if events and self.driver.state.status != "running":
                return self.driver.state

    def cancel(self) -> None:
        """Ask the server to cancel the run; returns at once (safe in a signal handler)."""
        threading.Thread(target=self._cancel, name="cancel", daemon=True).start()

    def run_hooks(self) -> list[str]:
        """Do what the project wants done at this end and only this machine can; the rest the server has done."""
        _, ours = split_hooks(self.project.hooks)
        if not ours:
            return []
        summary = run_now(self.services.journal.find_summary(self.run))
        return run_hooks(ours, summary, root=self.project.root) if summary is not None else []

    def close(self) -> None:
        """Stop watching. The run goes on."""
        self.connection.close()

    def _next(self) -> Sequence[Any]:
        """Events that came since, [] if nothing happened for a while."""
        watcher = self.driver
        query = {"after": watcher.head, "limit": PAGE, "wait": LONGEST_WAIT_S}
        answer = self.connection.api.call("GET", f"/runs/{quote(self.run)}/events", query=query, timeout_s=LONGEST_WAIT_S + SLACK_S)
        events: list[Any] = []
        for item in answer.json()["items"]:
            event = read_event(item)
            apply(watcher.state, event)
            watcher.head = item["seq"]
            events.append(event)
        return events

    def _look_for_problem(self) -> None:
        """A driver that does not get on says why; it is said here once."""
        found = self.connection.find_problem(self.run)
        if found and found != self._problem and self.on_problem is not None:
            self.on_problem(f"the server has trouble with this run, and tries again: {found}")
        self._problem = found

    def _cancel(self) -> None:
        try:
            self.connection.api.send("POST", f"/runs/{quote(self.run)}/cancel", {"reason": "interrupted"})
        except FairwayError as error:
            if self.on_problem is not None:
                self.on_problem(f"the wish to cancel did not reach the server: {error.message}")


def open_remote_run(
    project: Project,
    load: Callable[[], Any],
    params: Mapping[str, Any],
    *,
    options: RunOptions | None = None,
    labels: Mapping[str, Any] | None = None,
    source: str = "",
    on_events: OnEvents | None = None,
) -> RemoteSession:
    """As `session.open_run`, for a target that is elsewhere. What cannot run there is refused before anything is sent."""
    opening = _Opening(project)
    pipeline = load()
    connection = opening.get()
    try:
        services = remote_services(project, connection)
        submission = _for_there(project, connection, submit.prepare(pipeline, params, project, services, source=source))
        run = new_run_id()
        wanted = options or RunOptions(max_parallel=project.max_parallel, timeout_s=project.timeout_s)
        started = submit.make_start(run, submission, project, options=wanted, **(labels or {}))
        begin = partial(connection.api.send, "POST", "/runs", {"started": to_plain(started)})
        return RemoteSession(run, project, services, connection, begin, on_events=on_events)
    except BaseException:
        connection.close()
        raise


class _Opening:
    """The way to the server is made while the pipeline's modules are imported, which may take seconds of their own."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._found: Connection | BaseException | None = None
        self._thread = threading.Thread(target=self._open, name="open connection", daemon=True)
        self._thread.start()

    def get(self) -> Connection:
        """The connection, when it is there. Raises what kept it from being made."""
        self._thread.join()
        if isinstance(self._found, Connection):
            return self._found
        assert self._found is not None
        raise self._found

    def _open(self) -> None:
        try:
            connection = open_connection(self._project)
            self._found = connection
            _ = connection.facts
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked
            if isinstance(self._found, Connection):
                self._found.close()
            self._found = error


def open_remote_resume(
    project: Project,
    run: str,
    *,
    load: Callable[[str], Any] | None = None,
    options: RunOptions | None = None,
    on_events: OnEvents | None = None,
    history: History | None = None,
) -> RemoteSession:
    """As `session.open_resume`, for a target that is elsewhere."""
    connection = open_connection(project)
    try:
        services = remote_services(project, connection)
        history = history or run_now(read_history(connection.journal, run))
        source = find_source(project, history.state.source)
        submission = None
        if load is not None and source:
            workspace = Workspace(project, connection)
            submission = _for_there(project, connection, prepare_again(project, services, history.state, load(source), workspace))
        resumption = submit.make_resumption(history.state, submission, options)
        body = {"resumed": to_plain(resumption[0])} if resumption else {}
        begin = partial(ask_to_resume, connection, run, body, history.head)
        return RemoteSession(run, project, services, connection, begin, on_events=on_events, history=history)
    except BaseException:
        connection.close()
        raise


def ask_to_resume(connection: Connection, run: str, body: Mapping[str, Any], head: int) -> None:
    """Ask the server to go on with the run, whose journal was at `head`. Raises ConflictError if it goes on already.

    If the answer was lost on its way, the request is made again and refused, because the run goes on: then it is this one that does.
    """
    try:
        connection.api.send("POST", f"/runs/{quote(run)}/resume", body)
    except ConflictError:
        if not connection.is_driven(run) or run_now(connection.journal.head(run)) <= head:
            raise


def remote_services(project: Project, connection: Connection) -> Services:
    """The ports of a target that is elsewhere, as far as a submission needs them."""
    return Services(
        home=project.home,
        journal=connection.journal,
        artifacts=connection.artifacts,
        streams=connection.streams,
        executor=RemoteExecutor(connection),
        place=RemotePlace(connection),
    )


def _for_there(project: Project, connection: Connection, submission: submit.Submission) -> submit.Submission:
    """The project's hooks that the server can do travel with the run; the Python that its keys name is that of the target."""
    travelling, _ = split_hooks(project.hooks)
    facts = {**submission.environment, **as_fact(travelling)}
    python = str(connection.facts["settings"].get("python", ""))
    if python and not f"{facts.get('python', '')}.".startswith(f"{python}."):
        facts["python"] = python
    return replace(submission, environment=facts)
