"""What failed or was refused at an endpoint, as `fairway endpoints NAME` lists it."""

from __future__ import annotations

from typing import Any

from fairway.cli.endpoints import list_refused
from fairway.cli.style import spell_age


def one(at: float, status: int, message: str, key: str = "shop") -> dict[str, Any]:
    return {"at": at, "status": status, "key": key, "message": message}


def test_equal_failures_are_one_row_with_their_number_and_the_newest_comes_first() -> None:
    seen = [one(100, 500, "it broke"), one(130, 422, "no age"), one(190, 500, "it broke"), one(150, 500, "it broke", key="other")]
    rows = list_refused(seen, 200.0)
    assert [row[1:] for row in rows] == [
        ("2", "500", "shop", "it broke"),
        ("1", "500", "other", "it broke"),
        ("1", "422", "shop", "no age"),
    ]
    assert rows[0][0] == spell_age(190, 200.0), "when the newest of them came"


def test_many_equal_ones_leave_room_for_the_others() -> None:
    rows = list_refused([one(100 + n, 500, "it broke") for n in range(20)] + [one(1, 429, "too many")], 200.0)
    assert [row[1:3] for row in rows] == [("20", "500"), ("1", "429")]
