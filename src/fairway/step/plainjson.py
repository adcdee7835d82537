"""JSON for Python values: what it can say by itself is plain JSON; the rest is an object of one key that begins with "$".

    (1, 2)                  {"$tuple": [1, 2]}
    {1: "a"}                {"$dict": [[1, "a"]]}         also {"$x": 1}, which would be mistaken for one of these
    datetime(2026, 1, 1)    {"$datetime": "2026-01-01T00:00:00"}
    Colour.RED              {"$enum": ["paint:Colour", "RED"]}
    Point(x=1, y=2)         {"$dataclass": ["shapes:Point", {"x": 1, "y": 2}]}

The same value gives the same text, whatever the machine: no spaces, sets sorted, dicts in their own order (Python code relies on it).
NaN and the infinities are spelled NaN, Infinity, -Infinity, as Python's own `json` does: they round-trip, though strict JSON has no word
for them.
NumPy's scalars become the Python numbers they hold. Data cannot make `parse` run code: a name in it is looked up as an enum, dataclass or
named tuple and nothing else, and no constructor of it runs.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SCALARS = frozenset({int, float, str, bool, type(None)})
_PLAIN_KEYS = {str}
_FEW_BYTES = 1024
"""Longer bytes are better kept as they are than as base64."""
_encoder = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)


def _made_once() -> Callable[[Any, int], Iterable[str]]:
    """What `_encoder.iterencode` makes anew for every call: that costs more than most values do."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # an interpreter without the C accelerator
        return lambda value, _level: _encoder.iterencode(value)
    return make(None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, True)


_chunks = _made_once()
_ascii = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class NotJson(Exception):
    """`value` cannot be said in JSON."""

    def __init__(self, value: Any) -> None:
        super().__init__(type(value).__qualname__)
        self.value = value


def is_plain(value: Any) -> bool:
    """JSON itself can say it: numbers, strings, booleans, None, and lists and dicts of those with string keys."""
    kind = type(value)
    if kind in SCALARS:
        return True
    if kind is list:
        return set(map(type, value)) <= SCALARS or all(map(is_plain, value))
    if kind is dict:
        if not value:
            return True
        if set(map(type, value)) != _PLAIN_KEYS or (len(value) == 1 and next(iter(value))[:1] == "$"):
            return False
        values = value.values()
        return set(map(type, values)) <= SCALARS or all(map(is_plain, values))
    return False


def dump_plain(value: Any) -> bytes:
    """The JSON of a value for which `is_plain` holds."""
    kind = type(value)
    if kind is int:
        return int.__repr__(value).encode()
    try:
        return "".join(_chunks(value, 0)).encode()
    except UnicodeEncodeError:  # half of a surrogate pair: only \u escapes can say it
        return _ascii(value).encode()


def render(value: Any) -> bytes:
    """The JSON of a value. Raises NotJson for what it cannot say, RecursionError for what contains itself."""
    return dump_plain(value if is_plain(value) else encode(value, _refuse))


def parse(text: str | bytes) -> Any:
    """The inverse of `render`. Raises ValueError, or LookupError where it names a class that cannot be found."""
    if isinstance(text, bytes):
        text = text.decode()
    return json.loads(text, object_hook=_untag) if '"$' in text else json.loads(text)


def parse_with(text: str | bytes, resolve: Callable[[int], Any]) -> Any:
    """As `parse`; {"$ref": n} stands for `resolve(n)`."""

    def hook(data: dict[str, Any]) -> Any:
        return resolve(data["$ref"]) if len(data) == 1 and "$ref" in data else _untag(data)

    return json.loads(text, object_hook=hook)


