"""Files of ours in the folder for temporary ones go with the process that made them: a script's, an attempt's, a rank's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.semantics.rig import Rig

READS = """
    import fairway as fw

    @fw.step(GANG)
    def read(raw: fw.File) -> int:
        table = fw.read(raw, max_rejects="all")
        return sum(1 for _ in table.batches())

    @fw.pipeline
    def main(raw: fw.File = "a.csv"):
        return read(raw)
"""

SAVES = """
import os
import fairway as fw

fw.checkpoint.save(1, {"a": 1})
fw.checkpoint.wait()
assert os.listdir(os.environ["TMPDIR"]), "while it runs it is there"
if not os.fork():
    raise SystemExit(fw.checkpoint.load() != {"a": 1})
os.wait()
assert fw.checkpoint.load() == {"a": 1}, "a process that was forked meanwhile has left it alone"
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("gang", ["", "gang=fw.gang(replicas=2), cpu=0.1"])
def test_what_a_step_has_kept_aside_goes_with_its_process(rig: Rig, temporary: Path, gang: str) -> None:
    (rig.root / "a.csv").write_text("a,b\n1,2\n1,2,3\n3,4\n")
    done = rig.fairway("run", rig.write(READS.replace("GANG", gang)), TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []


def test_checkpoints_of_a_script_go_with_it(temporary: Path) -> None:
    told = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", SAVES], env=told, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
