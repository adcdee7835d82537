"""Requests of named arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairway.data.schema.datatypes import DATATYPES
from fairway.data.schema.modelschema import ModelSchema, TensorSpec
from fairway.data.schema.pointers import is_annotation
from fairway.serve.call import Call, Tensor
from fairway.serve.refusal import Fault, Refused
from fairway.serve.schema import careful
from fairway.serve.schema import tensors as packed
from fairway.serve.schema.careful import Doubled, Odd
from fairway.serve.schema.elements import nest
from fairway.serve.schema.fast import FAILS
from fairway.serve.schema.faults import MOST_FAULTS, refusal, wrong
from fairway.serve.schema.fromtensors import check_names
from fairway.serve.schema.rules import say_rule, validator_of
from fairway.serve.schema.shapes import AROUND, BESIDE, parameters_of
from fairway.serve.schema.values import say

_SHAPED = ("type", "items", "minItems", "maxItems")


class TensorsChecker:
    """Of named arrays."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self._specs = {spec.name: spec for spec in schema.tensors}
        ruled = {spec.name: _has_rules(spec.schema) for spec in schema.tensors}
        root = validator_of(schema) if any(ruled.values()) else None
        self._rules = {spec.name: root.evolve(schema=spec.schema) for spec in schema.tensors if root is not None and ruled[spec.name]}

    def read_json(self, body: bytes) -> Call:
        try:
            value = msgspec.json.decode(body)
        except FAILS:
            value = careful.decode(body)
        else:
            if body.count(b'":') > _count_fields(value):  # one may be there twice
                value = careful.decode(body)
        given, id, params = self._arrays(value)
        call = self._call([self._packed(name, one) for name, one in given.items()])
        call.id, call.params = id, params
        return call

    def _arrays(self, value: Any) -> tuple[dict[str, Any], str, dict[str, Any]]:
        """Arrays by name, whatever is around them; a list stands for the one array of a schema that has one."""
        id, params = "", dict[str, Any]()
        if isinstance(value, Doubled):
            raise wrong("the field twice", "it once", field=value.key)
        around = [key for key in AROUND if isinstance(value, dict) and key in value and key not in self._specs]
        if around and isinstance(value, dict):
            for key in value:
                if key != around[0] and key not in BESIDE:
                    raise wrong(f"{say(value[key])} beside {around[0]!r}", self._wanted(), field=key)
            id, params = parameters_of(value)
            value = value[around[0]]
            if isinstance(value, Doubled):
                raise wrong("the field twice", "it once", field=value.key)
        if isinstance(value, dict):
            return value, id, params
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            return self._of_rows(value), id, params
        if isinstance(value, list) and len(self._specs) == 1:
            return {next(iter(self._specs)): value}, id, params
        raise wrong(say(value), self._wanted())

    def _of_rows(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """[{name: array of one row}, …], as V1 has it."""
        made: dict[str, Any] = {}
        for number, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                names = ", ".join(map(repr, list(rows[0])[:8]))
                raise wrong(f"the arrays {', '.join(map(repr, list(row)[:8])) or 'none'}", f"{names}, as in row 0", row=number)
            for name, one in row.items():
                made.setdefault(name, []).append(one)
        return made

    def _wanted(self) -> str:
        return '{"inputs": {' + ", ".join(f'"{name}": array' for name in list(self._specs)[:4]) + "}}"

    def _packed(self, name: str, value: Any) -> Tensor:
        spec = self._specs.get(name)
        if spec is None:
            raise self._unknown(name)
        try:
            tensor = packed.pack(name, spec.datatype, value, allows_nan=spec.allows_nan)
        except Refused as refused:
            raise refusal(list(refused.faults)) from None
        self._check(tensor, spec)
        rules = self._rules.get(name)
        if rules is not None:
            self._check_rules(name, _plain(value), rules)
        return tensor

    def _unknown(self, name: str) -> Refused:
        names = ", ".join(map(repr, self._specs))
        return wrong("an array that the model does not take", f"only {names}", field=name[:80])

    def _check(self, tensor: Tensor, spec: TensorSpec) -> None:
        shape, wanted = tensor.shape, spec.shape
        if len(shape) != len(wanted) or any(size >= 0 and size != came for size, came in zip(wanted, shape, strict=True)):
            raise wrong(f"the shape {list(shape)}", f"{list(wanted)} (-1: any)", field=spec.name)
        if tensor.datatype != spec.datatype and not (spec.is_loose and DATATYPES[tensor.datatype].type in _near(spec.datatype)):
            raise wrong(f"the datatype {tensor.datatype}", spec.datatype, field=spec.name)

    def _check_rules(self, name: str, value: Any, rules: Any) -> None:
        faults: list[Fault] = []
        for error in rules.iter_errors(value):
            at = "".join(f"[{part}]" for part in error.absolute_path)
            faults.append(Fault(row=-1, field=name + at, came=say(error.instance), expected=say_rule(error)))
            if len(faults) >= MOST_FAULTS:
                break
        if faults:
            raise refusal(faults)

    def _call(self, tensors: list[Tensor]) -> Call:
        check_names(tensors)
        given = {tensor.name: tensor for tensor in tensors}
        lacking = [spec for spec in self.schema.tensors if spec.required and spec.name not in given]
        if lacking:
            raise refusal(
                [Fault(row=-1, field=s.name, came="nothing", expected=f"an array of {s.datatype}, {list(s.shape)}") for s in lacking]
            )
        rows = 0
        if all(spec.shape and spec.shape[0] == -1 for spec in self.schema.tensors):
            sizes = {tensor.shape[0] for tensor in tensors}
            if 0 in sizes:
                raise wrong("no rows", "at least 1", field=next(tensor.name for tensor in tensors if not tensor.shape[0]))
            rows = sizes.pop() if len(sizes) == 1 else 0
        order = {name: number for number, name in enumerate(self._specs)}
        return Call("tensors", rows=rows, names=tuple(self._specs), tensors=tuple(sorted(tensors, key=lambda tensor: order[tensor.name])))

    def read_tensors(self, tensors: Sequence[Tensor]) -> Call:
        check_names(tensors)
        for tensor in tensors:
            spec = self._specs.get(tensor.name)
            if spec is None and len(tensors) == 1 and len(self._specs) == 1:
                spec = next(iter(self._specs.values()))  # one array: its name is the caller's affair
                tensor.name = spec.name
            if spec is None:
                raise self._unknown(tensor.name)
            packed.check_size(tensor)
            self._check(tensor, spec)
            if not spec.allows_nan and not packed.is_finite(tensor):
                at = next(n for n, value in enumerate(packed.numbers(tensor)) if value - value != 0)
                raise wrong(f"{say(packed.numbers(tensor)[at])} as value {at}", "numbers", field=spec.name)
            rules = self._rules.get(tensor.name)
            if rules is not None:
                self._check_rules(tensor.name, nest(packed.unpack(tensor), tensor.shape), rules)
        return self._call(list(tensors))

    def read_rows(self, rows: list[Any]) -> Call:
        return self._of_value(rows)

    def read_columns(self, columns: dict[str, list[Any]]) -> Call:
        return self._of_value(columns)

    def read_split(self, names: list[str], data: list[Any]) -> Call:
        raise Refused(415, "FW-UNSUPPORTED", "the model takes arrays, not a table", hint=f"Send {self._wanted()}.")

    def read_csv(self, body: bytes) -> Call:
        raise Refused(415, "FW-UNSUPPORTED", "the model takes arrays, not CSV", hint=f"Send {self._wanted()}.")

    def _of_value(self, value: Any) -> Call:
        given, _id, _params = self._arrays(value)
        return self._call([self._packed(name, one) for name, one in given.items()])

    def check_value(self, value: Any) -> None:
        self._of_value(value)


def _count_fields(value: Any) -> int:
    """Names of fields down to where arrays begin."""
    if isinstance(value, dict):
        return len(value) + sum(_count_fields(value[key]) for key in AROUND if key in value)
    return sum(len(one) for one in value if isinstance(one, dict)) if isinstance(value, list) else 0


def _has_rules(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return True
    if any(key not in _SHAPED and not is_annotation(key) and key != "format" for key in schema):
        return True
    return (("minItems" in schema or "maxItems" in schema) and schema.get("minItems") != schema.get("maxItems")) or (
        "items" in schema and _has_rules(schema["items"])
    )


def _near(datatype: str) -> tuple[str, ...]:
    kind = DATATYPES[datatype].type
    return ("number", "integer") if kind == "number" else (kind,)


def _plain(value: Any) -> Any:
    """NaN, where it is let in, as a number for the rules to look at."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return float(value.text.replace("Infinity", "inf")) if isinstance(value, Odd) else value
