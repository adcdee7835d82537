"""Many drivers in one event loop: what the server of a target does with its runs.

A run is driven from its start to its end whoever watches. A driver that fails is started again, later and later, and says so: on
stderr, in `problem`, and in the stream "RUN/driver/log", which is kept with the run.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from fairway.engine.bus import RUNS, Bus
from fairway.engine.driver import Driver
from fairway.engine.history import History, read_history
from fairway.engine.labels import labelled_summary
from fairway.engine.services import Services
from fairway.errors import ConflictError, FairwayError, JournalConflict, NotFoundError
from fairway.spec import event as ev
from fairway.spec.ports import Executor
from fairway.spec.record import Record, from_plain, record, replace, to_plain
from fairway.spec.summary import RunSummary
from fairway.store.live import LiveMark, forget_served, is_live, keep_served, live_runs, served_runs

DRIVER_LOG = "driver/log"
ENDING_S = 30.0
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 60.0
_LABEL_TRIES = 5

OnEnd = Callable[[RunSummary, Mapping[str, Any]], Awaitable[Sequence[str]]]
"""Told of a run's end with its summary and what its `environment` records; returns a line for each thing that went wrong."""


class MakeView(Protocol):
    """The executor as the driver of one run sees it: `wait` tells of that run's attempts only, `close` leaves them alone."""

    def __call__(self, run: str, *, pipeline: str = "", user: str = "") -> Executor: ...


@record
class Problem(Record):
    """Why a run's driver does not get on, how often it has failed in a row, and when it is started again (epoch seconds)."""

    message: str
    hint: str
    tries: int
    again_at: float


class _Driven:
    """A run that is driven here: its task, its driver while there is one, and what is wrong.

    `executor` outlives a driver that fails, so that the next one hears of what the last one has started. `settled`: everything that was
    live when the run was taken up is known to the executor again.
    """

    def __init__(self, executor: Executor, mark: LiveMark | None) -> None:
        self.executor = executor
        self.mark = mark
        self.settled = False
        self.task: asyncio.Task[None] | None = None
        self.driver: Driver | None = None
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.problem: Problem | None = None
        self.tries = 0
        self.retry = asyncio.Event()


