"""What a schema says of drift (`x-fairway.drift`), and what holds where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairway.errors import ConfigError

MEASURES = ("psi", "ks", "js", "linf")
"""What may decide; `wasserstein` and `chi2` are told beside them."""

FLOORS = {"psi": 0.004, "ks": 0.02, "js": 0.001, "linf": 0.01}


@dataclass(frozen=True)
class ColumnDriftRule:
    """One column's `x-fairway.drift`."""

    watched: bool = True
    measure: str = ""
    threshold: float | None = None
    severity: str = "error"


@dataclass(frozen=True)
class DriftRules:
    """`alpha`: the chance that a whole check of unchanged data alarms. `floors`: the least value of each measure that counts as drift
    however many rows prove it."""

    alpha: float = 0.008
    floors: Mapping[str, float] = field(default_factory=lambda: dict(FLOORS))
    columns: Mapping[str, ColumnDriftRule] = field(default_factory=dict[str, ColumnDriftRule])

    def of(self, column: str) -> ColumnDriftRule:
        return self.columns.get(column, _DEFAULT)


_DEFAULT = ColumnDriftRule()


def rules_of(schema: Any) -> DriftRules:
    """Of a `TableSchema` (or None: the defaults)."""
    if schema is None:
        return DriftRules()
    stated = _stated(schema.document)
    floors = dict(FLOORS)
    for name, value in dict(stated.get("floors", {})).items():
        if name not in MEASURES:
            raise ConfigError(f"x-fairway.drift.floors names {name!r}", hint=f"Measures with floors: {', '.join(MEASURES)}.")
        floors[name] = float(value)
    columns = {name: _rule(name, rule) for name, rule in schema.columns.items()}
    return DriftRules(float(stated.get("alpha", 0.008)), floors, {name: rule for name, rule in columns.items() if rule != _DEFAULT})


def _stated(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row object's `x-fairway.drift`, wherever the row object is."""
    for place in (document, document.get("items", {})):
        found = place.get("x-fairway", {}).get("drift") if isinstance(place, Mapping) else None
        if isinstance(found, Mapping):
            return found
    return {}


def _rule(name: str, column: Any) -> ColumnDriftRule:
    said = getattr(column, "drift", None)
    severity = dict(getattr(column, "severity", {}) or {}).get("drift", "error")
    if said is False or severity == "ignore":
        return ColumnDriftRule(watched=False)
    if not isinstance(said, Mapping):
        return ColumnDriftRule(severity=severity)
    measure = str(said.get("measure", ""))
    if measure and measure not in MEASURES:
        raise ConfigError(f"column {name!r}: x-fairway.drift.measure is {measure!r}", hint=f"Measures: {', '.join(MEASURES)}.")
    threshold = said.get("threshold")
    return ColumnDriftRule(True, measure, None if threshold is None else float(threshold), severity)
