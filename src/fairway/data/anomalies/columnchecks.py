"""The checks of one column's values; numpy only, no Python per value but for texts that were not met before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import pairwise
from threading import Lock
from typing import Any, Literal

import numpy as np

from fairway.data.anomalies.encoding import damaged, is_sound
from fairway.data.anomalies.textchecks import IMAGE_STARTS, TextCheck, is_format, matches
from fairway.data.batch import Values, values_of
from fairway.data.schema.model import ColumnRule

EXAMPLES = 5
MOST_CATEGORIES = 1_000
_FEW = 12
_FITTING: dict[str, frozenset[str]] = {
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "float", "decimal"}),
    "boolean": frozenset({"boolean"}),
    "string": frozenset({"string", "binary", "timestamp", "date", "time", "duration"}),
    "array": frozenset({"list"}),
    "object": frozenset({"string"}),
}
_TIMES = {"date-time": "timestamp", "date": "date", "time": "time", "duration": "duration"}
Misfit = Literal["", "fraction", "text", "number", "nesting", "type"]


@dataclass(slots=True)
class Tally:
    """How often something was wrong, and where first. `seen`: how often each wrong value came, while they are few. `far`: how many numbers
    were further beyond a range than it is wide."""

    count: int = 0
    first: list[tuple[int, Any]] = field(default_factory=list[tuple[int, Any]])
    low: float | None = None
    high: float | None = None
    seen: dict[Any, int] | None = None
    far: int = 0

    def note(self, bad: np.ndarray, values: Values, first_row: int, rows: np.ndarray | None = None) -> None:
        """Count a mask's True; `rows`: the row of each value where values are elements of lists."""
        places = np.flatnonzero(bad)
        self.count += len(places)
        if len(self.first) < EXAMPLES or first_row < self.first[-1][0]:
            some = places[:EXAMPLES]
            numbers = (some if rows is None else rows[some]) + first_row
            self.first = sorted([*self.first, *zip(numbers.tolist(), values.values(some), strict=True)], key=lambda one: one[0])[:EXAMPLES]

    def reach(self, wrong: np.ndarray, near: tuple[float, float]) -> None:
        """The least and the greatest of some wrong numbers (NaN left out), and how many are not even `near`."""
        wrong = wrong[~np.isnan(wrong)] if wrong.dtype.kind == "f" else wrong
        if len(wrong):
            low, high = wrong.min().item(), wrong.max().item()
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)
            if low < near[0] or high > near[1]:
                self.far += int(np.count_nonzero((wrong < near[0]) | (wrong > near[1])))

    def name(self, bad: np.ndarray, values: Values) -> None:
        """Remember which values were wrong; None once they are more than MOST_CATEGORIES."""
        if self.count and self.seen is None:
            return
        self.seen = {} if self.seen is None else self.seen
        places = np.flatnonzero(bad)
        distinct, index, counts = np.unique(values.hashes()[places], return_index=True, return_counts=True)
        if len(distinct) + len(self.seen) > 2 * MOST_CATEGORIES:
            self.seen = None
            return
        for value, count in zip(values.values(places[index]), counts.tolist(), strict=True):
            named = str(value) if isinstance(value, bytes | list) else value
            self.seen[named] = self.seen.get(named, 0) + count
        if len(self.seen) > MOST_CATEGORIES:
            self.seen = None


