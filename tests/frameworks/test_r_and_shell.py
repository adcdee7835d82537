"""The second example with R itself, which `make test-frameworks` installs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAIRWAY = str(Path(sys.executable).parent / "fairway")
PIPELINE = ROOT / "examples" / "r_and_shell" / "pipeline.py"


def fairway(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"FAIRWAY_HOME": str(home)}
    return subprocess.run([FAIRWAY, *words], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)


def test_r_finds_the_slope_that_python_drew(tmp_path: Path) -> None:
    done = fairway("run", str(PIPELINE), "--slope", "3", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    line = json.loads(fairway("artifacts", "cat", "last", "line", home=tmp_path).stdout)
    assert abs(line["slope"] - 3) < 0.1
    assert abs(line["intercept"]) < 1
    assert "Residual standard error" in fairway("artifacts", "cat", "last", "summary", home=tmp_path).stdout
    assert "from 200 points" in fairway("logs", "last", "fit", home=tmp_path).stdout


def test_the_script_can_say_that_there_is_nothing_to_fit(tmp_path: Path) -> None:
    done = fairway("run", str(PIPELINE), "--count", "2", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert status_of("fit", tmp_path) == "skipped"


def test_an_edited_script_runs_again_and_what_was_before_it_does_not(tmp_path: Path) -> None:
    """The script is part of the step's code although no Python names it."""
    folder = tmp_path / "example"
    folder.mkdir()
    for name in ("pipeline.py", "fit.R"):
        (folder / name).write_bytes((PIPELINE.parent / name).read_bytes())
    run = ("run", str(folder / "pipeline.py"), "--count", "20")
    assert fairway(*run, home=tmp_path / "home").returncode == 0
    script = folder / "fit.R"
    script.write_text(script.read_text().replace('cat("slope"', 'cat("a slope of"'))
    assert fairway(*run, home=tmp_path / "home").returncode == 0
    assert [status_of(step, tmp_path / "home") for step in ("measure", "sort", "fit")] == ["cached", "cached", "succeeded"]


def status_of(step: str, home: Path) -> str:
    (task,) = json.loads(fairway("show", "last", step, "-o", "json", home=home).stdout)
    return task["status"]
