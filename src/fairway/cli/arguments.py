"""Arguments and options that several commands share, with their completion in the shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fairway.engine.project import Project, load_project
from fairway.engine.workspace import Workspace

if TYPE_CHECKING:
    from fairway.engine.state import RunState
    from fairway.spec.study import Study

F = TypeVar("F", bound=Callable[..., Any])
RUN_HELP = "RUN is a run's id, its beginning or end, the run's name, or \"last\"."


ON = "fairway.on"
LOCAL = "local"


def open_project(folder: str) -> Project:
    """The settings of the project that `-C` or the current folder is in, with the target that `--on` names."""
    on = click.get_current_context().meta.get(ON)
    return load_project(folder, overrides={"target": on} if on else None)


def open_workspace(folder: str) -> Workspace:
    """The workspace of the project that `-C` or the current folder is in, at the target that `--on` names; closed with the command."""
    workspace = Workspace(open_project(folder))
    click.get_current_context().call_on_close(workspace.close)
    return workspace


def get_studies(workspace: Workspace, run: str) -> tuple[RunState, list[Study]]:
    """The run that is meant, and its searches. Raises NotFoundError, also where it has none."""
    from fairway.engine.studies import studies_of
    from fairway.errors import NotFoundError
    from fairway.spec.study import interrupt

    found = workspace.get_run(run)
    state = workspace.state(found)
    studies = studies_of(state)
    if state.status == "running" and workspace.is_left(found):
        studies = [interrupt(study) for study in studies]
    if not studies:
        raise NotFoundError(f"{found} holds no search", hint="`fairway tune FILE` starts one; so does fw.tune in a pipeline")
    return state, studies


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Ids of recent runs, each with its pipeline and status."""
    from click.shell_completion import CompletionItem

    from fairway.errors import FairwayError

    try:
        workspace = _local_workspace(ctx)
        if workspace is None:
            return []
        recent = workspace.wait(workspace.journal.summaries(limit=50))
    except FairwayError:
        return []
    return [CompletionItem(row.run, help=f"{row.pipeline} {row.status}") for row in recent if row.run.startswith(incomplete)]


def complete_task(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Steps of the run that was named before."""
    from fairway.errors import FairwayError

    try:
        workspace = _local_workspace(ctx)
        if workspace is None:
            return []
        state = workspace.state(workspace.get_run(ctx.params.get("run") or ""))
    except FairwayError:
        return []
    return sorted({name for scope in state.scopes.values() for name in scope.nodes if name.startswith(incomplete)})


def name_command(workspace: Workspace) -> str:
    """ "fairway", with the target if the runs are elsewhere: the beginning of every command that is shown to go on with."""
    return "fairway" if workspace.remote is None else f"fairway --on {workspace.project.target}"


def _local_workspace(ctx: click.Context) -> Workspace | None:
    """The project's workspace; None if its runs are elsewhere: whoever types does not wait for a network."""
    project = load_project((ctx.find_root().params or {}).get("project") or "")
    return Workspace(project) if project.target == "local" and not ctx.meta.get(ON) else None


def note_target(ctx: click.Context, param: click.Parameter, value: str) -> None:
    """Keep what `--on` says for whoever opens the project."""
    if value:
        ctx.meta[ON] = value


def take_target(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    """What `--on` says here, or before the command."""
    return value or ctx.meta.get(ON, "")


def on_option(function: F) -> F:
    """`--on TARGET`: the runs of that target."""
    about = "Look there: `local`, or a target of fairway.toml."
    option = click.option("--on", default="", metavar="TARGET", expose_value=False, callback=note_target, is_eager=True, help=about)
    return option(function)


def run_argument(function: F) -> F:
    """RUN, the latest if left out."""
    return click.argument("run", default="", shell_complete=complete_run, metavar="[RUN]")(function)


def required_run_argument(function: F) -> F:
    """RUN, which must be given."""
    return click.argument("run", shell_complete=complete_run, metavar="RUN")(function)


def output_option(function: F) -> F:
    """`-o json`."""
    return click.option("-o", "--output", type=click.Choice(["json"]), help="Write JSON to stdout.")(function)


def cluster_option(function: F) -> F:
    """`--on TARGET`, a target of the kind "kubernetes"."""
    about = "A Kubernetes target of fairway.toml; the only one if left out."
    option = click.option("--on", default="", metavar="TARGET", help=about, callback=take_target, shell_complete=complete_cluster)
    return option(function)


def server_option(function: F) -> F:
    """`--on TARGET`, where a server can be put: a target of the kind "kubernetes", or LOCAL."""
    about = "A Kubernetes target of fairway.toml, the only one if left out; or `local`, this machine."
    option = click.option("--on", default="", metavar="TARGET", help=about, callback=take_target, shell_complete=complete_cluster)
    return option(function)


def complete_cluster(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Names of the project's Kubernetes targets."""
    from fairway.errors import FairwayError

    try:
        project = load_project((ctx.find_root().params or {}).get("project") or "")
    except FairwayError:
        return []
    return [name for name, target in project.targets.items() if target.kind == "kubernetes" and name.startswith(incomplete)]
