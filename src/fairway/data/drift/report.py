"""What a comparison found: columns, rows as a whole, slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fairway.data.drift.words import against
from fairway.errors import ConfigError


@dataclass(frozen=True)
class Bins:
    """A facet's shares, before and after, for a small histogram: null first, then values or (edges[i], edges[i + 1]]."""

    reference: tuple[float, ...]
    current: tuple[float, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class ColumnDrift:
    """One facet of one column. `measures`: psi, js, linf, chi2, and for numbers ks, wasserstein (in the column's unit) and
    wasserstein_spread (in the baseline's standard deviations). `deciding` is the measure nearest to (or farthest over) its threshold;
    `chance` the probability of such a value without drift, before other columns are allowed for."""

    column: str
    facet: str
    kind: str
    measures: dict[str, float]
    deciding: str
    value: float
    threshold: float
    chance: float
    drifted: bool
    severity: str
    note: str
    bins: Bins

    @property
    def key(self) -> str:
        return f"{self.column}:{self.facet}" if self.facet else self.column

    @property
    def sentence(self) -> str:
        return f"{self.note}; {against(self.deciding, self.value, self.threshold)}"


@dataclass(frozen=True)
class MultivariateDrift:
    """How well a classifier tells current rows from the reference's. `auc`: 0.5 not at all, 1 always; `moved`: the columns by which it
    does, with how much AUC is lost without each."""

    auc: float
    threshold: float
    chance: float
    drifted: bool
    moved: tuple[tuple[str, float], ...]
    rows: int
    method: str


@dataclass(frozen=True)
class DriftReport:
    """Of one comparison; `slices` by name."""

    fairway_type: ClassVar[str] = "fairway.data.DriftReport"
    reference: str
    current: str
    reference_rows: int
    current_rows: int
    columns: tuple[ColumnDrift, ...]
    multivariate: MultivariateDrift | None = None
    slices: dict[str, DriftReport] = field(default_factory=dict[str, "DriftReport"])
    notes: tuple[str, ...] = ()
    alpha: float = 0.0

    def __repr__(self) -> str:
        moved, all_of_them = (len({one.column for one in some}) for some in (self.drifted, self.columns))
        return f"<DriftReport of {self.current} against {self.reference}: {moved} of {all_of_them} columns moved>"

    @property
    def drifted(self) -> list[ColumnDrift]:
        """What moved, the farthest over its threshold first."""
        return sorted((one for one in self.columns if one.drifted), key=lambda one: -one.value / max(one.threshold, 1e-12))

    @property
    def ok(self) -> bool:
        """Whether nothing moved but what the schema calls a warning."""
        joint = self.multivariate is not None and self.multivariate.drifted
        return not joint and not any(one.severity == "error" for one in self.drifted) and all(one.ok for one in self.slices.values())

    def __bool__(self) -> bool:
        raise TypeError("ask a drift report for `ok`, or for `drifted`")

    def sentences(self) -> Iterator[str]:
        """What moved and how, in plain words, the worst first."""
        for one in self.drifted:
            yield one.sentence
        joint = self.multivariate
        if joint is not None and joint.drifted:
            by = ", ".join(f"`{name}`" for name, _ in joint.moved[:4])
            together = " together" if len(joint.moved) > 1 else ""
            told = f"rows as a whole can be told apart{f', by {by}{together}' if by else ''}"
            yield f"{told}: AUC {joint.auc:.3f} (threshold {joint.threshold:.3f})"
        for name, report in self.slices.items():
            for sentence in report.sentences():
                yield f"where {name}: {sentence}"

    def to_json(self) -> dict[str, Any]:
        joint = self.multivariate
        return {
            "fairway": "drift",
            "version": 1,
            "ok": self.ok,
            "reference": {"uri": self.reference, "rows": self.reference_rows},
            "current": {"uri": self.current, "rows": self.current_rows},
            "alpha": self.alpha,
            "columns": [{**vars(one), "bins": vars(one.bins)} for one in self.columns],
            "multivariate": None if joint is None else dict(vars(joint)),
            "slices": {name: report.to_json() for name, report in self.slices.items()},
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DriftReport:
        """What `to_json` gave. Raises ConfigError for anything else."""
        try:
            before, after, joint = data["reference"], data["current"], data["multivariate"]
            return cls(
                reference=str(before["uri"]),
                current=str(after["uri"]),
                reference_rows=int(before["rows"]),
                current_rows=int(after["rows"]),
                columns=tuple(_column(one) for one in data["columns"]),
                multivariate=None if joint is None else _joint(joint),
                slices={name: cls.from_json(report) for name, report in data["slices"].items()},
                notes=tuple(map(str, data["notes"])),
                alpha=float(data["alpha"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ConfigError(f"this is no report of drift, or damaged: {str(error)[:300]}", hint="Compare again.") from error

    def html(self) -> str:
        """A page of its own with everything that was compared: `return fw.HTML(report.html())` shows it with the run."""
        from fairway.data.report import render

        return render(drift=self)

    def _repr_html_(self) -> str:
        from html import escape

        said = list(self.sentences())
        if not said:
            return f"<p>No drift: {len({one.column for one in self.columns})} columns, {self.current_rows:,} rows.</p>"
        return "<ul>" + "".join(f"<li>{escape(one.replace('`', ''))}</li>" for one in said) + "</ul>"


def _column(data: dict[str, Any]) -> ColumnDrift:
    bins: Any = Bins(*(tuple(data["bins"][side]) for side in ("reference", "current", "labels")))
    return ColumnDrift(**{**data, "bins": bins})


def _joint(data: dict[str, Any]) -> MultivariateDrift:
    moved: Any = tuple((name, lost) for name, lost in data["moved"])
    return MultivariateDrift(**{**data, "moved": moved})
