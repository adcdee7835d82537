"""`fairway note`: a sentence kept with a run."""

from __future__ import annotations

import click

from fairway.cli.arguments import on_option, open_workspace, required_run_argument


@click.command("note")
@required_run_argument
@click.argument("text", required=False)
@on_option
@click.pass_obj
def command(folder: str, run: str, text: str | None) -> None:
    """Write a note on a run; without TEXT, print the one it has.

    \b
    Examples:
      fairway note last "first try with the new features"
      fairway note last
      fairway note last ""      # removes it
    """
    from fairway.engine.labels import relabel

    workspace = open_workspace(folder)
    summary = workspace.get_summary(run)
    if text is None:
        click.echo(summary.note)
        return
    relabel(workspace, summary.run, note=text)
    click.echo(f"{summary.run}: noted" if text else f"{summary.run}: note removed", err=True)
