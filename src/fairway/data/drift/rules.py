"""What a schema says of drift (`x-fairway.drift`), and what holds where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
    default: ColumnDriftRule = field(default_factory=ColumnDriftRule)

    def of(self, column: str) -> ColumnDriftRule:
        return self.columns.get(column, self.default)


def rules_of(schema: Any) -> DriftRules:
    """Of a `TableSchema` (or None: the defaults)."""
    if schema is None:
        return DriftRules()
    stated: Mapping[str, Any] = schema.drift or {}
    alpha = stated.get("alpha", DriftRules.alpha)
    if not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise ConfigError(
            f"x-fairway.drift.alpha is {alpha!r}", hint="The chance of a false alarm in a check: above 0, below 1, like 0.01."
        )
    floors = {**FLOORS, **_numbers(stated.get("floors", {}), "floors")}
    shared = _numbers({name: value for name, value in stated.items() if name not in ("alpha", "floors", "rows")}, "")
    measure = next(iter(shared), "")
    default = ColumnDriftRule(measure=measure, threshold=shared.get(measure))
    columns = {name: _rule(schema, name, rule, default) for name, rule in schema.columns.items()}
    return DriftRules(float(alpha), floors, {name: rule for name, rule in columns.items() if rule != default}, default)


def _numbers(said: Any, below: str) -> dict[str, float]:
    at = f"x-fairway.drift.{below}" if below else "x-fairway.drift"
    if not isinstance(said, Mapping):
        raise ConfigError(f"{at} is {said!r}", hint=f"An object of {', '.join(MEASURES)} and numbers.")
    for name, value in said.items():
        if name not in MEASURES or not isinstance(value, int | float):
            raise ConfigError(f"{at} says {name!r}: {value!r}", hint=f"Measures are {', '.join(MEASURES)}; their values are numbers.")
    return {str(name): float(value) for name, value in said.items()}


def _rule(schema: Any, name: str, column: Any, default: ColumnDriftRule) -> ColumnDriftRule:
    severity = schema.severity_of("drift", name, "error")
    said = column.drift
    if severity == "ignore" or (said is not None and said.is_off):
        return ColumnDriftRule(watched=False)
    if said is None:
        return replace(default, severity=severity)
    if said.measure and said.measure not in MEASURES:
        hint = f"Measures are {', '.join(MEASURES)}; the others are told beside them."
        raise ConfigError(f"column {name!r}: x-fairway.drift.measure is {said.measure!r}", hint=hint)
    return ColumnDriftRule(True, said.measure or ("psi" if said.threshold is not None else ""), said.threshold, severity)