def encode(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A value for which `is_plain` holds. What JSON cannot say is handed to `leaf`, whose answer takes its place."""
    kind = type(value)
    if kind in SCALARS:
        return value
    if kind is list:
        return [encode(v, leaf) for v in value]
    if kind is dict:
        return _encode_dict(value, leaf)
    if hasattr(kind, "fairway_type"):
        return leaf(value)
    write = _WRITERS.get((kind.__module__, kind.__qualname__))
    if write is not None:
        return write(value, leaf)
    return _encode_by_nature(value, kind, leaf)


def _refuse(value: Any) -> Any:
    raise NotJson(value)


def _encode_dict(value: dict[Any, Any], leaf: Callable[[Any], Any]) -> dict[str, Any]:
    if set(map(type, value)) <= _PLAIN_KEYS and not (len(value) == 1 and next(iter(value))[:1] == "$"):
        return {k: encode(v, leaf) for k, v in value.items()}
    return {"$dict": _pairs(value, leaf)}


def _pairs(value: dict[Any, Any], leaf: Callable[[Any], Any]) -> list[Any]:
    return [[encode(k, leaf), encode(v, leaf)] for k, v in value.items()]


def _sorted(value: Any, leaf: Callable[[Any], Any]) -> list[Any]:
    return sorted((encode(v, leaf) for v in value), key=_ascii)


def _encode_by_nature(value: Any, kind: type, leaf: Callable[[Any], Any]) -> Any:
    """Values whose class is the user's own, NumPy's scalars, and subclasses of JSON's types."""
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        name: Any = value.name if value.name is not None and "|" not in value.name else None
        return {"$enum": [_address(value, kind), name] if name else [_address(value, kind), None, encode(value.value, leaf)]}
    if hasattr(kind, "__dataclass_fields__"):
        fields = {
            n: getattr(value, n) for n, f in kind.__dataclass_fields__.items() if f._field_type.name == "_FIELD" and hasattr(value, n)
        }
        return {"$dataclass": [_address(value, kind), {n: encode(v, leaf) for n, v in fields.items()}]}
    if isinstance(value, tuple):
        if hasattr(kind, "_fields"):
            return {"$namedtuple": [_address(value, kind), [encode(v, leaf) for v in value]]}
        return leaf(value)
    if kind.__module__ == "numpy" and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 and value.dtype.kind in "biufcUS":
        return encode(value.item() if value.dtype.char not in "gG" else _narrow(value), leaf)
    for plain in (str, int, float):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, list):
        return [encode(v, leaf) for v in value]
    if isinstance(value, dict):
        return _encode_dict(value, leaf)
    return leaf(value)


def _narrow(value: Any) -> Any:
    """A NumPy number wider than Python's: the nearest that Python has."""
    return complex(value) if value.dtype.kind == "c" else float(value)


def _address(value: Any, kind: type) -> str:
    if "<locals>" in kind.__qualname__:  # nobody else could find the class again
        raise NotJson(value)
    return f"{kind.__module__}:{kind.__qualname__}"


def _zone_of(moment: Any) -> str | None:
    """The name of its time zone: zoneinfo says it by `key`, pytz (that of pandas 2) by `zone`."""
    return getattr(moment.tzinfo, "key", None) or getattr(moment.tzinfo, "zone", None)


def _encode_datetime(value: Any, leaf: Callable[[Any], Any]) -> Any:
    zone = _zone_of(value)
    return {"$datetime": [value.isoformat(), zone, value.fold]} if zone else {"$datetime": value.isoformat()}


def _encode_bytes(value: bytes | bytearray, leaf: Callable[[Any], Any]) -> Any:
    return tag_bytes(value) if len(value) <= _FEW_BYTES else leaf(value)


def tag_bytes(value: bytes | bytearray) -> dict[str, str]:
    """Bytes as base64."""
    import base64

    tag = "$bytes" if isinstance(value, bytes) else "$bytearray"
    return {tag: base64.b64encode(value).decode()}


def _encode_default_dict(value: Any, leaf: Callable[[Any], Any]) -> Any:
    factory = value.default_factory
    if factory is not None and factory not in (int, float, str, bool, list, dict, set, tuple):
        return leaf(value)
    return {"$defaultdict": [factory and factory.__name__, _pairs(value, leaf)]}


