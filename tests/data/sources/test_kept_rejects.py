"""Files of rejects: one that an error or a command names stays, any other goes with the process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FAIRWAY = str(Path(sys.executable).parent / "fairway")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "temporary").mkdir()
    (tmp_path / "a.csv").write_text("a,b\n1,2\n1,2,3\n3,4\n")
    return tmp_path


def fairway(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"TMPDIR": str(folder / "temporary"), "COLUMNS": "400"}
    return subprocess.run([FAIRWAY, "data", *words], cwd=folder, env=variables, capture_output=True, text=True, timeout=180, check=False)


def left(folder: Path) -> list[str]:
    return [str(one) for one in (folder / "temporary").iterdir() if one.name.startswith("fairway-rejects-")]


def test_head_of_a_file_with_rejects_leaves_nothing(folder: Path) -> None:
    done = fairway("head", "a.csv", "--set", "max_rejects=all", folder=folder)
    assert done.returncode == 0, done.stderr
    assert left(folder) == []


def test_files_that_somebody_is_told_of_stay(folder: Path) -> None:
    done = fairway("convert", "a.csv", "a.parquet", folder=folder)
    assert done.returncode == 1
    assert "1 row of a.csv cannot be read, and max_rejects allows none:" in done.stderr
    named = re.findall(r"\S*fairway-rejects-\S*ndjson", done.stderr)
    assert named == left(folder)
    done = fairway("convert", "a.csv", "a.parquet", "--set", "max_rejects=all", folder=folder)
    assert done.returncode == 0, done.stderr
    assert len(left(folder)) == 2
    assert set(re.findall(r"[^\s(]*fairway-rejects-[^\s)]*ndjson", done.stdout + done.stderr)) <= set(left(folder))
