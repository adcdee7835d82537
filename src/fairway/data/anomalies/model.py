"""What a validation finds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from fairway.data.anomalies.kinds import KINDS, Severity
from fairway.errors import ConfigError, DataAnomalies

if TYPE_CHECKING:
    from fairway.data.statistics import TableStatistics

VERSION = 1
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Example:
    """One value that is wrong: `row` counts from 0 in the source's rows; `line` is that of a text file, where it is known."""

    row: int
    value: Any
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that is not as the schema says. `column` "" is the table; `count` of `of` values or rows are wrong, where that can be said;
    `edit` is the JSON Patch on the schema's document that would accept it."""

    kind: str
    column: str
    severity: Severity
    message: str
    expected: str = ""
    found: str = ""
    count: int | None = None
    of: int = 0
    examples: tuple[Example, ...] = ()
    edit: list[dict[str, Any]] | None = None

    @property
    def rank(self) -> tuple[int, int, float]:
        """What is worse comes first: errors, then the order of the kinds, then how much is concerned."""
        share = self.count / self.of if self.count is not None and self.of else 1.0
        return (0 if self.severity == "error" else 1, list(KINDS).index(self.kind) if self.kind in KINDS else len(KINDS), -share)


@dataclass(frozen=True)
class Validation:
    """What was found in one table: `ok` says whether nothing of severity "error" was."""

    fairway_type: ClassVar[str] = "fairway.data.Validation"
    uri: str
    rows: int
    anomalies: tuple[Anomaly, ...] = ()
    notes: tuple[str, ...] = ()
    rejects: int = 0
    columns: int = 0
    environment: str = ""
    schema_where: str = ""
    schema_digest: str = ""
    seconds: float = 0.0
    rejected: tuple[dict[str, Any], ...] = ()
    statistics: TableStatistics | None = field(default=None, repr=False, compare=False)

    @property
    def errors(self) -> tuple[Anomaly, ...]:
        return tuple(one for one in self.anomalies if one.severity == "error")

    @property
    def warnings(self) -> tuple[Anomaly, ...]:
        return tuple(one for one in self.anomalies if one.severity == "warning")

    @property
    def ok(self) -> bool:
        return not self.errors

    def of_column(self, name: str) -> tuple[Anomaly, ...]:
        """The anomalies of one column; those of the table for ""."""
        return tuple(one for one in self.anomalies if one.column == name)

    def has(self, kind: str, column: str | None = None) -> bool:
        """Is there an anomaly of a kind (in a column)?"""
        return any(one.kind == kind and column in (None, one.column) for one in self.anomalies)

    def summary(self) -> str:
        """One line: what is wrong, where."""
        if not self.anomalies:
            return f"{self.rows:,} rows keep to the schema"
        parts = [_counted(len(self.errors), "error")] if self.errors else []
        parts += [_counted(len(self.warnings), "warning")] if self.warnings else []
        named = list(dict.fromkeys(f"`{one.column}`" if one.column else "the table" for one in self.anomalies))
        more = f" and {len(named) - 5} more" if len(named) > 6 else ""
        return f"{', '.join(parts)} in {', '.join(named[:5] if more else named)}{more}"

    def raise_for_errors(self) -> None:
        """DataAnomalies, which says the columns, if there is anything of severity "error"."""
        if self.ok:
            return
        lines = [f"{self.summary()}: {self.uri or 'the data'} does not keep to {self.schema_where or 'its schema'}"]
        lines += [f"  {one.message}" for one in self.errors[:_SHOWN]]
        if len(self.errors) > _SHOWN:
            lines.append(f"  and {_counted(len(self.errors) - _SHOWN, 'more error')}")
        hint = "`fairway data validate` shows everything, with rows and with the edits to the schema that would accept it."
        raise DataAnomalies("\n".join(lines), hint=hint)

    def to_json(self) -> str:
        """Everything but the statistics, as one JSON document."""
        plain = {
            "version": VERSION, "uri": self.uri, "rows": self.rows, "columns": self.columns, "ok": self.ok, "environment": self.environment,
            "schema": self.schema_where, "schema_digest": self.schema_digest, "rejects": self.rejects, "rejected": list(self.rejected),
            "seconds": round(self.seconds, 3), "notes": list(self.notes), "anomalies": [_plain(one) for one in self.anomalies],
        }  # fmt: skip
        return json.dumps(plain, ensure_ascii=False, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Validation:
        """What `to_json` wrote; ConfigError if it is of a newer version."""
        plain = json.loads(text)
        if plain.get("version", 0) > VERSION:
            raise ConfigError("the validation was written by a newer version of Fairway", hint="Upgrade this one.")
        return cls(
            uri=plain["uri"], rows=plain["rows"], columns=plain["columns"], environment=plain["environment"], schema_where=plain["schema"],
            schema_digest=plain["schema_digest"], rejects=plain["rejects"], rejected=tuple(plain["rejected"]), seconds=plain["seconds"],
            notes=tuple(plain["notes"]), anomalies=tuple(_anomaly(one) for one in plain["anomalies"]),
        )  # fmt: skip

    def html(self) -> str:
        """A page of its own with everything that was found: `return fw.HTML(validation.html())` shows it with the run."""
        from fairway.data.report import render

        return render(validation=self)

    def _repr_html_(self) -> str:
        from fairway.data.anomalies.notebook import draw

        return draw(self)


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _plain(anomaly: Anomaly) -> dict[str, Any]:
    made = asdict(anomaly)
    made["examples"] = [
        {name: plain_value(value) for name, value in one.items() if value is not None or name == "value"} for one in made["examples"]
    ]
    return made


def _anomaly(plain: Mapping[str, Any]) -> Anomaly:
    said = dict(plain)
    said["examples"] = tuple(Example(**one) for one in plain["examples"])
    return Anomaly(**said)


def plain_value(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return value[:32].hex()
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
