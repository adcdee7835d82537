"""The click application: one group whose commands are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from fairway.cli.arguments import note_target
from fairway.cli.commands import ENTRIES, render_help
from fairway.cli.failure import ReaderGone
from fairway.cli.meant import KnowingGroup


class LazyGroup(KnowingGroup):
    """Lists commands from the table; imports one to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = ENTRIES.get(cmd_name)
        return import_module(f"fairway.cli.{entry.module}").command if entry else None

    def spell_unknown(self, word: str, names: Sequence[str]) -> str:
        from pathlib import Path

        if word.endswith((".py", ".yaml", ".yml")) and Path(word).exists():
            return f"there is no command {word!r}; did you mean `fairway run {word}`?"
        return super().spell_unknown(word, [*names, "--help", "--version"])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def get_help(self, ctx: click.Context) -> str:
        return render_help().rstrip("\n")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name, help=entry.help) for name, entry in ENTRIES.items() if name.startswith(incomplete)]


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from fairway.cli.version import find_version

        click.echo(f"fairway {find_version()}")
        ctx.exit()


@click.group(
    cls=LazyGroup, invoke_without_command=False, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("-C", "--project", metavar="DIR", type=click.Path(exists=True, file_okay=False), help="Act as if started in DIR.")
@click.option("--on", metavar="TARGET", default="", expose_value=False, callback=note_target, help="As of the command's own --on.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version.")
@click.pass_context
def app(ctx: click.Context, project: str | None) -> None:
    """Build, run and understand machine-learning pipelines."""
    ctx.obj = project or ""
