"""`fairway archive`: out of sight, not deleted."""

from __future__ import annotations

import click

from fairway.cli.arguments import complete_run, on_option, open_workspace


@click.command("archive")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_run)
@click.option("--undo", is_flag=True, help="Bring the runs back into listings.")
@on_option
@click.pass_obj
def command(folder: str, runs: tuple[str, ...], undo: bool) -> None:
    """Hide runs from listings. Nothing is deleted; `fairway gc --archived` would.

    \b
    Examples:
      fairway archive 20261124-0912
      fairway archive --undo 20261124-0912
      fairway runs --archived
    """
    from fairway.engine.labels import relabel

    workspace = open_workspace(folder)
    found = [workspace.get_run(run) for run in runs]
    for run in found:
        relabel(workspace, run, archived=not undo)
        click.echo(f"{run}: {'back in listings' if undo else 'archived'}", err=True)
