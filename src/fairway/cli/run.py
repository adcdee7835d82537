"""`fairway run`, once its arguments are read. Imports neither click nor rich: this is the way of every run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.cli.drive import drive
from fairway.cli.request import RunRequest
from fairway.engine.project import Project, load_project
from fairway.engine.session import OnEvents, name_source, open_run
from fairway.spec.event import RunOptions

if TYPE_CHECKING:
    from fairway.engine.session import AnySession


def run_pipeline(request: RunRequest) -> int:
    """Run it to its end; returns the exit status."""
    overrides = {"target": request.on or None, "timeout": request.timeout or None, "max-parallel": request.max_parallel or None}
    project = load_project(request.folder, near=request.file.partition(":")[0], overrides=overrides)
    return drive(project, lambda on_events: _open(request, project, on_events), request.output, detach=request.detach)


def _open(request: RunRequest, project: Project, on_events: OnEvents) -> AnySession:
    def load() -> Any:
        from fairway.dsl.load import load_pipeline

        return load_pipeline(request.file)

    return open_run(
        project,
        load,
        request.params,
        options=RunOptions(not request.no_cache, project.max_parallel, project.timeout_s, request.fail_fast),
        labels={"name": request.name, "tags": request.tag, "triggered_by": "cli"},
        source=name_source(project, request.file),
        on_events=on_events,
    )
