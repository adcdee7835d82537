"""The second example; R itself is run where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAIRWAY = str(Path(sys.executable).parent / "fairway")
PIPELINE = ROOT / "examples" / "r_and_shell" / "pipeline.py"


def fairway(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"FAIRWAY_HOME": str(home)}
    return subprocess.run([FAIRWAY, *words], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)


def test_commands_are_steps_of_the_graph(tmp_path: Path) -> None:
    done = fairway("graph", str(PIPELINE), "-o", "json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"command"' in done.stdout
    assert "{out:sorted}" in done.stdout


@pytest.mark.skipif(not shutil.which("Rscript"), reason="R is not installed")
def test_r_finds_the_slope_that_python_drew(tmp_path: Path) -> None:
    done = fairway("run", str(PIPELINE), "--slope", "3", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = fairway("artifacts", "cat", "last", "line", home=tmp_path)
    assert '"slope": 3.0' in shown.stdout or '"slope": 2.9' in shown.stdout


@pytest.mark.skipif(not shutil.which("Rscript"), reason="R is not installed")
def test_the_script_can_say_that_there_is_nothing_to_fit(tmp_path: Path) -> None:
    done = fairway("run", str(PIPELINE), "--count", "2", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout + done.stderr
