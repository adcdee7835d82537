"""A run's row in listings, from its state: pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairway.engine.resolve import Library
from fairway.engine.state import RunState
from fairway.spec.artifact import ArtifactRef
from fairway.spec.summary import RunSummary


def summarise(state: RunState, library: Library, best: Mapping[str, float]) -> RunSummary:
    """What listings show of the run. `best`: see `BestTrials`."""
    error, first = "", state.first_failure()
    info = state.error or (first[1] if first else None)
    if info is not None:
        text = f"{info.kind}: {info.message}".split("\n", 1)[0]
        error = f"{first[0]}: {text}" if first else text
    return RunSummary(
        run=state.run,
        pipeline=state.graph.name,
        status=state.status,
        project=state.project,
        name=state.name,
        source=state.source,
        target=state.target,
        created_by=state.created_by,
        triggered_by=state.triggered_by,
        started_at=state.started_at,
        ended_at=state.ended_at,
        params={name: _shown(ref, library) for name, ref in state.params.items()},
        metrics={**best, **state.metrics},
        counts=state.counts(),
        error=error,
        tags=state.tags,
        note=state.note,
        archived=state.archived,
    )


def _shown(ref: ArtifactRef, library: Library) -> Any:
    if ref.inline is not None:
        return library.value(ref)
    return f"{ref.meta.get('name') or ref.type or ref.format} ({ref.digest[:12]})"
