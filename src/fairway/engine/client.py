"""The Python client: what the command line can do, for scripts and notebooks.

import fairway as fw
run = fw.run(pipeline, depths=[2, 4, 8])
run.outputs["model"].load()
fw.runs["last"].tasks["train[2]"].metrics
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from fairway.engine.labels import relabel
from fairway.engine.project import load_project
from fairway.engine.waits import find_waits
from fairway.engine.workspace import Workspace, match_tasks
from fairway.errors import NotFoundError, TaskCancelled, TaskCrashed, TaskError, TaskFailed, TaskOutOfMemory, TaskTimeout, UnsupportedError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import Input
from fairway.spec.event import address
from fairway.spec.gang import Gang
from fairway.spec.layout import SCRATCH
from fairway.spec.outcome import ErrorInfo
from fairway.spec.record import to_plain
from fairway.spec.resources import Resources
from fairway.spec.summary import RunSummary
from fairway.step.context import context
from fairway.step.importing import check_may_run

SHOWN_IN_NOTEBOOK = 20
DRAWN_IN_NOTEBOOK = ("fairway.Table", "fairway.HTML", "fairway.Markdown", "fairway.Figure", "pandas.DataFrame", "polars.DataFrame")
DRAWN_IN_NOTEBOOK_BYTES = 20_000_000


class Output:
    """One artifact: its reference, and the way to its value."""

    def __init__(self, workspace: Workspace, name: str, ref: ArtifactRef) -> None:
        self._workspace = workspace
        self.name = name
        self.ref = ref

    @property
    def type(self) -> str:
        """The type name of the value, such as "pandas.DataFrame"."""
        return self.ref.type or self.ref.format

    @property
    def size_bytes(self) -> int:
        return self.ref.size_bytes

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes: equal digests are equal values."""
        return self.ref.digest

    def load(self, *, wanted: str = "", trust: bool = False) -> Any:
        """The value. `trust` allows formats that can run code when loaded. Raises NotFoundError, UnsupportedError, DefinitionError."""
        from fairway.step.artifacts import load

        return load(self.ref, self._workspace.artifacts, self._scratch(), wanted=wanted, trust=trust)

    def path(self) -> str:
        """A read-only file, or a folder of such, with the artifact in the format it is stored in."""
        from fairway.step import paths

        folder = self.ref.format in ("dir", "model") or self.ref.meta.get("folder")
        return str((paths.open_folder if folder else paths.open_file)(self.ref, self._workspace.artifacts, self._scratch()))

    def _scratch(self) -> str:
        folder = os.path.join(self._workspace.project.home, SCRATCH, "loaded")
        os.makedirs(folder, exist_ok=True)
        return folder

    def __repr__(self) -> str:
        return f"<Output {self.name}: {self.type}, {self.size_bytes:,} bytes, {self.digest[:12]}>"

    def _repr_html_(self) -> str:
        """The value as it shows itself where it can, else what is known of it."""
        value = self.ref.inline if self.ref.inline is not None else f"{self.type}, {self.size_bytes:,} bytes"
        shown = f"<b>{_escape(self.name)}</b> <code>{_escape(value)}</code>"
        return shown + self._drawn() if self.size_bytes <= DRAWN_IN_NOTEBOOK_BYTES else shown

    def _drawn(self) -> str:
        """Tables, figures, pages and models; "" for other values, and where the library that reads one is not installed."""
        if self.type == "fairway.Model":
            facts = {"class": self.ref.meta.get("class", ""), **self.ref.meta.get("metrics", {}), **self.ref.meta.get("versions", {})}
            return _table(("model", ""), [(name, str(value)) for name, value in facts.items()])
        if self.type not in DRAWN_IN_NOTEBOOK:
            return ""
        try:
            value = self.load()
        except UnsupportedError:
            return ""
        if self.type == "fairway.Figure":
            return _picture(value.kind, value.data)
        return str(value._repr_html_())


