"""How the steps of a pipeline have been doing: which takes the time, which fails now and then. Of its last runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from fairway.engine.overview import timeline_data
from fairway.errors import NotFoundError
from fairway.spec.record import Record, record
from fairway.web.overviews import Overviews

SLOW_SHARE = 0.5
LARGE_TASKS = 20_000
"""Of runs with more tasks the steps are not looked at here: that would hold the page up."""


@record
class StepStats(Record):
    """One step. `usual_s`: the median over the runs of what its tasks took together, None if none has run; `share` of all steps' time;
    `failed` and `retried` count tasks. `words`: "slow" (more than half of the time), "flaky" (succeeded when tried again), "fails"."""

    node: str
    usual_s: float | None
    share: float
    tasks: int
    failed: int
    retried: int
    words: tuple[str, ...] = ()


async def read_step_stats(overviews: Overviews, runs: Sequence[str]) -> list[StepStats]:
    """Of these runs; those that were deleted meanwhile or are very large are left out."""
    found: list[Sequence[Mapping[str, Any]]] = []
    for run in runs:
        try:
            overview = await overviews.get(run)
        except NotFoundError:
            continue
        if sum(overview.counts().values()) <= LARGE_TASKS:
            found.append(timeline_data(overview)["rows"])
    return tell_steps(found)


def tell_steps(runs: Sequence[Sequence[Mapping[str, Any]]]) -> list[StepStats]:
    """Statistics of timelines' rows, in the order of the newest run; those of dynamic scopes are counted under their step. Pure."""
    by_node: dict[str, list[Mapping[str, Any]]] = {}
    for rows in runs:
        for row in rows:
            by_node.setdefault(str(row["id"]), []).append(row)
    took = {node: [spent for row in rows if (spent := _spent(row))] for node, rows in by_node.items()}
    whole = sum(map(sum, took.values())) or 1.0
    return [_tell(node, rows, took[node], whole) for node, rows in by_node.items()]


def _tell(node: str, rows: Sequence[Mapping[str, Any]], took: Sequence[float], whole: float) -> StepStats:
    counts = [row.get("counts", {}) for row in rows]
    failed = sum(count.get("failed", 0) for count in counts)
    retried = sum(1 for row in rows for bar in row.get("bars", ()) if bar.get("n", 1) > 1)
    good = sum(count.get("succeeded", 0) for count in counts)
    share = sum(took) / whole
    told = {"slow": share > SLOW_SHARE and whole > 1.0, "flaky": retried and good, "fails": failed}
    words = tuple(word for word, holds in told.items() if holds)
    return StepStats(node, median(took) if took else None, share, sum(sum(count.values()) for count in counts), failed, retried, words)


def _spent(row: Mapping[str, Any]) -> float:
    """Seconds that the row's tasks were at work."""
    totals = row.get("totals", {})
    return sum(totals.get(phase, 0.0) for phase in ("starting", "running", "writing"))
