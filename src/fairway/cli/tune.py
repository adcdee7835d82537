"""`fairway tune`: search for the parameters that make a metric best; look at a search."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

_MODULES: dict[str, str] = {"start": "tunestart", "show": "tuneshow", "report": "tunereport"}
"""The group's commands: name, module of `fairway.cli` whose attribute `command` it is."""


class _SearchGroup(click.Group):
    """A file in place of a command's name starts a search over it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*_MODULES, "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _MODULES.get(cmd_name)
        return import_module(f"fairway.cli.{module}").command if module else None

    def __getattribute__(self, name: str) -> Any:
        if name == "commands":  # what walks the tree of commands (reference, completion) meets them all
            return {word: import_module(f"fairway.cli.{module}").command for word, module in _MODULES.items()}
        return super().__getattribute__(name)


@click.group("tune", cls=_SearchGroup)
def command() -> None:
    """Search for the parameters that make a metric best.

    `fairway tune FILE …` is short for `fairway tune start FILE …`.

    \b
    Examples:
      fairway tune churn.py --metric auc --space space.yaml --parallel 4
      fairway tune fit.py --metric loss --direction min --vary lr=float:1e-4:0.1
      fairway tune show last
    """
