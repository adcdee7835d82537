"""What an input's annotation makes of plain JSON."""

from __future__ import annotations

import sys
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import DefinitionError
from fairway.step.conversion import find_conversion


class Colour(Enum):
    RED = "red"
    FOUR = 4


@pytest.fixture
def paint(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("paint")
    module.Colour = Colour  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "paint", module)


AS_IT_IS = [
    "",
    "int",
    "str",
    "list",
    "dict",
    "list[int]",
    "list[list[str]]",
    "dict[str, int]",
    "fairway.File",
    "int | str",
    "Any",
    "None",
    "float | None",
]


@pytest.mark.parametrize("kind", AS_IT_IS)
def test_what_json_can_say_has_no_conversion(kind: str) -> None:
    assert find_conversion(kind) is None


CASES: list[tuple[str, Any, Any]] = [
    ("datetime.date", "2026-01-31", date(2026, 1, 31)),
    ("datetime.date | None", "2026-01-31", date(2026, 1, 31)),
    ("datetime.date | None", None, None),
    ("datetime.datetime", "2026-01-31T12:30:00+02:00", datetime.fromisoformat("2026-01-31T12:30:00+02:00")),
    ("datetime.time", "12:30", time(12, 30)),
    ("decimal.Decimal", "0.10", Decimal("0.10")),
    ("uuid.UUID", "12345678-1234-5678-1234-567812345678", UUID("12345678-1234-5678-1234-567812345678")),
    ("pathlib.Path", "a/b", Path("a/b")),
    ("pathlib.Path", Path("a"), Path("a")),
    ("tuple[int, str]", [1, "a"], (1, "a")),
    ("tuple[int, ...]", [1, 2, 3], (1, 2, 3)),
    ("tuple", [1, 2], (1, 2)),
    ("tuple[datetime.date, int]", ["2026-01-31", 3], (date(2026, 1, 31), 3)),
    ("set[int]", [3, 1, 3], {1, 3}),
    ("frozenset[str]", ["a"], frozenset({"a"})),
    ("list[tuple[int, int]]", [[1, 2]], [(1, 2)]),
    ("list[datetime.date]", ["2026-01-31"], [date(2026, 1, 31)]),
    ("tuple[int, str]", (1, "a"), (1, "a")),
    ("list[datetime.date]", "no list", "no list"),
]


@pytest.mark.parametrize(("kind", "value", "wanted"), CASES)
def test_values_become_what_the_annotation_says(kind: str, value: Any, wanted: Any) -> None:
    convert = find_conversion(kind)
    assert convert is not None
    made = convert(value)
    assert made == wanted
    assert type(made) is type(wanted)


@pytest.mark.usefixtures("paint")
def test_members_of_the_users_enums_are_found_by_value() -> None:
    convert = find_conversion("list[paint.Colour]")
    assert convert is not None
    assert convert(["red", 4, Colour.RED]) == [Colour.RED, Colour.FOUR, Colour.RED]


@pytest.mark.usefixtures("paint")
@pytest.mark.parametrize("kind", ["paint.Missing", "nowhere.Colour", "pandas.DataFrame"])
def test_classes_that_are_no_enums_leave_the_value_alone(kind: str) -> None:
    convert = find_conversion(kind)
    assert convert is not None
    assert convert("red") == "red"


@pytest.mark.parametrize(
    ("kind", "text"), [("datetime.date", "soon"), ("decimal.Decimal", "x"), ("uuid.UUID", "1"), ("datetime.time", "25:00")]
)
def test_text_that_says_no_such_value_is_refused(kind: str, text: str) -> None:
    convert = find_conversion(kind)
    assert convert is not None
    with pytest.raises(DefinitionError, match=f"'{text}' is not a {kind}") as caught:
        convert(text)
    assert caught.value.hint


@given(st.dates())
def test_every_date_survives_its_text(value: date) -> None:
    convert = find_conversion("datetime.date")
    assert convert is not None
    assert convert(value.isoformat()) == value


@given(st.lists(st.tuples(st.integers(), st.text())))
def test_lists_of_tuples_survive_json(values: list[tuple[int, str]]) -> None:
    convert = find_conversion("list[tuple[int, str]]")
    assert convert is not None
    assert convert([list(value) for value in values]) == values
