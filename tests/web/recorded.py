"""Real runs, recorded once by the local executor for all tests that only read: maps, a failure, a skip, a retry, curves, artifacts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.spec.layout import DATABASE
from fairway.store import open_journal

Journals = Callable[[Path], str]
"""See the fixture `journals`."""
SOURCE = '''
import fairway as fw


@fw.step
def load(rows: int) -> list[int]:
    """Numbers to learn from."""
    print("loading", rows, "rows")
    return list(range(rows))


@fw.step
def train(depth: int, data: list[int]) -> float:
    for step in range(50):
        fw.log({"loss": 100.0 / (step + depth)}, step=step)
    print("trained with depth", depth)
    return depth / 10


@fw.step
def report(scores: list[float]) -> fw.Table:
    return fw.Table([{"score": score} for score in scores], title="scores")


@fw.step
def page(scores: list[float]) -> fw.Markdown:
    return fw.Markdown("# best\\n" + str(max(scores)))


@fw.step
def broken(best: list[float]) -> int:
    print("about to fail")
    raise ValueError("no such luck")


@fw.pipeline
def churn(rows: int = 5, depths: list[int] = [2, 4, 8]):
    data = load(rows)
    scores = train(fw.each(depths), data)
    return {"scores": scores, "table": report(scores), "page": page(scores)}


@fw.pipeline
def fragile(rows: int = 3):
    scores = train(fw.each([1]), load(rows))
    return broken(scores)
'''


def record_runs(root: Path) -> tuple[Path, dict[str, str]]:
    """The home, and the ids of three runs: "first", "second" (other parameters, partly cached), "failed"."""
    file = root / "recorded_flow.py"
    file.write_text(SOURCE)
    here = Path.cwd()
    os.chdir(root)
    try:
        churn, fragile = load_pipeline(f"{file}:churn"), load_pipeline(f"{file}:fragile")
        first = fw.run(churn, {"rows": 5}, name="nightly", tags=["gold"])
        second = fw.run(churn, {"rows": 5, "depths": [2, 16]})
        failed = fw.run(fragile, check=False)
    finally:
        os.chdir(here)
    workspace = Workspace(load_project(str(root), variables={}))
    assert [row.run for row in workspace.all_summaries()] == [failed.id, second.id, first.id]
    return Path(workspace.project.home), {"first": first.id, "second": second.id, "failed": failed.id}


async def copy_journal(home: Path, place: str) -> None:
    """Write all that the home's own journal says into the journal at `place`."""
    if not (home / DATABASE).exists():
        return
    source, target = open_journal(home / DATABASE), open_journal(place)
    entries = await source.cached()
    for summary in reversed(await source.summaries(archived=True, limit=0)):
        events = [event for _, event in await source.read(summary.run)]
        made = [entry for entry in entries if entry.run == summary.run]
        await target.append(summary.run, 0, events, "copied", summary=summary, cache=made)
    await source.close()
    await target.close()
