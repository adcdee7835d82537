"""`fairway data report`: a page to look at, of one data set or of two side by side."""

from __future__ import annotations

from typing import Any

import click

from fairway.cli.arguments import on_option, open_workspace
from fairway.cli.datadrift import find_measured
from fairway.errors import ConfigError


@click.command("report")
@click.argument("uri", metavar="URI")
@click.option("--against", default="", metavar="URI", help="What it is compared with: columns are drawn before and now, drift is told.")
@click.option("--schema", "schema_path", default="", metavar="FILE", help="Hold it to this schema too.")
@click.option("--environment", default="", metavar="NAME", help="Where the data is used, as in `fairway data validate`.")
@click.option(
    "--history", multiple=True, metavar="FILE", help="Earlier statistics (`fairway data stats --out`), the oldest first; repeat it."
)
@click.option(
    "--run", default="", metavar="RUN", help="URI is what a step of this run returned: its statistics, or a table. `last` is one."
)
@click.option("--runs", default=20, show_default=True, metavar="N", help="With --run: how many earlier runs the trends go over.")
@click.option("--by", multiple=True, metavar="COL", help="Compare the rows of each value of this column too; repeat it.")
@click.option("--title", default="", help="What stands above it.")
@click.option("--out", default="report.html", show_default=True, metavar="FILE", help="Where the page goes.")
@on_option
@click.pass_obj
def command(
    folder: str, uri: str, against: str, schema_path: str, environment: str, history: tuple[str, ...], run: str, runs: int,
    by: tuple[str, ...], title: str, out: str,
) -> None:  # fmt: skip
    """Write a page about URI: what is wrong first, then every column.

    One file that opens anywhere, without a network. URI and --against are data sets, or statistics that `fairway data stats --out` wrote.

    \b
    Examples:
      fairway data report new.csv
      fairway data report new.csv --against train.csv --schema schema.json
      fairway data report today.json --history monday.json --history tuesday.json
      fairway data report describe --run last
    """
    from fairway.data.report import render
    from fairway.data.statistics import TableStatistics, measure
    from fairway.data.wholefiles import write_whole

    earlier = [_statistics(path) for path in history]
    if run:
        data, found = _returned(folder, run, uri, runs)
        earlier = [*found, *earlier]
    else:
        data = find_measured(uri)
    validation = drift = reference = None
    if schema_path:
        from fairway.data.anomalies.validating import validate
        from fairway.data.schema.files import load_schema_file

        if isinstance(data, TableStatistics):
            raise ConfigError(f"{uri} holds statistics, no rows to hold to a schema", hint="Name the data itself, or leave --schema out.")
        validation = validate(data, load_schema_file(schema_path), environment=environment, fail=False)
    statistics = validation.statistics if validation is not None else None
    if statistics is None:
        statistics = data if isinstance(data, TableStatistics) else measure(data)
    if against:
        from fairway.data.drift import compare

        before: Any = find_measured(against)
        reference = before if isinstance(before, TableStatistics) else measure(before)
        sides = (before, data) if by else (reference, statistics)
        drift = compare(*sides, by=by)
    page = render(validation=validation, drift=drift, statistics=statistics, reference=reference, history=earlier, title=title)
    write_whole(out, page)
    click.echo(f"written: {out}", err=True)


def _statistics(path: str) -> Any:
    from fairway.data.statistics import TableStatistics

    found = find_measured(path)
    if not isinstance(found, TableStatistics):
        raise ConfigError(f"{path} holds no statistics", hint=f"fairway data stats {path} --out stats.json makes some.")
    return found


def _returned(folder: str, run: str, name: str, runs: int) -> tuple[Any, list[Any]]:
    """What a step of a run returned, and its statistics of earlier runs of the same pipeline, the oldest first."""
    from fairway.cli.artifacts import find_output
    from fairway.data.statistics import TableStatistics
    from fairway.data.table import Table
    from fairway.engine.client import Run, Runs
    from fairway.errors import NotFoundError

    made = find_output(folder, run, name).load()
    if not isinstance(made, TableStatistics):
        if not isinstance(made, Table):
            raise ConfigError(
                f"{name} of this run is a {type(made).__name__}", hint="A step that returns fw.measure(table) or a table has a report."
            )
        return made, []
    workspace = open_workspace(folder)
    this = Run(workspace, workspace.get_run(run))
    others = [
        one
        for one in Runs(workspace).find(pipeline=this.summary.pipeline, limit=runs + 1000)
        if one.summary.started_at < this.summary.started_at
    ]
    earlier: list[Any] = []
    for one in others[:runs]:
        try:
            found = find_output(folder, one.id, name).load()
        except NotFoundError:  # it ended before the step did, or did not have it yet
            continue
        if isinstance(found, TableStatistics):
            earlier.append(found)
    return made, earlier[::-1]
