"""The driver: the only loop with effects. It folds events, decides, records, and only then acts.

Intent before effect: nothing is submitted or cancelled before the journal holds the event that says so. A driver that loses its journal
(`JournalConflict`) stops where it is; whatever it did was recorded, so the other driver carries on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence

from fairway.engine.apply import Touch, apply
from fairway.engine.decide import decide
from fairway.engine.history import History, read_history
from fairway.engine.library import StoreLibrary
from fairway.engine.outcomes import abandoned, find_outcome, lost, settle_outcome
from fairway.engine.plan import Planner, name_attempt
from fairway.engine.resolve import Library
from fairway.engine.services import Services
from fairway.engine.state import AttemptState, NodeState, RunState, Scope
from fairway.engine.studies import BestTrials
from fairway.engine.summarise import summarise
from fairway.errors import FairwayError, JournalConflict, UnschedulableError, UserError
from fairway.spec import event as ev
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.attempt import AttemptSpec, Input
from fairway.spec.event import Event, Index, address
from fairway.spec.outcome import ErrorInfo, Outcome
from fairway.spec.record import from_plain
from fairway.spec.summary import GRAPH_OUTPUT, CacheEntry

_WISHES: Mapping[str, type[ev.CancelRequested | ev.RunLabelled]] = {"cancel": ev.CancelRequested, "label": ev.RunLabelled}
"""Commands that this driver knows; a newer client's others are left aside."""

OnEvents = Callable[[RunState, Sequence[Event]], None]


