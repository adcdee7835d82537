"""`fw.drift`: how far current data are from a reference, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from fairway.data.drift import measures
from fairway.data.drift.baseline import Baseline, Track, notes_of_cycles, opened, tracks_of, with_dependence
from fairway.data.drift.cycle import time_of
from fairway.data.drift.facets import Rows, read_facet
from fairway.data.drift.frames import Frame, count_counts, count_numbers
from fairway.data.drift.readings import Counts
from fairway.data.drift.report import Bins, ColumnDrift, DriftReport, MultivariateDrift
from fairway.data.drift.rules import DriftRules, rules_of
from fairway.data.drift.words import TOLD_QUANTILES, told
from fairway.data.spelling import spell_figure

_HEAD_ROWS = 200_000
_JOINT = 0.25
_UNORDERED = "statistics do not tell the order of rows: they are taken as independent of each other; compare tables to have that measured"


def compare(
    reference: Any,
    current: Any,
    *,
    schema: Any = None,
    columns: Sequence[str] | None = None,
    by: Sequence[str] = (),
    multivariate: bool | Literal["boosting"] = True,
    share: float = 1.0,
) -> DriftReport:
    """Compares two tables, statistics, batches (each may be another kind), or what `fw.read` reads; `reference` may be a `Baseline`.

    The whole comparison alarms on unchanged data with a chance below the schema's `alpha` (0.8 %, of which `share`), spread over its
    columns by Holm's method. `by`: the same for each value of these columns, which needs tables or batches (their rows are split).
    `multivariate`: whether rows as a whole are told apart too, by a quadratic discriminant or by scikit-learn's gradient boosting.
    A reference that is a table shows in its first 200,000 rows whether they depend on each other; thresholds allow for that.
    """
    rules = rules_of(schema)
    alpha = rules.alpha * share * (0.5 if by else 1.0)  # the other half is for the slices
    now, current_data, _ = opened(current)
    if isinstance(reference, Baseline):
        tracks, notes, before, reference_data = list(reference.tracks), list(reference.notes), None, None
        uri, rows = reference.uri, reference.rows
    else:
        before, reference_data, batches = opened(reference)
        uri, rows = _uri(reference, reference_data), before.rows
        names = [name for name in (columns or before.names()) if rules.of(name).watched and name in now.names()]
        tracks, notes = tracks_of(before, names, min(now.rows, before.rows))
        if batches is not None:
            tracks = with_dependence(tracks, _head(batches), min(1_000, max(before.rows // 20, 50)), time_of(before))
            notes += notes_of_cycles(tracks, time_of(before)[1])
        else:
            notes.append(_UNORDERED)
        notes += _only_in(before, now)
    wanted = [t for t in tracks if rules.of(t.facet.column).watched and t.facet.column in now.names()]
    wanted = [t for t in wanted if columns is None or t.facet.column in columns]
    found = [_measured(_at_the_same_times(track, now), now, rules) for track in wanted]
    joint_alpha = alpha * _JOINT if multivariate and reference_data is not None else 0.0
    made = _decided(found, rules, alpha - joint_alpha)
    following = {track.facet.column for track in wanted if track.dependence is not None}
    apart = [one for one in made if one.column not in following]
    joint = _jointly(reference_data, current_data, apart, joint_alpha, boosting=multivariate == "boosting") if joint_alpha else None
    report = DriftReport(uri, _uri(current, current_data), rows, now.rows, tuple(made), joint, notes=tuple(notes), alpha=alpha)
    return report if not by else _sliced(report, reference, current, schema, by)


drift = compare
"""The public name, `fw.drift`."""


def _uri(source: Any, data: Any) -> str:
    return source if isinstance(source, str) else str(getattr(source, "uri", "") or getattr(data, "uri", "") or "")


def _head(batches: Any) -> Any:
    seen = 0
    for batch in batches:
        yield batch
        seen += batch.rows
        if seen >= _HEAD_ROWS:
            return


def _only_in(before: Rows, now: Rows) -> list[str]:
    gone = [name for name in before.names() if name not in now.names()]
    come = [name for name in now.names() if name not in before.names()]
    return [f"`{name}` is only in the reference" for name in gone] + [f"`{name}` is only in the current data" for name in come]


class Measured:
    """A facet of both sides in the reference's bins, with what chance does."""

    def __init__(
        self, track: Track, counts: np.ndarray, rules: DriftRules, error: float, quantile: Callable[[float], float] | None = None
    ) -> None:
        self.track, self.counts, self.quantile = track, counts, quantile
        frame, rule = track.frame, rules.of(track.facet.column)
        self.rule = rule
        window = float(counts.sum())
        p, q = frame.shares(frame.counts), frame.shares(counts)
        self.ladders = frame.ladders(window, track.dependence, error, rule.measure)
        self.values = {name: float(frame.distances(p, q, window, name)) for name in self.ladders}
        self.deciding = (rule.measure,) if rule.measure else frame.deciding
        chances = [self.ladders[name].chance(self.values[name]) for name in self.deciding]
        self.chance = min(1.0, len(chances) * min(chances)) if window else 1.0

    def drift(self, alpha: float, floors: dict[str, float], *, may: bool) -> ColumnDrift:
        """Held to thresholds at `alpha`. `may`: whether Holm's method has come this far."""
        share = alpha / len(self.deciding)
        thresholds = {name: max(self.ladders[name].threshold(share), floors[name]) for name in self.deciding}
        if self.rule.threshold is not None:
            thresholds, may = {self.deciding[0]: self.rule.threshold}, True
        name = max(thresholds, key=lambda one: self.values[one] / max(thresholds[one], 1e-12))
        value, facet, frame = self.values[name], self.track.facet, self.track.frame
        drifted = may and value > thresholds[name] and bool(self.counts.sum())
        note = told(facet, frame, self.counts, self.quantile)
        return ColumnDrift(
            facet.column, facet.name, facet.kind, all_measures(frame, self.counts), name, value, thresholds[name], self.chance, drifted,
            self.rule.severity, note, bins_of(frame, self.counts),
        )  # fmt: skip


