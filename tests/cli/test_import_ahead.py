"""`fairway run FILE` and its like: slow libraries at the top of the file are imported by the command and by its worker at the same time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fairway.step.processes import find_marked

MEETING = """
import os, sys, time
here = os.environ["MEETING"]
print("catboost says so", file=sys.stderr)
open(f"{here}/{os.getpid()}", "w").close()
until = time.monotonic() + 60
while len(os.listdir(here)) < 2:
    if time.monotonic() > until:
        raise ImportError("nobody imports it meanwhile")
    time.sleep(0.01)
answer = 42
"""

FLOW = '''
"""What it does."""
import fairway as fw
import catboost

@fw.step(cache=False)
def ask() -> list[int]:
    import os
    return [catboost.answer, os.getppid()]

@fw.pipeline
def flow():
    return ask()
'''

# Two cores at least, whatever this machine has: on one nothing would be imported ahead.
RUN = """
import os, sys
os.sched_getaffinity, os.cpu_count = lambda pid: {0, 1}, lambda: 2
from fairway.cli import main
sys.exit(main(sys.argv[1:]))
"""
TUNE = ("--metric", "result", "--vary", "x=int:1:9", "--trials", "2", "--sampler", "random")
SEARCHED = FLOW.replace("ask() -> list[int]:", "ask(x: int = 1) -> float:").replace(
    "[catboost.answer, os.getppid()]", "catboost.answer * x"
)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("flow.py", FLOW, ("run", "flow.py")),
        ("package/flow.py", FLOW, ("run", "package.flow:flow")),
        ("flow.py", SEARCHED, ("tune", "flow.py:ask", *TUNE)),
    ],
    ids=["file", "module", "search"],
)
def test_what_the_file_imports_is_imported_here_and_in_the_worker_at_once(
    tmp_path: Path, file: str, text: str, words: tuple[str, ...]
) -> None:
    site = tmp_path / "lib" / "site-packages"  # elsewhere it would be taken for the user's own
    for folder in (site, tmp_path / "project" / "package", tmp_path / "meeting"):
        folder.mkdir(parents=True)
    (site / "catboost.py").write_text(MEETING)
    (tmp_path / "project" / "package" / "__init__.py").write_text("import os\n")
    (tmp_path / "project" / file).write_text(text)
    (tmp_path / "project" / "fairway.toml").touch()
    mark = os.urandom(8).hex()
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH", "")])),
        "MEETING": str(tmp_path / "meeting"),
        "FAIRWAY_HOME": str(tmp_path / "home"),
        "FAIRWAY_TEST_MARK": mark,
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=tmp_path / "project", env=environ, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    met = {int(name) for name in os.listdir(tmp_path / "meeting")}
    assert len(met) == 2, "the command and one zygote: no third process has imported it"
    if text == FLOW:
        answer, zygote = json.loads(done.stdout.removeprefix("result"))
        assert answer == 42 and zygote in met, "the attempt is a fork of that zygote"
    assert done.stderr.count("catboost says so") == 1
    assert not find_marked(f"FAIRWAY_TEST_MARK={mark}")
