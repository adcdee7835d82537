"""Type hints as JSON Schema."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import inspect
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from fairway.data.schema.datatypes import DATATYPES, find_datatype, nested_array

_PLAIN: dict[Any, dict[str, Any]] = {
    float: {"type": "number"}, int: {"type": "integer"}, bool: {"type": "boolean"}, str: {"type": "string"}, type(None): {"type": "null"},
    None: {"type": "null"}, decimal.Decimal: {"type": "number"}, uuid.UUID: {"type": "string", "format": "uuid"},
    datetime.datetime: {"type": "string", "format": "date-time"}, datetime.date: {"type": "string", "format": "date"},
    datetime.time: {"type": "string", "format": "time"}, bytes: {"type": "string", "contentEncoding": "base64"},
    list: {"type": "array"}, tuple: {"type": "array"}, dict: {"type": "object"}, object: {}, Any: {},
}  # fmt: skip
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"}
_TABLES = ("pandas.", "polars.", "pyarrow.")


class Untold(Exception):
    """A hint that says nothing of what a request is to hold: a table, the raw body, a class of the user's."""


class Hints:
    """Schemas of hints; `definitions` gathers those of classes that name themselves."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}

    def schema_of(self, hint: Any) -> dict[str, Any]:
        """Raises Untold."""
        try:
            plain = _PLAIN.get(hint)
        except TypeError:  # not hashable
            plain = None
        if plain is not None:
            return dict(plain)
        origin = get_origin(hint)
        if isinstance(hint, typing.NewType):
            return self.schema_of(hint.__supertype__)
        if isinstance(hint, type) and origin is None:
            return self._of_class(hint)
        if origin is Annotated:
            return self._of_annotated(hint)
        if origin in (Union, types.UnionType):
            return self._of_union(get_args(hint))
        if origin is Literal:
            return {"enum": [one.value if isinstance(one, enum.Enum) else one for one in get_args(hint)]}
        if origin in (typing.Required, typing.NotRequired):
            return self.schema_of(get_args(hint)[0])
        if origin is not None:
            return self._of_generic(hint, origin)
        raise Untold(str(hint))

    def _of_union(self, ways: tuple[Any, ...]) -> dict[str, Any]:
        real = [self.schema_of(one) for one in ways if one not in (None, type(None))]
        is_optional = len(real) < len(ways)
        if len(real) == 1 and is_optional and isinstance(real[0].get("type"), str) and "enum" not in real[0]:
            return {**real[0], "type": [real[0]["type"], "null"]}
        if len(real) == 1 and is_optional and "enum" in real[0]:
            return {**real[0], "enum": [*real[0]["enum"], None]}
        return {"anyOf": [*real, *([{"type": "null"}] if is_optional else [])]}

    def _of_annotated(self, hint: Any) -> dict[str, Any]:
        """Of `Annotated[T, …]`: limits of `annotated_types` and msgspec.Meta, keywords as a dict, a description; an array's shape."""
        inner, *notes = get_args(hint)
        if _is_array(inner):
            return _array_of(inner, notes)
        made = self.schema_of(inner)
        for note in notes:
            if isinstance(note, str):
                made["description"] = note
            elif isinstance(note, Mapping):
                made.update(typing.cast("Mapping[str, Any]", note))
            else:
                _limit(made, note)
        return made

    def _of_generic(self, hint: Any, origin: Any) -> dict[str, Any]:
        if _is_array(hint):
            return _array_of(hint, [])
        arguments = get_args(hint)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            parts = [self.schema_of(one) for one in arguments if one != ()]
            return {"type": "array", "prefixItems": parts, "minItems": len(parts), "maxItems": len(parts)} if parts else {"type": "array"}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.schema_of(arguments[1])} if len(arguments) == 2 else {"type": "object"}
        if isinstance(origin, type) and issubclass(origin, Iterable):
            return {"type": "array", "items": self.schema_of(arguments[0])} if arguments else {"type": "array"}
        raise Untold(str(hint))

    def _of_class(self, kind: type) -> dict[str, Any]:
        if issubclass(kind, enum.Enum):
            return {"enum": [one.value for one in kind]}
        if _is_array(kind):
            return _array_of(kind, [])
        fields = self._fields(kind)
        if fields is None:
            made = getattr(kind, "model_json_schema", None)  # of pydantic
            if made is None:
                raise Untold(kind.__qualname__)
            found: dict[str, Any] = made(ref_template="#/$defs/{model}")
            self.definitions.update(found.pop("$defs", {}))
            self.definitions[kind.__name__] = found
            return {"$ref": f"#/$defs/{kind.__name__}"}
        if kind.__name__ not in self.definitions:
            self.definitions[kind.__name__] = {}  # it may hold itself
            self.definitions[kind.__name__] = self.object_of(fields)
        return {"$ref": f"#/$defs/{kind.__name__}"}

    def object_of(self, fields: list[tuple[str, Any, bool, Any]]) -> dict[str, Any]:
        """An object of (name, hint, is required, default)."""
        properties: dict[str, Any] = {}
        for name, hint, required, default in fields:
            properties[name] = self.schema_of(hint)
            if not required and isinstance(default, str | int | float | bool):
                properties[name]["default"] = default
        return {"type": "object", "properties": properties, "required": [name for name, _hint, required, _default in fields if required]}

    def _fields(self, kind: type) -> list[tuple[str, Any, bool, Any]] | None:
        if typing.is_typeddict(kind):
            hints = typing.get_type_hints(kind, include_extras=True)
            required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
            needed = {name for name, hint in hints.items() if get_origin(hint) is not typing.NotRequired}  # strings hide it from Python
            return [(name, hint, name in required and name in needed, None) for name, hint in hints.items()]
        if dataclasses.is_dataclass(kind):
            hints = typing.get_type_hints(kind, include_extras=True)
            missing = dataclasses.MISSING
            return [
                (f.name, hints[f.name], f.default is missing and f.default_factory is missing, f.default)
                for f in dataclasses.fields(kind)
                if f.init
            ]
        if hasattr(kind, "__struct_fields__"):  # of msgspec
            import msgspec

            hints = typing.get_type_hints(kind, include_extras=True)
            return [(f.encode_name, hints[f.name], f.required, f.default) for f in msgspec.structs.fields(kind)]
        if issubclass(kind, tuple) and hasattr(kind, "_fields"):
            hints = typing.get_type_hints(kind, include_extras=True)
            defaults: dict[str, Any] = getattr(kind, "_field_defaults", {})
            return [(name, hint, name not in defaults, defaults.get(name)) for name, hint in hints.items()]
        return None