def _at_the_same_times(track: Track, now: Rows) -> Track:
    """Of what follows the time of the day, what it was at the times of these rows."""
    frame = track.cycle.frame(track.frame, now) if track.cycle is not None else None
    return track if frame is None or track.cycle is None else replace(track, frame=frame, dependence=track.cycle.dependence)


def _measured(track: Track, now: Rows, rules: DriftRules) -> Measured:
    facet, frame = track.facet, track.frame
    if not _readable(track, now):
        kind = now.kind(facet.column)
        place = 1 if frame.shape == "number" else len(frame.counts) - 1
        counts = np.zeros(len(frame.counts))
        counts[0 if kind == "null" else place] = now.rows
        return Measured(track, counts, rules, 0.0)
    read = read_facet(now, facet)
    if isinstance(read, Counts):
        return Measured(track, count_counts(frame.keys, read), rules, 0.0)
    known = dict(zip(TOLD_QUANTILES, read.quantile(np.array(TOLD_QUANTILES)).tolist(), strict=True))
    return Measured(track, count_numbers(frame.edges, read), rules, read.error, known.__getitem__)


def _readable(track: Track, now: Rows) -> bool:
    """Whether the current column is of a kind that the reference's facet can be taken of."""
    kind, facet = now.kind(track.facet.column), track.facet
    if facet.kind == "number":
        return kind in ("float", "integer", "decimal", "duration")
    allowed = {
        "boolean": ("boolean",), "time": ("timestamp", "date", "time"), "text": ("string", "binary"), "category": ("string",),
        "list": ("list",), "embedding": ("list",), "image": ("binary",),
    }  # fmt: skip
    return kind in allowed[facet.kind]


