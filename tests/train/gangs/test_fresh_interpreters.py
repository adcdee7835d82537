"""Where a process cannot be forked safely (macOS) each rank is an interpreter of its own, and all else is the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.gang import Gang
from fairway.spec.graph import StepDef
from fairway.spec.layout import BUNDLES, STREAMS
from fairway.spec.record import to_plain

SPAWNING = (
    "import sys; from fairway.step import gang; gang._FORKS = False; from fairway.step.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
WORK = """
import os, sys
import fairway as fw

def fit():
    print("rank", fw.context().rank, os.environ["TOKEN"], "fairway.step.gang" in sys.modules)
    if fw.context().rank == 1 and os.environ.get("FAILS"):
        raise ValueError("not today")
    return [fw.context().rank, fw.context().world_size, os.environ["RANK"]]
"""


def run(home: Path, **variables: str) -> dict[str, object]:
    (home / BUNDLES / "b").mkdir(parents=True, exist_ok=True)
    (home / BUNDLES / "b" / "work.py").write_text(WORK)
    step = StepDef("fit", module="work", qualname="fit", returns="one", gang=Gang(2), secrets=("TOKEN",))
    spec = AttemptSpec(f"a{len(variables)}", "r", "fit", 1, step, "b", (AttemptItem("fit"),), secrets=("TOKEN",))
    done = subprocess.run(
        [sys.executable, "-c", SPAWNING, "run", "-", "--home", str(home)],
        input=json.dumps(to_plain(spec)),
        env={**os.environ, "TOKEN": "opensesame", **variables},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_ranks_are_told_all_and_report_as_forks_do(tmp_path: Path) -> None:
    (item,) = run(tmp_path)["items"]  # type: ignore[misc]
    assert json.loads(item["outputs"]["result"]["inline"]) == [0, 2, "0"]
    logs = [(tmp_path / STREAMS / "r" / "a0" / f"log.{rank}").read_text().partition(" ")[2] for rank in range(2)]
    assert logs == ["rank 0 *** False\n", "rank 1 *** False\n"]


def test_a_failure_is_told_with_the_user_s_frames(tmp_path: Path) -> None:
    (item,) = run(tmp_path, FAILS="1")["items"]  # type: ignore[misc]
    assert item["error"]["message"] == "rank 1 of 2 failed first: not today"
    assert item["error"]["frames"][-1]["function"] == "fit"