class Outputs(Mapping[str, Output]):
    """Outputs by name."""

    def __init__(self, workspace: Workspace, refs: Mapping[str, ArtifactRef], of: str) -> None:
        self._workspace = workspace
        self._refs = refs
        self._of = of

    def __getitem__(self, name: str) -> Output:
        if name not in self._refs:
            known = ", ".join(self._refs) or "none yet"
            raise NotFoundError(f"{self._of} has no output {name!r}", hint=f"its outputs: {known}")
        return Output(self._workspace, name, self._refs[name])

    def __contains__(self, name: object) -> bool:
        return name in self._refs

    def __iter__(self) -> Iterator[str]:
        return iter(self._refs)

    def __len__(self) -> int:
        return len(self._refs)

    def __repr__(self) -> str:
        return "\n".join(repr(self[name]) for name in self) or "no outputs"

    def _repr_html_(self) -> str:
        return "<br>".join(self[name]._repr_html_() for name in self) or "no outputs"


class Task:
    """One task of a run, as it was when it was asked for."""

    def __init__(self, run: Run, state: Any, scope: str, node: str, index: tuple[int, ...]) -> None:
        self._run = run
        self._run_state = state
        self._task = state.task(scope, node, index)
        self.scope = scope
        self.node = node
        self.index = index
        self.address = address(scope, node, index)

    @property
    def status(self) -> str:
        return self._task.status

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
        return Outputs(self._run.workspace, self.output_refs, self.address)

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

        return get_inputs(self._run_state, self.scope, self.node, self.index, self._run.workspace.library)

    def curves(self) -> dict[str, list[tuple[float, float]]]:
        """Points (step, value) of each metric, as logged by its attempts."""
        from fairway.engine.reading import read_curves

        return read_curves(self._run.workspace.streams, self._run.id, self.attempts)

    def logs(self) -> str:
        """What its attempts wrote to stdout and stderr."""
        return "".join(line.text + "\n" for line in self._run.log_lines([self]))

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
            "attempts": [_attempt_as_plain(self._run_state.attempts[attempt]) for attempt in self.attempts],
        }

    def __repr__(self) -> str:
        return f"<Task {self.address}: {self.status}>"


class Tasks(Mapping[str, Task]):
    """Tasks of a run by address: "load", "train[2]", "tune[0]/train[1]"."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._state = run.state()
        self._places = {address(scope, node, index): (scope, node, index) for scope, node, index, _ in self._state.tasks()}

    def __getitem__(self, name: str) -> Task:
        if name not in self._places:
            match_tasks(self._state, name)
            raise NotFoundError(
                f"{name!r} is a mapped step of run {self._run.id}", hint=f"name one task, such as {name}[0], or use .match({name!r})"
            )
        return Task(self._run, self._state, *self._places[name])

    def match(self, pattern: str) -> list[Task]:
        """The tasks meant by a step's name, an address or a glob. Raises NotFoundError."""
        return [Task(self._run, self._state, scope, node, index) for _, scope, node, index in match_tasks(self._state, pattern)]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        shown = [f"{name} {self[name].status}" for name in list(self)[:SHOWN_IN_NOTEBOOK]]
        return "\n".join(shown + ([f"… and {len(self) - len(shown):,} more"] if len(self) > len(shown) else []))

    def _repr_html_(self) -> str:
        rows = [(name, self[name].status) for name in list(self)[:200]]
        return _table(("task", "status"), rows)


