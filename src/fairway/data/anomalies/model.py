"""What a validation finds."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from fairway.data.anomalies.kinds import KINDS, Severity
from fairway.data.wholefiles import parse_object, taken
from fairway.errors import ConfigError, DataAnomalies

if TYPE_CHECKING:
    from fairway.data.statistics import TableStatistics

VERSION = 1
_AGAIN = "`fairway data validate … --format json --out FILE` writes one."
_SHOWN = 3
_SEVERITIES = ("error", "warning", "ignore")


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

    def __repr__(self) -> str:
        return f"<Validation of {self.uri or 'the data'}: {self.summary()}>"

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
        first, *more = self.errors[:_SHOWN]
        lines = [f"{self.summary()}: {first.message}", *(f"  {one.message}" for one in more)]
        if len(self.errors) > _SHOWN:
            lines.append(f"  and {_counted(len(self.errors) - _SHOWN, 'more error')}")
        lines.append(f"  {self.uri or 'the data'} does not keep to {self.schema_where or 'its schema'}")
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
    def from_json(cls, text: str | bytes, *, where: str = "the validation") -> Validation:
        """What `to_json` wrote. Raises ConfigError for anything else, for what is damaged or of a newer version."""
        plain = parse_object(text, where=where, hint=_AGAIN)
        version = plain.get("version")
        if isinstance(version, int) and version > VERSION:
            raise ConfigError("this was written by a newer version of Fairway", where=where, hint="Upgrade this one.")
        try:
            texts = {name: taken(plain, name, str) for name in ("uri", "environment", "schema_digest")}
            numbers = {name: taken(plain, name, int) for name in ("rows", "columns", "rejects")}
            rejected, anomalies = (taken(plain, name, list) for name in ("rejected", "anomalies"))
            made = cls(
                **texts, **numbers, schema_where=taken(plain, "schema", str), seconds=taken(plain, "seconds", int, float),
                rejected=tuple(dict(one) for one in rejected), notes=tuple(map(str, taken(plain, "notes", list))),
                anomalies=tuple(_anomaly(one) for one in anomalies),
            )  # fmt: skip
            made.to_json()  # numbers beyond all floats were read, and cannot be written
            return made
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
            raise ConfigError(f"this is not what a validation found: {said}", where=where, hint=_AGAIN) from None

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


def _anomaly(plain: Any) -> Anomaly:
    texts = {name: taken(plain, name, str) for name in ("kind", "column", "message", "expected", "found")}
    severity, edit = taken(plain, "severity", str), taken(plain, "edit", list, type(None))
    if severity not in _SEVERITIES or any(not isinstance(one, dict) for one in edit or ()):
        raise ValueError("an anomaly's severity or edit is none")
    examples = tuple(
        Example(taken(one, "row", int), one["value"], taken({"line": None, **one}, "line", int, type(None)))
        for one in taken(plain, "examples", list)
    )
    return Anomaly(
        severity=severity, count=taken(plain, "count", int, type(None)), of=taken(plain, "of", int), examples=examples, edit=edit, **texts
    )  # fmt: skip


def plain_value(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bytes):
        return value[:32].hex()
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
