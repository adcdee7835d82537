"""The second example as a graph, and its shell half as a run; with R it is run in tests/frameworks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAIRWAY = str(Path(sys.executable).parent / "fairway")
PIPELINE = ROOT / "examples" / "r_and_shell" / "pipeline.py"
SHELL_ONLY = """
import fairway as fw
from pipeline import measure, sort


@fw.step
def first(points: fw.File) -> list[float]:
    with open(points) as file:
        return [float(line.split(",")[0]) for line in file]


@fw.pipeline
def shell_only(count: int = 30):
    return first(sort(points=measure(count, 2.0)).sorted)
"""

COUNTED = """
import fairway as fw


@fw.step
def write() -> fw.File:
    with open("lines.txt", "w") as file:
        file.write("a\\nb\\n")
    return fw.File("lines.txt")


count = fw.command(["sh", "count.sh", fw.In("lines"), fw.Out("number")], name="count")


@fw.pipeline
def counted():
    return count(lines=write()).number
"""


def fairway(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"FAIRWAY_HOME": str(home)}
    return subprocess.run([FAIRWAY, *words], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120, check=False)


def test_commands_are_steps_of_the_graph(tmp_path: Path) -> None:
    done = fairway("graph", str(PIPELINE), "-o", "json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '"command"' in done.stdout
    assert "{out:sorted}" in done.stdout


def test_the_shell_sorts_what_python_wrote(tmp_path: Path) -> None:
    file = tmp_path / "shell_only.py"
    (tmp_path / "pipeline.py").write_bytes(PIPELINE.read_bytes())
    file.write_text(SHELL_ONLY)
    assert fairway("run", str(file), home=tmp_path / "home").returncode == 0
    values = json.loads(fairway("artifacts", "cat", "last", "result", home=tmp_path / "home").stdout)
    assert len(values) == 30
    assert values == sorted(values)


def test_an_edited_script_reruns_its_own_step_only(tmp_path: Path) -> None:
    """The script is part of the step's code although no Python names it; the Python steps beside it do not depend on it."""
    (tmp_path / "counted.py").write_text(COUNTED)
    (tmp_path / "count.sh").write_text('wc -l < "$1" > "$2"\n')
    run = ("run", str(tmp_path / "counted.py"))
    assert fairway(*run, home=tmp_path / "home").returncode == 0
    (tmp_path / "count.sh").write_text('cat "$1" | wc -l > "$2"\n')
    done = fairway(*run, home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    fresh = [line.split()[1] for line in done.stderr.splitlines()[1:-2] if "cached" not in line]
    assert fresh == ["count"]
