"""What `fairway endpoints NAME` says of drift."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.cli.endpoints import print_endpoint
from fairway.serve.control.view import Alarm, DriftOf, DriftView
from fairway.spec.record import replace
from fairway.web.records import full
from tests.web.served import busy

MOVED = Alarm("drift:x:1", "2026-09-21T12:53:20+00:00", "drift", "x", "error", "`x` is higher: median 1 → 2", revision=3)


def said(capsys: pytest.CaptureFixture[str], drift: DriftView) -> str:
    print_endpoint(full(replace(busy(), drift=drift)))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"windows": 3, "rows": 12_400}, "none in 12,400 rows"),
        ({"windows": 0, "rows": 40, "window_rows": 500}, "40 rows so far, judged from 500 on"),
        ({"windows": 3, "rows": 40, "has_baseline": False}, "no baseline; 40 rows are as the schema says"),
        ({"windows": 3, "rows": 40, "active": (MOVED, MOVED)}, "2 alarms, see below"),
    ],
)
def test_a_line_says_how_its_traffic_is(capsys: pytest.CaptureFixture[str], about: dict[str, Any], says: str) -> None:
    of = DriftOf(**{"revision": 3, "has_baseline": True, **about})
    text = said(capsys, DriftView((of,)))
    (line,) = [line for line in text.splitlines() if line.startswith("drift")]
    assert line.removeprefix("drift").strip() == says
    assert ("x is higher: median 1 → 2" in text) == bool(of.active)


def test_nothing_is_said_where_nobody_looks_and_why_where_one_cannot(capsys: pytest.CaptureFixture[str]) -> None:
    assert "drift" not in said(capsys, DriftView())
    assert "not looked at: numpy is not installed" in said(capsys, DriftView(error="numpy is not installed"))
