"""Times of a stream: how they follow each other from batch to batch."""

from __future__ import annotations

from typing import Any

from fairway.data.anomalies.cadences import FEWEST_STEPS, judge_cadence
from fairway.data.anomalies.making import Maker
from fairway.data.anomalies.model import Anomaly
from fairway.data.anomalies.times import Jumps, times_of
from fairway.data.anomalies.uniqueness import hash_key
from fairway.data.batch import Batch
from fairway.data.schema.model import CadenceRule, TableSchema
from fairway.data.statistics.cadence import Cadence


class CadenceWatch:
    """The cadences of a schema over batches that follow each other; numpy only, memory of the groups' last times.

    Each `add` says what is wrong with the times since the last answer, steps across batches included. What needs more than a few steps (a
    period) is answered once there are at least `steps` of them.
    """

    def __init__(self, schema: TableSchema, *, steps: int = 2 * FEWEST_STEPS) -> None:
        self.schema = schema
        self.found: dict[str, Cadence] = {}
        """What came since the last answer, by column: the period, jitter, gaps now."""
        self._open = [_Open(rule) for rule in schema.cadences]
        self._steps = steps

    def add(self, batch: Batch) -> list[Anomaly]:
        """The anomalies of the times that came, the worst first."""
        maker = Maker(self.schema)
        for one in self._open:
            if one.add(batch):
                self.found[one.rule.column] = one.cadence
                if one.steps >= self._steps:
                    judge_cadence(maker, one.rule, one.cadence, one.jumps)
                    one.begin()
        return sorted(maker.made, key=lambda one: one.rank)

    def state(self) -> list[Any]:
        """What a restarted process needs to go on: JSON."""
        return [one.state() for one in self._open]

    def restore(self, state: list[Any]) -> None:
        """Goes on where `state()` of the same schema was taken."""
        for one, told in zip(self._open, state, strict=True):
            one.restore(told)


class _Open:
    """What came of one cadence since the last answer."""

    def __init__(self, rule: CadenceRule) -> None:
        self.rule = rule
        self.cadence = Cadence(rule.column, "", rule.by)
        self.jumps = Jumps(rule.column) if not rule.by else None

    @property
    def steps(self) -> int:
        return self.cadence.differences + self.cadence.duplicates + self.cadence.backwards

    def begin(self) -> None:
        """Forget all but the last times."""
        before = self.cadence
        self.cadence = Cadence(before.column, before.arrow, before.by)
        self.cadence.ends = before.ends
        if self.jumps is not None:
            self.jumps = self.jumps.following()

    def state(self) -> Any:
        """Of an answer that is just given, next to nothing: the last times."""
        jumps = self.jumps.state() if self.jumps is not None else None
        if self.cadence.rows:
            return {"whole": self.cadence.to_record(), "jumps": jumps}
        ends = [[str(key), one.label, one.first, one.last, one.first_row, one.rows] for key, one in self.cadence.ends.items()]
        return {"arrow": self.cadence.arrow, "ends": ends, "jumps": jumps}

    def restore(self, told: Any) -> None:
        if "whole" in told:
            self.cadence = Cadence.from_record(told["whole"])
        else:
            record = Cadence(self.rule.column, told["arrow"], self.rule.by).to_record()
            self.cadence = Cadence.from_record({**record, "ends": told["ends"]})
        if self.jumps is not None:
            self.jumps.restore(told["jumps"])

    def add(self, batch: Batch) -> bool:
        if self.rule.column not in batch.columns or not all(name in batch.columns for name in self.rule.by):
            return False
        times = times_of(batch.columns[self.rule.column])
        if times is None:
            return False
        self.cadence.arrow = times.arrow
        by = self.rule.by
        keys = hash_key(batch, by) if by else None
        self.cadence.add(times, batch.first_row, keys, lambda row: ", ".join(str(batch.columns[name].value(row)) for name in by))
        if self.jumps is not None:
            self.jumps.add(times, batch.first_row)
        return True
