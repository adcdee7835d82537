"""A monitor: a stream's rows folded into windows, held to a baseline; alarms are raised and cleared. Its memory does not grow, and numpy
is all it needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from fairway.data.batch import Batch
from fairway.data.drift.alarm import Alarm
from fairway.data.drift.alarming import Budget, Hysteresis, Signal
from fairway.data.drift.baseline import Baseline, Track
from fairway.data.drift.coding import Coder
from fairway.data.drift.rules import DriftRules, rules_of
from fairway.data.drift.words import against, told
from fairway.errors import ConfigError


class Monitor:
    """Windows of `window_rows` rows (each `panes`th of a window looks back over the last whole window) against a baseline.

    An alarm is raised when `raise_after` = (k, n) of the last n windows are over a threshold, or one window is far over it, and cleared
    after `clear_after` windows in a row that are not. Thresholds are such that a stream which does not change raises a false alarm in about
    one of `windows_per_false_alarm` windows; with `false_alarms_per_day`, as often as that, whatever the traffic.
    """

    def __init__(
        self,
        baseline: Baseline,
        schema: Any = None,
        *,
        window_rows: int = 0,
        panes: int = 1,
        budget: Budget | None = None,
        hysteresis: Hysteresis | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.rules: DriftRules = rules_of(schema)
        rows = window_rows or baseline.window_rows
        if panes < 1 or rows < panes:
            raise ConfigError(f"a window of {rows} rows cannot have {panes} panes", hint="Panes: 1 or more, fewer than the window's rows.")
        same = rows == baseline.window_rows and not self.rules.columns
        self.baseline = baseline if same else baseline.calibrated(rows, self.rules)
        self.tracks = tuple(t for t in self.baseline.tracks if self.rules.of(t.facet.column).watched)
        self.window_rows, self.panes, self.pane_rows = rows, panes, -(-rows // panes)
        self.clock = clock
        self.hysteresis = hysteresis or Hysteresis()
        self.budget = budget or Budget()
        self._coders = [Coder(track.facet, track.frame) for track in self.tracks]
        self._open = [np.zeros((1, coder.bins)) for coder in self._coders]
        self._past = [np.zeros((0, coder.bins)) for coder in self._coders]
        self._signals = {track.facet.key: Signal() for track in self.tracks}
        self._tests = max(sum(len(one.frame.deciding) for one in self.tracks), 1)
        self.rows, self.windows = 0, 0
        self._latest: dict[str, dict[str, float]] = {}

    def add(self, batch: Batch, at: dt.datetime | None = None) -> list[Alarm]:
        """Folds rows in; the alarms that windows which ended with them raise or clear."""
        if not batch.rows:
            return []
        begun = self.rows % self.pane_rows
        ended = (begun + batch.rows) // self.pane_rows
        places = (np.arange(begun, begun + batch.rows) // self.pane_rows) if ended else np.zeros(0, np.int64)
        caches: dict[str, dict[str, Any]] = {}
        alarms: list[Alarm] = []
        self.rows += batch.rows
        moment = at or self.clock()
        if ended:
            self.budget.note(moment, ended)
        for number, coder in enumerate(self._coders):
            counted = coder.counted(batch, places, ended + 1, caches)
            counted[0] += self._open[number][0]
            self._open[number] = counted[ended:].copy()
            if ended:
                alarms += self._judged(number, counted[:ended], moment)
        self.windows += ended
        return alarms

    def _judged(self, number: int, panes: np.ndarray, at: dt.datetime) -> list[Alarm]:
        """Windows that these panes complete, of one facet."""
        track = self.tracks[number]
        windows = panes
        if self.panes > 1:
            run = np.concatenate([self._past[number], panes])
            self._past[number] = run[-(self.panes - 1) :].copy()
            if len(run) < self.panes:
                return []
            sums = np.cumsum(np.concatenate([np.zeros((1, run.shape[1])), run]), axis=0)
            windows = sums[self.panes :] - sums[: -self.panes]
        frame, key = track.frame, track.facet.key
        present = windows.sum(-1)
        p, q = frame.shares(frame.counts), frame.shares(windows)
        measured = {name: frame.distances(p, q, float(present.mean()), name) for name in track.ladders}
        single, repeated = self._thresholds(track)
        over_one = np.zeros(len(windows), bool)
        over = np.zeros(len(windows), bool)
        for name, values in measured.items():
            if name in repeated:
                over |= values > repeated[name]
                over_one |= values > single[name]
        self._latest[key] = {name: float(values[-1]) for name, values in measured.items()}
        signal = self._signals[key]
        if not over.any() and signal.is_quiet:
            return []
        made: list[Alarm] = []
        for place in range(len(windows)):
            change = self.hysteresis.step(signal, over=bool(over[place]), far=bool(over_one[place]))
            if change:
                values = {name: float(found[place]) for name, found in measured.items() if name in repeated}
                made.append(self._alarm(track, change, windows[place], values, at, repeated))
        return made

    def _thresholds(self, track: Track) -> tuple[dict[str, float], dict[str, float]]:
        """(far over, over) by measure."""
        rule = self.rules.of(track.facet.column)
        names = (rule.measure,) if rule.measure else track.frame.deciding
        independent = track.dependence is None and track.frame.rows >= 10 * self.window_rows and self.panes == 1
        far, near = self.budget.alphas(self._tests, self.hysteresis, independent=independent)
        if rule.threshold is not None:
            return {names[0]: rule.threshold * 10}, {names[0]: rule.threshold}
        floors = self.rules.floors
        return (
            {name: max(track.ladders[name].threshold(far), floors[name]) for name in names},
            {name: max(track.ladders[name].threshold(near), floors[name]) for name in names},
        )

    def _alarm(
        self, track: Track, change: str, counts: np.ndarray, values: dict[str, float], at: dt.datetime, thresholds: dict[str, float]
    ) -> Alarm:
        name = max(values, key=lambda one: values[one] / max(thresholds[one], 1e-12))
        signal = self._signals[track.facet.key]
        if change == "cleared":
            message = f"`{track.facet.key}` is as in the baseline again; {against(name, values[name], thresholds[name])}"
        else:
            message = f"{told(track.facet, track.frame, counts)}; {against(name, values[name], thresholds[name])}"
        column, severity = track.facet.column, self.rules.of(track.facet.column).severity
        state: Literal["raised", "cleared"] = "cleared" if change == "cleared" else "raised"
        return Alarm(
            f"drift:{track.facet.key}:{signal.raised}", at, "drift", column, severity, message, values[name], thresholds[name], state
        )

    @property
    def active(self) -> list[str]:
        """Facets with an alarm that has not cleared."""
        return [key for key, signal in self._signals.items() if signal.active]

    def summary(self) -> dict[str, Any]:
        """For pages and metrics: rows and windows seen, the latest window's measures by facet, what is in alarm."""
        facets: dict[str, Any] = {}
        for track in self.tracks:
            _, thresholds = self._thresholds(track)
            key = track.facet.key
            facets[key] = {
                "column": track.facet.column,
                "kind": track.facet.kind,
                "measures": self._latest.get(key, {}),
                "thresholds": thresholds,
                "active": self._signals[key].active,
            }
        return {
            "rows": self.rows,
            "windows": self.windows,
            "window_rows": self.window_rows,
            "windows_per_false_alarm": self.budget.windows_per_false_alarm(),
            "active": self.active,
            "facets": facets,
        }

    def state(self) -> dict[str, Any]:
        """What a restarted process needs to go on: JSON."""
        return {
            "baseline": self.baseline.digest,
            "rows": self.rows,
            "windows": self.windows,
            "open": [one[0].tolist() for one in self._open],
            "past": [one.tolist() for one in self._past],
            "signals": {key: signal.to_json() for key, signal in self._signals.items()},
            "budget": self.budget.to_json(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state()` was taken; ConfigError if that was against another baseline."""
        if state.get("baseline") != self.baseline.digest:
            raise ConfigError("the monitor's state belongs to another baseline or window", hint="Start without the state.")
        self.rows, self.windows = int(state["rows"]), int(state["windows"])
        self._open = [np.array([one], np.float64) for one in state["open"]]
        self._past = [np.array(one, np.float64).reshape(-1, coder.bins) for one, coder in zip(state["past"], self._coders, strict=True)]
        self._signals = {key: Signal.from_json(one) for key, one in state["signals"].items()}
        self.budget.restore(state["budget"])
