"""A report of data on the screen of a phone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, expect

from fairway.data.batch import Batch
from fairway.data.report import render
from fairway.data.statistics import measure


def test_what_is_said_of_a_column_is_within_a_narrow_screen(browser: Browser, tmp_path: Path) -> None:
    some = np.random.default_rng(0)
    ages = np.where(np.arange(500) % 9 == 0, np.nan, some.uniform(0, 9, 500))
    columns = {"a_column_with_a_long_name": some.normal(0, 1, 500), "age": ages, **{f"x{n}": ages for n in range(20)}}
    path = tmp_path / "report.html"
    path.write_text(render(statistics=measure([Batch.of(columns)])), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(path.as_uri())
    rows = page.locator("table.columns > tbody > tr")
    assert rows.count() == 22
    for cell in (":scope > th", ":scope > td:nth-child(5)", ":scope > td:nth-child(6)"):
        for one in rows.locator(cell).all():
            box = one.bounding_box()
            assert box is not None and box["width"] > 50 and 0 <= box["x"] and box["x"] + box["width"] <= 390
    page.get_by_label("find a column").fill("age")
    expect(rows.filter(visible=True)).to_have_count(1)
    page.close()
