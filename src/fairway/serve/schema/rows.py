"""The careful check of rows: every fault with its row and field. It has the last word; what is faster agrees with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from fairway.data.schema.modelschema import ModelSchema
from fairway.data.schema.pointers import is_annotation, pointer
from fairway.serve.refusal import Fault
from fairway.serve.schema import careful
from fairway.serve.schema.careful import Doubled, Odd
from fairway.serve.schema.faults import MOST_FAULTS, refusal, wrong
from fairway.serve.schema.msgtypes import is_said
from fairway.serve.schema.quick import QuickRows
from fairway.serve.schema.rules import faults_of, validator_of
from fairway.serve.schema.shapes import Found, RowShapes
from fairway.serve.schema.values import ValueCheck, say

_ROW_SAID = ("type", "properties", "required", "additionalProperties")
_TABLE_SAID = ("type", "items", "minItems", "maxItems")


class RowReader:
    """Checks rows of one schema. `has_rules`, `has_table_rules`: it says more of a row, of the rows, than what its columns are."""

    def __init__(self, schema: ModelSchema) -> None:
        self._schema, self._shapes = schema, RowShapes(schema)
        inputs = schema.inputs
        assert isinstance(inputs, dict)
        row: dict[str, Any] = inputs["items"]
        self._places = {column.name: number for number, column in enumerate(schema.columns)}
        more = row.get("additionalProperties")
        self._is_closed = not schema.allows_more and not isinstance(more, dict)
        self.has_rules = isinstance(more, dict) or any(not is_annotation(key) and key not in _ROW_SAID for key in row)
        table = {key: value for key, value in inputs.items() if key not in _TABLE_SAID}
        self.has_table_rules = any(not is_annotation(key) for key in table)
        is_plain = all(is_said(column.schema) for column in schema.columns)
        root = None if is_plain and not self.has_rules and not self.has_table_rules else validator_of(schema)
        self._row_rules = root.evolve(schema=row) if root is not None and self.has_rules else None
        self._table_rules = root.evolve(schema=table) if root is not None and self.has_table_rules else None
        self.checks = tuple(
            ValueCheck(column, None if root is None or is_said(column.schema) else root.evolve(schema=column.schema))
            for column in schema.columns
        )

        self._quick = None if self.has_rules else QuickRows(schema, tuple(check.fits for check in self.checks))

    def read(self, value: Any) -> Found:
        """The rows of a decoded body, each as values in the order of the columns; Refused (422) with the faults."""
        found = self._shapes.find(value)
        found.rows = self.check(found.rows, found.is_positional)
        return found

    def check_columns(self, columns: dict[str, Any]) -> list[list[Any]]:
        return self.check(self._shapes.of_columns(columns).rows, True)

    def check_split(self, names: list[Any], data: list[Any]) -> list[list[Any]]:
        return self.check(self._shapes.of_split(names, data).rows, True)

    def check(self, rows: list[Any], is_positional: bool = False) -> list[list[Any]]:
        """Each row as values in the order of the columns. `is_positional`: null in a row is also how it lacks a field."""
        low, high = self._schema.least_rows, self._schema.most_rows
        if len(rows) < low or (high and len(rows) > high):
            expected = f"at least {low} row{'s' if low > 1 else ''}" if len(rows) < low else f"at most {high}"
            raise wrong(f"{len(rows)} rows" if rows else "no rows", expected)
        faults: list[Fault] = []
        made: list[list[Any]] = []
        for number, row in enumerate(rows):
            values = self._quick.read(row) if self._quick is not None else None
            made.append(values if values is not None else self._values(number, row, faults, is_positional))
            if len(faults) >= MOST_FAULTS:
                break
        if faults:
            raise refusal(faults)
        if self._table_rules is not None:
            self._check_table(rows)
        return made

    def _check_table(self, rows: list[Any]) -> None:
        assert self._table_rules is not None
        error = next(iter(self._table_rules.iter_errors(rows)), None)
        if error is not None:
            raise wrong(f"{len(rows)} rows", f"what {error.validator!r} of the schema asks of them")

    def _values(self, number: int, row: Any, faults: list[Fault], is_positional: bool) -> list[Any]:
        if isinstance(row, dict):
            return self._of_object(number, row, faults, is_positional)
        if not isinstance(row, list | tuple):
            if len(self.checks) != 1 or not self.checks[0].fits(row):
                faults.append(Fault(row=number, field="", came=say(row), expected="a row: an object of fields, or a list of values"))
                return []
            row = [row]
        if len(row) != len(self.checks):
            came = f"{len(row)} value{'' if len(row) == 1 else 's'}"
            faults.append(Fault(row=number, field="", came=came, expected=f"{len(self.checks)} values ({self._fields()})"))
            return []
        made = [self._value(number, check, value, faults, True) for check, value in zip(self.checks, row, strict=True)]
        if self._row_rules is not None and not faults:
            named = zip(self.checks, row, strict=True)
            self._check_rules(number, {check.column.name: v for check, v in named if v is not None or not _may_lack(check)}, faults)
        return made

    def _of_object(self, number: int, row: dict[str, Any], faults: list[Fault], is_positional: bool) -> list[Any]:
        if isinstance(row, Doubled):
            faults.append(Fault(row=number, field=row.key[:80], came="the field twice", expected="it once"))
        made: list[Any] = []
        missing: list[str] = []
        for check in self.checks:
            name = check.column.name
            if name in row:
                made.append(self._value(number, check, row[name], faults, is_positional))
            elif check.column.required:
                missing.append(name)
            else:
                made.append(check.column.default)
        extra = [key for key in row if key not in self._places] if self._is_closed else []
        if missing or extra:
            self._explain(number, missing, extra, faults)
        if self._row_rules is not None and not faults:
            lacking = {check.column.name for check in self.checks if is_positional and _may_lack(check)}
            self._check_rules(number, {key: v for key, v in row.items() if v is not None or key not in lacking}, faults)
        return made

    def _explain(self, number: int, missing: list[str], extra: list[str], faults: list[Fault]) -> None:
        """What a row lacks, and what it has too many of; a name that is nearly right is one of each."""
        for name in missing[:MOST_FAULTS]:
            near = _nearest(name, extra[:50], 0.7)
            came = f"nothing (there is {near[:80]!r})" if near else "nothing"
            faults.append(Fault(row=number, field=name, came=came, expected=self.checks[self._places[name]].expected))
        for key in extra[:MOST_FAULTS]:
            near = _nearest(key[:80], self._places, 0.6) if len(faults) < MOST_FAULTS else ""
            expected = f"{near!r}?" if near else f"only {self._fields()}"
            faults.append(Fault(row=number, field=key[:80], came="a field that the model does not take", expected=expected))

    def _value(self, number: int, check: ValueCheck, value: Any, faults: list[Fault], is_positional: bool) -> Any:
        column = check.column
        if value is None and is_positional and _may_lack(check):
            return column.default
        if not check.fits(value):
            faults.append(Fault(row=number, field=column.name, came=say(value), expected=check.why(value)))
            return None
        if isinstance(value, str | list | dict):
            for path, came, expected in careful.oddities(value):
                faults.append(Fault(row=number, field=column.name + pointer(*path), came=came, expected=expected))
                return None
            return value
        return check.take(value)

    def _check_rules(self, number: int, row: dict[str, Any], faults: list[Fault]) -> None:
        assert self._row_rules is not None
        for path, came, expected in careful.oddities(
            {key: v for key, v in row.items() if not isinstance(v, Odd) or key not in self._places}
        ):
            faults.append(Fault(row=number, field=pointer(*path)[1:], came=came, expected=expected))
            return
        plain = {key: self.checks[self._places[key]].take(v) if isinstance(v, Odd) else v for key, v in row.items()}
        try:
            errors = list(self._row_rules.iter_errors(plain))
        except RecursionError:
            faults.append(Fault(row=number, field="", came="a row nested too deeply", expected="at most some hundred levels"))
            return
        faults.extend(faults_of(errors, number))

    def _fields(self) -> str:
        names = list(self._places)
        return ", ".join(names[:6]) + (f", … ({len(names)} in all)" if len(names) > 6 else "")


def _nearest(name: str, names: Iterable[str], share: float) -> str:
    """The name that may have been meant, whatever its capitals; "" if none is near."""
    folded = {one.casefold(): one for one in names}
    found = difflib.get_close_matches(name.casefold(), folded, 1, share)
    return folded[found[0]] if found else ""


def _may_lack(check: ValueCheck) -> bool:
    return not check.column.required and not check.column.nullable
