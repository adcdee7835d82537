"""The careful reading of rows: any shape they may come in, every fault with its row and field. It has the last word; what is faster agrees with it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from fairway.serve.refusal import Fault, Refused
from fairway.serve.schema import careful
from fairway.serve.schema.careful import Doubled, Odd
from fairway.serve.schema.model import ModelSchema
from fairway.serve.schema.msgtypes import is_said
from fairway.serve.schema.pointers import is_annotation, pointer
from fairway.serve.schema.values import ValueCheck, say

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

BAD_INPUT = "FW-INPUT"
MOST_FAULTS = 20
AROUND = ("inputs", "data", "instances")
BESIDE = ("id", "params", "parameters", "index")
_ROW_SAID = ("type", "properties", "required", "additionalProperties")
_TABLE_SAID = ("type", "items", "minItems", "maxItems")


class Rows:
    """What was read: values in the order of the columns, None where one is missing; an id and parameters that came beside them."""

    def __init__(self, values: list[list[Any]]) -> None:
        self.values = values
        self.id = ""
        self.params: dict[str, Any] = {}


class RowReader:
    """Reads rows of one schema."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        inputs = schema.inputs
        assert isinstance(inputs, dict)
        self._row_schema: dict[str, Any] = inputs["items"]
        self._required = [column.name for column in schema.columns if column.required]
        self._places = {column.name: number for number, column in enumerate(schema.columns)}
        more = self._row_schema.get("additionalProperties")
        self.has_rules = isinstance(more, dict) or any(not is_annotation(key) and key not in _ROW_SAID for key in self._row_schema)
        self.has_table_rules = any(not is_annotation(key) and key not in _TABLE_SAID for key in inputs)
        root = (
            validator_of(schema) if self.has_rules or self.has_table_rules or any(not is_said(c.schema) for c in schema.columns) else None
        )
        self._row_rules = root.evolve(schema=self._row_schema) if root is not None and self.has_rules else None
        self._table_rules = (
            root.evolve(schema={k: v for k, v in inputs.items() if k not in _TABLE_SAID})
            if root is not None and self.has_table_rules
            else None
        )
        self.checks = tuple(
            ValueCheck(column, None if root is None or is_said(column.schema) else root.evolve(schema=column.schema))
            for column in schema.columns
        )
        self._extra_is_none = not schema.allows_more and not isinstance(more, dict)

    def read(self, value: Any) -> Rows:
        """Rows of a decoded body; Refused (422) with its faults."""
        self._refuse_doubled_top(value)
        rows, found = self._rows_of(value)
        found.values = self.check(rows)
        return found

    def _refuse_doubled_top(self, value: Any) -> None:
        if isinstance(value, Doubled):
            raise refusal([Fault(row=-1, field=value.key, came="the field twice", expected="it once")])

    def _rows_of(self, value: Any) -> tuple[list[Any], Rows]:
        found = Rows([])
        if isinstance(value, list):
            return self._list(value), found
        if not isinstance(value, dict):
            raise refusal([Fault(row=-1, field="", came=say(value), expected=self._shapes())])
        around = [key for key in AROUND if key in value and key not in self._places]
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list) and "columns" not in self._places:
            rest, rows = {"columns", "data"}, self._split(value["columns"], value["data"])
        elif around:
            inner = value[around[0]]
            rest, rows = {around[0]}, self._list(inner) if isinstance(inner, list) else self._inner(inner, around[0])
        else:
            return self._object(value), found
        for key in value:
            if key not in rest and key not in BESIDE:
                raise refusal(
                    [
                        Fault(
                            row=-1, field=key, came=f"{say(value[key])} beside {around[0] if around else 'data'!r}", expected=self._shapes()
                        )
                    ]
                )
        if "id" in value:
            if not isinstance(value["id"], str) or careful.has_surrogate(value["id"]):
                raise refusal([Fault(row=-1, field="id", came=say(value["id"]), expected="text")])
            found.id = value["id"]
        for key in ("params", "parameters"):
            if key in value:
                if not isinstance(value[key], dict):
                    raise refusal([Fault(row=-1, field=key, came=say(value[key]), expected="an object")])
                refuse_oddities(value[key], (key,))
                found.params = value[key]
        return rows, found

    def _inner(self, inner: Any, key: str) -> list[Any]:
        if isinstance(inner, dict):
            self._refuse_doubled_top(inner)
            return self._object(inner)
        raise refusal([Fault(row=-1, field=key, came=say(inner), expected="a list of rows")])

    def _list(self, value: list[Any]) -> list[Any]:
        """A list of rows; or one row as a list of its values."""
        if value and not any(isinstance(one, list | dict) for one in value) and len(self._places) > 1:
            if len(value) == len(self._places):
                return [value]
            if len(value) > 1:
                raise refusal([Fault(row=0, field="", came=f"{len(value)} values", expected=self._width())])
        return value

    def _object(self, value: dict[str, Any]) -> list[Any]:
        """One row, or columns of values."""
        known = [key for key in value if key in self._places]
        lists = [key for key in known if isinstance(value[key], list) and not self._takes_list(key)]
        if not known or not lists:
            return [value]
        lengths = {key: len(one) for key, one in value.items() if isinstance(one, list)}
        longest = max(lengths.values())
        for key, one in value.items():
            if not isinstance(one, list):
                raise refusal([Fault(row=-1, field=key, came=say(one), expected=f"a list of {longest} values, one for each row")])
            if len(one) != longest:
                raise refusal(
                    [
                        Fault(
                            row=-1,
                            field=key,
                            came=f"{len(one)} values",
                            expected=f"{longest}, as {max(lengths, key=lambda k: lengths[k])!r} has",
                        )
                    ]
                )
        names = list(value)
        return [dict(zip(names, row, strict=True)) for row in zip(*value.values(), strict=True)]

    def _takes_list(self, name: str) -> bool:
        return self.schema.columns[self._places[name]].type in ("array", "any")

    def _split(self, names: list[Any], data: list[Any]) -> list[Any]:
        """{"columns": names, "data": rows}, as pandas' `split` has it."""
        twice = {str(name) for name in names if names.count(name) > 1} if len(names) <= 10_000 else set[str]()
        for number, name in enumerate(names):
            if not isinstance(name, str):
                raise refusal([Fault(row=-1, field=pointer("columns", number), came=say(name), expected="a column's name")])
            if name in twice:
                raise refusal([Fault(row=-1, field=name, came="the column twice", expected="it once")])
        for number, row in enumerate(data):
            if not isinstance(row, list) or len(row) != len(names):
                came = f"{len(row)} values" if isinstance(row, list) else say(row)
                raise refusal([Fault(row=number, field="", came=came, expected=f"a list of {len(names)} values, as there are columns")])
        return [dict(zip(names, row, strict=True)) for row in data]

    def check(self, rows: list[Any]) -> list[list[Any]]:
        """Each row as values in the order of the columns."""
        faults: list[Fault] = []
        low, high = self.schema.least_rows, self.schema.most_rows
        if len(rows) < low:
            raise refusal(
                [
                    Fault(
                        row=-1,
                        field="",
                        came=f"{len(rows)} rows" if rows else "no rows",
                        expected=f"at least {low} row{'s' if low > 1 else ''}",
                    )
                ]
            )
        if high and len(rows) > high:
            raise refusal([Fault(row=-1, field="", came=f"{len(rows)} rows", expected=f"at most {high}")])
        made: list[list[Any]] = []
        for number, row in enumerate(rows):
            values = self._values(number, row, faults)
            if len(faults) >= MOST_FAULTS:
                break
            made.append(values)
        if faults:
            raise refusal(faults)
        if self._table_rules is not None:
            error = next(iter(self._table_rules.iter_errors(rows)), None)
            if error is not None:
                raise refusal([Fault(row=-1, field="", came=f"{len(rows)} rows", expected=f"rows that keep to {error.validator!r}")])
        return made

    def _values(self, number: int, row: Any, faults: list[Fault]) -> list[Any]:
        if isinstance(row, dict):
            return self._of_object(number, row, faults)
        if not isinstance(row, list | tuple):
            if len(self.checks) == 1 and self.checks[0].fits(row):
                row = [row]
            else:
                faults.append(Fault(row=number, field="", came=say(row), expected="a row: an object of fields, or a list of values"))
                return []
        if len(row) != len(self.checks):
            faults.append(Fault(row=number, field="", came=f"{len(row)} value{'' if len(row) == 1 else 's'}", expected=self._width()))
            return []
        made = [self._value(number, check, value, faults) for check, value in zip(self.checks, row, strict=True)]
        if self._row_rules is not None and not faults:
            fields = {c.column.name: v for c, v in zip(self.checks, row, strict=True) if v is not None or c.column.nullable}
            self._rules(number, fields, faults)
        return made

    def _of_object(self, number: int, row: dict[str, Any], faults: list[Fault]) -> list[Any]:
        if isinstance(row, Doubled):
            faults.append(Fault(row=number, field=row.key, came="the field twice", expected="it once"))
        made: list[Any] = []
        missing: list[str] = []
        extra = [key for key in row if key not in self._places] if self._extra_is_none else []
        for check in self.checks:
            name = check.column.name
            if name in row:
                made.append(self._value(number, check, row[name], faults, is_object=True))
            elif check.column.required:
                missing.append(name)
            else:
                made.append(check.column.default)
        for name in missing:
            near = difflib.get_close_matches(name, extra, 1, 0.75) if len(extra) < 100 else []
            came = f"nothing (there is {near[0]!r})" if near else "nothing"
            faults.append(Fault(row=number, field=name, came=came, expected=self.checks[self._places[name]].expected))
        for key in extra:
            near = difflib.get_close_matches(key, self._places, 1, 0.6) if len(faults) < MOST_FAULTS else []
            faults.append(
                Fault(
                    row=number,
                    field=key[:80],
                    came="a field that the model does not take",
                    expected=f"{near[0]!r}?" if near else self._fields(),
                )
            )
        if self._row_rules is not None and not faults:
            self._rules(number, row, faults)
        return made

    def _value(self, number: int, check: ValueCheck, value: Any, faults: list[Fault], *, is_object: bool = False) -> Any:
        column = check.column
        if value is None and not is_object and not column.required and not column.nullable:
            return column.default
        if not check.fits(value):
            faults.append(Fault(row=number, field=column.name, came=say(value), expected=check.why(value)))
            return None
        if isinstance(value, str | list | dict):
            for path, came, expected in careful.oddities(value):
                faults.append(Fault(row=number, field=column.name + pointer(*path), came=came, expected=expected))
                return None
        elif isinstance(value, float | Odd):
            return check.take(value)
        return value

    def _rules(self, number: int, row: dict[str, Any], faults: list[Fault]) -> None:
        assert self._row_rules is not None
        for path, _came, _expected in careful.oddities(row):
            if not (len(path) == 1 and str(path[0]) in self._places and self.checks[self._places[str(path[0])]].column.allows_nan):
                faults.append(Fault(row=number, field=pointer(*path)[1:], came=_came, expected=_expected))
                return
        plain = {key: self.checks[self._places[key]].take(v) if isinstance(v, Odd) else v for key, v in row.items()}
        try:
            errors = list(self._row_rules.iter_errors(plain))
        except RecursionError:
            faults.append(Fault(row=number, field="", came="a row nested too deeply", expected="at most some hundred levels"))
            return
        for error in errors:
            path = list(error.absolute_path)
            field = str(path[0]) + pointer(*path[1:]) if path else ""
            faults.append(Fault(row=number, field=field, came=say(error.instance), expected=_say_rule(error)))

    def _width(self) -> str:
        return f"{len(self.checks)} values ({self._fields(plain=True)})"

    def _fields(self, *, plain: bool = False) -> str:
        names = list(self._places)
        shown = ", ".join(names[:6]) + (f", … ({len(names)} in all)" if len(names) > 6 else "")
        return shown if plain else f"only {shown}"

    def _shapes(self) -> str:
        return '{"inputs": [rows]}, each row an object of fields or a list of values'


