"""The client's tasks: what one has got, done, said and given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fairway.engine import notebook
from fairway.engine.outcomes import end_of
from fairway.engine.outputs import Outputs
from fairway.engine.workspace import INTERRUPTED, Workspace, match_tasks
from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import Input
from fairway.spec.event import address
from fairway.spec.gang import Gang
from fairway.spec.outcome import ErrorInfo
from fairway.spec.record import to_plain
from fairway.spec.resources import Resources

if TYPE_CHECKING:
    from fairway.engine.reading import LogLine

_LIVE = ("running", "retrying")


class Task:
    """One task of a run, as it was when it was asked for."""

    def __init__(self, workspace: Workspace, state: Any, scope: str, node: str, index: tuple[int, ...]) -> None:
        self._workspace = workspace
        self._run_state = state
        self._task = state.task(scope, node, index)
        self.scope = scope
        self.node = node
        self.index = index
        self.address = address(scope, node, index)

    @property
    def status(self) -> str:
        """ "waiting", "running", "retrying", "succeeded", "cached", "skipped", "failed", "cancelled"; or "interrupted": it ran when the
        process of its run was killed."""
        return INTERRUPTED if self._task.status in _LIVE and self._is_left else self._task.status

    @cached_property
    def _is_left(self) -> bool:
        return self._run_state.status == "running" and self._workspace.is_left(self._run_state.run)

    @property
    def reason(self) -> str:
        """Why it was skipped: "condition", "upstream", "failed", "cancelled", or what the step told `fw.skip`; "" if it was not."""
        if self._task.reason == "skip" and self.attempts:
            attempt = self._run_state.attempts[self.attempts[-1]]
            at = attempt.items.index(self.index)
            told = attempt.outcome.items[at].reason if attempt.outcome is not None else ""
            return told or "skip"
        return self._task.reason if self.status == "skipped" else ""

    @property
    def error(self) -> ErrorInfo | None:
        return self._task.error

    @property
    def outputs(self) -> Outputs:
        return Outputs(self._workspace, self.output_refs, self.address)

    @property
    def output_refs(self) -> Mapping[str, ArtifactRef]:
        """References of the outputs, {} while there are none."""
        return self._task.outputs or {}

    @property
    def attempts(self) -> tuple[str, ...]:
        """Ids of its attempts, oldest first."""
        return tuple(self._task.attempts)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric of its last attempt."""
        for attempt in reversed(self.attempts):
            outcome = self._run_state.attempts[attempt].outcome
            if outcome is not None:
                return dict(outcome.metrics)
        return {}

    @property
    def inputs(self) -> dict[str, Any]:
        """References of its inputs by name; a secret's name in place of one. Raises NotFoundError while one of them has not been made."""
        return {name: given.ref or given.secret for name, given in self.get_inputs().items()}

    def get_inputs(self) -> dict[str, Input]:
        """Its inputs as its attempts got them. Raises NotFoundError while one of them has not been made."""
        from fairway.engine.recorded import get_inputs

        return get_inputs(self._run_state, self.scope, self.node, self.index, self._workspace.library)

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Points (step, value) of each metric, as logged by its attempts; of a gang the mean over its ranks."""
        from fairway.engine.rankmeans import read_curves
        from fairway.engine.ranks import world_size

        return read_curves(self._workspace.streams, self._run_state.run, self.attempts, world_size(self.gang))

    def logs(self) -> str:
        """What its attempts wrote to stdout and stderr."""
        return "".join(line.text + "\n" for line in read_lines([self]))

    def log_lines(self, attempt: str) -> list[LogLine]:
        """Lines of one of its attempts; of a gang those of all ranks."""
        from fairway.engine.ranks import read_task_log

        return read_task_log(self._workspace.streams, self._run_state.run, attempt, self.address, self.gang)

    @property
    def asked(self) -> Resources:
        """What the step asks for; what an attempt used is in its `usage`."""
        graph = self._run_state.scopes[self.scope].graph
        node = next(node for node in graph.nodes if node.id == self.node)
        return graph.steps[node.step].resources

    @property
    def gang(self) -> Gang:
        """What the step asks for of a gang; `replicas` 0: it is one process."""
        from fairway.engine.ranks import gang_of

        return gang_of(self._run_state, self.scope, self.node)

    def as_plain(self) -> dict[str, Any]:
        """All of it as JSON-ready data."""
        cached = self._task.cached
        return {
            "task": self.address,
            "status": self.status,
            "reason": self.reason,
            "cached_from": {"run": cached[0], "task": cached[1]} if cached else None,
            "asked": {name: getattr(self.asked, name) for name in self.asked.record_fields},
            "outputs": {name: to_plain(ref) for name, ref in self.output_refs.items()},
            "error": to_plain(self.error) if self.error else None,
            "attempts": [
                _attempt_as_plain(self._run_state.attempts[attempt], attempt in self._run_state.live and self._is_left)
                for attempt in self.attempts
            ],
        }

    def __repr__(self) -> str:
        return f"<Task {self.address}: {self.status}>"


class Tasks(Mapping[str, Task]):
    """Tasks of a run by address: "load", "train[2]", "tune[0]/train[1]"."""

    def __init__(self, workspace: Workspace, state: Any) -> None:
        self._workspace = workspace
        self._state = state
        self._places = {address(scope, node, index): (scope, node, index) for scope, node, index, _ in self._state.tasks()}

    def __getitem__(self, name: str) -> Task:
        if name not in self._places:
            match_tasks(self._state, name)
            raise NotFoundError(
                f"{name!r} is a mapped step of run {self._state.run}", hint=f"name one task, such as {name}[0], or use .match({name!r})"
            )
        return Task(self._workspace, self._state, *self._places[name])

    def match(self, pattern: str) -> list[Task]:
        """The tasks meant by a step's name, an address or a glob. Raises NotFoundError."""
        return [Task(self._workspace, self._state, scope, node, index) for _, scope, node, index in match_tasks(self._state, pattern)]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shown = [f"{name} {self[name].status}" for name in list(self)[: notebook.SHOWN]]
        return "\n".join(shown + ([f"… and {len(self) - len(shown):,} more"] if len(self) > len(shown) else []))

    def _repr_html_(self) -> str:
        rows = [(name, self[name].status) for name in list(self)[:200]]
        return notebook.render_table(("task", "status"), rows)


def read_lines(tasks: Iterable[Task]) -> Iterator[LogLine]:
    """Lines of the tasks' attempts, one attempt after the other; one that did several of them is read once."""
    seen: set[str] = set()
    for task in tasks:
        for attempt in task.attempts:
            if attempt not in seen:
                seen.add(attempt)
                yield from task.log_lines(attempt)


def _attempt_as_plain(attempt: Any, left: bool) -> dict[str, Any]:
    """`left`: the process of its run was killed before anybody could say how it ended."""
    outcome = attempt.outcome
    status = INTERRUPTED if left else attempt.phase
    plain = {"id": attempt.id, "n": attempt.n, "planned_at": attempt.planned_at, "status": status, "reason": attempt.reason}
    if outcome is not None:
        failed = outcome.error or next((item.error for item in outcome.items if item.error is not None), None)
        plain["status"] = end_of(failed) if failed else outcome.status
        plain["usage"] = {name: getattr(outcome.usage, name) for name in outcome.usage.record_fields}
        plain["metrics"] = dict(outcome.metrics)
        plain["error"] = to_plain(failed) if failed else None
    return plain
