"""How the replicas of a gang come together, and what their ends mean for the attempt. Pure: no cluster, no clock; time is an argument.

A replica is known by its completion index. Each reports where it is; when all are there (or, when that takes too long, as many as the gang
needs at least), all get the same `World`. From then on they stand and fall together: the first of them that fails says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import inf

from fairway.spec.gang import Gang, World, mean_of
from fairway.spec.outcome import ErrorInfo, Outcome, Usage
from fairway.spec.record import Record, record, replace

_HEARD = 2  # the weight of an error that only tells of a connection to another
_ECHO = re.compile(
    r"connection (?:was )?(?:reset|closed|refused|aborted)|closed by (?:the )?(?:remote )?peer|broken pipe|EOF|timed? ?out|unavailable|"
    r"nccl|gloo|socket|rendezvous|heartbeat|peer",
    re.IGNORECASE,
)
"""What processes say when it was another one that failed."""
LAST_WORDS_S = 5.0
"""How long after their grace ranks that were told to end may take to say so."""
_SAID_BY_CLUSTER = ("FW-PREEMPTED", "FW-TASK-OOM")


@record
class Coming(Record):
    """A replica that is there: its completion index, its pod, its address and free ports."""

    replica: int
    pod: str
    host: str
    ports: tuple[int, ...]


@record
class Met(Record):
    """Who takes part: `replicas` and `pods` by place in the world."""

    world: World
    replicas: tuple[int, ...]
    pods: tuple[str, ...]


@record
class End(Record):
    """How a replica has ended: with an outcome of its own, or with what was seen of its pod."""

    replica: int
    at: float
    outcome: Outcome | None = None
    error: ErrorInfo | None = None
    stopped: bool = False

    @property
    def failure(self) -> ErrorInfo | None:
        """Why it failed; None if it ended well, or only because it was told to."""
        if self.error is not None:
            return self.error
        if self.outcome is None:
            return None
        return self.outcome.error or next((item.error for item in self.outcome.items if item.status == "failed"), None)

    @property
    def has_skipped(self) -> bool:
        """It ended the task as one that is not needed: what others say of connections to it is no failure."""
        return self.outcome is not None and any(item.status == "skipped" for item in self.outcome.items)


class Meeting:
    """One gang's. `patience_s`: how long those that are there wait for the others; `grace_s`: how long ranks may take to end when told.
    `fewer_s`: after how long as many as it needs at least begin without the others, where nobody knows when those will come
    (`is_short`)."""

    def __init__(self, gang: Gang, *, patience_s: float, grace_s: float, fewer_s: float = inf) -> None:
        self.gang, self.patience_s, self.grace_s = gang, patience_s, grace_s
        self.fewer_s = fewer_s
        self.is_short = False
        self.expected = gang.replicas
        self.there: dict[int, Coming] = {}
        self.met: Met | None = None
        self.ends: dict[int, End] = {}
        self.began_at = 0.0
        self.failed_at = 0.0
        self.late: set[int] = set()
        self._still: set[int] = set()
        self._stood = False
        self._replaced: set[str] = set()
        self._done = False
        self._wish: ErrorInfo | None = None

    def begin(self, now: float) -> None:
        """The first of them has a place: from now on the others are waited for."""
        self.began_at = self.began_at or now

    def expect(self, count: int) -> None:
        """No more than so many are coming (a queue has admitted only those)."""
        self.expected = max(1, min(self.gang.replicas, count))

    def come(self, coming: Coming, now: float) -> str:
        """One is there. Returns why it has to go again: "replaced", "late"; "" if it is welcome. The same may be said again."""
        self.begin(now)
        if coming.pod in self._replaced:
            return "replaced"
        if self.met is None:
            before = self.there.get(coming.replica)
            if before is not None and before.pod != coming.pod:
                self._replaced.add(before.pod)
            self.there[coming.replica] = coming
            return ""
        if coming.pod in self.met.pods:
            return ""
        if coming.replica in self.met.replicas:  # its first pod is gone, and with it what that had computed
            self.fail(coming.replica, _lost(coming.replica, "its pod was replaced by another"), now)
            return "replaced"
        self.late.add(coming.replica)
        return "late"

    def leave(self, pod: str) -> None:
        """A pod that had come is gone before they have met."""
        if self.met is None:
            self.there = {index: coming for index, coming in self.there.items() if coming.pod != pod}

    def is_ready(self, now: float) -> bool:
        """May they begin?"""
        if self.met is not None or self.failed_at:
            return False
        if len(self.there) >= self.expected:
            return True
        waited = self.is_overdue(now) or (self.is_short and bool(self.began_at) and now - self.began_at >= self.fewer_s)
        return waited and len(self.there) >= self.gang.fewest

    def is_overdue(self, now: float) -> bool:
        """Have those that are there waited long enough?"""
        return self.met is None and bool(self.began_at) and now - self.began_at >= self.patience_s

    def open(self, key: str) -> Met:
        """Everybody gets the same world, in the order of their indexes. `key` is new."""
        coming = [self.there[index] for index in sorted(self.there)]
        world = World(tuple(one.host for one in coming), tuple(one.ports for one in coming), -1, key)
        self.met = Met(world, tuple(one.replica for one in coming), tuple(one.pod for one in coming))
        return self.met

    def world_of(self, pod: str) -> World | None:
        """The world as that pod sees it; None if they have not met, or without it."""
        if self.met is None or pod not in self.met.pods:
            return None
        return replace(self.met.world, replica=self.met.pods.index(pod))

    def end(self, replica: int, outcome: Outcome, now: float, *, stopped: bool = False) -> None:
        """A replica says how it has ended; the first word counts. `stopped`: because it was told to."""
        if replica not in self.ends:
            self._note(End(replica, now, outcome, stopped=stopped))

    def fail(self, replica: int, error: ErrorInfo, now: float, *, stopped: bool = False) -> None:
        """A replica's pod has ended without a word of its own. `stopped`: because it was told to."""
        if replica not in self.ends:
            self._note(End(replica, now, error=error, stopped=stopped))

    def give_up(self, error: ErrorInfo, now: float) -> None:
        """Somebody wishes that it ends; that is then the outcome."""
        self._wish = self._wish or error
        self.failed_at = self.failed_at or now

    @property
    def is_given_up(self) -> bool:
        """Is its outcome what somebody wished?"""
        return self._wish is not None

    def note_still(self, replica: int, still: bool) -> bool:
        """None of a replica's ranks reports progress any more, or one does again. True if now, for the first time, all stand still."""
        (self._still.add if still else self._still.discard)(replica)
        before, silent = self._stood, self.silent()
        self._stood = before or (bool(silent) and self._still.issuperset(silent))
        return self._stood and not before

    def stop_for(self, replica: int) -> str:
        """Why a replica has to end: "stall" (all stood still; it is to say where before it ends), else as `stop`."""
        return "stall" if self._stood and replica in self._still else self.stop

    def release(self) -> None:
        """Its first replica has ended well, and the others were there for it only."""
        self._done = True

    @property
    def stop(self) -> str:
        """Why those that still run have to end: "over" (one has failed), "done"; "" if they need not."""
        return "over" if self.failed_at else "done" if self._done else ""

    def is_over(self, now: float) -> bool:
        """Is there an outcome? When all have ended; after a failure, when the others have had the time to."""
        if self.failed_at and now - self.failed_at >= self.grace_s + LAST_WORDS_S:
            return True
        members = self.met.replicas if self.met is not None else tuple(self.there) if self.failed_at else ()
        return bool(members or self.failed_at) and all(index in self.ends for index in members)

    def silent(self) -> list[int]:
        """Those that take part and have not ended, by index."""
        return [index for index in (self.met.replicas if self.met else ()) if index not in self.ends]

    def verdict(self, attempt: str) -> Outcome:
        """The attempt's outcome, once `is_over`."""
        if self._wish is not None:
            return Outcome(attempt, "failed", error=self._wish)
        failures = [end for end in self.ends.values() if end.failure is not None and not end.stopped]
        in_order = sorted(self.ends.items())
        skip = next((end.outcome for _, end in in_order if end.has_skipped), None)
        if failures and skip is not None and all(self._weight(end) == _HEARD for end in failures):
            return replace(skip, attempt=attempt, usage=_usage_of(self.ends.values(), skip.usage))
        if failures:
            return self._blame(attempt, failures)
        first = next((end.outcome for _, end in in_order if end.outcome is not None and not end.stopped), None)
        assert first is not None  # all that had something to do have ended well, and the first of them has reported
        metrics = mean_of(end.outcome.metrics for _, end in in_order if end.outcome is not None and not end.stopped)
        return replace(first, attempt=attempt, usage=_usage_of(self.ends.values(), first.usage), metrics=metrics)

    def _note(self, end: End) -> None:
        self.ends[end.replica] = end
        if end.failure is not None and not end.stopped and not self.failed_at:
            self.failed_at = end.at

    def _blame(self, attempt: str, failures: list[End]) -> Outcome:
        """The one that failed first; not one that only heard of it."""
        quiet = self.silent()
        worst = min(failures, key=lambda end: (self._weight(end), end.at))
        if quiet and self._weight(worst) > 0:
            error = _lost(quiet[0], f"nothing is heard of it for {self.grace_s + LAST_WORDS_S:g} s; is its node gone?")
            return Outcome(attempt, "failed", error=error)
        error = worst.failure
        assert error is not None
        of = f"replica {worst.replica} of {self.gang.replicas}"
        message = error.message if of in error.message or _says_rank(error.message) else f"{of} failed first: {error.message}"
        error = replace(error, message=message)
        if worst.outcome is None:
            return Outcome(attempt, "failed", error=error)
        outcome = worst.outcome
        if outcome.error is not None:
            return replace(outcome, error=error)
        items = tuple(replace(item, error=error) if item.error is worst.failure else item for item in outcome.items)
        return replace(outcome, items=items)

    def _weight(self, end: End) -> int:
        """0: a cause. 1: lost after another had failed. 2: what is said when a connection to another breaks. -1: the cluster's own word."""
        error = end.failure
        assert error is not None
        if end.outcome is None and error.code in _SAID_BY_CLUSTER:
            return -1
        if error.kind == "port":  # whatever the library calls it: that a socket could not be had is no echo of another's end
            return 0
        if error.kind == "lost":
            return 0 if end.at <= self.failed_at else 1
        return _HEARD if _ECHO.search(error.message) else 0


def _lost(replica: int, why: str) -> ErrorInfo:
    return ErrorInfo("lost", "FW-LOST", f"replica {replica} was lost: {why}", hint="the gang starts again from its newest checkpoint")


def _says_rank(message: str) -> bool:
    return re.match(r"rank \d+ of \d+ ", message) is not None or message.startswith("replica ")


def _usage_of(ends: Iterable[End], first: Usage) -> Usage:
    """Of all replicas together: seconds of processors add up; of memory it is the most that one of them had."""
    all = [end.outcome.usage for end in ends if end.outcome is not None]
    used = {"cpu_s": sum(one.cpu_s for one in all), "peak_memory_bytes": max((one.peak_memory_bytes for one in all), default=0)}
    return replace(first, **used, writing_at=max((one.writing_at for one in all), default=0.0))  # it trains until the last one has