def _encode_array(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Arrays of objects or of strings of any length; those of numbers have a file format of their own."""
    if value.dtype.kind not in "OT":
        return leaf(value)
    return tag_array(value, leaf)


def tag_array(value: Any, leaf: Callable[[Any], Any]) -> dict[str, Any]:
    """A NumPy array item by item."""
    kind = {"O": "object", "T": "StringDType"}.get(value.dtype.kind, value.dtype.str)
    return {"$ndarray": [kind, list(value.shape), [encode(v, leaf) for v in value.ravel().tolist()]]}


_WRITERS: dict[tuple[str, str], Callable[[Any, Callable[[Any], Any]], Any]] = {
    ("builtins", "tuple"): lambda v, leaf: {"$tuple": [encode(i, leaf) for i in v]},
    ("builtins", "set"): lambda v, leaf: {"$set": _sorted(v, leaf)},
    ("builtins", "frozenset"): lambda v, leaf: {"$frozenset": _sorted(v, leaf)},
    ("builtins", "bytes"): _encode_bytes,
    ("builtins", "bytearray"): _encode_bytes,
    ("builtins", "complex"): lambda v, leaf: {"$complex": [v.real, v.imag]},
    ("builtins", "range"): lambda v, leaf: {"$range": [v.start, v.stop, v.step]},
    ("collections", "OrderedDict"): lambda v, leaf: {"$ordereddict": _pairs(v, leaf)},
    ("collections", "Counter"): lambda v, leaf: {"$counter": _pairs(v, leaf)},
    ("collections", "deque"): lambda v, leaf: {"$deque": [v.maxlen, [encode(i, leaf) for i in v]]},
    ("collections", "defaultdict"): _encode_default_dict,
    ("datetime", "datetime"): _encode_datetime,
    ("datetime", "date"): lambda v, leaf: {"$date": v.isoformat()},
    ("datetime", "time"): lambda v, leaf: {"$time": v.isoformat()},
    ("datetime", "timedelta"): lambda v, leaf: {"$timedelta": [v.days, v.seconds, v.microseconds]},
    ("decimal", "Decimal"): lambda v, leaf: {"$decimal": str(v)},
    ("fractions", "Fraction"): lambda v, leaf: {"$fraction": str(v)},
    ("uuid", "UUID"): lambda v, leaf: {"$uuid": str(v)},
    ("numpy", "ndarray"): _encode_array,
    # pandas names these by their public module or by the one that defines them, depending on its version
    ("pandas", "Timestamp"): lambda v, leaf: {"$timestamp": [v.isoformat(), _zone_of(v), v.fold, v.unit]},
    ("pandas", "Timedelta"): lambda v, leaf: {"$pandastimedelta": [v.asm8.view("i8").item(), v.unit]},
    ("pandas", "NaTType"): lambda v, leaf: {"$pandas": "NaT"},
    ("pandas.api.typing", "NaTType"): lambda v, leaf: {"$pandas": "NaT"},
    ("pandas.api.typing", "NAType"): lambda v, leaf: {"$pandas": "NA"},
    ("pandas._libs.tslibs.nattype", "NaTType"): lambda v, leaf: {"$pandas": "NaT"},
    ("pandas._libs.missing", "NAType"): lambda v, leaf: {"$pandas": "NA"},
}
_WRITERS["pandas._libs.tslibs.timestamps", "Timestamp"] = _WRITERS["pandas", "Timestamp"]
_WRITERS["pandas._libs.tslibs.timedeltas", "Timedelta"] = _WRITERS["pandas", "Timedelta"]


def _untag(data: dict[str, Any]) -> Any:
    if len(data) != 1:
        return data
    [(tag, body)] = data.items()
    if tag[:1] != "$":
        return data
    from fairway.step import plainjson_read

    return plainjson_read.untag(tag, body)
