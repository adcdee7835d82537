"""Which annotations can be stored: asked when a pipeline is defined, before anything runs."""

from __future__ import annotations

from typing import Any

_ANY = frozenset({"", "Any", "typing.Any", "object", "None", "NoneType", "..."})
_CONTAINERS = frozenset(
    [
        "list",
        "tuple",
        "dict",
        "set",
        "frozenset",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.Counter",
        "collections.deque",
        "List",
        "Tuple",
        "Dict",
        "Set",
        "FrozenSet",
        "typing.List",
        "typing.Tuple",
        "typing.Dict",
        "typing.Set",
        "Optional",
        "typing.Optional",
        "Union",
        "typing.Union",
        "Sequence",
        "Mapping",
        "Iterable",
        "collections.abc.Sequence",
        "collections.abc.Mapping",
        "collections.abc.Iterable",
        "typing.Sequence",
        "typing.Mapping",
        "Annotated",
        "typing.Annotated",
        "Final",
    ]
)
_JSON = frozenset(
    [
        "int",
        "float",
        "str",
        "bool",
        "complex",
        "bytes",
        "bytearray",
        "range",
        "datetime.datetime",
        "datetime.date",
        "datetime.time",
        "datetime.timedelta",
        "decimal.Decimal",
        "fractions.Fraction",
        "uuid.UUID",
        "pandas.Timestamp",
        "pandas.Timedelta",
        "fairway.File",
        "fairway.Directory",
    ]
)


def can_store(name: str) -> bool:
    """False only for a type that is known to have no stored form; what cannot be looked up passes (it is found out when written)."""
    name = name.strip().strip("'\"")
    alternatives = _split(name, "|")
    if len(alternatives) > 1:
        return all(map(can_store, alternatives))
    head, bracket, inner = name.partition("[")
    if bracket:
        if head in ("Literal", "typing.Literal"):
            return True
        if head in _CONTAINERS:
            return all(map(can_store, _split(inner.removesuffix("]"), ",")))
        name = head
    if name in _ANY or name in _CONTAINERS or name in _JSON:
        return True
    from fairway.step import serializers

    cls = serializers.find_class(name)
    if cls is None or serializers.find_for_class(cls) is not None:
        return True
    return _is_data(cls) or not _is_opaque(cls)


def _is_data(cls: type) -> bool:
    """Enums, dataclasses, named tuples, typed dicts, and subclasses of JSON's own types."""
    import enum

    if issubclass(cls, enum.Enum) or hasattr(cls, "__dataclass_fields__") or hasattr(cls, "_fields"):
        return True
    return issubclass(cls, int | float | str | list | dict) or (hasattr(cls, "dtype") and cls.__module__ == "numpy")


def _is_opaque(cls: Any) -> bool:
    """A class of its own, not a name for many ("Hashable", a protocol)."""
    return not getattr(cls, "_is_protocol", False) and cls.__module__ not in ("typing", "typing_extensions", "collections.abc", "numbers")


def _split(text: str, separator: str) -> list[str]:
    """`text` at the separators that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == separator and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
