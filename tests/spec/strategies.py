"""Hypothesis strategies for every record, from its type hints alone."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any

from hypothesis import strategies as st

from fairway.spec import artifact, attempt, environment, event, graph, outcome, ports, resources, summary
from fairway.spec.record import _MISSING, Record

MODULES = (artifact, attempt, environment, event, graph, outcome, resources, summary)
TEXT = st.text(max_size=4)
NUMBERS = st.floats(allow_nan=False)
SCALARS = st.none() | st.booleans() | st.integers() | NUMBERS | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=3)
PLAIN = {str: TEXT, int: st.integers(), float: NUMBERS | st.integers(), bool: st.booleans(), Any: JSON}


def record_classes() -> list[type[Any]]:
    """Every record that is stored or sent."""
    found = [
        value for module in (*MODULES, ports) for value in vars(module).values() if isinstance(value, type) and issubclass(value, Record)
    ]
    return [cls for cls in dict.fromkeys(found) if cls is not Record]


def of_hint(hint: Any, deep: int) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return of_record(hint, deep - 1) if deep > 0 else _least(hint)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.none() | of_hint(next(a for a in args if a is not types.NoneType), deep)
    if origin is tuple:
        return st.lists(of_hint(args[0], deep), max_size=2 if deep > 0 else 0).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, of_hint(args[1], deep), max_size=2 if deep > 0 else 0)
    return PLAIN[hint]


@cache
def of_record(cls: Any, deep: int = 2) -> st.SearchStrategy[Any]:
    """Instances of a record class, `deep` levels of records within it filled in."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{name: of_hint(hints[name], deep) for name in cls.record_fields})


@cache
def _least(cls: Any) -> st.SearchStrategy[Any]:
    """The instance with nothing in it that may be left out."""
    hints = typing.get_type_hints(cls)
    required = [name for name, default in cls.record_fields.items() if default is _MISSING]
    return st.builds(cls, **{name: of_hint(hints[name], 0) for name in required})
