"""`fairway runs`: the runs there are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from fairway.cli.arguments import on_option, open_workspace, output_option
from fairway.cli.listing import print_json, print_table
from fairway.cli.style import COLOURS, SYMBOLS, clip, spell_age, spell_duration, spell_number
from fairway.engine.project import RUN_STATES
from fairway.spec.summary import RunSummary


@click.command("runs")
@click.option("--pipeline", default="", metavar="NAME", help="Only runs of this pipeline.")
@click.option("--status", type=click.Choice(["running", *RUN_STATES]), help="Only runs in this state.")
@click.option("--tag", default="", metavar="TAG", help="Only runs with this tag.")
@click.option("--archived", is_flag=True, help="Only archived runs.")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="At most this many, newest first.")
@click.option("--before", default="", metavar="RUN", help="Only runs older than this one (for the next page).")
@output_option
@on_option
@click.pass_obj
def command(folder: str, pipeline: str, status: str | None, tag: str, archived: bool, limit: int, before: str, output: str | None) -> None:
    """List runs, newest first.

    \b
    Examples:
      fairway runs
      fairway runs --status failed --pipeline churn
      fairway runs --tag nightly -o json | jq '.[0].metrics'
    """
    workspace = open_workspace(folder)
    rows: Sequence[RunSummary] = ()
    if not workspace.is_new:
        asked: dict[str, Any] = {
            "pipeline": pipeline,
            "status": status or "",
            "tag": tag,
            "archived": archived,
            "limit": 0 if archived else limit,
        }
        rows = workspace.wait(workspace.journal.summaries(**asked, before=workspace.get_run(before) if before else ""))
    if archived:
        rows = [row for row in rows if row.archived][:limit]
    if output == "json":
        print_json(list(rows))
        return
    if not rows:
        click.echo("nothing has been run here yet; start with `fairway run FILE`" if workspace.is_new else "no such runs", err=True)
        return
    now = time.time()
    print_table(
        ("RUN", "PIPELINE", "STATUS", "STARTED", "TOOK", "TASKS", "WHAT"),
        [_cells(row, now) for row in rows],
        right=(4, 5),
        colours=[{2: COLOURS.get(row.status, "")} for row in rows],
    )


def _cells(row: RunSummary, now: float) -> tuple[str, ...]:
    total = sum(row.counts.values())
    done = sum(row.counts.get(status, 0) for status in ("succeeded", "cached", "skipped"))
    return (
        row.run,
        row.pipeline,
        f"{SYMBOLS.get(row.status, ' ')} {row.status}",
        spell_age(row.started_at, now),
        spell_duration((row.ended_at or now) - row.started_at),
        f"{done:,}/{total:,}" if total else "",
        clip(_what(row), 60),
    )


def _what(row: RunSummary) -> str:
    """Whatever tells this run from others: name, tags, error, metrics, note."""
    metrics = [f"{name} {spell_number(value)}" for name, value in list(row.metrics.items())[:3]]
    return "  ".join(part for part in (row.name, *(f"#{tag}" for tag in row.tags), row.error, *metrics, row.note) if part)
