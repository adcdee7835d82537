"""A record is what a slotted, frozen dataclass with the same fields would be, and its plain form brings it back."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.spec.record import Record, field, from_plain, record, replace, to_plain
from tests.spec.strategies import of_record, record_classes


@record
class Point(Record):
    """Something with every sort of field."""

    kinds: ClassVar[int] = 3
    x: int
    name: str = "p"
    tags: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)
    parent: Point | None = None


@record
class Empty(Record):
    """A record may have no fields."""


@record
class Odd(Record):
    """Hints that are taken as they are."""

    either: int | str = 0
    rows: tuple[dict[str, int], ...] = ()
    points: dict[str, Point] = field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Twin:
    """The dataclass that `Point` stands for."""

    x: int
    name: str = "p"
    tags: tuple[str, ...] = ()
    more: dict[str, Any] = dataclasses.field(default_factory=dict)
    parent: Twin | None = None


VALUES = {
    "x": st.integers(0, 2),
    "name": st.sampled_from(["p", "q"]),
    "tags": st.lists(st.sampled_from("ab"), max_size=2).map(tuple),
    "more": st.dictionaries(st.sampled_from("ab"), st.integers(0, 1) | st.lists(st.integers(0, 1)), max_size=2),
}
GIVEN = st.fixed_dictionaries({"x": VALUES["x"]}, optional={name: value for name, value in VALUES.items() if name != "x"})


@given(GIVEN, GIVEN)
def test_records_are_made_shown_and_compared_as_dataclasses_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    mine, theirs = Point(**one), Twin(**one)
    assert repr(mine).replace("Point", "Twin") == repr(theirs)
    assert (mine == Point(**other)) == (theirs == Twin(**other))
    assert {name: getattr(mine, name) for name in Point.record_fields} == vars(theirs)
    assert [f.name for f in dataclasses.fields(Twin)] == list(Point.record_fields)
    if mine == Point(**other):
        assert hash(mine) == hash(Point(**other))


@given(GIVEN, GIVEN)
def test_replace_copy_and_pickle_do_what_they_do_with_a_dataclass(one: dict[str, Any], other: dict[str, Any]) -> None:
    mine = Point(**one)
    assert vars(dataclasses.replace(Twin(**one), **other)) == {n: getattr(replace(mine, **other), n) for n in Point.record_fields}
    assert mine == Point(**one), "replace has changed its argument"
    assert pickle.loads(pickle.dumps(mine)) == copy.copy(mine) == copy.deepcopy(mine) == mine


@pytest.mark.parametrize("args, kwargs", [((), {}), ((1, "a", (), {}, None, 6), {}), ((1,), {"x": 2}), ((1,), {"y": 2})])
def test_wrong_arguments_are_refused_with_the_words_of_a_dataclass(args: Any, kwargs: Any) -> None:
    with pytest.raises(TypeError) as theirs:
        Twin(*args, **kwargs)
    with pytest.raises(TypeError) as mine:
        Point(*args, **kwargs)
    assert str(mine.value).replace("Point", "Twin") == str(theirs.value)


def test_positions_and_names_mean_the_same() -> None:
    assert Point(1, "q", ("a",), {"k": 1}, None) == Point(x=1, name="q", tags=("a",), more={"k": 1})


def test_each_record_has_a_default_of_its_own() -> None:
    one, other = Point(1), Point(1)
    one.more["k"] = 1
    assert other.more == {}


def test_records_of_different_classes_are_never_equal() -> None:
    assert Empty() == Empty()
    assert Empty() != Point(1)
    assert Point(1) != (1, "p", (), {}, None)
    assert repr(Empty()) == "Empty()"


def test_equal_records_hash_alike_whatever_the_order_of_their_keys() -> None:
    assert hash(Point(1, more={"a": 1, "b": [{}]})) == hash(Point(1, more={"b": [{}], "a": 1}))


def test_a_record_has_slots_and_keeps_its_class_variables() -> None:
    with pytest.raises(AttributeError):
        Point(1).colour = "red"  # type: ignore[attr-defined]
    assert Point.kinds == Point(1).kinds == 3
    assert "kinds" not in Point.record_fields


@pytest.mark.parametrize("cls", [Point, Odd, *record_classes()])
def test_every_record_survives_json(cls: type[Any]) -> None:
    @given(of_record(cls))
    @settings(max_examples=15, deadline=None)
    def survives(value: Any) -> None:
        plain = to_plain(value)
        again = from_plain(cls, json.loads(json.dumps(plain)))
        assert again == value
        assert to_plain(again) == plain

    survives()


@pytest.mark.parametrize("cls", record_classes())
def test_unknown_fields_of_stored_data_are_ignored(cls: type[Any]) -> None:
    @given(of_record(cls, 1))
    @settings(max_examples=3, deadline=None)
    def ignores(value: Any) -> None:
        assert from_plain(cls, {**to_plain(value), "a field of tomorrow": [1]}) == value

    ignores()


def test_fields_at_their_default_are_left_out() -> None:
    assert to_plain(Point(1, "p", (), {}, None)) == {"x": 1}
    assert to_plain(Point(0, "", ("a",), {"k": (1, 2)}, Point(2))) == {
        "x": 0, "name": "", "tags": ["a"], "more": {"k": [1, 2]}, "parent": {"x": 2},
    }  # fmt: skip
    assert to_plain(Odd(either=False)) == {"either": False}, "False is not the default 0"


def test_what_is_not_a_record_stays_as_it_is() -> None:
    marker = object()
    assert to_plain([1, (2.5, None), {"k": marker}]) == [1, [2.5, None], {"k": marker}]


def test_lists_become_tuples_where_the_hint_says_so() -> None:
    odd = from_plain(Odd, {"either": "a", "rows": [{"k": 1}], "points": {"p": {"x": 1}}})
    assert odd == Odd("a", ({"k": 1},), {"p": Point(1)})


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_what_cannot_be_a_record_is_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="Point expects an object, got"):
        from_plain(Point, data)


def test_a_record_without_what_it_must_have_is_refused() -> None:
    with pytest.raises(TypeError, match="'x'"):
        from_plain(Point, {"name": "q"})