class Run:
    """One run. What it says is read from the journal each time, so it is always current."""

    def __init__(self, workspace: Workspace, run: str) -> None:
        self.workspace = workspace
        self.id = run

    def state(self) -> Any:
        """The folded state of the run now (`fairway.engine.state.RunState`)."""
        return self.workspace.state(self.id)

    @property
    def summary(self) -> RunSummary:
        return self.workspace.get_summary(self.id)

    @property
    def status(self) -> str:
        """ "running", "succeeded", "failed", "cancelled" or "timeout"."""
        return self.summary.status

    @property
    def params(self) -> dict[str, Any]:
        """Values of the parameters; an `Output` for those that are not small JSON."""
        import json

        return {
            name: json.loads(ref.inline) if ref.inline is not None and ref.format == "json" else Output(self.workspace, name, ref)
            for name, ref in self.state().params.items()
        }

    @property
    def outputs(self) -> Outputs:
        return Outputs(self.workspace, self.state().outputs, f"run {self.id}")

    @property
    def tasks(self) -> Tasks:
        return Tasks(self)

    @property
    def metrics(self) -> dict[str, float]:
        return dict(self.summary.metrics)

    def logs(self, task: str = "") -> str:
        """What the run's tasks (those that `task` means) wrote to stdout and stderr."""
        return "".join(f"{line.task}  {line.text}\n" for line in self.log_lines(self.tasks.match(task)))

    def log_lines(self, tasks: Sequence[Task]) -> Iterator[Any]:
        """Lines of the tasks' attempts (`fairway.engine.reading.LogLine`), one attempt after the other; of a gang those of all ranks."""
        from fairway.engine.ranks import read_task_log

        seen: set[str] = set()
        for task in tasks:
            for attempt in task.attempts:
                if attempt not in seen:
                    seen.add(attempt)
                    yield from read_task_log(self.workspace.streams, self.id, attempt, task.address, task.gang)

    def cancel(self) -> None:
        """Ask the run's driver to stop it."""
        request_cancel(self.workspace, self.id)

    def wait(self, timeout_s: float = 0.0) -> str:
        """Wait until the run has ended; returns its status ("running" if `timeout_s` was over before)."""
        until = time.monotonic() + timeout_s if timeout_s else None
        after = 0
        while True:
            status = self.status
            if status != "running" or (until is not None and time.monotonic() >= until):
                return status
            left = 5.0 if until is None else max(0.01, min(5.0, until - time.monotonic()))
            after = max(after, self.workspace.wait(self.workspace.journal.head(self.id)))
            self.workspace.wait(self.workspace.journal.watch(self.id, after, left))

    def resume(self, *, edited: bool = True) -> Run:
        """Go on with the run until it ends; with `edited`, with the code as it is now. Returns itself."""
        from fairway.engine.session import open_resume

        check_may_run(context().task)
        session = open_resume(self.workspace.project, self.id, load=_load_source if edited else None)
        try:
            session.drive()
        finally:
            session.close()
        return self

    def tag(self, *tags: str) -> None:
        relabel(self.workspace, self.id, add_tags=tags)

    def untag(self, *tags: str) -> None:
        relabel(self.workspace, self.id, remove_tags=tags)

    def note(self, text: str) -> None:
        relabel(self.workspace, self.id, note=text)

    def archive(self, archived: bool = True) -> None:
        relabel(self.workspace, self.id, archived=archived)

    def as_plain(self) -> dict[str, Any]:
        """The run as JSON-ready data: summary, outputs, steps with their counts."""
        state = self.state()
        waits = find_waits(state.live.values())
        steps = [
            {
                "step": address(scope.name, node.node.id),
                "counts": {status: n for status, n in node.counts.items() if n},
                "started_at": node.started_at,
                "ended_at": node.ended_at,
                **({"waits": waits[scope.name, node.node.id].removeprefix("waits: ")} if (scope.name, node.node.id) in waits else {}),
            }
            for scope in state.scopes.values()
            for node in scope.nodes.values()
        ]
        return {
            "status": "running",
            **to_plain(self.summary),
            "outputs": {name: to_plain(ref) for name, ref in state.outputs.items()},
            "error": to_plain(state.error) if state.error else None,
            "steps": steps,
        }

    def __repr__(self) -> str:
        summary = self.summary
        return f"<Run {self.id}: {summary.pipeline} {summary.status}>"

    def _repr_html_(self) -> str:
        from fairway.dsl.picture import render_svg

        summary, state = self.summary, self.state()
        metrics = " ".join(f"{_escape(name)}=<b>{value:.5g}</b>" for name, value in summary.metrics.items())
        took = max(0.0, (summary.ended_at or time.time()) - summary.started_at)
        head = f"<b>{_escape(summary.pipeline)}</b> <code>{_escape(self.id)}</code> {summary.status} in {took:.1f} s {metrics}"
        return f"<div>{head}<br>{render_svg(state.graph, step_states(state))}{self.outputs._repr_html_()}</div>"