class ColumnChecks:
    """The checks that one column's rule asks for. Counts by anomaly kind in `tallies`; `rows`, `nulls`; `misfits`: what the type was."""

    def __init__(self, rule: ColumnRule) -> None:
        self.rule = rule
        self.rows = self.nulls = self.nans = 0
        self.kinds: dict[str, int] = {}
        """Rows that came as each kind of column."""
        self.tallies: dict[str, Tally] = {}
        self.misfit: Misfit = ""
        self.ends: list[tuple[int, Any, Any]] = []
        self.items = (
            ColumnChecks(replace(rule.items, name=rule.name)) if rule.items is not None and rule.types in ((), ("array",)) else None
        )
        self._choices = Choices(rule.choices) if rule.choices else None
        self._texts = list(_text_checks(rule))
        self._damage = TextCheck("", is_sound)
        self._contains = Choices(_contained(rule)) if _contained(rule) else None
        self._near = _near(rule)
        self._lock = Lock()

    def again(self) -> ColumnChecks:
        """For other rows: what the rule was compiled to and what is known of texts is shared, nothing is counted yet."""
        made = copy(self)
        made.rows = made.nulls = made.nans = 0
        made.kinds, made.tallies, made.misfit, made.ends = {}, {}, "", []
        made.items = self.items.again() if self.items is not None else None
        made._lock = Lock()
        return made

    def add(self, values: Values, first_row: int, rows: np.ndarray | None = None) -> None:
        """Checks a column of a batch."""
        with self._lock:
            self.rows += len(values)
            self.nulls += values.nulls
            self.kinds[values.kind] = self.kinds.get(values.kind, 0) + len(values) - values.nulls
        if values.valid is not None and not self.rule.nullable:
            self._note("nulls", ~values.valid, values, first_row, rows)
        if values.kind == "null" or not len(values):
            return
        misfit = misfit_of(self.rule, values)
        if misfit:
            self._misfit(misfit, values, first_row, rows)
        if misfit in ("", "fraction"):
            self._check(values, first_row, rows)

    def _check(self, values: Values, first_row: int, rows: np.ndarray | None) -> None:
        if values.kind in ("integer", "float", "decimal"):
            self._numbers(values, first_row, rows)
        if self._choices is not None:
            self._note("unknown-category", ~self._choices.among(values), values, first_row, rows)
        if values.offsets is not None:
            self._lengths(values, first_row, rows)
        if values.kind == "string":
            self._note("encoding-damaged", damaged(values, self._damage), values, first_row, rows)
            for check in self._texts:
                self._note(check.kind, check.wrong(values), values, first_row, rows)
        elif values.kind == "binary" and str(self.rule.schema.get("contentMediaType", "")).startswith("image/"):
            self._note("not-an-image", _no_images(values), values, first_row, rows)
        if self.rule.sorted and values.offsets is None:
            self._order(values, first_row)
        if values.child is not None and self.items is not None:
            assert values.offsets is not None
            begin, end = int(values.offsets[0]), int(values.offsets[-1])
            owners = np.repeat(np.arange(len(values)), np.diff(values.offsets))
            whole = end - begin == len(values.child)
            self.items.add(values.child if whole else _part(values.child, begin, end), first_row, owners)

    def _numbers(self, values: Values, first_row: int, rows: np.ndarray | None) -> None:
        data, rule = values.data, self.rule
        if values.kind == "float":
            nans = np.isnan(data)
            if nans.any():
                count = int(np.count_nonzero(nans if values.valid is None else nans & values.valid))
                with self._lock:
                    self.nans += count
                if not rule.nan:
                    self._note("nan", nans, values, first_row, rows)
            if not rule.nan and not np.isfinite(data[~nans]).all():
                self._note("infinity", np.isinf(data), values, first_row, rows)
                data = np.where(np.isinf(data), np.nan, data)
        for kind, limit, wrong in (
            ("too-small", rule.minimum, np.less), ("too-small", rule.exclusive_minimum, np.less_equal),
            ("too-large", rule.maximum, np.greater), ("too-large", rule.exclusive_maximum, np.greater_equal),
        ):  # fmt: skip
            if limit is not None:
                bad = wrong(data, limit)
                if bad.any():
                    self._note(kind, bad, values, first_row, rows, reach=True)
        step = rule.schema.get("multipleOf")
        if isinstance(step, int | float) and step > 0:
            off = np.abs(data / step - np.round(data / step)) > 1e-9
            self._note("not-a-multiple", off, values, first_row, rows)

    def _lengths(self, values: Values, first_row: int, rows: np.ndarray | None) -> None:
        low, high = self.rule.min_length, self.rule.max_length
        shape, is_list = self.rule.schema.get("x-fairway", {}).get("shape"), values.kind == "list"
        if low is None and high is None and not shape and self._contains is None:
            return
        lengths = values.lengths()
        if low is not None:
            self._note("list-too-short" if is_list else "text-too-short", lengths < low, values, first_row, rows, measured=lengths)
        if high is not None:
            self._note("list-too-long" if is_list else "text-too-long", lengths > high, values, first_row, rows, measured=lengths)
        if is_list and isinstance(shape, list) and len(shape) == 1 and isinstance(shape[0], int) and shape[0] > 0:
            self._note("shape-mismatch", lengths != shape[0], values, first_row, rows)
        if is_list and self._contains is not None and values.child is not None:
            self._elements(values, first_row, rows)

    def _elements(self, values: Values, first_row: int, rows: np.ndarray | None) -> None:
        assert self._contains is not None and values.child is not None and values.offsets is not None
        hits = np.zeros(len(values.child) + 1, np.int64)
        np.cumsum(self._contains.among(values.child), out=hits[1:])
        counts = hits[values.offsets[1:]] - hits[values.offsets[:-1]]
        most = self.rule.schema.get("maxContains")
        self._note("elements-too-few", counts < self.rule.schema.get("minContains", 1), values, first_row, rows)
        if most is not None:
            self._note("elements-too-many", counts > most, values, first_row, rows)

    def _order(self, values: Values, first_row: int) -> None:
        data = values.data if values.valid is None else values.data[values.valid]
        if not len(data):
            return
        wrong = data[1:] < data[:-1] if self.rule.sorted == "ascending" else data[1:] > data[:-1]
        with self._lock:
            self.ends.append((first_row, data[0].item(), data[-1].item()))
        if wrong.any():
            places = np.flatnonzero(values.valid) if values.valid is not None else np.arange(len(values))
            bad = np.zeros(len(values), bool)
            bad[places[1:][wrong]] = True
            self._note("unsorted", bad, values, first_row, None)

    def out_of_order(self) -> int:
        """Batches that begin before the one in front of them ended, in a sorted column."""
        ends = sorted(self.ends)
        falls = self.rule.sorted == "descending"
        return sum((last < first) if falls else (last > first) for (_, _, last), (_, first, _) in pairwise(ends))

    def _misfit(self, misfit: Misfit, values: Values, first_row: int, rows: np.ndarray | None) -> None:
        with self._lock:
            self.misfit = self.misfit or misfit
        if misfit == "fraction":
            with np.errstate(invalid="ignore"):
                bad = values.data != np.floor(values.data)
            self._note("integer-became-float", bad & np.isfinite(values.data), values, first_row, rows)
        elif misfit == "text":
            what = "number" if {"integer", "number"} & set(self.rule.types) else "boolean"
            self._note("became-text", TextCheck("", lambda text: is_format(what, text)).wrong(values), values, first_row, rows)
        else:
            everything = np.ones(len(values), bool)
            kind = "nesting-changed" if misfit == "nesting" else "text-became-number" if misfit == "number" else "type-changed"
            self._note(kind, everything, values, first_row, rows)

    def _note(
        self, kind: str, bad: np.ndarray, values: Values, first_row: int, rows: np.ndarray | None,
        *, reach: bool = False, measured: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        if kind != "nulls" and values.valid is not None:
            bad = bad & values.valid
        if not bad.any():
            return
        with self._lock:
            tally = self.tallies.setdefault(kind, Tally())
            if kind == "unknown-category":
                tally.name(bad, values)
            tally.note(bad, values, first_row, rows)
            if reach or measured is not None:
                tally.reach((values.data if measured is None else measured)[bad], self._near)


def _near(rule: ColumnRule) -> tuple[float, float]:
    """What is no further beyond a range of measurements than it is wide: codes, which have no quantiles, are at no distance."""
    low, high = rule.minimum, rule.maximum
    if not rule.quantiles or low is None or high is None:
        return -np.inf, np.inf
    return 2.0 * low - high, 2.0 * high - low


class Choices:
    """Some values, and which rows have one of them."""

    def __init__(self, choices: tuple[Any, ...]) -> None:
        alike = [one for one in choices if one is not None and not isinstance(one, dict)]
        self._hashes = _hashes_of(alike)
        plain = [one for one in alike if isinstance(one, int | float) and not isinstance(one, bool)]
        self._numbers = plain if len(plain) <= _FEW else None

    def among(self, values: Values) -> np.ndarray:
        """A mask: True where the value is one of the choices."""
        if values.kind in ("integer", "float", "decimal") and self._numbers is not None:
            return _any_of(values.data, self._numbers)
        hashes = values.hashes()
        if len(self._hashes) <= _FEW:
            return _any_of(hashes, list(self._hashes))
        places = np.searchsorted(self._hashes, hashes)
        places[places == len(self._hashes)] = 0
        return self._hashes[places] == hashes


def _hashes_of(choices: list[Any]) -> np.ndarray:
    """Of values of each type at once; ascending."""
    by_type: dict[type, list[Any]] = {}
    for one in choices:
        by_type.setdefault(type(one), []).append(one)
    alike = [part for kind, part in by_type.items() if kind in (str, bool, float)]
    alike += [[one] for kind, part in by_type.items() if kind not in (str, bool, float) for one in part]
    made = [values_of(part).hashes() for part in alike]
    return np.unique(np.concatenate(made)) if made else np.empty(0, np.uint64)


def _any_of(data: np.ndarray, few: list[Any]) -> np.ndarray:
    made = np.zeros(len(data), bool)
    for one in few:
        made |= data == one
    return made


def misfit_of(rule: ColumnRule, values: Values) -> Misfit:
    """How a column's type differs from its rule: "" not at all; "fraction": floats for integers; "text": text for numbers or truth values;
    "number": the other way round; "nesting": lists for single values, or single values for lists."""
    if not rule.types or values.kind == "null":
        return ""
    kind = values.kind
    if any(kind in _FITTING.get(name, ()) for name in rule.types):
        return "" if not _is_other_time(rule, kind) else "type" if rule.format in _TIMES else "number"
    if "integer" in rule.types and kind == "decimal" and values.arrow.endswith(", 0)"):
        return ""
    if "integer" in rule.types and kind in ("float", "decimal"):
        return "fraction"
    if kind == "list" or rule.types == ("array",):
        return "nesting"
    if rule.types == ("string",):
        return "number"
    return "text" if kind == "string" and {"integer", "number", "boolean"} & set(rule.types) else "type"


def _is_other_time(rule: ColumnRule, kind: str) -> bool:
    if kind not in _TIMES.values():
        return False
    return _TIMES.get(rule.format) != kind


def _text_checks(rule: ColumnRule) -> Iterator[TextCheck]:
    if rule.pattern:
        yield TextCheck("pattern-mismatch", matches(rule.pattern), rule.pattern)
    if rule.format and is_format(rule.format, "") is not None:
        name = rule.format
        yield TextCheck("format-mismatch", _formatted(name))


def _formatted(name: str) -> Callable[[str], bool]:
    return lambda text: bool(is_format(name, text))


def _contained(rule: ColumnRule) -> tuple[Any, ...]:
    said = rule.schema.get("contains")
    if not isinstance(said, dict):
        return ()
    return (said["const"],) if "const" in said else tuple(said.get("enum", ()))


def _no_images(values: Values) -> np.ndarray:
    assert values.offsets is not None
    begins = values.offsets[:-1].tolist()
    return np.fromiter((not values.data[begin : begin + 16].tobytes().startswith(IMAGE_STARTS) for begin in begins), bool, len(values))


def _part(values: Values, begin: int, end: int) -> Values:
    valid = None if values.valid is None else values.valid[begin:end]
    if values.offsets is None:
        return Values(values.kind, values.arrow, values.data[begin:end], valid)
    return Values(values.kind, values.arrow, values.data, valid, values.offsets[begin : end + 1], values.child)


__all__ = ["EXAMPLES", "MOST_CATEGORIES", "Choices", "ColumnChecks", "Tally", "misfit_of"]
