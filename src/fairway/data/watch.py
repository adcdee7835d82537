"""Windows of a stream held to a schema and a baseline: alarms that are raised once, and cleared when it is over."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from fairway.data.anomalies.cadences import FEWEST_STEPS
from fairway.data.anomalies.model import Anomaly
from fairway.data.anomalies.streamtimes import CadenceWatch
from fairway.data.anomalies.validating import BatchChecks
from fairway.data.batch import Kind
from fairway.data.drift.monitor import Alarm, Monitor
from fairway.data.spelling import spell_seconds
from fairway.data.streams.stream import Window

if TYPE_CHECKING:
    from fairway.data.schema.model import TableSchema

_TIME_KINDS = frozenset(
    {"cadence-changed", "cadence-irregular", "time-gap", "time-repeated", "time-unordered", "clock-shifted", "zone-shifted"}
)
_TEXTS: dict[str, Kind] = {"date-time": "timestamp", "date": "date"}
_STEPS = 2 * FEWEST_STEPS


@dataclass
class _Raised:
    """An alarm that has not cleared; `calm`: for how many windows in a row it was not so."""

    alarm: Alarm
    calm: int = 0


class Watch:
    """Adds windows, gives alarms. An anomaly raises its alarm at once, which is cleared after `clear_after` windows in a row without it;
    what times tell is judged once enough of them have come. `silence_s`: after how long without a row a stream is silent; by default what
    the schema's cadences allow, None where it has none."""

    def __init__(
        self,
        schema: TableSchema | None,
        monitor: Monitor | None = None,
        *,
        clear_after: int = 3,
        silence_s: float | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.schema, self.monitor = schema, monitor
        self.clear_after = clear_after
        self.silence_s = find_silence(schema) if silence_s is None else silence_s
        self.rows = self.windows = self.raised = 0
        self._clock = clock
        self._checks = BatchChecks(schema) if schema is not None else None
        self._cadences = CadenceWatch(schema, steps=_STEPS) if schema is not None and schema.cadences else None
        self._open: dict[tuple[str, str], _Raised] = {}
        self._drifted: dict[str, Alarm] = {}
        self._steps = 0
        self._suspect: set[str] = set()
        self._last_row_s: float | None = None

    @property
    def active(self) -> list[Alarm]:
        """What is wrong now, the worst and then the oldest first."""
        alarms = [one.alarm for one in self._open.values()] + list(self._drifted.values())
        return sorted(alarms, key=lambda one: (one.severity != "error", one.at))

    def add(self, window: Window, rejected: int = 0) -> list[Alarm]:
        """The alarms that a window raises and clears; `rejected`: how many of its records were none."""
        self.windows += 1
        self.rows += window.batch.rows
        at = self._clock()
        found = self._silence(window)
        judged: set[str] = {"time-gap"} if window.batch.rows and self._cadences is None else set()
        if rejected:
            found.append(_rejected(rejected, window.records))
        if window.records:
            judged.add("rows-rejected")
        alarms: list[Alarm] = []
        if window.batch.rows:
            judged |= self._judge(window, found)
            if self.monitor is not None:
                alarms = self._drift(self.monitor.add(window.batch, at))
        place = window.offsets["first"] if window.offsets else f"{window.end_s:.0f}"
        alarms += self._step(found, judged, at, place)
        self.raised += sum(one.state == "raised" for one in alarms)
        return alarms

    def state(self) -> dict[str, Any]:
        """What a restarted process needs to go on: JSON."""
        return {
            "rows": self.rows,
            "windows": self.windows,
            "raised": self.raised,
            "open": [[one.alarm.to_json(), one.calm] for one in self._open.values()],
            "drifted": [one.to_json() for one in self._drifted.values()],
            "monitor": self.monitor.state() if self.monitor is not None else None,
            "cadences": self._cadences.state() if self._cadences is not None else None,
            "steps": self._steps,
            "suspect": sorted(self._suspect),
            "last_row_s": self._last_row_s,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where `state()` was taken; ConfigError if that was against another baseline."""
        if self.monitor is not None and state["monitor"] is not None:
            self.monitor.restore(state["monitor"])
        self.rows, self.windows, self.raised = (int(state[name]) for name in ("rows", "windows", "raised"))
        found = [(Alarm.from_json(alarm), int(calm)) for alarm, calm in state["open"]]
        self._open = {(alarm.kind, alarm.column): _Raised(alarm, calm) for alarm, calm in found}
        self._drifted = {one.id: one for one in map(Alarm.from_json, state["drifted"])}
        if self._cadences is not None and state.get("cadences"):
            self._cadences.restore(state["cadences"])
            self._steps = int(state["steps"])
        self._suspect = set(state.get("suspect", ()))
        self._last_row_s = state.get("last_row_s")

    def _judge(self, window: Window, found: list[Anomaly]) -> set[str]:
        """Adds what the rows tell to `found`; the kinds that could have been found ("*": all but those of times)."""
        judged: set[str] = set()
        if self._checks is not None:
            found += [one for one in self._checks.check(window.batch) if one.kind not in _TIME_KINDS]
            judged.add("*")
        if self._cadences is not None:
            found += self._cadences.add(window.batch)
            self._steps += window.batch.rows
            if self._steps >= _STEPS:
                self._steps = 0
                judged |= _TIME_KINDS
        return judged

    def _silence(self, window: Window) -> list[Anomaly]:
        before = window.begin_s if self._last_row_s is None else self._last_row_s
        if window.batch.rows or self._last_row_s is None:
            self._last_row_s = window.end_s if window.batch.rows else window.begin_s
        silent_s = window.end_s - before
        if window.batch.rows or self.silence_s is None or silent_s < self.silence_s:
            return []
        rule = self.schema.cadences[0] if self.schema is not None and self.schema.cadences else None
        due = f"; a row is due every {spell_seconds(rule.period_s)}" if rule is not None and rule.period_s else ""
        column = rule.column if rule is not None else ""
        message = f"The stream is silent: nothing has come for {spell_seconds(round(silent_s))}{due}"
        expected = f"never more than {spell_seconds(self.silence_s)} without a row"
        return [Anomaly("time-gap", column, "error", message, expected, f"silent for {spell_seconds(round(silent_s))}")]

    def _step(self, found: list[Anomaly], judged: set[str], at: dt.datetime, place: Any) -> list[Alarm]:
        now: dict[tuple[str, str], Anomaly] = {}
        found = self._without_beginnings(found, judged)
        for one in found:
            if one.severity != "ignore":
                now.setdefault((one.kind, one.column), one)
        for kind, column in list(now):
            if kind == "zone-shifted":  # a clock that jumps ahead leaves a gap, which is told already
                now.pop(("time-gap", column), None)
        alarms: list[Alarm] = []
        for key, anomaly in now.items():
            if key in self._open:
                self._open[key].calm = 0
                continue
            alarm = _alarm(anomaly, at, place)
            self._open[key] = _Raised(alarm)
            alarms.append(alarm)
        for key, raised in list(self._open.items()):
            could_be_found = key[0] in judged or ("*" in judged and key[0] not in _TIME_KINDS and key[0] != "rows-rejected")
            if key in now or not could_be_found:
                continue
            raised.calm += 1
            if raised.calm >= self.clear_after:
                del self._open[key]
                alarms.append(replace(raised.alarm, at=at, state="cleared"))
        return alarms

    def _without_beginnings(self, found: list[Anomaly], judged: set[str]) -> list[Anomaly]:
        """A period that changes in the middle of a window makes that window irregular. Whether it is the beginning of another period, the
        next judgement tells: until then nothing is said of it."""
        irregular = {one.column for one in found if one.kind == "cadence-irregular"}
        if "cadence-irregular" not in judged:
            return [one for one in found if one.kind != "cadence-irregular"]
        new = irregular - self._suspect - {column for kind, column in self._open if kind == "cadence-irregular"}
        self._suspect = irregular
        return [one for one in found if one.kind != "cadence-irregular" or one.column not in new]

    def _drift(self, alarms: list[Alarm]) -> list[Alarm]:
        for one in alarms:
            if one.state == "raised":
                self._drifted[one.id] = one
            else:
                self._drifted.pop(one.id, None)
        return alarms


def find_silence(schema: TableSchema | None) -> float | None:
    """After how long without a row a stream with this schema's cadences is silent; None if they do not tell."""
    told = [rule.max_gap_s or (rule.period_s or 0.0) * 10 for rule in (schema.cadences if schema is not None else ())]
    return min((one for one in told if one > 0), default=None)


def kinds_of(schema: TableSchema | None) -> dict[str, Kind]:
    """What kinds of columns a schema says, where it says one; for `follow(fields=…)`."""
    made: dict[str, Kind] = {}
    for name, rule in (schema.columns if schema is not None else {}).items():
        types = set(rule.types)
        if types and types <= {"number", "integer"}:
            made[name] = "float" if "number" in types else "integer"
        elif rule.types == ("string",):
            made[name] = _TEXTS.get(rule.format, "string")
        elif rule.types in (("boolean",), ("array",)):
            made[name] = "boolean" if rule.types == ("boolean",) else "list"
    return made


def _alarm(anomaly: Anomaly, at: dt.datetime, place: Any) -> Alarm:
    state: Literal["raised", "cleared"] = "raised"
    identifier = f"{anomaly.kind}:{anomaly.column}:{place}"
    return Alarm(identifier, at, anomaly.kind, anomaly.column, anomaly.severity, anomaly.message, float(anomaly.count or 0), 0.0, state)


def _rejected(count: int, of: int) -> Anomaly:
    message = f"{count:,} of {of:,} records could not be read"
    return Anomaly("rows-rejected", "", "warning", message, "records that can be read", f"{count:,} that cannot", count, of)
