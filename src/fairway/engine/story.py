"""One task of a run in full, read from the few events that concern it, whatever the size of the run.

The overview knows their numbers. `plan_story` takes from it what is needed, at once; `tell_story` reads the events and works out the
inputs, beside whatever changes the overview meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairway.dsl.picture import needed_nodes
from fairway.engine.nodecolumns import DONE_WELL
from fairway.engine.outcomes import end_of
from fairway.engine.partstate import Part, read_part, take_part
from fairway.engine.resolve import Library, Missing, resolve
from fairway.engine.state import AttemptState, RunState
from fairway.errors import FairwayError, NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import Input
from fairway.spec.event import address
from fairway.spec.graph import Node, StepDef
from fairway.spec.outcome import ErrorInfo, Usage
from fairway.spec.ports import Journal
from fairway.spec.record import Record, record

if TYPE_CHECKING:
    from fairway.engine.overview import Overview


@record
class AttemptStory(Record):
    """One attempt at the task. `status`: "succeeded", "failed", "skipped", "cancelled", or its `phase` while it lives. `observed`: (at,
    phase, reason) as its executor said. `error` is this task's, where the attempt had several."""

    id: str
    n: int
    status: str
    phase: str
    reason: str
    planned_at: float
    observed: tuple[tuple[float, str, str], ...]
    usage: Usage | None
    metrics: dict[str, float]
    worker: str
    error: ErrorInfo | None
    items: int = 1


@record
class TaskStory(Record):
    """One task. `cached`: the run and task that its outputs are from. `needs`: addresses of nodes that it waits for. `again_at`: when it is
    tried again, 0 if it is not. `inputs` as far as they are made; `large`: those gathered from too many tasks to be put together here, and
    from how many. `inner`: it has made a graph that is part of the run."""

    address: str
    step: StepDef
    node: Node
    status: str
    reason: str
    error: ErrorInfo | None
    key: str
    cached: tuple[str, str] | None
    outputs: dict[str, ArtifactRef]
    attempts: tuple[AttemptStory, ...]
    inputs: dict[str, Input]
    large: dict[str, int]
    needs: tuple[str, ...] = ()
    again_at: float = 0.0
    inner: bool = False


@record
class StoryPlan(Record):
    """What the overview knew of a task when it was asked; see `tell_story`. `part.state` is the run's state with this task alone."""

    part: Part
    needs: tuple[str, ...]
    again_at: float
    inner: bool


def plan_story(overview: Overview, task: str) -> StoryPlan:
    """Take what a story needs out of an overview; `task` is an address. Raises NotFoundError."""
    slot = overview.find_slot(task)
    if slot < 0:
        raise NotFoundError(f"run {overview.run} has no task {task!r}", hint=f"`fairway show {overview.run}` lists its steps")
    part = take_part(overview, slot)
    scope = overview.scopes[part.place[0]]
    needed = [scope.nodes[name] for name in needed_nodes(scope.graph, scope.nodes[part.place[1]].node)]
    needs = tuple(
        address(scope.name, node.node.id) for node in needed if not node.total or sum(node.counts[i] for i in DONE_WELL) < node.total
    )
    return StoryPlan(part, needs, overview.due_at(slot), task in overview.scopes)


async def tell_story(journal: Journal, plan: StoryPlan, library: Library | None = None) -> TaskStory:
    """Read the events of a plan. Inputs are worked out with the `library` of the run's artifacts, left out without."""
    part = await read_part(journal, plan.part)
    state, task = part.state, part.task
    scope, node, _ = part.place
    definition = state.scopes[scope].nodes[node].node
    return TaskStory(
        address(*part.place),
        state.scopes[scope].graph.steps[definition.step],
        definition,
        task.status,
        _reason(part),
        task.error,
        task.key,
        task.cached,
        dict(task.outputs or {}),
        tuple(_attempt(part, attempt) for attempt in part.attempts),
        _inputs(part, library) if library is not None else {},
        part.large,
        plan.needs,
        plan.again_at,
        plan.inner,
    )


async def read_story(journal: Journal, overview: Overview, task: str, library: Library | None = None) -> TaskStory:
    """The story of the task with this address. Raises NotFoundError."""
    return await tell_story(journal, plan_story(overview, task), library)


def _attempt(part: Part, attempt: AttemptState) -> AttemptStory:
    outcome, index = attempt.outcome, part.place[2]
    error: ErrorInfo | None = None
    status = attempt.phase if attempt.id in part.state.live else "cancelled"  # nobody waits for it since the run was resumed
    if outcome is not None:
        position = attempt.items.index(index) if index in attempt.items else len(outcome.items)
        item = outcome.items[position] if position < len(outcome.items) else None
        error = (item.error if item is not None else None) or (outcome.error if item is None else None)
        status = end_of(error) if error is not None else item.status if item is not None else outcome.status
    return AttemptStory(
        attempt.id,
        attempt.n,
        status,
        attempt.phase,
        attempt.reason,
        attempt.planned_at,
        tuple(part.observed[attempt.id]),
        outcome.usage if outcome is not None else None,
        dict(outcome.metrics) if outcome is not None else {},
        outcome.worker if outcome is not None else "",
        error,
        len(attempt.items) or 1,
    )


def _reason(part: Part) -> str:
    """Why it was skipped: in the words of its step where it told `fw.skip` some; "" if it was not."""
    task = part.task
    if task.status != "skipped":
        return ""
    last = part.attempts[-1] if part.attempts else None
    if task.reason == "skip" and last is not None and last.outcome is not None and part.place[2] in last.items:
        return last.outcome.items[last.items.index(part.place[2])].reason or "skip"
    return task.reason


def _inputs(part: Part, library: Library) -> dict[str, Input]:
    state: RunState = part.state
    scope = state.scopes[part.place[0]]
    definition = scope.nodes[part.place[1]].node
    at = dict(zip(definition.axes, part.place[2], strict=True))
    found: dict[str, Input] = {}
    for name, expr in definition.inputs.items():
        if name in part.large:
            continue
        try:
            value = resolve(state, scope, expr, at, library)
        except FairwayError:  # gone from the store
            continue
        if not isinstance(value, Missing):
            found[name] = value if isinstance(value, Input) else Input(ref=value)
    return found
