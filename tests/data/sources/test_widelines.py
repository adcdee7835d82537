"""Rows with thousands of values too many, and long stretches of which no row can be read: bounded, and nothing after them is lost."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairway as fw
from fairway.data.sources.widelines import SPARE, Narrowing, has_wide_line
from fairway.errors import ConfigError, DataAnomalies


@pytest.mark.parametrize("packed", [False, True])
def test_row_with_80000_values_too_many_is_one_reject_soon(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    text = "a,b\n" + "1,x\n" * 50 + ",".join(["7"] * 80_000) + "\n" + "2,y\n" * 50
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    begun = time.process_time()
    table = fw.read(path, max_rejects="all")
    rows = table.rows()
    assert time.process_time() - begun < 5  # DuckDB alone: 71 s and 2 GB
    assert [row["a"] for row in rows] == [1] * 50 + [2] * 50
    assert table.rejects.count == 1
    assert (table.rejects.rows[0].line, table.rejects.rows[0].reason) == (52, "80,000 values, 2 columns")


def test_long_quoted_text_full_of_commas_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = "a, b," * 5_000
    path.write_text(f'n,t\n1,x\n2,"{text}"\n3,"two\nlines"\n')
    assert has_wide_line(str(path), b"\n", b",", 2)
    assert [row["t"] for row in fw.read(path).rows()] == ["x", text, "two\nlines"]


def test_row_that_would_be_changed_though_it_can_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('n,t\n1,5" pipe\n2,"' + "a, b," * 5_000 + '"\n')
    with pytest.raises(ConfigError, match=r"line 3 has 10,002 values|values"):
        fw.read(path, quote='"', max_rejects="all").rows()


@given(
    st.lists(
        st.sampled_from(["1,2\n", '"a,b",2\n', "," * (SPARE + 60) + "\n", '"x\n,y",' * 3 + "\n", '1,"' + "," * 400 + '"\n']), max_size=6
    ),
    st.integers(1, 700),
)
def test_narrowed_text_has_the_same_rows_in_the_same_bytes(lines: list[str], size: int) -> None:
    text = "".join(lines).encode()
    narrowing = Narrowing(",", '"', '"', 2)
    made = b"".join(narrowing.passing((text[n : n + size] for n in range(0, len(text), size)), b"\n"))
    assert len(made) == len(text)
    assert made.count(b"\n") == text.count(b"\n")
    pieces, at = made.splitlines(keepends=True), 0
    assert len(pieces) == text.count(b"\n")
    for line, piece in zip(text.splitlines(keepends=True), pieces, strict=True):
        at += 1
        if b"," * (SPARE + 60) not in line or b'"' in line:
            assert piece == line


def test_narrowing_keeps_so_many_separators_that_the_row_stays_one_with_too_many() -> None:
    text = b",".join([b'"a"'] * 9_000) + b"\n1,2\n"
    narrowing = Narrowing(",", '"', '"', 2)
    made = b"".join(narrowing.passing(iter([text[:5_000], text[5_000:]]), b"\n"))
    assert made.split(b"\n")[0].count(b",") == SPARE + 2
    assert made.endswith(b"\n1,2\n")
    assert narrowing.widths == {1: 9_000}


@pytest.mark.parametrize("packed", [False, True])
def test_rows_after_megabytes_of_bad_ones_are_read(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    bad = 110_000
    text = "a,b,c\n" + "1,1.5,2024-01-01\n" * 6_000 + ("0" * 70 + ",1,2,3\n") * bad + "2,1.5,2024-01-01\n" * 3_000
    path.write_bytes(gzip.compress(text.encode(), 1) if packed else text.encode())
    table = fw.read(path, max_rejects="all")
    assert table.select("a").count() == 9_000  # DuckDB in parallel: 6,000, and no word of it
    assert table.rejects.count == bad
    with pytest.raises(DataAnomalies, match="cannot be read"):
        fw.read(path).count()


@pytest.mark.parametrize("columns", [3, 30, 600])
def test_a_limit_counts_rows_and_not_the_values_they_lack(tmp_path: Path, columns: int) -> None:
    """DuckDB makes an error of each value that is missing: the first rows must not use up what is kept of errors."""
    path = tmp_path / "a.csv"
    good = ",".join(["1"] * columns) + "\n"
    path.write_text(",".join(f"c{n}" for n in range(columns)) + "\n" + good * 5 + "1\n" * 40 + good * 5)
    with pytest.raises(DataAnomalies, match="cannot be read"):
        fw.read(path, max_rejects=20).rows()  # ten rows came, and one reject, of 40
    table = fw.read(path, max_rejects=40)
    assert len(table.rows()) == 10
    assert table.rejects.count == 40