def _decided(found: list[Measured], rules: DriftRules, alpha: float) -> list[ColumnDrift]:
    """By Holm: the least likely facet is held to alpha over all of them, the next to alpha over all but one, until one holds."""
    floors = dict(rules.floors)
    order = sorted(range(len(found)), key=lambda place: found[place].chance)
    made: dict[int, ColumnDrift] = {}
    may = True
    for turn, place in enumerate(order):
        level = alpha / (len(found) - turn) if may else alpha / max(len(found) - turn, 1)
        may = may and found[place].chance <= level
        made[place] = found[place].drift(level, floors, may=may)
    return [made[place] for place in range(len(found))]


def all_measures(frame: Frame, counts: np.ndarray) -> dict[str, float]:
    """Every measure that the facet's shape has."""
    p, q = frame.shares(frame.counts), frame.shares(counts)
    window = float(counts.sum())
    names = ("psi", "js", "linf") if frame.shape == "category" else ("psi", "js", "ks", "linf")
    made = {name: float(frame.distances(p, q, window, name)) for name in names}
    grouped = [np.add.reduceat(one, frame.starts) for one in (frame.counts, counts)]
    made["chi2"] = measures.chi_square(*grouped).statistic
    if frame.shape == "number" and len(frame.edges) > 1 and frame.counts[2:].sum() and counts[2:].sum():
        made["wasserstein"] = _wasserstein(frame, counts)
        made["wasserstein_spread"] = made["wasserstein"] / frame.spread if frame.spread > 0 else 0.0
    return made


def _wasserstein(frame: Frame, counts: np.ndarray) -> float:
    """∫ |F - G| between the edges, of the rows with a number; where those beyond the reference's extremes are is not known."""
    difference = np.cumsum(frame.counts[2:] / frame.counts[2:].sum() - counts[2:] / counts[2:].sum())[:-1]
    steps = np.diff(frame.edges)
    if frame.atomic:
        return float((np.abs(difference)[:-1] * steps).sum())
    low, high = difference[:-1], difference[1:]
    same = low * high >= 0
    total = np.abs(low) + np.abs(high)
    crossing = (low**2 + high**2) / np.where(total > 0, 2 * total, 1.0)
    return float((np.where(same, total / 2, crossing) * steps).sum())


def bins_of(frame: Frame, counts: np.ndarray) -> Bins:
    """A dozen bins for a histogram."""
    before, after = (np.add.reduceat(frame.shares(one), frame.starts) for one in (frame.counts, counts))
    labels = ["null"]
    for place, start in enumerate(frame.starts[1:], 1):
        end = int(frame.starts[place + 1]) if place + 1 < len(frame.starts) else len(frame.counts)
        if frame.shape == "category":
            labels.append(frame.labels[start - 1] if end == start + 1 and start - 1 < len(frame.labels) else "other")
        else:
            low = spell_figure(float(frame.edges[start - 3])) if start > 2 else ""
            high = spell_figure(float(frame.edges[end - 3])) if end < len(frame.counts) else ""
            labels.append(f"above {low}" if not high else f"up to {high}" if not low else f"{low} to {high}")
    rounded = [tuple(float(f"{share:.4g}") for share in one) for one in (before, after)]
    return Bins(rounded[0], rounded[1], tuple(labels))


def _jointly(reference: Any, current: Any, found: list[ColumnDrift], alpha: float, *, boosting: bool) -> MultivariateDrift | None:
    from fairway.data.drift.classifier import told_apart
    from fairway.data.drift.samples import pair

    names = list(dict.fromkeys(one.column for one in found if one.kind in ("number", "boolean", "category")))
    before, after = pair(reference, current)
    return told_apart(before, after, names, alpha, boosting=boosting)


def _sliced(report: DriftReport, reference: Any, current: Any, schema: Any, by: Sequence[str]) -> DriftReport:
    from fairway.data.drift.slicing import split

    pairs, notes = split(reference, current, by)
    slices: dict[str, DriftReport] = {}
    names = list(dict.fromkeys(one.column for one in report.columns if one.column not in by))
    share = report.alpha / rules_of(schema).alpha / max(len(pairs), 1)
    for name, (before, after) in pairs.items():
        slices[name] = compare(before, after, schema=schema, columns=names, share=share, multivariate=False)
    return replace(report, slices=slices, notes=(*report.notes, *notes))
