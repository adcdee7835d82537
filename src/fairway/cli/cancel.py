"""`fairway cancel`: stop a run from another terminal."""

from __future__ import annotations

import click

from fairway.cli.arguments import name_command, on_option, open_workspace, run_argument
from fairway.errors import ConflictError
from fairway.spec.resources import parse_duration


@click.command("cancel")
@run_argument
@click.option("--wait", default="30s", show_default=True, metavar="TIME", help="How long to wait for its end; 0 does not wait.")
@on_option
@click.pass_obj
def command(folder: str, run: str, wait: str) -> None:
    """Stop a run: what runs is told to end, what waits is not started, what is done is kept.

    \b
    Examples:
      fairway cancel
      fairway cancel nightly --wait 2m
    """
    from fairway.engine.client import Run
    from fairway.engine.workspace import INTERRUPTED

    workspace = open_workspace(folder)
    found = Run(workspace, workspace.get_run(run))
    status = found.status
    if status == INTERRUPTED:
        raise ConflictError(
            f"nobody drives {found.id} any more: its process was killed",
            hint=f"nothing of it runs; `fairway resume {found.id}` goes on with it",
        )
    if status != "running":
        click.echo(f"{found.id} has ended already: {status}", err=True)
        return
    found.cancel()
    wait_s = 0.0 if wait in ("0", "0s") else parse_duration(wait)
    status = found.wait(wait_s) if wait_s else "running"
    if status != "running":
        click.echo(f"{found.id} ended: {status}; to go on: {name_command(workspace)} resume {found.id}", err=True)
    elif wait_s:
        raise ConflictError(
            f"{found.id} has not ended within {wait}: its tasks take their time to stop",
            hint=f"the wish is kept; `{name_command(workspace)} show {found.id}` says what runs",
        )
