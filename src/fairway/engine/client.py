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

from fairway.engine import notebook
from fairway.engine.labels import relabel
from fairway.engine.nodecolumns import worst_status
from fairway.engine.outputs import Output, Outputs
from fairway.engine.project import load_project
from fairway.engine.tasks import Task, Tasks, read_lines
from fairway.engine.waits import find_waits
from fairway.engine.workspace import INTERRUPTED, Workspace
from fairway.errors import TaskCancelled, TaskCrashed, TaskError, TaskFailed, TaskOutOfMemory, TaskTimeout
from fairway.spec.event import address
from fairway.spec.record import to_plain
from fairway.spec.summary import RunSummary
from fairway.step.context import context
from fairway.step.importing import check_may_run


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
        """ "running", "succeeded", "failed", "cancelled", "timeout"; or "interrupted": its process was killed, `resume` goes on."""
        return self.workspace.as_it_is(self.summary).status

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
        return Tasks(self.workspace, self.state())

    @property
    def metrics(self) -> dict[str, float]:
        return dict(self.summary.metrics)

    def logs(self, task: str = "") -> str:
        """What the run's tasks (those that `task` means) wrote to stdout and stderr."""
        return "".join(f"{line.task}  {line.text}\n" for line in self.log_lines(self.tasks.match(task)))

    def log_lines(self, tasks: Sequence[Task]) -> Iterator[Any]:
        """Lines of the tasks' attempts (`fairway.engine.reading.LogLine`), one attempt after the other; of a gang those of all ranks."""
        return read_lines(tasks)

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
        summary = self.workspace.as_it_is(self.summary)
        left = summary.status == INTERRUPTED
        waits = {} if left else find_waits(state.live.values())
        steps = [
            {
                "step": address(scope.name, node.node.id),
                "counts": _interrupted(node.counts) if left else {status: n for status, n in node.counts.items() if n},
                "started_at": node.started_at,
                "ended_at": node.ended_at,
                **({"waits": waits[scope.name, node.node.id].removeprefix("waits: ")} if (scope.name, node.node.id) in waits else {}),
            }
            for scope in state.scopes.values()
            for node in scope.nodes.values()
        ]
        return {
            "status": "running",
            **to_plain(summary),
            "outputs": {name: to_plain(ref) for name, ref in state.outputs.items()},
            "error": to_plain(state.error) if state.error else None,
            "steps": steps,
        }

    def __repr__(self) -> str:
        summary = self.workspace.as_it_is(self.summary)
        return f"<Run {self.id}: {summary.pipeline} {summary.status}>"

    def _repr_html_(self) -> str:
        from fairway.dsl.picture import render_svg

        summary, state = self.workspace.as_it_is(self.summary), self.state()
        metrics = " ".join(f"{notebook.escape(name)}=<b>{value:.5g}</b>" for name, value in summary.metrics.items())
        took = max(0.0, (summary.ended_at or time.time()) - summary.started_at)
        name = f"<b>{notebook.escape(summary.pipeline)}</b> <code>{notebook.escape(self.id)}</code>"
        head = f"{name} {summary.status} in {took:.1f} s {metrics}"
        return f"<div>{head}<br>{render_svg(state.graph, step_states(state))}{self.outputs._repr_html_()}</div>"


def _interrupted(counts: Mapping[str, int]) -> dict[str, int]:
    """Tasks by status where the process of their run was killed: what ran or waited for another try does so no more."""
    cut_off = counts.get("running", 0) + counts.get("retrying", 0)
    found = {status: n for status, n in counts.items() if n and status not in ("running", "retrying")}
    return {**found, INTERRUPTED: cut_off} if cut_off else found


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
        return "\n".join(repr(run) for run in self.find(limit=notebook.SHOWN)) or "no runs yet"

    def _repr_html_(self) -> str:
        rows = [
            (s.run, s.pipeline, s.status, " ".join(s.tags), " ".join(f"{name}={value:.5g}" for name, value in s.metrics.items()))
            for s in (run.summary for run in self.find(limit=notebook.SHOWN))
        ]
        return notebook.render_table(("run", "pipeline", "status", "tags", "metrics"), rows)


def request_cancel(workspace: Workspace, run: str, reason: str = "") -> None:
    """Put a wish to stop into the run's inbox; its driver folds it into events. A run that has ended stays as it is."""
    workspace.wait(workspace.journal.send(run, "cancel", {"at": time.time(), "by": os.environ.get("USER", ""), "reason": reason}))


def _load_source(source: str) -> Any:
    from fairway.dsl.load import load_target

    return load_target(source)


def step_states(state: Any) -> dict[str, str]:
    """One word for each step of the pipeline itself."""
    scope = state.scopes.get("")
    return {name: worst_status(node.counts) for name, node in scope.nodes.items()} if scope else {}


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
    raised.run = run
    return raised


runs = Runs()
