"""`fairway data head`: the first rows of any source, its columns, and what was guessed."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairway.cli.listing import print_json, print_table
from fairway.errors import ConfigError

_CELL = 40


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """`name=value` as options of a source: values are JSON where they read as JSON, else text. Raises ConfigError."""
    import json

    made: dict[str, Any] = {}
    for one in settings:
        name, mark, said = one.partition("=")
        if not mark or not name:
            raise ConfigError(f"--set {one}: no NAME=VALUE", hint="for example --set separator=';'")
        try:
            made[name] = json.loads(said)
        except ValueError:
            made[name] = {"True": True, "False": False}.get(said, said.replace("\\t", "\t"))
    return made


@click.command("head")
@click.argument("uri", nargs=-1, required=True)
@click.option("-n", "--rows", default=10, show_default=True, type=click.IntRange(0), help="How many rows.")
@click.option("--format", "format_name", default="", help="What it is, if its bytes and name do not say: csv, ndjson, json, parquet …")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the source: separator=';' types='{\"zip\": \"string\"}'"
)
@click.option("--columns", default="", help="Only these columns, separated by commas.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def command(uri: tuple[str, ...], rows: int, format_name: str, settings: tuple[str, ...], columns: str, output: str) -> None:
    """Show the first rows of URI, its columns and what was guessed.

    \b
    Examples:
      fairway data head sales.csv
      fairway data head 's3://bucket/sales/year=2026/*.parquet' -n 3
      fairway data head old.txt --set encoding=cp1252 --set separator=';'
    """
    from fairway.data.table import read

    options = {"max_rejects": "all", **parse_settings(settings)}
    table = read(uri[0] if len(uri) == 1 else list(uri), format=format_name, **options)
    if columns:
        table = table.select(*(name.strip() for name in columns.split(",")))
    found = table.rows(rows)
    if output == "json":
        fields = [{"name": one.name, "type": one.arrow, "kind": one.kind} for one in table.fields]
        print_json({"uri": table.uri, "format": table.format, "fields": fields, "notes": list(table.notes), "rows": found})
        return
    if found:
        numbers = [n for n, one in enumerate(table.fields) if one.kind in ("integer", "float", "decimal")]
        print_table([one.name for one in table.fields], [[_cell(row[one.name]) for one in table.fields] for row in found], right=numbers)
        sys.stdout.write("\n")
    print_table(["column", "type"], [[one.name, one.arrow] for one in table.fields])
    for note in table.notes:
        click.echo(f"note: {note}", err=True)
    for one in table.rejects.rows[:3]:
        place = f"line {one.line}" if one.line else "a row"
        click.echo(f"left out: {place}{f', column {one.column!r}' if one.column else ''}: {one.reason}", err=True)


def _cell(value: Any) -> str:
    said = "" if value is None else str(value).replace("\n", "⏎").replace("\r", "␍").replace("\t", "⇥")
    said = "".join(letter if letter.isprintable() else "�" for letter in said)
    return said if len(said) <= _CELL else said[: _CELL - 1] + "…"
