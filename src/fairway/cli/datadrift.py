"""`fairway data drift`: which columns moved between two data sets, and how."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.listing import print_json
from fairway.cli.style import paint
from fairway.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from fairway.data.drift import DriftReport

_QUIET = 8


@click.command("drift")
@click.argument("reference", metavar="REFERENCE", required=False)
@click.argument("current", metavar="CURRENT", required=False)
@click.option("--schema", "schema_file", metavar="FILE", help="schema.json: which columns are watched, by which measure and threshold.")
@click.option("--environment", metavar="NAME", default="", help="Compare only the columns that the schema has there, like serving.")
@click.option("--by", "by", metavar="COL", multiple=True, help="Compare the rows of each value of this column too; can be repeated.")
@click.option("--columns", metavar="A,B", help="Compare only these.")
@click.option("--baseline", "baseline_file", metavar="FILE", help="Compare with a saved baseline instead of a reference.")
@click.option("--save-baseline", metavar="FILE", help="Save REFERENCE as a baseline, for monitors; CURRENT may be left out.")
@click.option(
    "--window-rows", metavar="N", type=click.IntRange(min=10), default=1000, help="Rows a monitor's window has; for --save-baseline."
)
@click.option(
    "--multivariate", type=click.Choice(["quadratic", "boosting", "none"]), default="quadratic", help="How rows as a whole are told apart."
)
@click.option("--format", "format_", type=click.Choice(["terminal", "json", "html"]), default="terminal", help="What is printed.")
@click.option("--out", "-o", "out", metavar="FILE", help="Write it there instead.")
def command(
    reference: str | None,
    current: str | None,
    schema_file: str | None,
    environment: str,
    by: tuple[str, ...],
    columns: str | None,
    baseline_file: str | None,
    save_baseline: str | None,
    window_rows: int,
    multivariate: str,
    format_: str,
    out: str | None,
) -> None:
    """Say which columns moved between REFERENCE and CURRENT, and how.

    Each is a data set (any that `fairway data head` reads) or a file of statistics (`fairway data stats --out`). Thresholds come from what
    chance does to as many rows, so a comparison of unchanged data is wrong in less than one case of a hundred.

    Exit status: 0 nothing moved, 1 something did, 2 misuse.

    \b
    Examples:
      fairway data drift train.parquet new.parquet
      fairway data drift train.csv new.csv --schema schema.json --by SEX
      fairway data drift train.csv --save-baseline baseline.json
      fairway data drift --baseline baseline.json new.csv
    """
    from fairway.data.drift import Baseline, compare, load_baseline
    from fairway.data.schema.files import load_schema_file

    schema = load_schema_file(schema_file) if schema_file else None
    if schema is not None and environment:
        schema = schema.for_environment(environment)
    elif environment:
        raise ConfigError("--environment needs a schema", hint="Add --schema schema.json.")
    chosen = [name for name in columns.split(",") if name] if columns else None
    if baseline_file:
        if current is not None or reference is None or save_baseline:
            raise ConfigError("--baseline takes one data set, the current one", hint="fairway data drift --baseline baseline.json new.csv")
        before, after = load_baseline(_found(baseline_file)), find_measured(reference)
    elif reference is None or (current is None and not save_baseline):
        raise ConfigError("two data sets are needed", hint="fairway data drift train.csv new.csv")
    else:
        before, after = find_measured(reference), None if current is None else find_measured(current)
    if save_baseline:
        baseline = Baseline.make(before, window_rows=window_rows, schema=schema, columns=chosen, uri=reference or "")
        baseline.save(save_baseline)
        for note in baseline.notes:
            click.echo(note, err=True)
        click.echo(f"baseline of {baseline.rows:,} rows saved: {save_baseline}", err=True)
        if after is None:
            return
    joint: Any = "boosting" if multivariate == "boosting" else multivariate == "quadratic"
    if chosen is None and schema is not None and environment:
        chosen = list(schema.columns)
    report = compare(before, after, schema=schema, columns=chosen, by=by, multivariate=joint)
    _print(report, format_, out)
    if not report.ok:
        raise click.exceptions.Exit(1)


def _found(path: str) -> str:
    if not Path(path).is_file():
        raise NotFoundError(f"there is no file {path}")
    return path


def find_measured(uri: str) -> Any:
    """Statistics where the file holds them, else a table."""
    path = Path(uri)
    if path.suffix == ".json" and path.is_file():
        with path.open("rb") as opened:
            head = opened.read(200)
        if b'"fairway-statistics"' in head:
            from fairway.data.statistics.table import TableStatistics

            return TableStatistics.from_json(path.read_bytes(), where=uri)
    from fairway.data.table import read

    return read(uri)


def _print(report: DriftReport, format_: str, out: str | None) -> None:
    if format_ == "json" and not out:
        print_json(report.to_json())
        return
    if format_ == "json":
        text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    elif format_ == "html":
        text = report.html()
    else:
        text = "".join(line + "\n" for line in lines(report))
    if out:
        from fairway.data.wholefiles import write_whole

        write_whole(out, text)
        click.echo(f"written: {out}", err=True)
    else:
        sys.stdout.write(text)


def lines(report: DriftReport) -> list[str]:
    """What a terminal shows: what moved first, then what was compared."""
    made: list[str] = []
    for one in report.drifted:
        mark = paint("●", "red" if one.severity == "error" else "yellow", sys.stdout)
        made.append(f"{mark} {one.sentence}")
    single = len(report.drifted)
    every = list(report.sentences())
    made += [f"{paint('●', 'red', sys.stdout)} {sentence}" for sentence in every[single:]]
    count = len({one.column for one in report.columns})
    moved = len({one.column for one in report.drifted})
    rows = f"{report.reference_rows:,} rows against {report.current_rows:,}"
    if made:
        made.append("")
    said = "no drift" if not every else f"{moved} of {count} columns moved"
    made.append(
        f"{paint(said, 'bold', sys.stdout)} ({count} columns, {rows})" if not every else f"{paint(said, 'bold', sys.stdout)} ({rows})"
    )
    shown = report.notes[:_QUIET]
    made += [paint(note, "dim", sys.stdout) for note in shown]
    if len(report.notes) > len(shown):
        made.append(paint(f"… and {len(report.notes) - len(shown)} notes more (--format json)", "dim", sys.stdout))
    return made
