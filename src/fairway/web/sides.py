"""The runs of a comparison, each with what it recorded of itself: for two of them as for fifty, however many tasks they have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairway.engine.differ import Difference, diff
from fairway.engine.overview import Overview
from fairway.engine.state import RunState
from fairway.errors import FairwayError, NotFoundError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.event import RunOptions, RunStarted
from fairway.spec.graph import Graph
from fairway.spec.layout import BUNDLES, ENVIRONMENTS
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, record, replace
from fairway.spec.summary import RunSummary
from fairway.web.ports import Site


@record
class Side(Record):
    """One run: its row of the listing, and its graph, code, settings, surroundings and results as they were last."""

    summary: RunSummary
    graph: Graph
    bundle: str
    options: RunOptions
    params: dict[str, ArtifactRef]
    outputs: dict[str, ArtifactRef]
    environment: dict[str, Any]

    @property
    def run(self) -> str:
        """Its id."""
        return self.summary.run

    @property
    def codes(self) -> dict[str, str]:
        """Step -> digest of its code."""
        return {name: step.code for name, step in self.graph.steps.items()}

    def as_state(self) -> RunState:
        """As `engine.differ` wants it, without tasks: what they did is told elsewhere."""
        state = RunState(self.run)
        state.graph, state.bundle, state.options = self.graph, self.bundle, self.options
        state.params, state.outputs, state.environment = self.params, self.outputs, self.environment
        state.status, state.metrics = self.summary.status, dict(self.summary.metrics)
        state.started_at, state.ended_at = self.summary.started_at, self.summary.ended_at
        return state


async def read_side(site: Site, run: str) -> Side:
    """What is known of the run. Raises NotFoundError."""
    journal = site.services.journal
    overview: Overview = await site.overviews.get(run)
    known = overview.graph, overview.bundle, overview.options, dict(overview.params), dict(overview.outputs)
    summary = await journal.find_summary(run) or RunSummary(run, overview.graph.name)
    if summary.status == "running" and not site.driven(run):
        summary = replace(summary, status="interrupted")
    events = await journal.read(run, 0, 1)
    first = events[0][1] if events else None
    return Side(summary, *known, first.environment if isinstance(first, RunStarted) else {})


def compare_two(first: Side, second: Side, home: str, artifacts: ArtifactStore) -> list[Difference]:
    """As `fairway diff`. For a thread: it reads files."""
    for side in (first, second):
        bring_code(side, home, artifacts)
    return diff(first.as_state(), second.as_state(), home)


def bring_code(side: Side, home: str, artifacts: ArtifactStore) -> None:
    """Have the run's code and locks in the home; where a server has driven it they are in the store. What is nowhere is left out."""
    from fairway.envs.resolve import keep_lock_text
    from fairway.step.bundles import bundle_key, unpack_bundle

    if side.bundle and not Path(home, BUNDLES, side.bundle).is_dir():
        try:
            unpack_bundle(artifacts.get(bundle_key(side.bundle)), side.bundle, home)
        except FairwayError:
            return
    for lock in {step.environment.lock for step in side.graph.steps.values()} - {""}:
        if not Path(home, ENVIRONMENTS, "locks", lock).exists():
            try:
                keep_lock_text(lock, artifacts.get(blob_key(lock)).decode(), home)
            except NotFoundError:
                continue


def packages_of(side: Side) -> dict[str, str]:
    """Distribution -> version of the interpreter that drove the run."""
    found: Any = side.environment.get("distributions") or {}
    return {str(name): str(version) for name, version in found.items()}


def machine_of(side: Side, names: Sequence[str]) -> dict[str, Any]:
    """What is recorded of where it ran, of these facts."""
    return {name: side.environment[name] for name in names if side.environment.get(name) not in (None, "", [])}