def _say_rule(error: Any) -> str:
    return f"what {error.validator!r} of the schema asks: {error.message[:160]}"


def refuse_oddities(value: Any, at: tuple[str | int, ...] = ()) -> None:
    """Refused if `value` holds something that no JSON has."""
    faults: list[Fault] = []
    for path, came, expected in careful.oddities(value):
        faults.append(Fault(row=-1, field=pointer(*at, *path), came=came, expected=expected))
        if len(faults) >= MOST_FAULTS:
            break
    if faults:
        raise refusal(faults)


def refusal(faults: list[Fault]) -> Refused:
    """422 with the faults; the message is the first."""
    faults = faults[:MOST_FAULTS]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return Refused(422, BAD_INPUT, f"the input does not keep to the schema: {faults[0].text}{more}", faults=tuple(faults))


def validator_of(schema: ModelSchema) -> Validator:
    """A validator of the whole document, to evolve into those of its parts: references are found from its root."""
    from jsonschema import Draft202012Validator, FormatChecker

    from fairway.serve.schema.values import FORMATS, has_format

    checker = FormatChecker(formats=())
    for name in FORMATS:
        checker.checks(name)(lambda value, name=name: not isinstance(value, str) or has_format(value, name))
    return Draft202012Validator(schema.document, format_checker=checker)  # type: ignore[return-value]
