"""`fairway data stats`: all statistics of any source in one pass."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.datahead import parse_settings
from fairway.cli.listing import print_json, print_table
from fairway.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from fairway.data.statistics import Cadence, ColumnStatistics, TableStatistics

_CELL = 18
_AFTER_S = 1.0
_EVERY_S = 0.2


@click.command("stats")
@click.argument("uri", nargs=-1, required=True)
@click.option("--columns", default="", help="Only these columns, separated by commas.")
@click.option("--time", "time_column", default="", metavar="COLUMN", help="The column that orders the rows.")
@click.option("--by", default="", metavar="COLUMNS", help="Columns within whose groups it does, separated by commas: sensors, sites …")
@click.option("--format", "format_name", default="", help="What it is, if its bytes and name do not say: csv, ndjson, json, parquet …")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the source: separator=';'")
@click.option("--merge", is_flag=True, help="The URIs are files that --out wrote, of shards in their order: add them up.")
@click.option("--out", metavar="FILE", help="Write the statistics there, to compare, merge and infer schemas from.")
@click.option("--no-sample", is_flag=True, help="Write no sample of rows to --out. (Frequent values are written.)")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print them.")
def command(
    uri: tuple[str, ...],
    columns: str,
    time_column: str,
    by: str,
    format_name: str,
    settings: tuple[str, ...],
    merge: bool,
    out: str | None,
    no_sample: bool,
    output: str,
) -> None:
    """Measure all columns of URI: types, nulls, distinct values, quantiles, frequent values, text shapes, rhythm of times.

    \b
    Examples:
      fairway data stats sales.csv
      fairway data stats 'readings/*.parquet' --time at --by sensor --out stats.json
      fairway data stats --merge monday.json tuesday.json --out week.json
    """
    from fairway.data.statistics.summary import summarise
    from fairway.data.wholefiles import write_whole

    if merge and (columns or time_column or by or format_name or settings):
        raise ConfigError("--merge adds up what was measured; it takes no other option but --out and -o")
    if merge:
        made = _merged(uri)
    else:
        made = _measured(uri, _names(columns), time_column, _names(by), {"format": format_name, **parse_settings(settings)})
    if out:
        write_whole(out, made.to_json(sample=not no_sample) + "\n")
    if output == "json":
        print_json(summarise(made))
    else:
        _print(made)


def _names(said: str) -> list[str]:
    return [name.strip() for name in said.split(",") if name.strip()]


def _measured(uri: tuple[str, ...], columns: list[str], time_column: str, by: list[str], options: dict[str, Any]) -> TableStatistics:
    from fairway.data.statistics import measure
    from fairway.data.table import read

    table = read(uri[0] if len(uri) == 1 else list(uri), **options)
    needed = [name for name in (time_column, *by) if name and name not in columns]
    asked = [*columns, *needed] if columns else None
    progress = _Progress() if sys.stderr.isatty() else None
    try:
        made = measure(table, columns=asked, time=time_column, by=by, progress=progress)
    finally:
        if progress is not None:
            progress.close()
    for note in table.notes:
        click.echo(f"note: {note}", err=True)
    if table.rejects.count:
        click.echo(f"warning: {table.rejects.count:,} rows could not be read and are not counted", err=True)
    return made


def _merged(paths: tuple[str, ...]) -> TableStatistics:
    from fairway.data.statistics import TableStatistics

    made: TableStatistics | None = None
    for path in paths:
        try:
            with open(path, "rb") as file:
                text = file.read()
        except FileNotFoundError:
            raise NotFoundError(f"there is no file {path}", hint="--merge takes files that --out wrote.") from None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        part = TableStatistics.from_json(text, where=path)
        made = part if made is None else made.merge(part)
    assert made is not None
    return made


class _Progress:
    """Rows so far on stderr, once it takes longer than a second."""

    def __init__(self) -> None:
        self.begun = self.said = time.monotonic()

    def __call__(self, rows: int) -> None:
        now = time.monotonic()
        if now - self.begun > _AFTER_S and now - self.said > _EVERY_S:
            self.said = now
            sys.stderr.write(f"\r{rows:,} rows, {rows / (now - self.begun):,.0f} a second ")
            sys.stderr.flush()

    def close(self) -> None:
        if self.said > self.begun:
            sys.stderr.write("\r\033[K")


def _print(made: TableStatistics) -> None:
    from fairway.data.statistics.summary import bars

    repeated = made.duplicate_rows
    sentence = f"{made.rows:,} rows, {len(made.columns):,} columns"
    if repeated.value > 0:
        sentence += f"; {'' if repeated.is_exact else 'about '}{repeated.value:,.0f} rows repeat another"
    sys.stdout.write(sentence + "\n\n")
    rows = [[*_cells(one), bars(one), _frequent(one)] for one in made.columns.values()]
    headers = ["column", "type", "nulls", "distinct", "min", "mean", "max", "values", "most frequent"]
    print_table(headers, rows, right=(2, 3, 4, 5, 6))
    lines = [_rhythm(one) for one in made.cadences.values()]
    strong = sorted(((abs(value), pair, value) for pair, value in made.correlations.items() if abs(value) >= 0.7), reverse=True)
    lines += [f"{one} and {other} go together: correlation {value:+.2f}" for _, (one, other), value in strong[:5]]
    lines += [line for one in made.columns.values() if (line := _suspicious(one))]
    if lines:
        sys.stdout.write("\n" + "\n".join(lines) + "\n")


def _cells(one: ColumnStatistics) -> list[str]:
    share = one.nulls / one.rows if one.rows else 0.0
    nulls = "" if not one.nulls else f"{share:.1%}" if share >= 0.001 else f"{one.nulls:,}"
    distinct = _short(one.distinct) if one.distinct_is_exact else "~" + _short(one.distinct)
    mean = "" if one.kind not in ("float", "integer", "decimal", "boolean") else _short(one.mean)
    return [_clean(one.name, 32), one.arrow, nulls, distinct, _short(one.minimum), mean, _short(one.maximum)]


def _short(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**12 else f"{value:.4g}"
    if isinstance(value, float):
        if 1000 <= abs(value) < 1e12 or value == 0:
            return f"{value:,.0f}"
        return f"{value:.4g}"
    if isinstance(value, bytes):
        return _clean(value.hex(), _CELL)
    said = str(value)
    return said.removesuffix(".000000").replace(".000000Z", "Z").replace("T00:00:00", "") if said[4:5] == "-" else _clean(said, _CELL)


def _clean(said: str, most: int) -> str:
    said = "".join(letter if letter.isprintable() else "�" for letter in said)
    return said if len(said) <= most else said[: most - 1] + "…"


def _frequent(one: ColumnStatistics) -> str:
    present = max(1, one.present)
    if one.kind == "string" and one.unique_share > 0.9:
        return "all different" + (f", like {one.shapes[0].value}" if one.shapes else "")
    if one.kind in ("float", "decimal", "timestamp", "date", "list") and (not one.top or one.top[0].count < present / 20):
        return ""
    shown = [f"{_short(top.value) or repr(top.value)} {top.count / present:.0%}" for top in one.top[:4] if top.count >= present / 200]
    return ", ".join(shown) + (" …" if len(one.top) > len(shown) > 0 else "")


def _rhythm(one: Cadence) -> str:
    if not one.period_s > 0:
        return f"{one.column}: no two different times follow each other"
    parts = [f"every {_span(one.period_s)} ({one.period_share:.0%} within 10%)"]
    parts += [f"jitter {_span(one.jitter_s)}"] if one.jitter_s > 0 else []
    parts += [f"{one.gap_count:,} gaps, the longest {_span(one.largest_gap_s)}"] if one.gap_count else ["no gaps"]
    parts += [f"{one.duplicates:,} at the time of the row before"] if one.duplicates else []
    parts += [f"{one.backwards:,} steps back"] if one.backwards else []
    within = f" within {one.groups:,} groups of {', '.join(one.by)}" if one.by else ""
    return f"{one.column}{within}: " + ", ".join(parts)


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _suspicious(one: ColumnStatistics) -> str:
    """What a person would want to be told."""
    said = list[str]()
    said += [f"{one.nans:,} NaN"] if one.nans else []
    said += [f"{one.infinities:,} infinite"] if one.infinities else []
    said += [f"{one.unlike:,} of another type"] if one.unlike else []
    said += [f"{one.encoding.damaged:,} with a damaged encoding"] if one.encoding.damaged else []
    if one.kind == "string" and one.numeric_texts > 0.9:
        said.append("numbers that came as text")
    return f"{_clean(one.name, 32)}: " + ", ".join(said) if said else ""