class Host:
    """Drives runs. `services` are the stores that all share; `view` gives each run (with its pipeline and user) a view of one executor.

    All calls are made in one event loop. A run is driven once however often it is started, resumed or taken up. `marks`: the folder in
    which processes of this machine mark the runs that they drive, where others may drive runs of the same journal; "" where nobody may.
    With marks only runs that a host drove before are taken up: those that others began are theirs to go on with.
    """

    def __init__(
        self,
        services: Services,
        view: MakeView,
        bus: Bus,
        *,
        on_end: OnEnd | None = None,
        marks: str = "",
        retry_first_s: float = RETRY_FIRST_S,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        self.journal = services.journal
        self.bus = bus
        self.taken_up = False
        self._services = services
        self._view = view
        self._on_end = on_end
        self._marks = marks
        self._retry_first_s = retry_first_s
        self._say = say
        self._runs: dict[str, _Driven] = {}
        self._closing = False

    @property
    def driven(self) -> frozenset[str]:
        """Runs that are driven here now, those whose driver waits to be started again included."""
        return frozenset(self._runs)

    def is_driven(self, run: str) -> bool:
        """Is the run driven now, here or by another process of this machine?"""
        return run in self._runs or (bool(self._marks) and is_live(self._marks, run))

    def list_driven(self) -> frozenset[str]:
        """All runs that are driven now, here or by other processes of this machine."""
        return self.driven | live_runs(self._marks) if self._marks else self.driven

    @property
    def settled(self) -> bool:
        """Has every run been taken up, and its executor been told of all that is live? An attempt not known then is over."""
        return self.taken_up and all(driven.settled for driven in self._runs.values())

    def find_problem(self, run: str) -> Problem | None:
        """Why the run does not get on, None if nothing is known to be wrong."""
        driven = self._runs.get(run)
        return driven.problem if driven else None

    def find_state(self, run: str) -> tuple[int, Any] | None:
        """(head, state) of a run as its driver here sees it, None if there is no driver. To be read at once, before any `await`."""
        driven = self._runs.get(run)
        driver = driven.driver if driven else None
        return (driver.head, driver.state) if driver is not None and driver.state.run == run else None

    async def start(self, begin: ev.RunStarted) -> bool:
        """Start a run; returns once its start is durable. False if there is a run of this id already: nothing is done then.

        Raises what kept the driver from recording the start; nothing is left behind.
        """
        if begin.run in self._runs or await self.journal.head(begin.run):
            return False
        await self._begin(self._driven(begin.run, begin.graph.name, begin.created_by), begin.run, [begin], None)
        return True

    async def resume(self, run: str, begin: ev.RunResumed | None = None) -> None:
        """Go on with a run that has ended (`begin` says how) or that nobody drives. Raises NotFoundError; ConflictError if it goes on."""
        await self._await_end(run)
        if self.is_driven(run):
            raise _runs_already(run)
        history = await read_history(self.journal, run)
        if not history.head:
            raise _no_run(run)
        wanted = begin or (ev.RunResumed(time.time()) if history.state.status != "running" else None)
        driven = self._driven(run, history.state.graph.name, history.state.created_by)
        await self._begin(driven, run, [wanted] if wanted is not None else [], history)

    async def take_up(self) -> list[str]:
        """Drive every run that the journal says goes on and that nobody else has; returns them. For the start of a server."""
        rows = await self.journal.summaries(status="running", archived=True, limit=0)
        if self._marks:
            ours = served_runs(self._marks)
            for run in ours - {row.run for row in rows}:
                forget_served(self._marks, run)
            rows = [row for row in rows if row.run in ours and not is_live(self._marks, row.run)]
        found = [row for row in rows if row.run not in self._runs]
        for row in found:
            self._spawn(self._driven(row.run, row.pipeline, row.created_by), row.run, [], None)
        self.taken_up = True
        return [row.run for row in found]

    async def cancel(self, run: str, *, by: str = "", reason: str = "") -> int:
        """Ask for the run's end; the wish is durable when this returns its id. A run that has ended stays as it is.

        Raises ConflictError for one whose driver, a process of this machine, was killed: nothing of it runs.
        """
        if self._marks and not self.is_driven(run):
            summary = await self.journal.find_summary(run)
            if summary is not None and summary.status == "running":
                hint = f"nothing of it runs; `fairway resume {run}` goes on with it"
                raise ConflictError(f"nobody drives {run} any more: its process was killed", hint=hint)
        return await self.send(run, "cancel", {"at": time.time(), "by": by, "reason": reason})

    def look_again(self) -> None:
        """Others have written to the journal: let every driver look into its inbox now."""
        for run in self._runs:
            self._wake(run)

    async def send(self, run: str, kind: str, body: Mapping[str, Any]) -> int:
        """Put a command into the run's inbox and let its driver look at once; returns the command's id. Raises NotFoundError."""
        if not await self.journal.head(run):
            raise _no_run(run)
        id = await self.journal.send(run, kind, body)
        self._wake(run)
        return id

    async def label(self, run: str, event: ev.RunLabelled) -> RunSummary:
        """Change tags, note or archive mark; returns the summary as it is or soon will be. Raises NotFoundError."""
        batch = f"label-{os.urandom(8).hex()}"
        for _ in range(_LABEL_TRIES):
            head = await self.journal.head(run)
            summary = await self.journal.find_summary(run)
            if summary is None:
                raise _no_run(run)
            labelled = labelled_summary(summary, event)
            if self.is_driven(run):
                await self.send(run, "label", to_plain(event))
                return labelled
            try:
                await self.journal.append(run, head, [event], batch, summary=labelled)
            except JournalConflict:
                continue
            self._publish(run)
            return labelled
        raise ConflictError(f"{run} changes too often to be labelled", hint="try again")

    async def close(self) -> None:
        """Stop every driver between two records. What runs goes on, as far as its executor lets it."""
        self._closing = True
        tasks = [driven.task for driven in self._runs.values() if driven.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _await_end(self, run: str) -> None:
        """A run that has ended is let go once its hooks are done: who has seen its end need not know that."""
        driven = self._runs.get(run)
        if driven is not None and driven.task is not None and driven.driver is not None and driven.driver.state.status != "running":
            await asyncio.wait([driven.task], timeout=ENDING_S)

    def _driven(self, run: str, pipeline: str, user: str) -> _Driven:
        """Nobody else drives the run from now on."""
        if self._closing:
            raise ConflictError("the server is going down", hint="try again in a moment")
        if self._marks:
            keep_served(self._marks, run)
        mark = LiveMark(self._marks, run) if self._marks else None
        driven = self._runs[run] = _Driven(self._view(run, pipeline=pipeline, user=user), mark)
        return driven

    async def _begin(self, driven: _Driven, run: str, begin: Sequence[ev.Event], history: History | None) -> None:
        self._spawn(driven, run, begin, history)
        await asyncio.wait([driven.started])  # the caller may go away; the run has been started all the same
        if driven.started.cancelled():
            raise ConflictError("the server is going down", hint="try again in a moment")
        driven.started.result()

    def _spawn(self, driven: _Driven, run: str, begin: Sequence[ev.Event], history: History | None) -> None:
        driven.task = asyncio.get_running_loop().create_task(self._drive(run, driven, begin, history), name=f"driver {run}")

    async def _drive(self, run: str, driven: _Driven, begin: Sequence[ev.Event], history: History | None) -> None:
        """Drive the run to its end, with a new driver whenever one fails."""
        try:
            while True:
                try:
                    await self._drive_once(run, driven, begin, history)
                    break
                except Exception as error:  # noqa: BLE001 - the driver's boundary: whatever happens to one run, it is said and tried again
                    if begin and not driven.started.done():
                        driven.started.set_exception(error)
                        self._let_go(run)
                        return
                    await self._pause(run, driven, error)
                    begin, history = (), None
            driven.problem = None
            self._let_go(run)
            await self._settle(run)
            await self._end(run, driven)
        finally:
            await driven.executor.close()
            driven.started.cancel()
            del self._runs[run]
            if driven.mark is not None:
                driven.mark.close()
            self._publish(run)

    def _let_go(self, run: str) -> None:
        """No later server need take it up."""
        if self._marks:
            forget_served(self._marks, run)

    async def _drive_once(self, run: str, driven: _Driven, begin: Sequence[ev.Event], history: History | None) -> None:
        def on_events(state: Any, events: Sequence[ev.Event]) -> None:
            if not driven.started.done():
                driven.started.set_result(None)
            if any(isinstance(event, ev.AttemptEnded) for event in events):
                driven.tries, driven.problem = 0, None  # it gets on: the next trouble is another one
            self._publish(run)

        def on_settled() -> None:
            driven.settled = True

        services = replace(self._services, executor=driven.executor)
        driven.driver = Driver(run, services, begin=begin, on_events=on_events, on_settled=on_settled, history=history)
        await driven.driver.drive()
        if not driven.started.done():
            driven.started.set_result(None)

    async def _pause(self, run: str, driven: _Driven, error: Exception) -> None:
        """Say what is wrong, and wait until it is time to try again; `_wake` ends the wait."""
        driven.tries += 1
        delay = min(RETRY_MOST_S, self._retry_first_s * 2 ** (driven.tries - 1))
        known = isinstance(error, FairwayError)
        message = str(error) if known else f"a defect of Fairway: {type(error).__name__}: {error}"
        driven.problem = Problem(message, error.hint if isinstance(error, FairwayError) else "", driven.tries, time.time() + delay)
        self._say(f"driver of {run}: {message}; again in {delay:g} s")
        if not known:
            import traceback

            self._say("".join(traceback.format_exception(error)).rstrip())
        self._note(run, f"the driver stopped ({message}) and is started again in {delay:g} s")
        self._publish(run)
        driven.retry.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(driven.retry.wait(), delay)

    def _note(self, run: str, text: str) -> None:
        """Keep a line with the run; a store that cannot be written may be the very trouble."""
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03}Z"
        name = f"{run}/{DRIVER_LOG}"
        try:
            self._services.streams.append(name, f"{at} {text}\n".encode())
        except FairwayError as error:
            self._say(f"driver of {run}: {error}")
            return
        self.bus.publish(name)

    async def _settle(self, run: str) -> None:
        """Labels that came after the driver's last look are recorded all the same; other wishes mean nothing to a run that has ended."""
        for command in await self.journal.inbox(run):
            summary = await self.journal.find_summary(run)
            if command.kind == "label" and summary is not None:
                event = from_plain(ev.RunLabelled, {**command.body, "at": time.time()})
                head = await self.journal.head(run)
                batch = f"label-{os.urandom(8).hex()}"
                await self.journal.append(run, head, [event], batch, summary=labelled_summary(summary, event), handled=command.id)

    async def _end(self, run: str, driven: _Driven) -> None:
        """What is to be done at a run's end, whoever watches."""
        summary = await self.journal.find_summary(run)
        if self._on_end is None or summary is None or driven.driver is None:
            return
        for line in await self._on_end(summary, driven.driver.state.environment):
            self._say(f"hook of {run}: {line}")
            self._note(run, line)

    def _wake(self, run: str) -> None:
        driven = self._runs.get(run)
        if driven is not None:
            driven.retry.set()
            driven.executor.wake()

    def _publish(self, run: str) -> None:
        self.bus.publish(run)
        self.bus.publish(RUNS)


def _runs_already(run: str) -> ConflictError:
    return ConflictError(f"{run} is running", hint=f"watch it: fairway logs -f {run}")


def _no_run(run: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run!r}", hint="`fairway runs` lists them")
