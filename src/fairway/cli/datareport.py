"""`fairway data report`: a page to look at, of one data set or of two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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
@click.option("--by", multiple=True, metavar="COL", help="Compare the rows of each value of this column too; repeat it.")
@click.option("--title", default="", help="What stands above it.")
@click.option("--out", default="report.html", show_default=True, metavar="FILE", help="Where the page goes.")
def command(
    uri: str, against: str, schema_path: str, environment: str, history: tuple[str, ...], by: tuple[str, ...], title: str, out: str
) -> None:
    """Write a page about URI: what is wrong first, then every column.

    One file that opens anywhere, without a network. URI and --against are data sets, or statistics that `fairway data stats --out` wrote.

    \b
    Examples:
      fairway data report new.csv
      fairway data report new.csv --against train.csv --schema schema.json
      fairway data report today.json --history monday.json --history tuesday.json
    """
    from fairway.data.report import render
    from fairway.data.statistics import TableStatistics, measure

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
    earlier = [_statistics(path) for path in history]
    page = render(validation=validation, drift=drift, statistics=statistics, reference=reference, history=earlier, title=title)
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    click.echo(f"written: {out}", err=True)


def _statistics(path: str) -> Any:
    from fairway.data.statistics import TableStatistics

    found = find_measured(path)
    if not isinstance(found, TableStatistics):
        raise ConfigError(f"{path} holds no statistics", hint=f"fairway data stats {path} --out stats.json makes some.")
    return found
