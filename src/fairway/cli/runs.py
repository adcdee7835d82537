"""`fairway runs`: the runs there are."""

from __future__ import annotations

import time
from typing import Any

import click

from fairway.cli.arguments import name_command, on_option, open_workspace, output_option
from fairway.cli.listing import print_json, print_table
from fairway.cli.style import COLOURS, SYMBOLS, clip, spell_age, spell_duration, spell_number
from fairway.engine.project import RUN_STATES
from fairway.engine.query import parse_query, parse_sort
from fairway.engine.workspace import INTERRUPTED
from fairway.errors import ConfigError
from fairway.spec.query import RunQuery, RunsFound
from fairway.spec.record import replace, to_plain
from fairway.spec.summary import RunSummary


@click.command("runs")
@click.argument("query", nargs=-1, metavar="[QUERY]...")
@click.option("--pipeline", default="", metavar="NAME", help="Only runs of this pipeline.")
@click.option("--status", type=click.Choice(["running", *RUN_STATES]), help="Only runs in this state.")
@click.option("--tag", default="", metavar="TAG", help="Only runs with this tag.")
@click.option("--archived", is_flag=True, help="Only archived runs.")
@click.option("--sort", default="", metavar="ORDER", help="duration, metric.NAME, …; turned: NAME-asc.")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="So many.")
@click.option("--before", default="", metavar="RUN", help="Only runs older than this one.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, query: tuple[str, ...], limit: int, before: str, output: str | None, **flags: Any) -> None:
    """List runs, newest first.

    QUERY: words and filters: failed tag:best by:ann since:2d depth=4 "auc>0.8"

    \b
    Examples:
      fairway runs failed since:2d
      fairway runs pipeline:churn 'auc>0.8' --sort metric.auc
      fairway runs --tag nightly -o json | jq '.[0].metrics'
    """
    workspace = open_workspace(folder)
    asked = _read_query(" ".join(query), limit, flags)
    found = RunsFound()
    if not workspace.is_new:
        if before:
            if asked.sort or asked.ascending:
                raise ConfigError("--before goes with the newest first alone", hint="leave --sort out, or ask for more with -n")
            asked = replace(asked, cursor=workspace.get_run(before))
        found = workspace.wait(workspace.journal.search(asked))
    rows = tuple(workspace.as_it_is(row) for row in found.rows)
    if output == "json":
        print_json([{**to_plain(row), "status": row.status} for row in rows])
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
    left = [row.run for row in rows if row.status == INTERRUPTED]
    if left:
        click.echo(f"interrupted: the process of {left[0]} is gone; go on: {name_command(workspace)} resume {left[0]}", err=True)
    if query and found.next:
        click.echo(f"{len(rows)} of {'' if found.exact else 'more than '}{found.total:,}; -n shows more", err=True)


def _read_query(text: str, limit: int, flags: dict[str, Any]) -> RunQuery:
    """What the words and the flags ask for together. Raises ConfigError."""
    asked = parse_query(text, time.time())
    for name, flag in (("pipelines", "pipeline"), ("statuses", "status"), ("tags", "tag")):
        value: str = flags[flag] or ""
        if value and getattr(asked, name) not in ((), (value,)):
            raise ConfigError(f"{flag} is asked for twice", hint=f"as --{flag} or in the query")
        if value:
            asked = replace(asked, **{name: (value,)})
    if flags["sort"]:
        sort, ascending = parse_sort(flags["sort"])
        asked = replace(asked, sort=sort, ascending=ascending)
    return replace(asked, limit=limit, archived=flags["archived"] or asked.archived)


def _cells(row: RunSummary, now: float) -> tuple[str, ...]:
    total = sum(row.counts.values())
    ended_badly = row.status in ("failed", "cancelled", "timeout")  # then what was skipped was mostly never begun, and is not done
    done = sum(row.counts.get(status, 0) for status in ("succeeded", "cached", *(() if ended_badly else ("skipped",))))
    return (
        row.run,
        row.pipeline,
        f"{SYMBOLS.get(row.status, ' ')} {row.status}",
        spell_age(row.started_at, now),
        "" if row.status == INTERRUPTED else spell_duration((row.ended_at or now) - row.started_at),  # nobody knows until when it ran
        f"{done:,}/{total:,}" if total else "",
        clip(_what(row), 60),
    )


def _what(row: RunSummary) -> str:
    """Whatever tells this run from others: name, tags, error, metrics, note."""
    metrics = [f"{name} {spell_number(value)}" for name, value in list(row.metrics.items())[:3]]
    return "  ".join(part for part in (row.name, *(f"#{tag}" for tag in row.tags), row.error, *metrics, row.note) if part)
