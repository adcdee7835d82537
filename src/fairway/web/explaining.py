"""Why a task ran, or did not have to, however many tasks its run and those before it have.

Of small runs all is looked at, as `fairway why` does. Of a large one only the task itself is read, and of large runs before it the task
of the same address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fairway.engine.explain import EARLIER_RUNS, Explanation, explain_against, explain_alone, most_similar, why
from fairway.engine.keydiff import KeyedTask
from fairway.engine.sketch import Place, Sketch
from fairway.engine.state import RunState
from fairway.engine.workspace import Workspace
from fairway.errors import FairwayError
from fairway.spec.attempt import Input
from fairway.spec.graph import Guard
from fairway.web.identity import Identity
from fairway.web.lists import LeanLibrary
from fairway.web.places import get_place
from fairway.web.ports import Site

FEW_EVENTS, FEW_TASKS = 4_000, 4_000
"""A run of no more is read as a whole."""


class SketchedTask(KeyedTask):
    """One task of a run of which only this one is known."""

    def __init__(self, workspace: Workspace, sketch: Sketch, place: Place) -> None:
        sketch.load((sketch.find_slot(place),), attempts=True)
        super().__init__(workspace, sketch.state, *place)
        library = LeanLibrary(workspace.artifacts)
        (self._given,) = sketch.given([place], library)
        self._guards = tuple(guard for guard in self.node.guards if sketch.load_value(place, guard.expr))

    def inputs(self) -> dict[str, Input]:
        """Without what is gathered from very many tasks."""
        return self._given

    def guards(self) -> Sequence[Guard]:
        """Those that are made of few tasks."""
        return self._guards


def is_small(events: int, tasks: int) -> bool:
    """May its whole state be folded here?"""
    return events <= FEW_EVENTS and tasks <= FEW_TASKS


async def explain(site: Site, identity: Identity, run: str, task: str) -> Explanation:
    """Raises NotFoundError."""
    overview = await site.overviews.get(run)
    place = get_place(overview, task)
    journal = site.services.journal
    rows = await journal.summaries(pipeline=overview.graph.name, archived=True, limit=EARLIER_RUNS, before=run)
    small = {row.run: is_small(await journal.head(row.run), sum(row.counts.values())) for row in rows}
    if is_small(overview.head, overview.total) and all(small.values()):
        return await asyncio.to_thread(why, site.workspace(), run, task)
    workspace = site.workspace()
    one = await site.overviews.read(run, lambda sketch: SketchedTask(workspace, sketch, place))
    origins = {one.task.cached[0]: await _origin(site, one.task.cached[0])} if one.task.cached is not None else {}
    alone = await asyncio.to_thread(explain_alone, one, origins.__getitem__)
    if alone is not None:
        return alone
    for row in rows:
        twin = await _find_twin(site, one, row.run, small[row.run]) if identity.sees(row.project) else None
        if twin is not None:
            return await asyncio.to_thread(explain_against, one, twin)
    return await asyncio.to_thread(explain_against, one, None)


async def _origin(site: Site, run: str) -> RunState:
    """What is known of a run's code; an empty state for one that is gone."""
    state = RunState(run)
    try:
        overview = await site.overviews.get(run)
    except FairwayError:
        return RunState()
    state.graph, state.bundle, state.environment = overview.graph, overview.bundle, overview.environment
    return state


async def _find_twin(site: Site, one: KeyedTask, run: str, small: bool) -> KeyedTask | None:
    """The task of an earlier run that is most like it."""
    if small:
        return await asyncio.to_thread(lambda: most_similar(one, one.workspace.state(run)))

    def look(sketch: Sketch) -> KeyedTask | None:
        twin = SketchedTask(one.workspace, sketch, one.place) if sketch.find_slot(one.place) >= 0 else None
        return twin if twin is not None and twin.task.key else None

    return await site.overviews.read(run, look)
