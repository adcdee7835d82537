"""The report: one page, what is wrong first, safe whatever the data says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.cli.app import app
from fairway.data.anomalies import Validation, validate
from fairway.data.batch import Batch
from fairway.data.drift import DriftReport, compare
from fairway.data.report import embed, figures, render
from fairway.data.report.elements import coded, el, text
from fairway.data.report.stored import read_page
from fairway.data.schema.infer import infer
from fairway.data.statistics import TableStatistics, measure
from fairway.data.table import read
from fairway.errors import DefinitionError
from fairway.step import serializers
from fairway.step.serializers.data_report import DataReport

RNG = np.random.default_rng(5)


def batch(shift: float = 0.0, rows: int = 2000) -> Batch:
    ages = [None if RNG.random() < 0.1 else float(x) for x in RNG.normal(40 + shift, 10, rows)]
    kinds = [str(RNG.choice(["a", "b", "c"])) for _ in range(rows)]
    return Batch.of({"age": ages, "kind": kinds, "flag": (RNG.random(rows) < 0.3), "note": [f"n-{n}" for n in range(rows)]})


def measured(shift: float = 0.0, rows: int = 2000) -> TableStatistics:
    return measure([batch(shift, rows)])


class Page(HTMLParser):
    """What a browser would find in a page: elements that are open, addresses, ids."""

    VOID = frozenset({"meta", "input", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.addresses, self.ids, self.refs = list[str](), list[str](), set[str](), set[str]()
        self.words = list[str]()
        self.feed(html)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name in ("src", "href") and value:
                (self.refs.add(value[1:]) if value.startswith("#") else self.addresses.append(value))
            if name == "id" and value:
                self.ids.add(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_what_is_wrong_stands_first_then_what_moved_then_the_columns() -> None:
    before, schema = measured(), infer(measured())
    table = read({"age": [float(x) for x in RNG.normal(90, 5, 2000)], "kind": ["d"] * 2000, "flag": [True] * 2000})
    validation = validate(table, schema, fail=False)
    now = validation.statistics
    assert now is not None
    page = Page(render(validation=validation, drift=compare(before, now), reference=before))
    order = [page.said.index(title) for title in ("What is wrong", "What moved", "Columns")]
    assert order == sorted(order)
    assert "no longer there: note" in page.said and "errors in" in page.said
    assert page.refs <= page.ids and page.refs
    assert page.addresses == []


def test_nothing_wrong_is_said_in_a_sentence() -> None:
    now = measured()
    validation = validate(read({"age": [1.5, 2.5]}), {"type": "object", "properties": {"age": {"type": "number"}}}, fail=False)
    page = Page(render(validation=validation, drift=compare(now, now), statistics=now, reference=now))
    assert "keeps to its schema · nothing moved" in page.said
    assert "Nothing: 2 rows keep to the schema." in page.said


def test_cadence_gaps_missing_values_and_trends_have_a_place() -> None:
    times = np.concatenate([np.arange(500) * 5, 10_000 + np.arange(500) * 5]) * 1_000_000
    thirds = [None if n % 3 else n for n in range(1000)]
    table = Batch.of({"at": times.astype("datetime64[us]"), "a": thirds, "b": thirds})
    now = measure([table], time="at")
    page = Page(render(statistics=now, reference=now, history=[now, now]))
    assert "period 5 s 5 s" in page.said
    assert "2.085 h: 1970-01-01 00:41:35 to 1970-01-01 02:46:40, before row 500" in page.said
    assert "What is missing together" in page.said and "66.6 %" in page.said
    assert "Trends Over 3 measurements" in page.said


@given(st.text(min_size=1, max_size=40), st.lists(st.text(max_size=30), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_no_text_of_the_data_is_markup(name: str, values: list[str]) -> None:
    now = measure([Batch.of({name: values})])
    html = render(statistics=now, reference=now, title=name)
    page = Page(html)
    assert page.addresses == []
    assert len(re.findall(r"<script", html)) == 1


def test_hostile_names_are_shown_as_they_are() -> None:
    evil = '"><script src=//x.example></script><img onerror=alert(1) src=x>'
    validation = validate(read({evil: [evil, evil]}), {"type": "object", "properties": {evil: {"type": "number"}}}, fail=False)
    html = render(validation=validation, statistics=measure([Batch.of({evil: [evil, "b"]})]))
    page = Page(html)
    assert page.addresses == [] and evil in " ".join(page.words)
    assert "<img" not in html and html.count("<script") == 1


def test_five_hundred_columns_are_less_than_two_megabytes() -> None:
    columns = {f"column_{n}": RNG.normal(n, 1 + n, 300) for n in range(400)}
    columns |= {f"text_{n}": [f"user-{x}" for x in RNG.integers(0, 10**6, 300)] for n in range(100)}
    now = measure([Batch.of(columns)])
    html = render(statistics=now, reference=now)
    assert len(html.encode()) < 2 << 20
    assert len(re.findall(r'<tr id="c-', html)) == 500


@pytest.mark.parametrize("kind", ["empty", "one", "nulls", "lists"])
def test_odd_tables_are_drawn(kind: str) -> None:
    columns = {"empty": {"a": []}, "one": {"a": [1.5]}, "nulls": {"a": [None, None]}, "lists": {"a": [[1.0, 2.0], [3.0]]}}[kind]
    now = measure([Batch.of(columns)])
    assert "Columns" in Page(render(statistics=now, reference=now)).said


def test_a_notebook_gets_it_in_a_frame() -> None:
    html = embed(statistics=measured(rows=50))
    frame = Page(html)
    assert html.startswith("<iframe srcdoc=") and frame.addresses == []


def test_elements_escape_and_close() -> None:
    assert text("a<b", None, False, [1, el("b", "&")]) == "a&lt;b1<b>&amp;</b>"
    assert el("td", class_="n", data_name='x"y', hidden=True, id=None) == '<td class="n" data-name="x&quot;y" hidden></td>'
    assert coded("`a<` is 5") == "<code>a&lt;</code> is 5" and coded("it`s") == "it`s"


def test_figures_keep_to_their_box() -> None:
    drawn = figures.overlay([1, 2, 3], [3, 2, 1], "x")
    heights = [float(found) for found in re.findall(r"v-([\d.]+)", drawn)]
    assert max(heights) <= 40 and len(heights) == 3
    assert figures.overlay(None, [], "x") == "" and figures.line([1.0], "x") == ""
    assert figures.line([1.0, float("nan"), 3.0, 2.0], "x").count("M") == 2


def test_the_command_writes_a_page_of_data_and_of_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.csv").write_text("age,kind\n" + "".join(f"{n % 60},{'ab'[n % 2]}\n" for n in range(500)))
    Path("new.csv").write_text("age,kind\n" + "".join(f"{n % 60 + 40},{'ac'[n % 2]}\n" for n in range(500)))
    run = CliRunner().invoke
    assert run(app, ["data", "schema", "infer", "old.csv", "--out", "schema.json"]).exit_code == 0
    made = run(app, ["data", "report", "new.csv", "--against", "old.csv", "--schema", "schema.json", "--by", "kind"])
    assert made.exit_code == 0, made.output
    page = Page(Path("report.html").read_text())
    assert "What is wrong" in page.said and "What moved" in page.said and "Slices" in page.said
    for name in ("old", "new"):
        assert run(app, ["data", "stats", f"{name}.csv", "--out", f"{name}.json"]).exit_code == 0
    made = run(app, ["data", "report", "new.json", "--history", "old.json", "--out", "sub/r.html"])
    assert made.exit_code == 0, made.output
    assert "Trends" in Page(Path("sub/r.html").read_text()).said
    refused = run(app, ["data", "report", "new.json", "--schema", "schema.json"])
    assert "no rows to hold to a schema" in str(refused.exception)


def test_what_a_step_returns_is_a_page_that_is_read_back(tmp_path: Path) -> None:
    before, now = measured(), measured(30)
    validation = validate(read({"age": ["</script><b>"]}), {"type": "object", "properties": {"age": {"type": "number"}}}, fail=False)
    report = compare(before, now)
    writer = DataReport()
    for value in (validation, report, now):
        path = tmp_path / f"{type(value).__name__}.html"
        writer.write(value, path)
        Page(path.read_text())
        back = writer.read(path, "", {})
        assert type(back) is type(value)
        assert (back.to_json() == value.to_json()) if value is not report else back == value
    with pytest.raises(DefinitionError, match="holds no data"):
        read_page("<html></html>")


def test_types_are_known_by_name_to_whoever_stores_a_steps_output() -> None:
    for kind in (Validation, DriftReport, TableStatistics):
        found = serializers.find_for_class(kind)
        assert found is not None and found.format == "data-report"
