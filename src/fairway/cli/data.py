"""`fairway data`: read any source, describe it, hold it to a schema, find what moved."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

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
"""The group's commands: name, module of `fairway.cli` whose attribute `command` it is; in the order in which one needs them."""


class _LazyGroup(click.Group):
    """Imports a command to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _MODULES.get(cmd_name)
        return import_module(f"fairway.cli.{module}").command if module else None

    def __getattribute__(self, name: str) -> Any:
        if name == "commands":  # what walks the tree of commands (reference, completion) meets them all
            return {word: import_module(f"fairway.cli.{module}").command for word, module in _MODULES.items()}
        return super().__getattribute__(name)


@click.group("data", cls=_LazyGroup)
def command() -> None:
    """Read any source, describe it, hold it to a schema, find what moved.

    \b
    Examples:
      fairway data head 's3://bucket/sales/*.parquet'
      fairway data schema infer train.csv --out schema.json
      fairway data validate new.csv --schema schema.json
      fairway data report new.csv --against train.csv
    """
