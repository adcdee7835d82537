"""`fairway data convert`: any source into one file."""

from __future__ import annotations

import click

from fairway.cli.datahead import parse_settings


@click.command("convert")
@click.argument("source")
@click.argument("destination", type=click.Path(dir_okay=False))
@click.option("--format", "format_name", default="", help="What SOURCE is, if its bytes and name do not say.")
@click.option("--to", default="", help="What to write, if the ending does not say: parquet, csv, tsv, ndjson, json, arrow.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the source, like max_rejects=all.")
@click.option("--where", default="", help="Only rows for which this SQL expression is true.")
def command(source: str, destination: str, format_name: str, to: str, settings: tuple[str, ...], where: str) -> None:
    """Write all rows of SOURCE to DESTINATION: parquet, csv, tsv, ndjson, json or arrow, by its ending.

    \b
    Examples:
      fairway data convert old.csv new.parquet
      fairway data convert 's3://bucket/logs/*.ndjson.gz' logs.parquet --where "status >= 500"
    """
    from fairway.data.table import read
    from fairway.data.writing import write_table

    table = read(source, format=format_name, **parse_settings(settings))
    for note in table.notes:
        click.echo(f"note: {note}", err=True)
    rows = write_table(table.where(where) if where else table, destination, to)
    kept = f", {table.rejects.count:,} rejected (in {table.rejects.told()})" if table.rejects.count else ""
    click.echo(f"{rows:,} rows in {destination}{kept}", err=True)
