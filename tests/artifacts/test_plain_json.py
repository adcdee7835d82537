"""What JSON can say of Python values, and that it says the same of the same."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import hashlib
import json
import math
import uuid
import zoneinfo
from importlib import import_module
from typing import Any

import pytest
import shapes
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.errors import NotFoundError
from fairway.step import plainjson

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
HASHABLE = (
    SCALARS
    | st.binary(max_size=8)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
    | st.sampled_from(shapes.Colour)
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.just("$tuple"), inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(HASHABLE, max_size=3)
        | st.frozensets(HASHABLE, max_size=3)
        | st.builds(shapes.Pair, inner, inner)
        | st.builds(shapes.Labelled, st.text(max_size=3), inner)
        | st.lists(inner, max_size=3).map(collections.deque)
    ),
    max_leaves=12,
)


def alike(a: Any, b: Any) -> bool:
    return a == b and type(a) is type(b)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    text = plainjson.render(value)
    back = plainjson.parse(text)
    assert alike(back, value)
    assert plainjson.render(back) == text


@pytest.mark.parametrize(
    "value",
    [
        (),
        ((1,), [2], {"a": (3,)}),
        {"$ref": 1},
        {"$tuple": [1]},
        {"$x": {"$y": 1}, "z": 2},
        {True: 1, "True": 2},
        {(1, 2): "a"},
        collections.OrderedDict([("b", 1), ("a", 2)]),
        collections.Counter("hello"),
        collections.defaultdict(list, a=[1]),
        collections.deque([1, 2], maxlen=3),
        bytearray(b"\x00\xff"),
        range(2, 9, 3),
        frozenset({1, "a", (2,)}),
        10**400,
        -0.0,
        float("inf"),
        shapes.Access.READ | shapes.Access.WRITE,
        shapes.Point(1.0, 2.0, ["a"]),
        decimal.Decimal("NaN").copy_sign(decimal.Decimal(1)) if False else decimal.Decimal("1.10"),
        fractions.Fraction(1, 3),
        uuid.UUID(int=7),
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        "half a pair: \ud800",
        "emoji 🦊 and \x00",
    ],
)
def test_special_values_come_back(value: Any) -> None:
    back = plainjson.parse(plainjson.render(value))
    assert alike(back, value)
    if isinstance(value, dt.datetime):
        assert (back.tzinfo, back.fold) == (value.tzinfo, value.fold)


def test_a_decimal_keeps_its_zeros() -> None:
    assert str(plainjson.parse(plainjson.render(decimal.Decimal("1.10")))) == "1.10"


def test_nan_is_spelled_as_python_spells_it() -> None:
    assert plainjson.render([float("nan"), float("-inf")]) == b"[NaN,-Infinity]"
    assert math.isnan(plainjson.parse(b"NaN"))


def test_sets_do_not_depend_on_the_order_of_hashing() -> None:
    assert plainjson.render({"b", "a", "c"}) == b'{"$set":["a","b","c"]}'


def test_dicts_keep_their_order() -> None:
    assert list(plainjson.parse(plainjson.render({"b": 1, "a": 2}))) == ["b", "a"]


def test_plain_values_are_plain_json() -> None:
    value = {"a": [1, 2.5, None, True, "ü"], "b": {}}
    assert plainjson.is_plain(value)
    assert plainjson.render(value) == json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def test_numpy_scalars_become_numbers() -> None:
    np = import_module("numpy")
    made = plainjson.parse(plainjson.render([np.float64(0.1), np.int32(3), np.bool_(True), np.str_("x"), np.float32(0.5)]))
    assert made == [0.1, 3, True, "x", 0.5]
    assert [type(v) for v in made] == [float, int, bool, str, float]


class Pytz(dt.tzinfo):
    """A zone that names itself as those of pytz do: one object for each offset, which `fold` does not change."""

    zone = "Europe/Berlin"

    def __init__(self, hours: int) -> None:
        self._offset = dt.timedelta(hours=hours)

    def utcoffset(self, moment: dt.datetime | None) -> dt.timedelta:
        return self._offset

    def dst(self, moment: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta()

    def tzname(self, moment: dt.datetime | None) -> str:
        return "CET"


@pytest.mark.parametrize("hours", [1, 2])
def test_a_time_in_a_zone_of_pytz_keeps_its_zone_and_its_offset(hours: int) -> None:
    twice = dt.datetime(2026, 10, 25, 2, 30, tzinfo=Pytz(hours))  # when the clock is set back: at +02:00, and again at +01:00
    made = plainjson.parse(plainjson.render(twice))
    assert made.tzinfo == zoneinfo.ZoneInfo("Europe/Berlin")
    assert made.utcoffset() == dt.timedelta(hours=hours)


def test_pandas_scalars_come_back() -> None:
    pd = import_module("pandas")
    stamp = pd.Timestamp("2026-01-01 00:00:00.123456789", tz="Europe/Berlin")
    made = plainjson.parse(plainjson.render([stamp, pd.Timedelta(5, "ns"), pd.NaT, pd.NA]))
    assert made[0] == stamp and made[0].tz == stamp.tz and made[0].unit == stamp.unit
    assert made[1] == pd.Timedelta(5, "ns")
    assert made[2] is pd.NaT and made[3] is pd.NA


def test_object_arrays_come_back() -> None:
    np = import_module("numpy")
    value = np.array([["a", None], [1, (2,)]], dtype=object)
    made = plainjson.parse(plainjson.render(value))
    assert made.dtype == object and made.shape == (2, 2) and made.tolist() == value.tolist()


@pytest.mark.parametrize("value", [object(), shapes.Opaque(), len, lambda: 1, shapes.Opaque])
def test_what_has_no_json_is_told(value: Any) -> None:
    with pytest.raises(plainjson.NotJson):
        plainjson.render([value])


def test_a_local_class_is_refused_because_nobody_could_find_it() -> None:
    class Local(shapes.Pair):
        pass

    with pytest.raises(plainjson.NotJson):
        plainjson.render(Local(1, 2))


def test_reading_runs_no_constructor() -> None:
    text = plainjson.render(shapes.Labelled("x", 1)).replace(b'"x"', b'"never"')
    assert plainjson.parse(text).label == "never"


@pytest.mark.parametrize(
    "text",
    [
        '{"$dataclass":["os:system",{"x":1}]}',
        '{"$enum":["builtins:int","x"]}',
        '{"$namedtuple":["builtins:tuple",[1]]}',
        '{"$dataclass":["no_such_module:X",{}]}',
        '{"$dataclass":["shapes:Gone",{}]}',
        '{"$enum":["shapes:Colour","GREEN"]}',
        '{"$nonsense":1}',
    ],
)
def test_data_cannot_name_what_is_no_data_class(text: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        plainjson.parse(text)
    assert caught.value.hint


def test_a_field_added_since_takes_its_default() -> None:
    made = plainjson.parse('{"$dataclass":["shapes:Point",{"x":1.0,"y":2.0}]}')
    assert made == shapes.Point(1.0, 2.0, [])


def test_the_digest_is_of_the_bytes() -> None:
    assert hashlib.sha256(plainjson.render({"a": 1})).hexdigest() == hashlib.sha256(b'{"a":1}').hexdigest()
