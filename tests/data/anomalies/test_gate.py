"""`fw.validate` as a gate in a pipeline: the task fails with what is wrong; the result travels as an artifact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FLOW = """
import fairway as fw
from fairway.data import Table


@fw.step
def check(path: str) -> fw.HTML:
    return fw.HTML(fw.validate(path, "{schema}").html())


@fw.step
def look(path: str) -> fw.HTML:
    found = fw.validate(path, "{schema}", fail=False)
    fw.log(errors=len(found.errors))
    return fw.HTML(found.html())


@fw.step
def train(report: fw.HTML) -> int:
    return len(report)


@fw.step
def take(path: str) -> Table:
    return fw.read(path)


@fw.step
def found(table: Table):
    return fw.validate(table, "{schema}", fail=False)


@fw.pipeline
def kept(path: str):
    return found(take(path))


@fw.pipeline
def gated(path: str):
    train(check(path))


@fw.pipeline
def told(path: str):
    train(look(path))
"""
SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "maximum": 120}, "plan": {"enum": ["free", "paid"]}},
    "required": ["age", "plan"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    (tmp_path / "flow.py").write_text(FLOW.format(schema=tmp_path / "schema.json"), encoding="utf-8")
    (tmp_path / "good.csv").write_text("age,plan\\n31,free\\n45,paid\\n".replace("\\n", "\n"), encoding="utf-8")
    (tmp_path / "bad.csv").write_text("age,plan\n310,free\n45,gold\n", encoding="utf-8")
    return tmp_path


def fairway(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1", "FAIRWAY_HOME": str(project / ".home")}
    return subprocess.run(
        [sys.executable, "-m", "fairway", *words], cwd=project, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_good_data_passes_the_gate(project: Path) -> None:
    done = fairway(project, "run", "flow.py:gated", "-p", f"path={project / 'good.csv'}")
    assert done.returncode == 0, done.stderr


def test_bad_data_fails_the_task_and_says_which_columns(project: Path) -> None:
    done = fairway(project, "run", "flow.py:gated", "-p", f"path={project / 'bad.csv'}")
    assert done.returncode == 1, done.stderr
    said = done.stdout + done.stderr
    assert "DataAnomalies: 2 errors in `age`, `plan`: `age` goes up to 310" in said
    assert "train" not in [line.split()[1] for line in said.splitlines() if line.startswith("✓")]


def test_a_look_lets_the_run_go_on_and_keeps_the_page(project: Path) -> None:
    done = fairway(project, "run", "flow.py:told", "-p", f"path={project / 'bad.csv'}")
    assert done.returncode == 0, done.stderr


def test_what_was_found_is_fetched_as_a_page_and_printed_as_json(project: Path) -> None:
    done = fairway(project, "run", "flow.py:kept", "-p", f"path={project / 'bad.csv'}")
    assert done.returncode == 0, done.stderr
    found = json.loads(fairway(project, "artifacts", "cat", "last", "found").stdout)
    assert [one["column"] for one in found["anomalies"]] == ["age", "plan"]
    assert found["uri"] == "the table"
    assert fairway(project, "artifacts", "get", "last", "found").returncode == 0
    assert next(project.glob("found*.html")).read_text(encoding="utf-8").startswith("<!doctype html>")
