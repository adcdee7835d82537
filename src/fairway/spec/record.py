"""The one way to declare plain data, and its JSON codec, in the standard library alone.

A `@record` is what a slotted dataclass is, but made without generating code until it is first used: forty slotted dataclasses cost
50 ms to define on a small machine, forty records 3 ms, and all of them stand between a user and the first step of every run.
Equality, hashing and `repr` come from `Record`. Records are immutable by convention: nobody assigns to a field after construction;
`replace` makes a changed copy. Type checkers see a dataclass (PEP 681).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, TypeVar, dataclass_transform

T = TypeVar("T")
_MISSING: Any = object()


class _Factory:
    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], Any]) -> Any:
    """A field whose default is made anew for each record."""
    return _Factory(default_factory)


@dataclass_transform(eq_default=False, kw_only_default=False, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make `cls` (a direct child of `Record`) a slotted data class with the fields it annotates."""
    body = dict(cls.__dict__)
    names = tuple(n for n, hint in body.get("__annotations__", {}).items() if not str(hint).startswith("ClassVar"))
    defaults = {n: body.pop(n, _MISSING) for n in names}
    for name in ("__dict__", "__weakref__"):
        body.pop(name, None)
    body["__slots__"] = names
    made: Any = type(cls)(cls.__name__, cls.__bases__, body)
    made.record_fields = defaults

    def first_init(self: Any, *args: Any, **kwargs: Any) -> None:
        made.__init__ = _compile_init(made, defaults)
        made.__init__(self, *args, **kwargs)

    made.__init__ = first_init
    return made


def _compile_init(cls: type, defaults: dict[str, Any]) -> Any:
    """The same `__init__` that one would write by hand."""
    names: dict[str, Any] = {}
    params: list[str] = []
    lines: list[str] = []
    for name, default in defaults.items():
        if default is _MISSING:
            params.append(name)
            lines.append(f"self.{name} = {name}")
            continue
        names[f"_d_{name}"] = default.make if isinstance(default, _Factory) else default
        if isinstance(default, _Factory):
            names["_MISSING"] = _MISSING
            params.append(f"{name}=_MISSING")
            lines.append(f"self.{name} = _d_{name}() if {name} is _MISSING else {name}")
        else:
            params.append(f"{name}=_d_{name}")
            lines.append(f"self.{name} = {name}")
    source = f"def __init__(self, {', '.join(params)}):\n    " + "\n    ".join(lines or ["pass"])
    exec(source, names)  # noqa: S102 - only field names of our own classes stand in it
    init = names["__init__"]
    init.__qualname__ = f"{cls.__name__}.__init__"
    return init


class Record:
    """Equality by type and value, a readable `repr`, pickling, and `replace`."""

    __slots__ = ()
    record_fields: ClassVar[dict[str, Any]] = {}

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, n) == getattr(other, n) for n in self.record_fields)

    def __hash__(self) -> int:
        return hash((type(self), tuple(_hashable(getattr(self, n)) for n in self.record_fields)))

    def __repr__(self) -> str:
        inner = ", ".join(f"{n}={getattr(self, n)!r}" for n in self.record_fields)
        return f"{type(self).__name__}({inner})"

    def __reduce__(self) -> Any:
        return type(self), tuple(getattr(self, n) for n in self.record_fields)


def replace(value: T, **changes: Any) -> T:
    """A copy of a record with some fields changed."""
    fields = type(value).record_fields  # type: ignore[attr-defined]
    return type(value)(**{**{n: getattr(value, n) for n in fields}, **changes})


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((k, _hashable(v)) for k, v in value.items())  # type: ignore[misc]  # equal whatever the order
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)  # type: ignore[misc]
    return value


def to_plain(value: Any) -> Any:
    """JSON-ready form of a record: dicts, lists, strings, numbers. Fields at their default are left out."""
    if isinstance(value, Record):
        out: dict[str, Any] = {}
        for name, default in type(value).record_fields.items():
            item = getattr(value, name)
            if type(default) is _Factory:
                if not item:
                    continue
            elif item is default or (type(item) is type(default) and item == default):
                continue
            out[name] = to_plain(item)
        return out
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None or kind is bool:
        return value
    if isinstance(value, dict):
        return {k: to_plain(v) for k, v in value.items()}  # type: ignore[misc]
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]  # type: ignore[misc]
    return value


def from_plain(cls: type[T], data: Any) -> T:
    """Build a `cls` from what `to_plain` made. Unknown fields are ignored (stored data may be newer).

    Raises TypeError or KeyError where the data cannot be a `cls`.
    """
    return _reader(cls)(data)


@cache
def _reader(hint: Any) -> Any:
    """A function from plain data to a value of the type `hint`; None where plain data is already that value."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return _record_reader(hint)
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [a for a in args if a is not type(None)]
        read = _reader(inner[0]) if len(inner) == 1 else None
        return read and (lambda data: None if data is None else read(data))
    if origin is tuple:
        item = _reader(args[0])
        return tuple if item is None else lambda data: tuple(map(item, data))
    if origin is dict:
        item = _reader(args[1])
        return item and (lambda data: {k: item(v) for k, v in data.items()})
    return None


def _record_reader(cls: Any) -> Any:
    plan: list[tuple[str, Any]] | None = None

    def read(data: Any) -> Any:
        nonlocal plan
        if plan is None:  # late, so that a record may contain itself
            hints = typing.get_type_hints(cls)
            plan = [(name, _reader(hints[name])) for name in cls.record_fields]
        if not isinstance(data, dict):
            raise TypeError(f"{cls.__name__} expects an object, got {type(data).__name__}")
        return cls(**{name: data[name] if item is None else item(data[name]) for name, item in plan if name in data})

    return read
