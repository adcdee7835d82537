"""`fairway tag`: words to find runs by."""

from __future__ import annotations

import click

from fairway.cli.arguments import on_option, open_workspace, required_run_argument
from fairway.errors import ConfigError


@click.command("tag")
@required_run_argument
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@click.option("-d", "--delete", is_flag=True, help="Remove the tags instead.")
@on_option
@click.pass_obj
def command(folder: str, run: str, tags: tuple[str, ...], delete: bool) -> None:
    """Add tags to a run, or remove them. `fairway gc --older-than` keeps runs that have a tag.

    \b
    Examples:
      fairway tag last baseline
      fairway tag 20261124 nightly keep
      fairway tag last --delete baseline
    """
    from fairway.engine.labels import relabel

    for tag in tags:
        if not tag.strip() or any(c.isspace() or c == "," for c in tag):
            raise ConfigError(f"not a tag: {tag!r}", hint="a tag is one word without spaces and commas")
    workspace = open_workspace(folder)
    found = workspace.get_run(run)
    relabel(workspace, found, add_tags=() if delete else tags, remove_tags=tags if delete else ())
    click.echo(f"{found}: {'removed' if delete else 'tagged'} {' '.join(tags)}", err=True)
