"""Sheets: values, headers, dates, merged cells; and workbooks that would fill the memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.errors import ConfigError
from tests.data.sources.sheets import ods, ods_cell, sheet, xlsx

_DATE = ('s="1"', "<v>45292.5</v>")  # 2024-01-01 12:00
_ERROR = ('t="e"', "<v>#DIV/0!</v>")
_FORMULA = ("", "<f>1+1</f><v>2</v>")


def write(tmp_path: Path, data: bytes, name: str = "x.xlsx") -> str:
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


def test_values_of_cells(tmp_path: Path) -> None:
    rows = [["name", "n", "x", "at", "ok", "sum"], ["é", 1, 1.5, _DATE, True, _FORMULA], [None, 2, None, None, False, _ERROR]]
    table = fw.read(write(tmp_path, xlsx({"S": sheet(rows)})))
    assert [(one.name, one.arrow) for one in table.fields] == [
        ("name", "string"), ("n", "int64"), ("x", "double"), ("at", "timestamp[us]"), ("ok", "bool"), ("sum", "int64"),
    ]  # fmt: skip
    assert table.rows() == [
        {"name": "é", "n": 1, "x": 1.5, "at": "2024-01-01T12:00:00.000000", "ok": True, "sum": 2},
        {"name": None, "n": 2, "x": None, "at": None, "ok": False, "sum": None},
    ]
    assert any("row one taken as names" in note for note in table.notes)


def test_a_table_may_stand_anywhere(tmp_path: Path) -> None:
    path = write(tmp_path, xlsx({"S": sheet([["a", "b"], [1, "x"]], top=5, left=2)}))
    assert fw.read(path).rows() == [{"a": 1, "b": "x"}]
    assert fw.read(path, skip=5, header=False).rows() == [{"C": 1, "D": "x"}]
    assert fw.read(path, skip=5, names=["p", "q"]).rows() == [{"p": 1, "q": "x"}]


def test_the_sheet_one_names(tmp_path: Path) -> None:
    path = write(tmp_path, xlsx({"One": sheet([["a"], [1]]), "Two": sheet([["b"], [2]])}))
    assert fw.read(path).rows() == [{"a": 1}]
    assert fw.read(path, sheet="Two").rows() == fw.read(path, sheet=2).rows() == [{"b": 2}]
    with pytest.raises(ConfigError, match="no sheet 'Three'") as caught:
        fw.read(path, sheet="Three")
    assert "'One', 'Two'" in caught.value.hint


def test_merged_cells_are_said_and_filled_where_asked(tmp_path: Path) -> None:
    merged = '<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>'
    path = write(tmp_path, xlsx({"S": sheet([["a", "b"], ["x", 1], [None, 2]], after=merged)}))
    table = fw.read(path)
    assert [row["a"] for row in table.rows()] == ["x", None]
    assert any("merged" in note for note in table.notes)
    assert [row["a"] for row in fw.read(path, merged="fill").rows()] == ["x", "x"]


def test_names_are_made_where_there_are_none(tmp_path: Path) -> None:
    path = write(tmp_path, xlsx({"S": sheet([["a", "a", None], [1, 2, 3]])}))
    assert fw.read(path, header=True).columns == ["a", "a_2", "C"]
    assert fw.read(write(tmp_path, xlsx({"S": sheet([[1, 2], [3, 4]])}))).rows()[0] == {"A": 1, "B": 2}


def test_open_document(tmp_path: Path) -> None:
    rows = "".join(f"<table:table-row>{ods_cell(a)}{ods_cell(b)}</table:table-row>" for a, b in (("a", "b"), (1, "x"), (2, "y")))
    rest = (
        '<table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="1024"/></table:table-row>'
    )
    assert fw.read(write(tmp_path, ods(rows + rest), "x.ods")).rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def _far_ods() -> bytes:
    wide = ods_cell(1, 'table:number-columns-repeated="1000"')
    return ods(f'<table:table-row table:number-rows-repeated="1000000">{wide}</table:table-row>')


def _far_xlsx() -> bytes:
    far = '<worksheet><sheetData><row r="1"><c r="A1"><v>1</v></c></row>'
    far += '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row></sheetData></worksheet>'
    return xlsx({"S": far})


_GOOD = xlsx({"S": sheet([["a"], [1]])})


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.xlsx", b"", "is empty"),
        ("x.xlsx", _GOOD[: len(_GOOD) // 2], "damaged workbook"),
        ("x.xlsx", b"PK\x03\x04" + b"x" * 200, "damaged workbook"),
        ("x.xlsx", b"a,b\n1,2\n", "no workbook"),
        ("x.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "no workbook"),
        ("x.xlsx", xlsx({"S": sheet([])}), "nothing on the sheet"),
        ("x.xlsx", xlsx({"S": "<worksheet"}), "cannot be read|nothing on the sheet|no workbook"),
        ("x.xlsx", _far_xlsx(), "1,048,576 rows and 16,384 columns apart"),
        ("x.ods", _far_ods(), "more than 50,000,000 cells"),
        ("x.xlsx", xlsx({"S": sheet([["a"], [1]])}, {"xl/worksheets/sheet9.xml": bytes(200_000_000)}), "looks like a bomb"),
    ],
    ids=["empty", "cut", "garbage", "text", "xls", "blank", "half", "far", "far-ods", "bomb"],
)
def test_what_cannot_be_read_is_refused_soon(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError, match=words):
        fw.read(write(tmp_path, data, name), format="excel")
    assert time.process_time() - started < 5


def test_a_bomb_that_says_it_is_small(tmp_path: Path) -> None:
    data = bytearray(xlsx({"S": sheet([["a"], [1]])}, {"xl/worksheets/sheet9.xml": bytes(200_000_000)}))
    said = (200_000_000).to_bytes(4, "little")
    assert data.count(said) >= 1
    path = write(tmp_path, bytes(data).replace(said, (1_000).to_bytes(4, "little")))
    with pytest.raises(ConfigError, match="looks like a bomb"):
        fw.read(path)


@pytest.mark.parametrize(
    ("options", "words"), [({"merged": "x"}, "merged='x'"), ({"names": ["a", "b"]}, "2 names"), ({"sheets": 1}, "no option 'sheets'")]
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    merged = '<mergeCells count="1"><mergeCell ref="A2:A3"/></mergeCells>'
    with pytest.raises(ConfigError, match=words):
        fw.read(write(tmp_path, xlsx({"S": sheet([["a"], [1], [None]], after=merged)})), **options)


def test_a_whole_number_among_texts_has_no_fraction(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(xlsx({"s": sheet([["code", "n"], [12, 1], ["x", 2], [1.5, 3]])}))
    assert [row["code"] for row in fw.read(str(path)).rows()] == ["12", "x", "1.5"]
