"""`fairway tune`: search for the parameters that make a metric best; look at a search."""

from __future__ import annotations

import click

from fairway.cli.modulegroup import ModuleGroup

_MODULES: dict[str, str] = {"start": "tunestart", "show": "tuneshow", "report": "tunereport"}


class _SearchGroup(ModuleGroup):
    """A file in place of a command's name starts a search over it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.modules, "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


@click.group("tune", cls=_SearchGroup, modules=_MODULES)
def command() -> None:
    """Search for the parameters that make a metric best.

    `fairway tune FILE …` is short for `fairway tune start FILE …`.

    \b
    Examples:
      fairway tune churn.py --metric auc --space space.yaml --parallel 4
      fairway tune fit.py --metric loss --direction min --vary lr=float:1e-4:0.1
      fairway tune show last
    """