class Runs:
    """The runs of the project that the current folder is in: `fw.runs["last"]`, `for run in fw.runs`, `fw.runs.find(tag="nightly")`."""

    def __init__(self, workspace: Workspace | None = None) -> None:
        self._fixed = workspace

    @cached_property
    def _opened(self) -> dict[str, Workspace]:
        return {}

    @property
    def workspace(self) -> Workspace:
        """Opened once for each current folder."""
        if self._fixed is not None:
            return self._fixed
        here = os.getcwd()
        if here not in self._opened:
            self._opened[here] = Workspace(load_project(here))
        return self._opened[here]

    def at(self, folder: str | os.PathLike[str]) -> Runs:
        """The runs of another project."""
        return Runs(Workspace(load_project(os.fspath(folder))))

    def on(self, target: str) -> Runs:
        """The project's runs at another target: `fw.runs.on("campus")["last"]`."""
        return Runs(Workspace(load_project(self.workspace.project.root, overrides={"target": target})))

    def __getitem__(self, run: str) -> Run:
        return Run(self.workspace, self.workspace.get_run(run))

    def find(self, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int = 50) -> list[Run]:
        """Runs, newest first."""
        journal = self.workspace.journal
        rows = self.workspace.wait(journal.summaries(pipeline=pipeline, status=status, tag=tag, archived=archived, limit=limit))
        return [Run(self.workspace, row.run) for row in rows]

    def __iter__(self) -> Iterator[Run]:
        return (Run(self.workspace, row.run) for row in self.workspace.all_summaries())

    def __repr__(self) -> str:
        return "\n".join(repr(run) for run in self.find(limit=SHOWN_IN_NOTEBOOK)) or "no runs yet"

    def _repr_html_(self) -> str:
        rows = [
            (s.run, s.pipeline, s.status, " ".join(s.tags), " ".join(f"{name}={value:.5g}" for name, value in s.metrics.items()))
            for s in (run.summary for run in self.find(limit=SHOWN_IN_NOTEBOOK))
        ]
        return _table(("run", "pipeline", "status", "tags", "metrics"), rows)


def request_cancel(workspace: Workspace, run: str, reason: str = "") -> None:
    """Put a wish to stop into the run's inbox; its driver folds it into events. A run that has ended stays as it is."""
    workspace.wait(workspace.journal.send(run, "cancel", {"at": time.time(), "by": os.environ.get("USER", ""), "reason": reason}))


def _load_source(source: str) -> Any:
    from fairway.dsl.load import load_target

    return load_target(source)


def _attempt_as_plain(attempt: Any) -> dict[str, Any]:
    outcome = attempt.outcome
    plain = {"id": attempt.id, "n": attempt.n, "planned_at": attempt.planned_at, "status": attempt.phase, "reason": attempt.reason}
    if outcome is not None:
        failed = outcome.error or next((item.error for item in outcome.items if item.error is not None), None)
        plain["status"] = "failed" if failed else outcome.status
        plain["usage"] = {name: getattr(outcome.usage, name) for name in outcome.usage.record_fields}
        plain["metrics"] = dict(outcome.metrics)
        plain["error"] = to_plain(failed) if failed else None
    return plain


def step_states(state: Any) -> dict[str, str]:
    """One word for each step of the pipeline itself."""
    scope = state.scopes.get("")
    return {name: status_of(node.counts) for name, node in scope.nodes.items()} if scope else {}


