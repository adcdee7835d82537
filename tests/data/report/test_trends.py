"""Trends over the runs of a pipeline, from what one of its steps returned."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FLOW = """
import fairway as fw


@fw.step
def describe(rows: int) -> "fairway.data.TableStatistics":
    return fw.measure(fw.read({"amount": [float(n) for n in range(rows)]}))


@fw.step
def load(rows: int):
    return fw.read({"amount": [float(n) for n in range(rows)]})


@fw.step
def word() -> str:
    return "word"


@fw.pipeline
def daily(rows: int = 10):
    describe(rows)
    load(rows)
    word()
"""


def fairway(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "FAIRWAY_HOME": str(project / ".home")}
    return subprocess.run(
        [sys.executable, "-m", "fairway", *words], cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_report_of_a_runs_statistics_goes_over_the_runs_before(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    for rows in (10, 20, 40):
        made = fairway(tmp_path, "run", "flow.py", "--rows", str(rows))
        assert made.returncode == 0, made.stderr
    made = fairway(tmp_path, "data", "report", "describe", "--run", "last", "--out", "all.html")
    assert made.returncode == 0, made.stderr
    page = (tmp_path / "all.html").read_text()
    assert "Over 3 measurements" in page and "<b>40</b> rows" in page
    made = fairway(tmp_path, "data", "report", "describe", "--run", "last", "--runs", "1", "--out", "two.html")
    assert "Over 2 measurements" in (tmp_path / "two.html").read_text(), made.stderr
    made = fairway(tmp_path, "data", "report", "load", "--run", "last", "--out", "table.html")
    assert made.returncode == 0 and "<b>40</b> rows" in (tmp_path / "table.html").read_text()
    made = fairway(tmp_path, "data", "report", "word", "--run", "last")
    assert made.returncode == 2 and "is a str" in made.stderr
