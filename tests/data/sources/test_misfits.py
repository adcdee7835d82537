"""Rows of wide tables that lack values or have too many: each a reject, in time that grows with the bytes alone."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairway as fw
from fairway.data.sources.dialect import Dialect
from fairway.data.sources.misfits import WIDE, Misfits, has_misfit

_ROW = ",".join(["1"] * 1000) + "\n"
_HEAD = ",".join(f"c{n}" for n in range(1000)) + "\n"


@pytest.mark.parametrize("packed", [False, True])
def test_thousands_of_short_and_long_rows_are_rejects_soon(tmp_path: Path, packed: bool) -> None:
    import gzip

    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    text = _HEAD + _ROW * 3 + "1,2\n" * 4_000 + "x," * 3_000 + "x\n" + _ROW.replace("1,1", '"a\nb",1', 1) + '"x"x,1\n' + _ROW
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    begun = time.process_time()
    table = fw.read(path, max_rejects="all")
    assert table.count() == 5
    assert time.process_time() - begun < 8  # DuckDB alone: an error for each of 4,000,000 missing values
    told = {(one.line, one.reason) for one in table.rejects.rows[:1]}
    assert told == {(5, "2 values, 1000 columns")}
    assert table.rejects.count == 4_002
    assert table.rejects.file is not None
    assert '"line": 4008, ' in table.rejects.file.read_text()


def test_a_wide_file_whose_rows_all_fit_is_read_by_duckdb_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(_HEAD + _ROW * 5)
    dialect = Dialect(",", '"', '"', "", 0, True, tuple(_HEAD.strip().split(",")))
    assert not has_misfit(str(path), b"\n", dialect)
    with path.open("a") as file:
        file.write("1,2\n")
    assert has_misfit(str(path), b"\n", dialect)


@given(
    st.lists(
        st.sampled_from(["a" + ",b" * WIDE, "a,b", '"x,y"' + ",1" * WIDE, '"l\nm"' + ",1" * WIDE, '"l\nm",2', '"d""q"' + "," * WIDE, ""]),
        max_size=8,
    ),
    st.integers(1, 900),
)
def test_what_is_left_are_the_rows_that_fit_in_their_places(rows: list[str], size: int) -> None:
    text = "".join(row + "\n" for row in rows).encode()
    dialect = Dialect(",", '"', '"', "", 0, False, tuple(f"c{n}" for n in range(WIDE + 1)))
    misfits = Misfits(dialect, 1 << 20)
    made = b"".join(misfits.passing((text[n : n + size] for n in range(0, len(text), size)), b"\n"))
    assert len(made) == len(text)
    assert all(now in (before, 10) for now, before in zip(made, text, strict=True))
    left, asked = ([row for row in csv.reader(io.StringIO(one.decode(), newline="")) if row] for one in (made, text))
    assert left == [row for row in asked if len(row) == WIDE + 1]
    assert [row.decode() for _, row, _ in misfits.taken] == [row for row in rows if row and row.count(",") < WIDE]
