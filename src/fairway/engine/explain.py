"""Why a task ran, or did not have to: its cache key compared, part by part, with that of the nearest earlier task of its kind.

Everything is worked out from the journals and bundles that runs keep; nothing is recorded for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from fairway.dsl.picture import describe_expr, needed_nodes
from fairway.engine.codediff import Snapshot, changed_files
from fairway.engine.keydiff import KeyedTask, Reason, differences, spell_input
from fairway.engine.keys import input_part
from fairway.engine.state import DONE_WELL, RunState, Scope
from fairway.engine.waits import find_waits
from fairway.engine.workspace import Workspace
from fairway.errors import FairwayError, NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import RunResumed, address
from fairway.spec.layout import BUNDLES
from fairway.spec.record import Record, record

EARLIER_RUNS = 20
TWINS = 2_000


@record
class Explanation(Record):
    """`verdict` is one line; `run` and `other` are the run and task that it was compared with, or whose results were taken."""

    task: str
    status: str
    verdict: str
    reasons: tuple[Reason, ...] = ()
    run: str = ""
    other: str = ""

    def lines(self) -> list[str]:
        """All of it for a terminal."""
        lines = [self.verdict]
        for reason in self.reasons:
            first, *more = reason.text.splitlines()
            lines += [f"  {first}", *(f"    {line}" for line in more)]
        if self.run and self.status not in ("cached", "skipped"):
            lines.append(f"compared with {self.other} of run {self.run}")
        return lines


def why(workspace: Workspace, run: str, task: str) -> Explanation:
    """Explain the task (an address) of the run (an id). Raises NotFoundError."""
    events = [event for _, event in workspace.events(run)]
    state = _fold(events)
    places = {address(scope, node, index): (scope, node, index) for scope, node, index, _ in state.tasks()}
    if task not in places:
        raise NotFoundError(f"run {run} has no task {task!r}", hint=f"`fairway show {run}` lists its steps")
    one = KeyedTask(workspace, state, *places[task])
    return explain_alone(one, workspace.state) or explain_against(one, _find_twin(one, events))


def explain_alone(one: KeyedTask, origin: Callable[[str], Any]) -> Explanation | None:
    """As far as other runs need not be searched for a task like it; None if they do. `origin` gives the state of a run by its id, of
    which only the code is looked at."""
    status = one.task.status
    if status in ("waiting", "skipped") or (status == "cancelled" and not one.task.attempts):
        return _not_started(one)
    waits = find_waits(one.state.live[id] for id in one.task.attempts if id in one.state.live)
    if waits:
        return Explanation(one.address, status, f"{one.address} has not started", tuple(Reason("wait", text) for text in waits.values()))
    if one.task.cached is not None and not one.task.attempts:
        return _hit(one, *one.task.cached, origin)
    if status in DONE_WELL and not one.task.attempts:
        return Explanation(
            one.address,
            status,
            f"{one.address} was not done again when the run was resumed",
            (Reason("kept", "nothing that it depends on had changed since it succeeded in this run"),),
        )
    begins = _begins(one)
    if one.node.exit:
        return Explanation(one.address, status, begins, (Reason("exit", "an exit handler runs in every run"),))
    if not one.step.cache:
        return Explanation(one.address, status, begins, (Reason("off", "the cache is switched off for this step (cache=False)"),))
    if not one.state.options.cache:
        return Explanation(one.address, status, begins, (Reason("off", "the cache was switched off for this run (--no-cache)"),))
    return None


def _fold(events: list[Any]) -> RunState:
    from fairway.engine.apply import fold

    return fold(events)


def _not_started(one: KeyedTask) -> Explanation:
    """It waits, or it will never run."""
    status, reason = one.task.status, one.task.reason
    needs = [name for name in needed_nodes(one.scope.graph, one.node) if not _well(one.scope, name)]
    named = ", ".join(address(one.scope.name, name) for name in needs) or "other tasks to end"
    if status == "waiting":
        return Explanation(one.address, status, f"{one.address} has not started", (Reason("wait", f"it waits for {named}"),))
    if reason == "condition":
        text = "; ".join(
            f"{describe_expr(guard.expr)} is {'false' if guard.wanted else 'true'}" for guard in one.guards() if not _holds(one, guard)
        )
        why_not = f"its condition did not hold: {text}" if text else "its condition did not hold"
    else:
        why_not = {
            "upstream": f"what it needs was skipped: {named}",
            "failed": f"what it needs failed: {named}",
            "skip": "the step called fw.skip()",
        }.get(reason, "the run was stopped before it started")
    return Explanation(one.address, status, f"{one.address} was skipped", (Reason("skip", why_not),))


def _well(scope: Scope, node: str) -> bool:
    counts = scope.nodes[node].counts
    total = sum(counts.values())
    return bool(total) and sum(counts.get(status, 0) for status in DONE_WELL) == total


def _holds(one: KeyedTask, guard: Any) -> bool:
    from fairway.engine.resolve import resolve

    at = dict(zip(one.node.axes, one.place[2], strict=True))
    value = resolve(one.state, one.scope, guard.expr, at, one.workspace.library)
    return not isinstance(value, ArtifactRef) or bool(one.workspace.library.value(value)) is guard.wanted


# --- hits


def _hit(one: KeyedTask, run: str, other: str, origin: Callable[[str], Any]) -> Explanation:
    """Its results were there."""
    reasons: list[Reason] = []
    here = one.snapshot()
    if one.step.module and here is not None:
        reached = here.reach(one.step)
        count = sum(here.is_definition(part) for part in reached.parts) if reached else 0
        what = f"none of the {count} functions and constants it reaches was edited" if count > 1 else "it was not edited"
        unreached = _edited_since(one, origin, run, here)
        text = f"code: {what}"
        if unreached:
            text += f"\nedited since, but out of its reach: {', '.join(unreached[:5])}"
            text += f" and {len(unreached) - 5} more" if len(unreached) > 5 else ""
        reasons.append(Reason("same", text, "code"))
    given = one.inputs()
    if given:
        shown = ", ".join(f"{name}={spell_input(value)}" for name, value in given.items())
        reasons.append(Reason("same", f"inputs: the same ({shown})", "inputs"))
    parts = one.parts()
    if parts.get("packages"):
        shown = ", ".join(f"{name} {version}" for name, version in parts["packages"].items())
        reasons.append(Reason("same", f"packages: the same ({shown})", "packages"))
    elif parts.get("lock"):
        reasons.append(Reason("same", f"environment: the same lock ({parts['lock'][:12]})", "environment"))
    place = f" as {other}" if other != one.address else ""
    return Explanation(one.address, "cached", f"{one.address} came from the cache: run {run} made it{place}", tuple(reasons), run, other)


def _edited_since(one: KeyedTask, find_origin: Callable[[str], Any], run: str, here: Snapshot) -> list[str]:
    """Files that differ from the run that the result came from."""
    try:
        origin = find_origin(run)
    except (FairwayError, IndexError, KeyError):  # the run is not kept any more
        return []
    one.workspace.bring_code(origin)
    folder = os.path.join(one.workspace.project.home, BUNDLES, origin.bundle)
    return changed_files(Snapshot(folder), here) if origin.bundle and os.path.isdir(folder) and origin.run else []


# --- misses


def _begins(one: KeyedTask) -> str:
    said = {"failed": "ran and failed", "running": "runs", "retrying": "failed and will be tried again", "cancelled": "was cancelled"}
    return f"{one.address} {said.get(one.task.status, 'ran')}"


def explain_against(one: KeyedTask, twin: KeyedTask | None) -> Explanation:
    """What differs from the task that is most like it, None if no earlier run has one."""
    status, begins = one.task.status, _begins(one)
    if twin is None:
        text = f"no earlier run of {one.state.graph.name} that is still kept has done it"
        return Explanation(one.address, status, f"{begins} for the first time", (Reason("first", text),))
    reasons = tuple(differences(one, twin))
    if reasons:
        begins += f": {_summary(reasons)}"
    else:
        reasons = (_same_key(twin),)
    return Explanation(one.address, status, begins, reasons, twin.state.run, twin.address)


def _summary(reasons: tuple[Reason, ...]) -> str:
    words = {"code": "its code was edited", "input": "its inputs changed", "package": "packages changed", "python": "Python changed"}
    return ", ".join(dict.fromkeys(words.get(reason.part, f"its {reason.part} changed") for reason in reasons))


def _same_key(twin: KeyedTask) -> Reason:
    """The same key was there before, and yet no result."""
    error = twin.task.error
    if twin.task.status == "failed":
        said = f": {error.kind}: {error.message.splitlines()[0]}" if error and error.message else ""
        return Reason("failed", f"nothing has changed, but it failed in run {twin.state.run}{said}", where=_own_line(error))
    if twin.task.status not in DONE_WELL:
        return Reason("failed", f"nothing has changed, but in run {twin.state.run} it was {twin.task.status}, so it left no result")
    if not twin.step.cache:
        return Reason("off", f"nothing has changed, but run {twin.state.run} kept no result of it (cache=False)")
    return Reason("gone", f"nothing has changed since run {twin.state.run}, but its result was deleted or was not there yet")


def _own_line(error: Any) -> str:
    frame = next((f for f in reversed(error.frames) if f.own), None) if error else None
    return f"{frame.file}:{frame.line}" if frame else ""


def _find_twin(one: KeyedTask, events: list[Any]) -> KeyedTask | None:
    """The most similar task of the nearest earlier run that got as far."""
    for state in _earlier(one, events):
        found = most_similar(one, state)
        if found is not None:
            return found
    return None


def _earlier(one: KeyedTask, events: list[Any]) -> Iterator[RunState]:
    """This run as it was before each resume with other code, then earlier runs of the pipeline, nearest first."""
    planned = min((one.state.attempts[a].planned_at for a in one.task.attempts if a in one.state.attempts), default=0.0)
    for number in range(len(events) - 1, 0, -1):
        event = events[number]
        if isinstance(event, RunResumed) and (event.graph is not None or event.environment) and planned >= event.at:
            yield _fold(events[:number])
    workspace = one.workspace
    rows = workspace.wait(
        workspace.journal.summaries(pipeline=one.state.graph.name, archived=True, limit=EARLIER_RUNS, before=one.state.run)
    )
    for row in rows:
        yield workspace.state(row.run)


def most_similar(one: KeyedTask, state: RunState) -> KeyedTask | None:
    """The task of the same node (else of the same function) whose inputs differ least; of the same index if several do."""
    scope, node, index = one.place
    here = state.scopes.get(scope)
    if here is None:
        return None
    entry = one.step.module, one.step.qualname, one.step.argv
    nodes = [node] if node in here.nodes else [name for name, other in here.nodes.items() if _entry(here, other.node.step) == entry]
    wanted = _input_parts(one)
    best: KeyedTask | None = None
    least: tuple[int, bool, int] | None = None
    for name in nodes:
        for number, (other, task) in enumerate(here.nodes[name].items.items()):
            if not task.key or (number >= TWINS and other != index):
                continue
            if task.key == one.task.key:
                return KeyedTask(one.workspace, state, scope, name, other)
            found = KeyedTask(one.workspace, state, scope, name, other)
            parts = _input_parts(found)
            differing = sum(wanted.get(n) != parts.get(n) for n in {*wanted, *parts})
            rank = differing, other != index, abs(sum(other) - sum(index))
            if least is None or rank < least:
                best, least = found, rank
    return best


def _entry(scope: Scope, key: str) -> tuple[str, str, tuple[str, ...]]:
    step = scope.graph.steps[key]
    return step.module, step.qualname, step.argv


def _input_parts(one: KeyedTask) -> dict[str, str]:
    return {name: input_part(given.ref) if given.ref else f"secret {given.secret}" for name, given in one.inputs().items()}
