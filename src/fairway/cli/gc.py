"""`fairway gc`: delete what no kept run needs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.arguments import complete_run, on_option, open_workspace, output_option
from fairway.cli.listing import print_json, print_table
from fairway.cli.style import spell_count, spell_size
from fairway.errors import ConflictError
from fairway.spec.resources import parse_duration

if TYPE_CHECKING:
    from fairway.engine.remote import Connection


@click.command("gc")
@click.option("--older-than", metavar="TIME", help='Delete runs that ended longer ago, such as "30d"; those with a tag or a name are kept.')
@click.option("--keep-last", default=0, metavar="N", type=click.IntRange(min=0), help="Of those, keep the newest N of each pipeline.")
@click.option("--archived", is_flag=True, help="Delete archived runs.")
@click.option("--run", "runs", multiple=True, metavar="RUN", shell_complete=complete_run, help="Delete this run; may be given again.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
@on_option
@click.pass_obj
def command(
    folder: str, older_than: str | None, keep_last: int, archived: bool, runs: tuple[str, ...], dry_run: bool, yes: bool, output: str | None
) -> None:
    """Delete what no kept run needs: artifacts, logs, bundles. Says first what and how much, and asks.

    Without options no run is deleted, only what deleted runs and killed processes left behind. A run that goes on loses nothing.

    \b
    Examples:
      fairway gc --dry-run
      fairway gc --older-than 30d --keep-last 5
      fairway gc --run 20261124-081503-x7kq3 --yes
    """
    from fairway.store import gc

    workspace = open_workspace(folder)
    if workspace.remote is not None:
        rules = {"older_than_s": parse_duration(older_than) if older_than else 0.0, "keep_last": keep_last, "archived": archived}
        chosen = [workspace.get_run(run) for run in runs]
        _collect_there(workspace.remote, {"runs": chosen, **rules}, dry_run=dry_run, yes=yes, output=output)
        return
    doomed = [workspace.get_run(run) for run in runs]
    if archived:
        doomed += [
            row.run for row in workspace.all_summaries(archived=True) if row.archived and workspace.as_it_is(row).status != "running"
        ]
    if older_than or keep_last:
        rows = list(workspace.all_summaries(archived=True))
        doomed += gc.expired(rows, older_than_s=parse_duration(older_than) if older_than else 0.0, keep_last=keep_last)
    live = [run for run in runs if workspace.is_driven(workspace.get_run(run))]
    if live:
        raise ConflictError(f"{live[0]} is running", hint=f"stop it first: fairway cancel {live[0]}")
    places = gc.Places(workspace.project.home, (workspace.journal,), workspace.artifacts, workspace.streams)
    plan = workspace.wait(gc.plan(places, delete_runs=tuple(dict.fromkeys(doomed))))
    if _agree(plan.runs, plan.size_bytes, plan.by_kind(), dry_run=dry_run, yes=yes, output=output):
        done = workspace.wait(gc.collect(places, plan))
        _say_deleted(done.runs, done.items, done.size_bytes, done.spared)


def _collect_there(remote: Connection, asked: dict[str, Any], *, dry_run: bool, yes: bool, output: str | None) -> None:
    """The server says what it would delete, and then does it."""
    plan = remote.api.send("POST", "/gc", {**asked, "dry_run": True})
    kinds = {kind: (one["count"], one["size_bytes"]) for kind, one in plan["kinds"].items()}
    if _agree(plan["runs"], plan["size_bytes"], kinds, dry_run=dry_run, yes=yes, output=output):
        done = remote.api.send("POST", "/gc", {**asked, "dry_run": False})["deleted"]
        _say_deleted(done["runs"], done["items"], done["size_bytes"], done["spared"])


def _agree(
    runs: Sequence[str], size_bytes: int, kinds: Mapping[str, tuple[int, int]], *, dry_run: bool, yes: bool, output: str | None
) -> bool:
    """Say what would be deleted, and ask; may it be?"""
    if output == "json":
        print_json({"runs": runs, "size_bytes": size_bytes, "kinds": {k: {"count": n, "size_bytes": s} for k, (n, s) in kinds.items()}})
    elif not runs and not kinds:
        click.echo("nothing to delete", err=True)
        return False
    else:
        rows = [("runs", f"{len(runs):,}", "")] if runs else []
        rows += [(f"{kind}s", f"{count:,}", spell_size(size)) for kind, (count, size) in sorted(kinds.items())]
        print_table(("WHAT", "COUNT", "SIZE"), rows, right=(1, 2))
    if dry_run:
        return False
    sys.stdout.flush()
    if not yes and not click.confirm(f"delete {spell_size(size_bytes)}?", err=True):
        click.echo("nothing deleted", err=True)
        return False
    return True


def _say_deleted(runs: int, items: int, size_bytes: int, spared: int) -> None:
    kept = f"; {spell_count(spared, 'thing')} spared, used a moment ago" if spared else ""
    click.echo(f"deleted {spell_count(runs, 'run')}, {spell_count(items, 'thing')}, {spell_size(size_bytes)}{kept}", err=True)
