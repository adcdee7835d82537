"""`fairway data`: read any source, describe it, hold it to a schema, find what moved."""

from __future__ import annotations

import click

from fairway.cli.modulegroup import ModuleGroup

_MODULES: dict[str, str] = {
    "head": "datahead",
    "convert": "dataconvert",
    "stats": "datastats",
    "schema": "dataschema",
    "validate": "datavalidate",
    "drift": "datadrift",
    "report": "datareport",
    "watch": "datawatch",
}


@click.group("data", cls=ModuleGroup, modules=_MODULES)
def command() -> None:
    """Read any source, describe it, hold it to a schema, find what moved.

    \b
    Examples:
      fairway data head 's3://bucket/sales/*.parquet'
      fairway data schema infer train.csv --out schema.json
      fairway data validate new.csv --schema schema.json
      fairway data report new.csv --against train.csv
    """
