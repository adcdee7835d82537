"""What the tags of `plainjson` stand for. Imported only when a text has one."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from fairway.errors import NotFoundError


def untag(tag: str, body: Any) -> Any:
    """The value of {tag: body}. Raises NotFoundError for a tag or a class that this interpreter does not have."""
    read = _READERS.get(tag)
    if read is None:
        raise NotFoundError(f"this version of Fairway does not know {tag!r} in stored JSON", hint="read it with the version that wrote it")
    return read(body)


def find_class(address: str) -> Any:
    """The class at "module:Qual.Name". Raises NotFoundError."""
    module_name, _, qualname = address.partition(":")
    try:
        found: Any = sys.modules.get(module_name) or importlib.import_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise NotFoundError(
            f"the stored value is a {qualname}, and there is no {module_name}.{qualname} here",
            hint=f"make the module {module_name!r} importable, or give {qualname} its old place back",
        ) from error
    return found


def _enum(body: list[Any]) -> Any:
    import enum

    cls = find_class(body[0])
    if not (isinstance(cls, type) and issubclass(cls, enum.Enum)):
        raise NotFoundError(f"{body[0]} is no longer an Enum", hint="give it its old definition back")
    if body[1] is None:
        return cls(body[2])
    if body[1] not in cls.__members__:
        raise NotFoundError(f"{body[0]} has no member {body[1]!r} any more", hint="give it its old definition back")
    return cls[body[1]]


def _dataclass(body: list[Any]) -> Any:
    cls = find_class(body[0])
    if not (isinstance(cls, type) and hasattr(cls, "__dataclass_fields__")):
        raise NotFoundError(f"{body[0]} is no longer a dataclass", hint="give it its old definition back")
    made: Any = object.__new__(cls)
    for name, value in body[1].items():
        if name in cls.__dataclass_fields__:
            object.__setattr__(made, name, value)
    for name, field in cls.__dataclass_fields__.items():  # fields that the class has gained since
        if name not in body[1] and not hasattr(made, name):
            object.__setattr__(made, name, _field_default(body[0], name, field))
    return made


def _field_default(address: str, name: str, field: Any) -> Any:
    import dataclasses

    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    raise NotFoundError(f"{address} now has a field {name!r} that the stored value lacks", hint=f"give {name!r} a default")


def _named_tuple(body: list[Any]) -> Any:
    cls = find_class(body[0])
    if not (isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")):
        raise NotFoundError(f"{body[0]} is no longer a NamedTuple", hint="give it its old definition back")
    if len(cls._fields) != len(body[1]):  # type: ignore[attr-defined]
        raise NotFoundError(f"{body[0]} has other fields than the stored value", hint="give it its old definition back")
    return tuple.__new__(cls, body[1])


def _datetime(body: Any) -> Any:
    from datetime import datetime

    if isinstance(body, str):
        return datetime.fromisoformat(body)
    from zoneinfo import ZoneInfo

    said = datetime.fromisoformat(body[0])
    made = said.replace(tzinfo=ZoneInfo(body[1]), fold=body[2])
    return made if made.utcoffset() == said.utcoffset() else made.replace(fold=1 - body[2])  # pytz tells by the offset, not by `fold`


def _timestamp(body: list[Any]) -> Any:
    import pandas as pd

    text, zone, fold, unit = body
    made: Any = pd.Timestamp(text)
    if zone:
        made = made.tz_convert(zone)
        if made.fold != fold:
            made = made.replace(fold=fold)
    return made.as_unit(unit)


def _pandas_timedelta(body: list[Any]) -> Any:
    import pandas as pd

    return pd.Timedelta(body[0], unit=body[1]).as_unit(body[1])


def _pandas(body: str) -> Any:
    import pandas as pd

    return {"NaT": pd.NaT, "NA": pd.NA}[body]


def _ndarray(body: list[Any]) -> Any:
    import numpy as np

    kind, shape, items = body
    made: Any = np.empty(len(items), dtype=object)
    for at, item in enumerate(items):  # one by one: NumPy would look into lists
        made[at] = item
    if kind != "object":
        made = made.astype(np.dtypes.StringDType() if kind == "StringDType" else kind)
    return made.reshape(shape)


def _base64(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


def _standard(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _made_by(module: str, name: str) -> Any:
    def make(body: Any) -> Any:
        return _standard(module, name)(body)  # the module is imported when a value needs it

    return make


def _default_dict(body: list[Any]) -> Any:
    factories = {f.__name__: f for f in (int, float, str, bool, list, dict, set, tuple)}
    return _standard("collections", "defaultdict")(body[0] and factories[body[0]], body[1])


_READERS: dict[str, Any] = {
    "$tuple": tuple,
    "$dict": dict,
    "$set": set,
    "$frozenset": frozenset,
    "$bytes": _base64,
    "$bytearray": lambda b: bytearray(_base64(b)),
    "$complex": lambda b: complex(*b),
    "$range": lambda b: range(*b),
    "$ordereddict": _made_by("collections", "OrderedDict"),
    "$counter": lambda b: _standard("collections", "Counter")(dict(b)),
    "$deque": lambda b: _standard("collections", "deque")(b[1], b[0]),
    "$defaultdict": _default_dict,
    "$datetime": _datetime,
    "$date": lambda b: _standard("datetime", "date").fromisoformat(b),
    "$time": lambda b: _standard("datetime", "time").fromisoformat(b),
    "$timedelta": lambda b: _standard("datetime", "timedelta")(*b),
    "$decimal": _made_by("decimal", "Decimal"),
    "$fraction": _made_by("fractions", "Fraction"),
    "$uuid": _made_by("uuid", "UUID"),
    "$ndarray": _ndarray,
    "$timestamp": _timestamp,
    "$pandastimedelta": _pandas_timedelta,
    "$pandas": _pandas,
    "$enum": _enum,
    "$dataclass": _dataclass,
    "$namedtuple": _named_tuple,
}
