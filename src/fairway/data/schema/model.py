"""What a `schema.json` says of a table: one rule a column, and what holds for the rows together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

TRAINING, SERVING = "training", "serving"
ENVIRONMENTS = (TRAINING, SERVING)
"""Where a column may be missing from; a schema may name more."""

Severity = Literal["error", "warning", "ignore"]
Order = Literal["", "ascending", "descending"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """From `minimum` to `maximum`, both allowed; None: no limit."""

    minimum: float | None = None
    maximum: float | None = None

    def holds(self, value: float) -> bool:
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)


@dataclass(frozen=True, slots=True)
class DriftRule:
    """How a column's distribution is watched. `is_off`: it is not."""

    measure: str = ""
    threshold: float | None = None
    is_off: bool = False


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one column is held to.

    `types` are JSON Schema's without "null" (empty: any; "number" takes whole numbers too). Times are "string" with `format` "date-time",
    "date" or "time", whatever the source's own type. `choices` are `enum`, `const` or x-fairway's `known`, without null.
    `schema` is the property as it is written, with references resolved. A rule says nothing of what has its default here.
    """

    name: str
    types: tuple[str, ...] = ()
    nullable: bool = False
    required: bool = True
    """False: the column may be left out."""
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    choices: tuple[Any, ...] = ()
    pattern: str = ""
    min_length: int | None = None
    max_length: int | None = None
    """Of the text, or of the list where `types` is ("array",)."""
    format: str = ""
    items: ColumnRule | None = None
    """What a list's elements are held to."""
    description: str = ""
    presence: float = 0.0
    """The least share of rows with a value: 1.0 where null is not among the types."""
    mass: float = 1.0
    """The least share of a table's values that are within `choices`, the range, the lengths, the pattern: see `tolerates`."""
    unique: bool = False
    unit: str = ""
    sorted: Order = ""
    distinct: Bounds | None = None
    """How many different values there may be."""
    mean: Bounds | None = None
    std: Bounds | None = None
    zeros: float = 1.0
    """The largest share of values that are 0."""
    nan: bool = False
    """NaN is a value like others; where False, it is none."""
    damaged: float = 0.0
    """The largest share of texts with damaged characters (U+FFFD, UTF-8 read as Latin-1, controls)."""
    quantiles: tuple[float, ...] = ()
    """The values at QUANTILES of what the schema was inferred from: a change of scale shows."""
    environments: tuple[str, ...] = ()
    """Where the column is; empty: everywhere."""
    drift: DriftRule | None = None
    severity: dict[str, Severity] = field(default_factory=dict[str, Severity])
    """By anomaly kind, where it is not that kind's own."""
    schema: dict[str, Any] = field(default_factory=dict[str, Any])
    at: str = ""
    """The JSON pointer of the property in the schema's document."""

    def tolerates(self, wrong: int, of: int) -> bool:
        """So many of so many values outside are no anomaly: `mass` allows their share, or is below 1 and they are two at most."""
        return self.mass < 1 and (wrong <= 2 or wrong <= (1 - self.mass) * of)


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The probabilities of `ColumnRule.quantiles`."""


@dataclass(frozen=True, slots=True)
class CadenceRule:
    """How the times in `column` follow each other, in the rows as they come (in each group of `by`). None, "" and (): not looked at."""

    column: str
    by: tuple[str, ...] = ()
    period_s: float | None = None
    tolerance: float = 0.1
    """How far from the period a step may be, as a share of the period; more than `regular` of the steps are that near."""
    regular: float = 0.5
    jitter_s: float | None = None
    """The largest median deviation of the steps from their median."""
    max_gap_s: float | None = None
    duplicates: float | None = None
    """The largest share of rows with the same time as another (of its group)."""
    order: Order = ""
    zone: str = ""
    """The time zone ("UTC", "Europe/Oslo" …); "local": times that name none."""
    phase_s: float | None = None
    """Where within the period the ticks are (since 1970, UTC)."""
    hours: tuple[float, ...] = ()
    """The share of rows in each hour of the day, 24 of them."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the rows that are looked at by themselves: each value of `by`, or those where the SQL condition `where` holds."""

    name: str
    by: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A parsed schema of rows. `document` is what was parsed; `where` names it in messages."""

    document: dict[str, Any]
    columns: dict[str, ColumnRule]
    label: str = ""
    keys: tuple[tuple[str, ...], ...] = ()
    cadences: tuple[CadenceRule, ...] = ()
    freshness_s: float | None = None
    """How old the newest time may be (of the first cadence's column, else of the newest of all times)."""
    slices: tuple[Slice, ...] = ()
    environments: tuple[str, ...] = ENVIRONMENTS
    environment: str = ""
    """The one that `for_environment` was asked for."""
    rows: Bounds = field(default_factory=Bounds)
    duplicates: float | None = None
    """The largest share of rows that repeat another one; None: not looked at."""
    allows_more: bool = False
    """Columns that are not named are let through (`additionalProperties`)."""
    drift: dict[str, Any] = field(default_factory=dict[str, Any])
    severity: dict[str, Severity] = field(default_factory=dict[str, Severity])
    baseline: str = ""
    """The file of statistics beside the schema, if it names one."""
    version: int = 0
    """0: not frozen."""
    is_changed: bool = False
    """It was edited after it was frozen."""
    at: str = ""
    """The JSON pointer of the schema of a row in `document`; `properties`, `required` and `x-fairway` are below it."""
    where: str = "schema.json"

    def for_environment(self, name: str) -> TableSchema:
        """The schema as it is in `name`: without the columns that are not there, nor what is said by means of them."""
        from fairway.data.schema.environment import in_environment

        return in_environment(self, name)

    def severity_of(self, kind: str, column: str, default: Severity) -> Severity:
        """What the schema says of an anomaly of this kind in this column ("": the table)."""
        rule = self.columns.get(column)
        own = rule.severity.get(kind) if rule is not None else None
        return own or self.severity.get(kind) or default
