"""Real runs to compare: other parameters, edited code, curves, ROC curves, confusion matrices, a picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace

SOURCE = """
from typing import NamedTuple

import fairway as fw


class Report(NamedTuple):
    roc: fw.Table
    confusion: fw.Table
    picture: fw.Figure


def noise(depth: int) -> float:
    return 0.1 / depth


@fw.step
def load(rows: int) -> list[int]:
    return list(range(rows))


@fw.step
def train(depth: int, data: list[int]) -> float:
    for epoch in range(20):
        fw.log({"loss": 1.0 / (1 + epoch * depth) + noise(depth)}, step=epoch)
    fw.log({"auc": 1 - noise(depth), "rows": float(len(data))})
    return 1 - noise(depth)


@fw.step
def report(auc: float) -> Report:
    roc = fw.Table([{"fpr": 0.0, "tpr": 0.0}, {"fpr": 0.25, "tpr": auc}, {"fpr": 1.0, "tpr": 1.0}])
    confusion = fw.Table([{"was": "no", "no": 40, "yes": 10}, {"was": "yes", "no": 5, "yes": round(auc * 20)}])
    return Report(roc, confusion, fw.Figure('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'))


@fw.pipeline
def flow(rows: int = 5, depth: int = 2, label: str = "plain"):
    auc = train(depth, load(rows))
    made = report(auc)
    return {"auc": auc, "roc": made.roc}
"""
EDITED = SOURCE.replace("return 0.1 / depth", "return 0.2 / (depth + 1)")


def record_compared(root: Path) -> tuple[Path, dict[str, str]]:
    """The home, and the ids of "shallow", "deep" (another depth) and "edited" (as "deep", with other code)."""
    file = root / "flow.py"
    for source, name, depth in ((SOURCE, "shallow", "2"), (SOURCE, "deep", "8"), (EDITED, "edited", "8")):
        file.write_text(source)
        command = [sys.executable, "-m", "fairway", "run", "flow.py", "--depth", depth, "--name", name]
        subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=120)
    workspace = Workspace(load_project(str(root), variables={}))
    return Path(workspace.project.home), {row.name: row.run for row in reversed(list(workspace.all_summaries()))}
