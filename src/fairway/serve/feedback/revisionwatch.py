"""One revision's traffic held to what its model says of the data."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from fairway.data.batch import Batch
from fairway.data.drift import Alarm, ConceptMonitor, Monitor
from fairway.data.streams.columns import column_of
from fairway.data.streams.stream import Window
from fairway.data.watch import Watch
from fairway.errors import ConfigError
from fairway.serve.feedback import drifttold
from fairway.serve.feedback.datamodel import DataModel
from fairway.serve.feedback.requestrows import PREDICTION, columns_of, predictions_of, rows_of
from fairway.step.traffic import choose_measure, score

LEAST = 100
"""Fewer rows wait for others before they are judged."""
_MOST = 5_000
_RECENT_BYTES = 512 << 10
_ERRORS = 30


class RevisionWatch:
    """Add requests in the order of their times, then `finish`. `before`: what `to_json` gave, None to begin."""

    def __init__(self, endpoint: str, number: int, model: DataModel, before: dict[str, Any] | None) -> None:
        self.endpoint, self.number, self.model = endpoint, number, model
        self.page: str | None = None
        """A new page about the rows that came last, if there is one."""
        self._alarms: list[Alarm] = []
        self._judged = False
        self._at = 0.0
        monitor = Monitor(model.baseline, model.schema) if model.baseline is not None else None
        self.watch = Watch(model.schema, monitor, silence_s=float("inf"), clock=self._clock)
        self.concept = ConceptMonitor()
        self._state: dict[str, Any] = _EMPTY | {"held": [], "recent": []}
        if before is not None and before.get("key") == model.key:
            self._restore(before)

    def add(self, request: str | None, answer: str | None, at: float) -> None:
        """A request with its answer (None: it has none that counts)."""
        rows = rows_of(request, self.model.columns)
        if not rows:
            return
        if self.model.has_predictions and answer is not None:
            for row, predicted in zip(rows, predictions_of(answer, len(rows)), strict=True):
                row[PREDICTION] = predicted
        state = self._state
        state["held_at"] = state["held_at"] or at
        state["first"], state["last"] = state["first"] or at, max(at, state["last"])
        state["requests"] += 1
        state["held"] += rows
        if len(state["held"]) >= _MOST:
            self._step()

    def judge(self, pairs: Sequence[tuple[Any, Any, float]]) -> None:
        """(prediction, truth, time) whose truth has come."""
        if not pairs:
            return
        state = self._state
        known = [(predicted, label) for predicted, label, _ in pairs]
        state["measure"] = measure = state["measure"] or choose_measure(known)
        try:
            errors = [score([pair], measure) for pair in known]
        except Exception:  # noqa: BLE001 - labels and answers are whatever callers send; what has no error tells nothing
            return
        if measure == "accuracy":
            errors = [1.0 - one for one in errors]
        else:
            state["scale"] = state["scale"] or (4 * sum(errors) / len(errors) if len(errors) >= _ERRORS else 0.0)
            if not state["scale"]:
                return
            errors = [min(1.0, one / state["scale"]) for one in errors]
        state["labels"] += len(errors)
        self._alarms += self.concept.add(errors, dt.datetime.fromtimestamp(pairs[-1][2], dt.UTC))

    def finish(self, now: float, *, is_due: bool = False) -> list[dict[str, Any]]:
        """Judge what has come (if it is enough, or `is_due`); the alarms that were raised and cleared, the oldest first."""
        self._step(is_due=is_due)
        if self._judged:
            self._state["checked_at"] = now
            self.page = self._look_back()
        self._state["view"] = self._view()
        return [one.to_json() for one in self._alarms]

    def to_json(self) -> dict[str, Any]:
        """All that the next process needs."""
        return {**self._state, "key": self.model.key, "watch": self.watch.state(), "concept": self.concept.state()}

    def _restore(self, before: dict[str, Any]) -> None:
        try:
            self.watch.restore(before["watch"])
            self.concept.restore(before["concept"])
        except ConfigError:  # of another version of the monitor: what it knew is worth nothing
            return
        self._state = {name: before[name] for name in self._state}

    def _clock(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._at, dt.UTC)

    def _step(self, *, is_due: bool = False) -> None:
        """Windows of what is held; a rest too small to be one stays, unless it `is_due`."""
        state = self._state
        held: list[dict[str, Any]] = state["held"]
        begin_s, self._at = state["held_at"], state["last"]
        while len(held) >= (1 if is_due else LEAST):
            some, held = held[: self._window_rows], held[self._window_rows :]
            batch = self._batch(some)
            self._judged = True
            self._alarms += self.watch.add(Window(batch, begin_s, self._at, batch.rows, 0, None, lambda: None))
            state["rows"] += len(some)
            state["recent"] = _newest([*state["recent"], *some], self._window_rows)
        if len(held) < len(state["held"]):
            state["held"], state["held_at"] = held, self._at if held else 0.0

    @property
    def _window_rows(self) -> int:
        return self.watch.monitor.window_rows if self.watch.monitor is not None else 1_000

    def _batch(self, rows: Sequence[dict[str, Any]]) -> Batch:
        names = (*self.model.columns, PREDICTION) if self.model.has_predictions else self.model.columns
        columns = {name: column_of(values, self.model.kinds.get(name)) for name, values in columns_of(rows, names).items()}
        return Batch(0, len(rows), columns)

    def _look_back(self) -> str | None:
        """What the rows that came last look like beside the baseline: into the state for pages, and as a page of its own."""
        if self.model.baseline is None or not self._state["recent"]:
            return None
        batch = self._batch(self._state["recent"])
        title = f"{self.endpoint}, revision {self.number}: the last {batch.rows:,} rows"
        self._state["facets"], page = drifttold.compare(self.model, batch, title)
        return page

    def _view(self) -> dict[str, Any]:
        state, watch = self._state, self.watch
        monitor = watch.monitor
        return {
            "revision": self.number,
            "has_baseline": monitor is not None,
            "why": self.model.why,
            "rows": state["rows"] + len(state["held"]),
            "requests": state["requests"],
            "labels": state["labels"],
            "windows": monitor.windows if monitor is not None else watch.windows,
            "window_rows": self._window_rows,
            "filled": (monitor.rows % monitor.pane_rows if monitor is not None else 0) + len(state["held"]),
            "checked_at": state["checked_at"],
            "first": state["first"],
            "last": state["last"],
            "facets": drifttold.merge(monitor, state["facets"]),
            "active": [one.to_json() for one in watch.active] + ([self._concept_alarm()] if self.concept.active else []),
        }

    def _concept_alarm(self) -> dict[str, Any]:
        made = next((one for one in reversed(self._alarms) if one.kind == "concept"), None)
        if made is not None:
            self._state["concept_alarm"] = made.to_json()
        return self._state["concept_alarm"]


_EMPTY: dict[str, Any] = {
    "held": [], "held_at": 0.0, "recent": [], "first": 0.0, "last": 0.0, "requests": 0, "rows": 0, "checked_at": 0.0, "labels": 0,
    "measure": "", "scale": 0.0, "facets": [], "view": {}, "concept_alarm": {},
}  # fmt: skip


def _newest(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The last of them, as many as are asked for and fit."""
    kept: list[dict[str, Any]] = []
    size = 0
    for row in reversed(rows[-count:]):
        size += len(json.dumps(row))
        if size > _RECENT_BYTES:
            break
        kept.append(row)
    return kept[::-1]
