"""A group of commands each of which is a module of its own."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from fairway.cli.meant import KnowingGroup


class ModuleGroup(KnowingGroup):
    """`modules`: by a command's name the module of `fairway.cli` whose attribute `command` it is, in the order in which one needs them.
    It is imported to run it."""

    def __init__(self, *args: Any, modules: Mapping[str, str], **settings: Any) -> None:
        self.modules = modules
        super().__init__(*args, **settings)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self.modules.get(cmd_name)
        return import_module(f"fairway.cli.{module}").command if module else None

    def __getattribute__(self, name: str) -> Any:
        if name == "commands":  # what walks the tree of commands (reference, completion) meets them all
            return {word: import_module(f"fairway.cli.{module}").command for word, module in self.modules.items()}
        return super().__getattribute__(name)