def _limit(made: dict[str, Any], note: Any) -> None:
    for attribute, keyword in _LIMITS.items():
        value = getattr(note, attribute, None)
        if isinstance(value, int | float):
            made[keyword] = value
    short, long = ("minItems", "maxItems") if made.get("type") == "array" else ("minLength", "maxLength")
    for attribute, keyword in (
        ("min_length", short),
        ("max_length", long),
        ("pattern", "pattern"),
        ("description", "description"),
        ("title", "title"),
    ):
        value = getattr(note, attribute, None)
        if isinstance(value, int | str):
            made[keyword] = value


def _is_array(hint: Any) -> bool:
    """NumPy's arrays, alone or with their dtype, and torch's tensors."""
    kind = get_origin(hint) or hint
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}" in ("numpy.ndarray", "torch.Tensor")


def _array_of(hint: Any, notes: list[Any]) -> dict[str, Any]:
    """Datatype from NDArray[float32] or a note that names one, shape from a note that is a tuple (None or -1: any length)."""
    datatype, shape = "", list[int]()
    for note in [*get_args(hint), *notes]:
        for inner in (note, *get_args(note)):
            name = inner if isinstance(inner, str) else getattr(inner, "__name__", "") or str(getattr(inner, "name", ""))
            datatype = datatype or find_datatype(name)
        if isinstance(note, tuple | list) and all(size is None or isinstance(size, int) for size in note):
            shape = [-1 if size is None else size for size in note]
    if not datatype or not shape:
        raise Untold("an array of which the datatype and shape are not said")
    return nested_array({"type": DATATYPES[datatype].type}, datatype, shape)


def is_table(hint: Any) -> bool:
    """A data frame: which columns, it does not say."""
    return f"{getattr(hint, '__module__', '')}.".startswith(_TABLES)


def hints_of(function: Callable[..., Any]) -> tuple[dict[str, Any], list[inspect.Parameter]]:
    """Resolved hints, and the parameters that a request fills."""
    function = inspect.unwrap(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):  # names that are there for type checkers only
        hints = {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if not isinstance(hint, str)}
    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [one for one in inspect.signature(function).parameters.values() if one.kind not in skipped and one.name != "self"]
    return hints, parameters