class Driver:
    """Drives one run until it has ended.

    `begin`: events to record first (RunStarted for a new run, RunResumed to go on with one that has ended). `on_events` is told what
    has become durable; `on_settled` once, when the executor knows all that is live. `history` spares reading the journal again. Raises
    JournalConflict if another driver took the run over, StoreUnavailable if a store cannot be used.
    """

    def __init__(
        self,
        run: str,
        services: Services,
        *,
        begin: Sequence[Event] = (),
        on_events: OnEvents | None = None,
        on_settled: Callable[[], None] | None = None,
        clock: Callable[[], float] | None = None,
        library: Library | None = None,
        history: History | None = None,
    ) -> None:
        self.run = run
        self.services = services
        self.state = RunState()
        self.head = 0
        self._begin = list(begin)
        self._history = history
        self._on_events = on_events
        self._on_settled = on_settled
        self._clock = clock or _steady_clock()
        self._library = library or StoreLibrary(services.artifacts)
        python = services.python or f"{sys.version_info.major}.{sys.version_info.minor}"
        self._planner = Planner(self.state, self._library, python)
        self._pending: list[Event] = []
        self._touches: list[Touch] = []
        self._ready: dict[tuple[str, str], dict[Index, None]] = {}
        self._submit: list[AttemptSpec] = []
        self._give_up: list[str] = []
        self._leaving: list[str] = []
        self._cache: list[CacheEntry] = []
        self._best = BestTrials()
        self._live_on: dict[tuple[str, str], int] = {}
        self._handled = 0
        self._inbox_version = -1
        self._wish: ev.CancelRequested | None = None
        self._ahead_s = 0.0

    def cancel(self, reason: str = "", by: str = "") -> None:
        """Ask the driver to cancel the run (safe from a signal handler or another thread)."""
        self._wish = ev.CancelRequested(self._now(), by, reason)
        self.services.executor.wake()

    async def drive(self) -> RunState:
        """Run until the run has ended; returns its state. Starting, resuming and taking over are this one call."""
        history, self._history = self._history or await read_history(self.services.journal, self.run), None
        self.head, self.state, self._touches = history.head, history.state, history.touches
        self._planner.state = self.state
        self._ahead_s = max(0.0, self.state.now - self._clock())
        if self.head and not self._begin and self.state.status == "running":
            self._record(ev.ClockAdvanced(self._now(), idle_s=self._now() - self.state.now))  # of two drivers one now loses, whatever comes
        if self.state.live:
            await self._reconcile()
        for event in self._begin:
            self._record(event)
        while True:
            await self._read_inbox()
            await self._advance()
            await self._commit()
            await self._act()
            if self._pending or self._touches:
                continue
            if self._on_settled is not None:
                self._on_settled, settled = None, self._on_settled
                settled()
            if self.state.status != "running":
                await self._see_off()
                return self.state
            await self._wait()

    def _now(self) -> float:
        """The run's time: never before what is recorded, and it goes on from there if this machine's clock was set back since."""
        return max(self._clock() + self._ahead_s, self.state.now)

    def _record(self, event: Event) -> None:
        if isinstance(event, ev.RunResumed):
            self._planner.reset()
            self._ready.clear()
            self._touches.clear()
            self._live_on.clear()
        self._pending.append(event)
        self._touches.extend(apply(self.state, event))

    async def _advance(self) -> None:
        """Decide until nothing follows any more, starting what may start."""
        while self._touches or self._wish:
            if self._wish is not None:
                wish, self._wish = self._wish, None
                self._record(wish)
            touches, self._touches = self._touches, []
            decision = decide(self.state, touches, self._library)
            for scope, node, index in decision.ready:
                self._ready.setdefault((scope, node), {})[index] = None
            for event in decision.events:
                self._record(_stamped(event, self._now()))
            if not self._touches:
                await self._start_ready()
        if self._ready and len(self.state.live) < self.services.window:
            await self._start_ready()
            if self._touches:
                await self._advance()
        if self.state.stopping in ("cancelled", "timeout"):
            self._plan_give_up()

    def _plan_give_up(self) -> None:
        for attempt in list(self.state.live.values()):
            node = self.state.scopes[attempt.scope].nodes[attempt.node].node
            if attempt.id not in self.state.given_up and not node.exit:
                self._record(ev.AttemptGivenUp(attempt.id, self.state.stopping, self._now()))
                self._give_up.append(attempt.id)

    async def _start_ready(self) -> None:
        """Cached tasks settle at once; others become planned attempts, as many as the limits allow."""
        room = self.services.window - len(self.state.live)
        most = self.state.options.max_parallel or self.state.graph.max_parallel
        if most:
            room = min(room, most - len(self.state.live))
        for name in list(self._ready):
            if room <= 0:
                return
            waiting = self._ready[name]
            scope = self.state.scopes.get(name[0])
            if scope is None:
                del self._ready[name]
                continue
            room -= await self._start_node(scope, scope.nodes[name[1]], waiting, room)
            if not waiting:
                del self._ready[name]

    async def _start_node(self, scope: Scope, node: NodeState, waiting: dict[Index, None], room: int) -> int:
        plan = self._planner.of(scope, node)
        for scope_name, axis, most in plan.limits:
            room = min(room, most - self._live_on.get((scope_name, axis), 0))
        started = 0
        while waiting and started < room:
            chosen: list[tuple[Index, dict[str, Input], str]] = []
            shared: dict[str, Input] = {}
            take = [i for i, _ in zip(waiting, range(plan.batch * (room - started)), strict=False)]
            for index in take:
                del waiting[index]
            for index in take:
                if node.items[index].status != "waiting":
                    continue
                try:
                    shared, own = self._planner.inputs(scope, node, index)
                except FairwayError as problem:
                    self._refuse(scope, node, index, problem)
                    continue
                chosen.append((index, own, self._planner.key(scope, node, shared, own)))
            missed = await self._take_cached(scope, node, chosen)
            for first in range(0, len(missed), plan.batch):
                self._plan_attempt(scope, node, missed[first : first + plan.batch], shared)
                started += 1
        return started

    def _refuse(self, scope: Scope, node: NodeState, index: Index, problem: FairwayError) -> None:
        error = ErrorInfo(type(problem).__name__, problem.code, problem.message, hint=problem.hint, retryable=False)
        self._record(ev.TasksRefused(scope.name, node.node.id, (index,), error, self._now()))

    async def _take_cached(
        self, scope: Scope, node: NodeState, chosen: list[tuple[Index, dict[str, Input], str]]
    ) -> list[tuple[Index, dict[str, Input], str]]:
        """Record the tasks whose results are known (from this run before it was resumed, or from the cache); returns the others."""
        found: list[ev.CachedItem] = []
        missed: list[tuple[Index, dict[str, Input], str]] = []
        step = self._planner.of(scope, node).step
        entries: Mapping[str, CacheEntry] = {}
        if step.cache and self.state.options.cache:
            entries = await self._lookup([key for _, _, key in chosen if key])
        for item in chosen:
            index, _, key = item
            own = self.state.memo.get(address(scope.name, node.node.id, index)) if self.state.memo else None
            if own is not None and key and own[0] == key:
                found.append(ev.CachedItem(index, key, dict(own[1]), run=self.run, metrics=dict(own[2]), trial=own[3]))
                continue
            entry = entries.get(key)
            if entry is not None and self._intact(entry):
                graph = entry.outputs.get(GRAPH_OUTPUT)
                outputs, digest = ({}, graph.digest) if graph else (entry.outputs, "")
                found.append(ev.CachedItem(index, key, outputs, entry.run, entry.task, digest, entry.metrics, entry.trial))
            else:
                missed.append(item)
        if found:
            self._record(ev.TasksCached(scope.name, node.node.id, tuple(found), self._now()))
        return missed

    async def _lookup(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        if not keys:
            return {}
        fresh = {entry.key: entry for entry in self._cache}
        found = dict(await self.services.journal.find_cached(keys))
        return {**found, **{k: fresh[k] for k in keys if k in fresh}} if fresh else found

    def _intact(self, entry: CacheEntry) -> bool:
        """Its artifacts are still in the store."""
        return all(ref.inline is not None or self._library_has(ref) for ref in entry.outputs.values())

    def _library_has(self, ref: ArtifactRef) -> bool:
        return self.services.artifacts.stat(blob_key(ref.digest)) is not None

    def _plan_attempt(
        self, scope: Scope, node: NodeState, chosen: list[tuple[Index, dict[str, Input], str]], shared: dict[str, Input]
    ) -> None:
        indices = tuple(index for index, _, _ in chosen)
        name, n = name_attempt(self.state, scope.name, node.node.id, indices)
        keys = tuple(key for _, _, key in chosen)
        self._record(ev.AttemptPlanned(name, scope.name, node.node.id, indices, n, self._now(), keys))
        for scope_name, axis, _ in self._planner.of(scope, node).limits:
            self._live_on[scope_name, axis] = self._live_on.get((scope_name, axis), 0) + 1
        self._submit.append(self._planner.spec(self.state.attempts[name], [(i, own) for i, own, _ in chosen], shared))

    async def _commit(self) -> None:
        """Make what was recorded durable, then tell whoever watches."""
        if not self._pending:
            return
        events, self._pending = self._pending, []
        cache, self._cache = self._cache, []
        batch = f"{self.head}-{id(self)}-{self._clock():.6f}"
        summary = summarise(self.state, self._library, self._best.read(self.state, events))
        self.head = await self.services.journal.append(
            self.run, self.head, events, batch, summary=summary, cache=cache, handled=self._handled
        )
        if self._on_events is not None:
            self._on_events(self.state, events)

    async def _act(self) -> None:
        """The effects of what is now recorded."""
        specs, self._submit = self._submit, []
        if specs:
            await self._submit_all([s for s in specs if s.id not in self.state.given_up])
        given_up, self._give_up = self._give_up, []
        for name in given_up:
            reason = self.state.given_up[name]
            outcome = settle_outcome(self.services.artifacts, self.run, abandoned(name, reason))
            await self.services.executor.cancel(name, self.services.grace_s)
            self._leaving.append(name)
            self._end(name, outcome)

    async def _submit_all(self, specs: Sequence[AttemptSpec]) -> None:
        """Hand attempts to the executor; one that it can never run has failed, and the others go on."""
        try:
            await self.services.executor.submit(specs)
        except (UserError, UnschedulableError) as error:
            if len(specs) > 1:
                for spec in specs:
                    await self._submit_all([spec])
                return
            info = ErrorInfo("unschedulable", error.code, error.message, error.hint, retryable=False)
            for spec in specs:
                self._end(spec.id, settle_outcome(self.services.artifacts, self.run, Outcome(spec.id, "failed", error=info)))

    async def _see_off(self) -> None:
        """Let attempts that were given up clean up behind themselves, for as long as they were promised."""
        executor, end = self.services.executor, self._clock() + self.services.grace_s
        while self._leaving:
            seen = await executor.observe(self._leaving)
            self._leaving = [name for name in self._leaving if name in seen and seen[name].phase != "ended"]
            left_s = end - self._clock()
            if left_s <= 0:
                return
            if self._leaving:
                await executor.wait(left_s)

    def _end(self, name: str, outcome: Outcome) -> None:
        attempt = self.state.live.get(name)
        if attempt is None:
            return
        self._free(attempt)
        now = self._now()
        self._record(ev.AttemptEnded(name, outcome, now))
        step = self._planner.of(self.state.scopes[attempt.scope], self.state.scopes[attempt.scope].nodes[attempt.node]).step
        if step.cache:
            metrics = outcome.metrics if len(outcome.items) == 1 else {}  # of a batch nobody knows whose they are
            for position, item in enumerate(outcome.items):
                key = attempt.keys[position] if position < len(attempt.keys) else ""
                if key and item.status == "succeeded":
                    task = address(attempt.scope, attempt.node, attempt.items[position])
                    outputs = {GRAPH_OUTPUT: ArtifactRef(item.graph, 0, "graph")} if item.graph else item.outputs
                    self._cache.append(CacheEntry(key, self.run, task, outputs, now, metrics, item.trial))

    def _free(self, attempt: AttemptState) -> None:
        for scope, axis, _ in self._planner.of(
            self.state.scopes[attempt.scope], self.state.scopes[attempt.scope].nodes[attempt.node]
        ).limits:
            self._live_on[scope, axis] = max(0, self._live_on.get((scope, axis), 0) - 1)

    async def _wait(self) -> None:
        """Until something changed: an attempt, a timer, the inbox, a wish."""
        due = self.state.next_timer()
        every_s = self.services.inbox_every_s
        timeout_s = every_s if due is None else min(every_s, max(0.0, due - self._now()))
        changed = await self.services.executor.wait(timeout_s)
        if not changed and await self.services.journal.head(self.run) != self.head:  # nothing to record, so no append would say it
            raise JournalConflict(f"run {self.run} has gone on without this driver: another process drives it")
        unknown: list[str] = []
        for name in changed:
            if name not in self.state.live:
                continue
            outcome = find_outcome(self.services.artifacts, self.run, name)
            if outcome is not None:
                self._end(name, outcome)
            else:
                unknown.append(name)
        if unknown:
            await self._observe(unknown)
        if due is not None and self._now() >= due:
            self._record(ev.ClockAdvanced(self._now()))

    async def _observe(self, names: Sequence[str]) -> None:
        seen = await self.services.executor.observe(names)
        for name in names:
            observation = seen.get(name)
            if observation is None or observation.phase == "ended":
                self._end(name, settle_outcome(self.services.artifacts, self.run, lost(name)))
                continue
            attempt = self.state.live[name]
            if (attempt.phase, attempt.reason) != (observation.phase, observation.reason):
                self._record(ev.AttemptObserved(name, observation.phase, observation.reason, self._now()))

    async def _reconcile(self) -> None:
        """Attempts that were live when the last driver stopped: ended, still known, or to be submitted again under the same id."""
        seen = await self.services.executor.observe(list(self.state.live))
        superseded = any(isinstance(event, ev.RunResumed) for event in self._begin)
        for attempt in list(self.state.live.values()):
            for scope, axis, _ in self._limits(attempt):
                self._live_on[scope, axis] = self._live_on.get((scope, axis), 0) + 1
            outcome = find_outcome(self.services.artifacts, self.run, attempt.id)
            if outcome is not None:
                self._end(attempt.id, outcome)
            elif superseded or attempt.id in self.state.given_up:
                if attempt.id not in self.state.given_up:
                    self._record(ev.AttemptGivenUp(attempt.id, "superseded", self._now()))
                self._give_up.append(attempt.id)
            elif attempt.id not in seen or seen[attempt.id].phase == "ended":
                self._resubmit(attempt)
        if superseded:  # the resume forgets what is live: those given up must have ended before, and be given up on record before that
            await self._commit()
            await self._act()

    def _limits(self, attempt: AttemptState) -> list[tuple[str, str, int]]:
        scope = self.state.scopes[attempt.scope]
        return self._planner.of(scope, scope.nodes[attempt.node]).limits

    def _resubmit(self, attempt: AttemptState) -> None:
        scope = self.state.scopes[attempt.scope]
        node = scope.nodes[attempt.node]
        items: list[tuple[Index, dict[str, Input]]] = []
        shared: dict[str, Input] = {}
        for index in attempt.items:
            shared, own = self._planner.inputs(scope, node, index)
            items.append((index, own))
        self._submit.append(self._planner.spec(attempt, items, shared))

    async def _read_inbox(self) -> None:
        """Fold the wishes of others into events."""
        journal = self.services.journal
        version = await journal.inbox_version()
        if version == self._inbox_version:
            return
        self._inbox_version = version
        for command in await journal.inbox(self.run, self._handled):
            self._handled = max(self._handled, command.id)
            wish = _WISHES.get(command.kind)
            if wish is not None:
                self._record(from_plain(wish, {**command.body, "at": self._now()}))


def _stamped(event: Event, now: float) -> Event:
    """Decisions carry the time of the last event; what the driver records now carries now."""
    if isinstance(event, ev.RunEnded | ev.ScopeEnded | ev.TasksRefused):
        event.at = now
    return event


def _steady_clock() -> Callable[[], float]:
    """Wall-clock time that never jumps: read once, then advanced by the monotonic clock."""
    offset = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset
