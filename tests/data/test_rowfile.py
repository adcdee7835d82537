"""Rows in a file: what was written is found again by its numbers, and the memory of what was read is let go."""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data import rowfile
from fairway.data.batch import Batch
from fairway.data.rowfile import CHUNK_ROWS, RowFile, write_rows

ROW = st.tuples(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.floats(width=32),
    st.one_of(st.none(), st.text(max_size=12)),
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text("ab\n", max_size=3)), max_size=3)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.dates()),
    st.binary(max_size=5),
)
NAMES = ("number", "float", "text", "list", "flag", "day", "bytes")


def found(rows: RowFile, numbers: list[int]) -> dict[str, list[Any]]:
    made: dict[str, list[Any]] = {}
    for columns, places, ours in rows.find(numbers):
        for name, column in columns.items():
            values = made.setdefault(name, [None] * len(numbers))
            for place, value in zip(places, column.values(ours), strict=True):
                values[place] = value
    return made


@settings(deadline=None, max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=40), st.data())
def test_rows_are_found_by_their_numbers(rows: list[tuple[Any, ...]], data: st.DataObject) -> None:
    every = Batch.of({name: list(column) for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)})
    cuts = sorted({0, len(rows), *data.draw(st.lists(st.integers(0, len(rows)), max_size=4))})
    numbers = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=30))
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rowfile, "_FEWEST", 3)
        path = f"{folder}/rows"
        write_rows((every.slice(start, stop) for start, stop in itertools.pairwise(cuts)), path, lambda: {"x": 1})
        made = RowFile(path)
        assert (made.size, made.told) == (len(rows), {"x": 1})
        again = found(made, numbers)
    for name, column in again.items():
        assert repr(column) == repr(every.columns[name].values(numbers)), name
    assert list(again) == (list(NAMES) if numbers else [])


def test_no_rows_are_a_file_too(tmp_path: Path) -> None:
    write_rows(iter(()), str(tmp_path / "rows"))
    made = RowFile(str(tmp_path / "rows"))
    assert (made.size, list(made.find([]))) == (0, [])


@pytest.fixture
def wide(tmp_path: Path) -> str:
    path = str(tmp_path / "rows")
    size = 40 * CHUNK_ROWS
    every = Batch.of({"a": np.arange(size), "b": np.arange(size) * 0.5})
    write_rows((every.slice(start, start + CHUNK_ROWS) for start in range(0, size, CHUNK_ROWS)), path)
    return path


def test_the_memory_of_what_was_read_is_let_go(wide: str) -> None:
    rows = RowFile(wide)
    for start in range(0, rows.size, CHUNK_ROWS):
        for columns, _, ours in rows.find(range(start, start + CHUNK_ROWS)):
            assert columns["a"].data[ours].sum() == sum(range(start, start + CHUNK_ROWS))
            assert columns["b"].data[ours][0] == start * 0.5
    if sys.platform == "linux":
        assert resident_bytes(wide) < Path(wide).stat().st_size / 4


def resident_bytes(path: str) -> int:
    """How much of a mapped file counts as this process's memory."""
    _, _, below = Path("/proc/self/smaps").read_text().partition(path)
    return next(int(line.split()[1]) << 10 for line in below.splitlines() if line.startswith("Rss:"))
