"""Tasks and attempts of a folded run as JSON-ready data. Pure."""

from __future__ import annotations

from typing import Any

from fairway.engine.state import AttemptState, RunState, TaskState
from fairway.spec.event import Index, address
from fairway.web.records import full


def task_row(state: RunState, scope: str, node: str, index: Index) -> dict[str, Any]:
    """One task in a list."""
    task = state.task(scope, node, index)
    attempts = [state.attempts[id] for id in task.attempts if id in state.attempts]
    last = attempts[-1] if attempts else None
    usage = last.outcome.usage if last is not None and last.outcome is not None else None
    return {
        "task": address(scope, node, index),
        "step": address(scope, node),
        "scope": scope,
        "node": node,
        "index": list(index),
        "status": task.status,
        "reason": task_reason(state, task, index),
        "waits": last.reason if last is not None and last.outcome is None else "",
        "attempts": list(task.attempts),
        "cached_from": {"run": task.cached[0], "task": task.cached[1]} if task.cached else None,
        "error": _short_error(task),
        "started_at": usage.started_at if usage else 0.0,
        "ended_at": usage.ended_at if usage else 0.0,
    }


def task_detail(state: RunState, scope: str, node: str, index: Index) -> dict[str, Any]:
    """All that is known of one task."""
    task = state.task(scope, node, index)
    attempts = [attempt_detail(state.attempts[id]) for id in task.attempts if id in state.attempts]
    graph = state.scopes[scope].graph
    step = graph.steps[state.scopes[scope].nodes[node].node.step]
    return {
        "row": task_row(state, scope, node, index),
        "asked": full(step.resources),
        "outputs": {name: full(ref) for name, ref in (task.outputs or {}).items()},
        "error": full(task.error) if task.error else None,
        "key": task.key,
        "doc": step.doc,
        "where": step.where,
        "attempts": attempts,
    }


def attempt_detail(attempt: AttemptState) -> dict[str, Any]:
    """One attempt: where it is, or how it ended."""
    outcome = attempt.outcome
    error = outcome and (outcome.error or next((item.error for item in outcome.items if item.error is not None), None))
    status = attempt.phase if outcome is None else "failed" if error else outcome.status
    return {
        "id": attempt.id,
        "n": attempt.n,
        "items": [list(index) for index in attempt.items],
        "planned_at": attempt.planned_at,
        "status": status,
        "reason": attempt.reason,
        "usage": full(outcome.usage) if outcome else None,
        "metrics": dict(outcome.metrics) if outcome else {},
        "worker": outcome.worker if outcome else "",
        "error": full(error) if error else None,
    }


def task_reason(state: RunState, task: TaskState, index: Index) -> str:
    """Why it was skipped: in the words of its step where it told `fw.skip` some; "" if it was not."""
    if task.status != "skipped":
        return ""
    if task.reason == "skip" and task.attempts and task.attempts[-1] in state.attempts:
        attempt = state.attempts[task.attempts[-1]]
        if attempt.outcome is not None and index in attempt.items:
            return attempt.outcome.items[attempt.items.index(index)].reason or "skip"
    return task.reason


def _short_error(task: TaskState) -> dict[str, str] | None:
    if task.error is None:
        return None
    return {"kind": task.error.kind, "code": task.error.code, "message": task.error.message[:500], "hint": task.error.hint}
