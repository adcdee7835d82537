"""Makes anomalies: severity as the schema says, examples, and the edit that would accept them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fairway.data.anomalies.columnchecks import Tally
from fairway.data.anomalies.edits import Operations, drop, find_at, put, tokens_of
from fairway.data.anomalies.kinds import Severity, severity_of
from fairway.data.anomalies.model import Anomaly, Example
from fairway.data.schema.model import ColumnRule, TableSchema

DROP = object()
"""As the new value of a keyword: away with it."""
_KEPT = ("presence", "environments", "severity", "drift", "unit")


@dataclass
class Maker:
    """Collects the anomalies of one table against one schema."""

    schema: TableSchema
    made: list[Anomaly] = field(default_factory=list[Anomaly])
    notes: list[str] = field(default_factory=list[str])
    severities: dict[str, Severity] = field(default_factory=dict[str, Severity])
    """Of kinds that are graver, or less, this time."""

    def add(
        self, kind: str, column: str, message: str,
        *, expected: str = "", found: str = "", wrong: Wrong | None = None, edit: Operations | None = None,
    ) -> None:  # fmt: skip
        """One anomaly, unless the schema ignores its kind."""
        severity = self.schema.severity_of(kind, column, self.severities.get(kind) or severity_of(kind))
        if severity == "ignore":
            return
        wrong = wrong or Wrong()
        self.made.append(
            Anomaly(kind, column, severity, message, expected, found, wrong.count, wrong.of, wrong.examples, edit=edit or None)
        )

    def has(self, kind: str, column: str) -> bool:
        return any(one.kind == kind and one.column == column for one in self.made)

    def withdraw(self, kinds: Iterable[str], column: str) -> list[Anomaly]:
        """Takes back what another anomaly of the column explains, and returns it."""
        away = [one for one in self.made if one.column == column and one.kind in kinds]
        self.made = [one for one in self.made if one not in away]
        return away

    def column_edit(self, rule: ColumnRule, changes: Mapping[tuple[str, ...], Any]) -> Operations:
        """Operations that give a column's keywords other values."""
        at = tokens_of(rule.at) if rule.at else ["properties", rule.name]
        written = find_at(self.schema.document, at)
        if isinstance(written, dict) and not any(word in written for word in ("$ref", "allOf", "anyOf", "oneOf")):
            return _operations(self.schema.document, at, changes)
        whole = copy.deepcopy({key: value for key, value in rule.schema.items() if key != "$ref"})
        for path, value in changes.items():
            _set(whole, path, value)
        return put(self.schema.document, at, whole)

    def retyped(self, rule: ColumnRule, described: dict[str, Any]) -> Operations:
        """Operations after which a column is of another type, and nothing is said of its values that does not fit it any more."""
        made = dict(described)
        if rule.nullable and isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
        if rule.description:
            made["description"] = rule.description
        kept = {word: value for word, value in rule.schema.get("x-fairway", {}).items() if word in _KEPT}
        if kept:
            made["x-fairway"] = kept
        return put(self.schema.document, tokens_of(rule.at) if rule.at else ["properties", rule.name], made)

    def said_of_rows(self, word: str) -> Any:
        """What `x-fairway` says of the rows, here or further out in the document; None where it says nothing."""
        at = tokens_of(self.schema.at)
        for depth in range(len(at), -1, -1):
            said = find_at(self.schema.document, [*at[:depth], "x-fairway", word])
            if said is not None:
                return said
        return None

    def is_said_here(self, word: str) -> bool:
        """Whether that stands at the schema of the row itself."""
        return find_at(self.schema.document, [*tokens_of(self.schema.at), "x-fairway", word]) is not None

    def table_edit(self, changes: Mapping[Any, Any]) -> Operations:
        """Operations that give keywords of the rows other values."""
        return _operations(self.schema.document, tokens_of(self.schema.at), changes)


@dataclass(frozen=True, slots=True)
class Wrong:
    """How many of how many are wrong, and some of them."""

    count: int | None = None
    of: int = 0
    examples: tuple[Example, ...] = ()

    @classmethod
    def tallied(cls, tally: Tally, of: int) -> Wrong:
        return cls(tally.count, of, tuple(Example(row, value) for row, value in tally.first))

    @property
    def share(self) -> float:
        return (self.count or 0) / self.of if self.of else 0.0


def _operations(document: Any, at: list[str], changes: Mapping[Any, Any]) -> Operations:
    """Changes below a place; those below an object that is not there yet are added with it at once."""
    made: Operations = []
    new: dict[str, dict[str, Any]] = {}
    for path, value in changes.items():
        if value is DROP:
            made += drop(document, [*at, *path])
        elif len(path) == 2 and isinstance(path[0], str) and find_at(document, [*at, path[0]]) is None:
            new.setdefault(path[0], {})[str(path[1])] = value
        else:
            made += put(document, [*at, *path], value)
    for name, whole in new.items():
        made += put(document, [*at, name], whole)
    return made


def _set(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for token in path[:-1]:
        document = document.setdefault(token, {})
    if value is DROP:
        document.pop(path[-1], None)
    else:
        document[path[-1]] = value
