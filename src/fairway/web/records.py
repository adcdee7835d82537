"""Records as msgspec structs: what checks a body that holds one, field by field, and describes it in the OpenAPI document."""

from __future__ import annotations

import types
import typing
from typing import Annotated, Any

import msgspec

from fairway.spec.event import RunStarted
from fairway.spec.graph import Graph
from fairway.spec.record import Record, from_plain, to_plain
from fairway.spec.summary import CacheEntry, RunSummary

RunId = Annotated[str, msgspec.Meta(pattern=r"^\d{8}-\d{6}-[0-9a-z]{5}$", examples=["20261124-081503-x7kq3"])]
Word = Annotated[str, msgspec.Meta(max_length=1024, pattern=r"^[^\u0000]*$")]
"""What a database may have to look up: no database stores a NUL."""
Values = dict[str, float | str | bool | None]
"""Of metrics: a value that is no number is kept as a text, or as null."""
_HINTS: dict[tuple[type[Record], str], Any] = {
    (RunStarted, "run"): RunId,
    (RunStarted, "name"): Word,
    (Graph, "name"): Word,
    (RunStarted, "tags"): tuple[Word, ...],
    (RunSummary, "metrics"): Values,
    (CacheEntry, "metrics"): Values,
}
"""Where a field's own hint says less, or more, than what may travel."""

_made: dict[type[Record], type[msgspec.Struct]] = {}


def struct_of(cls: type[Record]) -> type[msgspec.Struct]:
    """The struct with the fields of the record `cls`, and so on for the records inside it. Unknown fields are refused."""
    if cls not in _made:
        _made[cls] = globals()[cls.__name__] = _define(cls)  # a struct that contains itself is looked up by its name in this module
    return _made[cls]


def read_record(cls: type[Record], value: msgspec.Struct) -> Any:
    """The record that a checked struct stands for."""
    return from_plain(cls, msgspec.to_builtins(value))


def full(value: Any) -> Any:
    """JSON-ready form of a record with all its fields, those at their default too."""
    if isinstance(value, Record):
        return {name: full(getattr(value, name)) for name in type(value).record_fields}
    if isinstance(value, dict):
        return {name: full(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [full(item) for item in value]
    return value


def _define(cls: type[Record]) -> type[msgspec.Struct]:
    hints = typing.get_type_hints(cls)
    fields: list[Any] = []
    for name, default in cls.record_fields.items():
        hint = _HINTS.get((cls, name)) or _struct_hint(hints[name], cls)
        if type(default) is object:
            fields.append((name, hint))
        elif hasattr(default, "make"):
            fields.append((name, hint, msgspec.field(default_factory=_factory(default.make))))
        elif isinstance(default, tuple | Record) and default:
            fields.append((name, hint, msgspec.convert(to_plain(default), hint)))
        else:
            fields.append((name, hint, default))
    made = msgspec.defstruct(cls.__name__, fields, module=__name__, forbid_unknown_fields=True, kw_only=True, omit_defaults=True)
    made.__doc__ = cls.__doc__
    return made


def _factory(make: Any) -> Any:
    return struct_of(make) if isinstance(make, type) and issubclass(make, Record) else make


def _struct_hint(hint: Any, inside: type[Record]) -> Any:
    """The hint with structs in place of records."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return typing.ForwardRef(hint.__name__) if hint is inside else struct_of(hint)
    args = typing.get_args(hint)
    if not args:
        return hint
    inner = tuple(arg if arg is Ellipsis else _struct_hint(arg, inside) for arg in args)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.Union[inner]  # noqa: UP007 - built of parts that are only known now
    return types.GenericAlias(typing.get_origin(hint), inner)  # type: ignore[arg-type]