def status_of(counts: Mapping[str, int]) -> str:
    """One word for a step's tasks."""
    for status in ("failed", "running", "retrying", "cancelled", "waiting", "succeeded", "cached", "skipped"):
        if counts.get(status):
            return status
    return "waiting"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_escape(header)}</th>" for header in headers)
    body = "".join("<tr>" + "".join(f"<td>{_escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _picture(kind: str, data: bytes) -> str:
    """A figure's file inside a page; a Plotly or Altair figure shows itself when it is loaded."""
    if kind not in ("svg", "png"):
        return ""
    import base64

    media = "image/svg+xml" if kind == "svg" else "image/png"
    return f'<br><img alt="" src="data:{media};base64,{base64.b64encode(data).decode()}">'


def _escape(text: str) -> str:
    from html import escape

    return escape(text)


def run(
    pipeline: Any,
    params: Mapping[str, Any] | None = None,
    /,
    *,
    name: str = "",
    tags: Sequence[str] = (),
    on: str = "",
    cache: bool = True,
    max_parallel: int = 0,
    timeout: str | float = 0,
    check: bool = True,
    **more: Any,
) -> Run:
    """Run a pipeline to its end and return the run. Parameters are given by name; those named like one of these options in `params`.

    `on` names a target; without it, runs go to the project's own.

    With `check` a run that does not succeed raises the TaskError of the task that failed first; its `run` attribute is the run. Raises
    DefinitionError, ConfigError, NotFoundError, UnsupportedError before anything has run.
    """
    from fairway.engine.session import name_source, open_run
    from fairway.spec.event import RunOptions
    from fairway.spec.resources import parse_duration

    check_may_run(context().task)
    file = _file_of(pipeline)
    project = load_project(near=file, overrides={"target": on} if on else None)
    options = RunOptions(cache, max_parallel or project.max_parallel, parse_duration(timeout) if timeout else project.timeout_s)
    labels = {"name": name, "tags": tuple(tags), "triggered_by": "python"}
    source = name_source(project, f"{file}:{pipeline.function.__name__}") if file else ""
    session = open_run(project, lambda: pipeline, {**(params or {}), **more}, options=options, labels=labels, source=source)
    try:
        state = session.drive()
        problems = session.run_hooks()
    except KeyboardInterrupt:
        session.cancel()
        session.drive()
        raise
    finally:
        session.close()
    if problems:
        import warnings

        warnings.warn("; ".join(problems), stacklevel=2)
    done = Run(Workspace(project), state.run)
    if check and state.status != "succeeded":
        raise failure_of(state, done)
    return done


def _file_of(pipeline: Any) -> str:
    """The file a pipeline is written in, "" for a graph, a notebook or a prompt."""
    code = getattr(getattr(pipeline, "function", None), "__code__", None)
    file = code.co_filename if code is not None else ""
    return file if os.path.isfile(file) else ""


def failure_of(state: Any, run: Run) -> TaskError:
    """The error of a run that did not succeed, to be raised: of the task that failed first, with the user's own line."""
    first = state.first_failure()
    error = state.error or (first[1] if first else None)
    if error is None:
        raised = TaskCancelled(f"run {run.id} ended: {state.status}", hint=f"fw.runs[{run.id!r}].resume()")
    else:
        known = {cls.code: cls for cls in (TaskTimeout, TaskOutOfMemory, TaskCrashed, TaskCancelled)}
        own = next((frame for frame in reversed(error.frames) if frame.own), None)
        message = f"{first[0]}: {error.kind}: {error.message}" if first else error.message
        where = f"{own.file}:{own.line}" if own else ""
        raised = known.get(error.code, TaskFailed)(message, hint=error.hint or f"fw.runs[{run.id!r}].logs() has more", where=where)
    raised.run = run  # type: ignore[attr-defined]
    return raised


runs = Runs()
