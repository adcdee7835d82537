"""What gateways count, added up: loads for the autoscaler, windows for rollouts, figures and series for people. No clock, no I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from fairway.serve.control.autoscale import Load
from fairway.serve.control.rollout import Window
from fairway.serve.control.view import FINE_S, SERIES_S, Figures, Point

COARSE_S = 10.0
MINUTE_S = 60.0
_STEP = 2 ** (1 / 4)  # between two bounds of the gateway's histogram


class Tally:
    """Requests of some span, with their latencies by upper bound."""

    __slots__ = ("errors", "latencies", "refused", "requests")

    def __init__(self) -> None:
        self.requests = self.errors = self.refused = 0
        self.latencies: dict[float, int] = {}

    def add(self, requests: int, errors: int, refused: int, latencies: Iterable[tuple[float, int]]) -> None:
        self.requests += requests
        self.errors += errors
        self.refused += refused
        for bound, count in latencies:
            self.latencies[bound] = self.latencies.get(bound, 0) + count

    def merge(self, other: Tally) -> None:
        self.add(other.requests, other.errors, other.refused, other.latencies.items())

    def percentile(self, share: float) -> float | None:
        """The latency in ms that `share` of the requests keep below; None where nothing was answered."""
        total = sum(self.latencies.values())
        if not total:
            return None
        rank, below = share * total, 0
        for bound in sorted(self.latencies):
            count = self.latencies[bound]
            if below + count >= rank:
                least = bound / _STEP
                return round(least + (bound - least) * (rank - below) / count, 4)
            below += count
        return round(max(self.latencies), 4)

    def figures(self, span_s: float) -> Figures:
        """For people; `span_s`: what it took."""
        if not self.requests:
            return Figures()
        return Figures(
            self.requests,
            self.requests / max(span_s, 1e-3),
            self.errors / self.requests,
            self.refused / self.requests,
            self.percentile(0.5),
            self.percentile(0.95),
            self.percentile(0.99),
        )

    def window(self) -> Window:
        """For the rollout."""
        return Window(self.requests, self.errors, self.percentile(0.95))


class RevisionTraffic:
    """The traffic of one revision."""

    def __init__(self) -> None:
        self.step = Tally()
        """Since the rollout's step began."""
        self._minute: deque[tuple[float, Tally]] = deque()
        self._since = Tally()
        self._busy_s = 0.0
        self._waiting: dict[str, int] = {}
        self._taken_at = 0.0

    def add(self, gateway: str, at: float, window: Mapping[str, Any]) -> Tally:
        """A window that a gateway has told; returns it."""
        tally = Tally()
        tally.add(window["requests"], window["errors"], window["refused"], [(bound, count) for bound, count in window["latency_ms"]])
        for total in (self.step, self._since):
            total.merge(tally)
        self._minute.append((at, tally))
        self._busy_s += window["in_flight_seconds"]
        self._waiting[gateway] = window["waiting"]
        return tally

    def want(self, gateway: str, waiting: int) -> None:
        """Somebody waits for a replica."""
        self._waiting[gateway] = max(1, waiting)

    def lose(self, gateway: str) -> None:
        """What this gateway has in hand is not known any more."""
        self._waiting.pop(gateway, None)

    @property
    def waiting(self) -> int:
        """Requests that are held now."""
        return sum(self._waiting.values())

    def take_load(self, now: float, ready: int) -> Load:
        """What was measured since this was last asked."""
        span_s = min(max(now - self._taken_at, 0.25), 10.0)
        tally, self._since = self._since, Tally()
        busy_s, self._busy_s, self._taken_at = self._busy_s, 0.0, now
        waiting = self.waiting
        if ready:
            self._waiting = {}  # they are on their way now; who is not is told of again
        return Load(busy_s / span_s, waiting, tally.requests, tally.percentile(0.95) or 0.0, ready)

    def last_minute(self, now: float) -> Figures:
        """Figures of it."""
        while self._minute and self._minute[0][0] <= now - MINUTE_S:
            self._minute.popleft()
        total = Tally()
        for _, tally in self._minute:
            total.merge(tally)
        return total.figures(MINUTE_S)


class _Span:
    """One point of the series while it is added up."""

    __slots__ = ("begins", "busy_s", "rates", "replicas", "tally", "waiting", "wanted")

    def __init__(self, begins: float) -> None:
        self.begins = begins
        self.tally = Tally()
        self.rates: dict[int, int] = {}
        self.replicas = self.wanted = self.waiting = 0
        self.busy_s = 0.0

    def point(self, span_s: float) -> Point:
        rates = tuple((number, round(count / span_s, 4)) for number, count in sorted(self.rates.items()))
        figures = self.tally.figures(span_s)
        return Point(self.begins + span_s, span_s, figures, self.replicas, self.wanted, self.waiting, round(self.busy_s / span_s, 4), rates)

    def merge(self, other: _Span) -> None:
        self.tally.merge(other.tally)
        for number, count in other.rates.items():
            self.rates[number] = self.rates.get(number, 0) + count
        self.replicas, self.wanted = other.replicas, other.wanted
        self.waiting = max(self.waiting, other.waiting)
        self.busy_s += other.busy_s


class Series:
    """The last half hour of an endpoint: a point a second, the older ones for ten seconds each."""

    def __init__(self) -> None:
        self._fine: deque[_Span] = deque()
        self._coarse: deque[_Span] = deque()

    def add(self, at: float, revision: int, tally: Tally, window: Mapping[str, Any]) -> None:
        """A window that ended at `at`."""
        span = self._span(at)
        span.tally.merge(tally)
        if revision:
            span.rates[revision] = span.rates.get(revision, 0) + tally.requests
        span.busy_s += window["in_flight_seconds"]

    def note(self, at: float, replicas: int, wanted: int) -> None:
        """How many replicas there are at `at`."""
        span = self._span(at)
        span.replicas, span.wanted = replicas, wanted

    def hold(self, at: float, waiting: int) -> None:
        """How many requests are held at `at`, by all gateways and for all revisions: the most in a second counts."""
        span = self._span(at)
        span.waiting = max(span.waiting, waiting)

    def points(self) -> tuple[Point, ...]:
        """All, oldest first."""
        return (*(span.point(COARSE_S) for span in self._coarse), *(span.point(1.0) for span in self._fine))

    def last_minute(self, now: float) -> Figures:
        """Figures of it."""
        total = Tally()
        for span in self._fine:
            if span.begins >= now - MINUTE_S - 1:
                total.merge(span.tally)
        return total.figures(MINUTE_S)

    def _span(self, at: float) -> _Span:
        begins = float(int(at))
        if self._fine and begins <= self._fine[-1].begins:
            return next((span for span in reversed(self._fine) if span.begins <= begins), self._fine[0])
        span = _Span(begins)
        if self._fine:
            span.replicas, span.wanted = self._fine[-1].replicas, self._fine[-1].wanted
        self._fine.append(span)
        self._age(begins)
        return span

    def _age(self, now: float) -> None:
        whole = (now - FINE_S) // COARSE_S * COARSE_S  # ten seconds at a time, so that no point stands for a part of them
        while self._fine and self._fine[0].begins < whole:
            old = self._fine.popleft()
            begins = old.begins - old.begins % COARSE_S
            if not self._coarse or self._coarse[-1].begins < begins:
                self._coarse.append(_Span(begins))
            self._coarse[-1].merge(old)
        while self._coarse and self._coarse[0].begins < now - SERIES_S:
            self._coarse.popleft()
