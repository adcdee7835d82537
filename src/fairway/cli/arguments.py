"""Arguments and options that several commands share, with their completion in the shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])
RUN_HELP = "RUN is a run's id, its beginning or end, the run's name, or \"last\"."


def open_workspace(folder: str) -> Workspace:
    """The workspace of the project that `-C` or the current folder is in."""
    return Workspace(load_project(folder))


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Ids of recent runs, each with its pipeline and status."""
    from click.shell_completion import CompletionItem

    from fairway.errors import FairwayError

    try:
        workspace = open_workspace((ctx.find_root().params or {}).get("project") or "")
        recent = workspace.wait(workspace.journal.summaries(limit=50))
    except FairwayError:
        return []
    return [CompletionItem(row.run, help=f"{row.pipeline} {row.status}") for row in recent if row.run.startswith(incomplete)]


def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Steps of the run that was named before."""
    from fairway.errors import FairwayError

    try:
        workspace = open_workspace((ctx.find_root().params or {}).get("project") or "")
        state = workspace.state(workspace.get_run(ctx.params.get("run") or ""))
    except FairwayError:
        return []
    return sorted({name for scope in state.scopes.values() for name in scope.nodes if name.startswith(incomplete)})


def run_argument(function: F) -> F:
    """RUN, the latest if left out."""
    return click.argument("run", default="", shell_complete=complete_run, metavar="[RUN]")(function)


def required_run_argument(function: F) -> F:
    """RUN, which must be given."""
    return click.argument("run", shell_complete=complete_run, metavar="RUN")(function)


def task_argument(function: F) -> F:
    """TASK of the run."""
    return click.argument("task", shell_complete=complete_task, metavar="TASK")(function)


def output_option(function: F) -> F:
    """`-o json`."""
    return click.option("-o", "--output", type=click.Choice(["json"]), help="Write JSON to stdout.")(function)


def cluster_option(function: F) -> F:
    """`--on TARGET`, a target of the kind "kubernetes"."""
    about = "A Kubernetes target of fairway.toml; the only one if left out."
    return click.option("--on", default="", metavar="TARGET", help=about, shell_complete=complete_cluster)(function)


def complete_cluster(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Names of the project's Kubernetes targets."""
    from fairway.errors import FairwayError

    try:
        project = load_project((ctx.find_root().params or {}).get("project") or "")
    except FairwayError:
        return []
    return [name for name, target in project.targets.items() if target.kind == "kubernetes" and name.startswith(incomplete)]
