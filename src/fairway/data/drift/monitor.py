"""A monitor: a stream's rows folded into windows, held to a baseline; alarms are raised and cleared. Its memory does not grow, and numpy
is all it needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fairway.data.batch import Batch
from fairway.data.drift.alarm import Alarm
from fairway.data.drift.alarming import Budget, Hysteresis, Signal
from fairway.data.drift.baseline import Baseline, Track
from fairway.data.drift.coding import Coder
from fairway.data.drift.panel import Panel
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
        self._panel = Panel(self.tracks)
        self._open = np.zeros(self._panel.bins)
        self._past = np.zeros((0, self._panel.bins))
        self._signals = {track.facet.key: Signal() for track in self.tracks}
        self._tests = max(sum(len(one.frame.deciding) for one in self.tracks), 1)
        self.rows, self.windows = 0, 0
        self._latest: dict[str, np.ndarray] = {}
        self._also = [(n, name) for n, one in enumerate(self.tracks) for name in one.ladders if name not in one.frame.deciding]
        self._limits: tuple[float, _Limits] | None = None

    def add(self, batch: Batch, at: dt.datetime | None = None) -> list[Alarm]:
        """Folds rows in; the alarms that windows which ended with them raise or clear."""
        if not batch.rows or not self.tracks:
            return []
        begun = self.rows % self.pane_rows
        ended = (begun + batch.rows) // self.pane_rows
        places = (np.arange(begun, begun + batch.rows) // self.pane_rows) if ended else np.zeros(0, np.int64)
        caches: dict[str, dict[str, Any]] = {}
        self.rows += batch.rows
        moment = at or self.clock()
        counted = np.empty((ended + 1, self._panel.bins))
        for number, coder in enumerate(self._coders):
            self._panel.part(counted, number)[:] = coder.counted(batch, places, ended + 1, caches)
        counted[0] += self._open
        self._open = counted[ended].copy()
        if not ended:
            return []
        self.budget.note(moment, ended)
        self.windows += ended
        return self._judged(self._windows_of(counted[:ended]), moment)

    def _windows_of(self, panes: np.ndarray) -> np.ndarray:
        """The windows that these panes complete."""
        if self.panes == 1:
            return panes
        run = np.concatenate([self._past, panes])
        self._past = run[-(self.panes - 1) :].copy()
        if len(run) < self.panes:
            return run[:0]
        sums = np.cumsum(np.concatenate([np.zeros((1, run.shape[1])), run]), axis=0)
        return sums[self.panes :] - sums[: -self.panes]

    def _judged(self, windows: np.ndarray, at: dt.datetime) -> list[Alarm]:
        if not len(windows):
            return []
        measured = {"largest": self._panel.largest(windows), "psi": self._panel.psi(windows)}
        others = {(number, name): self._measured(windows, number, name) for number, name in self._also}
        limits = self._held_to()
        over = (measured["largest"] > limits.near["largest"]) | (measured["psi"] > limits.near["psi"])
        far = (measured["largest"] > limits.far["largest"]) | (measured["psi"] > limits.far["psi"])
        for (number, name), values in others.items():
            if name in limits.of[number][1]:
                over[:, number] |= values > limits.of[number][1][name]
                far[:, number] |= values > limits.of[number][0][name]
        self._latest = {name: values[-1] for name, values in measured.items()} | {f"{n}:{name}": v[-1:] for (n, name), v in others.items()}
        busy = over.any(0) | np.array([not one.is_quiet for one in self._signals.values()])
        made: list[Alarm] = []
        for number in np.flatnonzero(busy).tolist():
            track, repeated = self.tracks[number], limits.of[number][1]
            for place in range(len(windows)):
                change = self.hysteresis.step(self._signals[track.facet.key], over=bool(over[place, number]), far=bool(far[place, number]))
                if change:
                    known = {name: float(values[place, number]) for name, values in measured.items()}
                    found = {name: known[_column_of(name)] for name in repeated if name in track.frame.deciding}
                    found |= {name: float(values[place]) for (one, name), values in others.items() if one == number and name in repeated}
                    made.append(self._alarm(track, change, self._panel.part(windows[place], number), found, at, repeated))
        return made

    def _measured(self, windows: np.ndarray, number: int, name: str) -> np.ndarray:
        """One measure that is not among the deciding of its facet."""
        frame, own = self.tracks[number].frame, self._panel.part(windows, number)
        return frame.distances(frame.shares(frame.counts), frame.shares(own), float(own.sum(-1).mean()), name)

    def _held_to(self) -> _Limits:
        """The thresholds of all facets; looked up again where the traffic, and with it what chance may do, has changed."""
        rate = self.budget.windows_per_false_alarm()
        if self._limits is None or abs(rate / self._limits[0] - 1) > 0.02:
            self._limits = (rate, _limits_of(self.tracks, [self._thresholds(track) for track in self.tracks]))
        return self._limits[1]

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
        for number, track in enumerate(self.tracks):
            _, thresholds = self._thresholds(track)
            key = track.facet.key
            facets[key] = {
                "column": track.facet.column,
                "kind": track.facet.kind,
                "measures": self._newest(number),
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

    def _newest(self, number: int) -> dict[str, float]:
        """The measures of the latest window, of one facet."""
        if not self._latest:
            return {}
        track = self.tracks[number]
        known = {name: self._latest[_column_of(name)][number] for name in track.frame.deciding}
        known |= {name: self._latest[f"{number}:{name}"][0] for name in track.ladders if name not in known}
        return {name: float(known[name]) for name in track.ladders}

    def state(self) -> dict[str, Any]:
        """What a restarted process needs to go on: JSON."""
        return {
            "baseline": self.baseline.digest,
            "rows": self.rows,
            "windows": self.windows,
            "open": [self._panel.part(self._open, number).tolist() for number in range(len(self.tracks))],
            "past": [self._panel.part(self._past, number).tolist() for number in range(len(self.tracks))],
            "signals": {key: signal.to_json() for key, signal in self._signals.items()},
            "budget": self.budget.to_json(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state()` was taken; ConfigError if that was against another baseline."""
        if state.get("baseline") != self.baseline.digest:
            raise ConfigError("the monitor's state belongs to another baseline or window", hint="Start without the state.")
        self.rows, self.windows = int(state["rows"]), int(state["windows"])
        self._open = np.concatenate([np.array(one, np.float64) for one in state["open"]] or [np.zeros(0)])
        past = [np.array(one, np.float64).reshape(-1, coder.bins) for one, coder in zip(state["past"], self._coders, strict=True)]
        self._past = np.concatenate(past, axis=-1) if past else np.zeros((0, 0))
        self._signals = {key: Signal.from_json(one) for key, one in state["signals"].items()}
        self.budget.restore(state["budget"])


@dataclass(frozen=True)
class _Limits:
    """Thresholds. `far`, `near`: of all facets, by which of the panel's measures; infinite where that does not decide. `of`: (far, near) of
    each facet by its measures' names."""

    far: dict[str, np.ndarray]
    near: dict[str, np.ndarray]
    of: list[tuple[dict[str, float], dict[str, float]]]


def _limits_of(tracks: Sequence[Track], every: list[tuple[dict[str, float], dict[str, float]]]) -> _Limits:
    def beside(which: int, column: str) -> np.ndarray:
        told = [
            [v for k, v in one[which].items() if k in track.frame.deciding and _column_of(k) == column]
            for track, one in zip(tracks, every, strict=True)
        ]
        return np.array([min(one, default=np.inf) for one in told])

    columns = ("largest", "psi")
    return _Limits({one: beside(0, one) for one in columns}, {one: beside(1, one) for one in columns}, every)


def _column_of(measure: str) -> str:
    """The panel's name of a deciding measure."""
    return {"ks": "largest", "linf": "largest"}.get(measure, measure)
