"""Small tables of a run as text."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairway as fw
from fairway.cli.tables import MAX_ROWS, load_table, render_outputs_tables, render_table
from fairway.spec.artifact import ArtifactRef
from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> FolderArtifactStore:
    return FolderArtifactStore(tmp_path / "blobs")


def saved(table: fw.Table, store: FolderArtifactStore, tmp_path: Path) -> ArtifactRef:
    return artifacts.save(table, store, tmp_path / "scratch")


def test_numbers_stand_flush_right_with_as_many_digits_each(store: FolderArtifactStore, tmp_path: Path) -> None:
    rows = [{"name": "tree", "auc": 0.75, "n": 3}, {"name": "boosting", "auc": None, "n": 12}, {"name": "none", "auc": 0.0, "n": None}]
    ref = saved(fw.Table(rows, title="Candidates"), store, tmp_path)
    assert render_table(load_table(ref, store)) == [
        "Candidates",
        "name       auc   n",
        "tree      0.75   3",
        "boosting        12",
        "none      0.00",
    ]


def test_words_among_numbers_and_tiny_numbers_are_left_as_they_are() -> None:
    table = {"title": "", "columns": ["what", "size"], "rows": [["a", "many"], ["b", 1.5], ["c", True]]}
    assert render_table(table, "sizes") == ["sizes", "what  size", "a     many", "b     1.5", "c     True"]
    assert render_table({"columns": ["p"], "rows": [[1e-9], [0.5]]}) == ["    p", "1e-09", "  0.5"]


def test_a_long_cell_is_cut_and_line_breaks_do_not_break_the_table() -> None:
    lines = render_table({"columns": ["text"], "rows": [["x" * 100], ["two\nlines"]]})
    assert len(lines) == 3
    assert lines[1].endswith("…") and lines[2] == "two lines"


def test_only_tables_that_can_be_read_at_a_glance_are_shown(store: FolderArtifactStore, tmp_path: Path) -> None:
    outputs = {
        "long": saved(fw.Table([{"n": n} for n in range(MAX_ROWS + 1)]), store, tmp_path),
        "short": saved(fw.Table([{"n": 1}]), store, tmp_path),
        "number": artifacts.save(3, store, tmp_path),
    }
    assert list(render_outputs_tables(outputs, store)) == ["", "short", "n", "1"]
