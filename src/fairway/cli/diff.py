"""`fairway diff`: what differs between two runs."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any

import click

from fairway.cli.arguments import complete_run, on_option, open_workspace, output_option
from fairway.cli.listing import print_json
from fairway.cli.style import paint, spell_duration, spell_number, spell_value

_COLOURS = {"-": "red", "+": "green", "@": "cyan"}


@click.command("diff")
@click.argument("first", shell_complete=complete_run, metavar="A")
@click.argument("second", default="last", shell_complete=complete_run, metavar="[B]")
@output_option
@on_option
@click.pass_obj
def command(folder: str, first: str, second: str, output: str | None) -> None:
    """Say what differs between run A and run B (the last one if left out).

    Looks at code, parameters, inputs, packages, hardware, metrics and durations.

    \b
    Examples:
      fairway diff baseline
      fairway diff x7kq3 m2abc
      fairway diff x7kq3 m2abc -o json
    """
    from fairway.engine.differ import diff

    workspace = open_workspace(folder)
    a, b = workspace.get_run(first), workspace.get_run(second)
    states = workspace.state(a), workspace.state(b)
    workspace.bring_code(*states)
    found = diff(*states, workspace.project.home)
    if output == "json":
        print_json(found)
        return
    slower = [one for one in found if one.section == "durations"]
    if len(found) == len(slower):
        click.echo(f"{a} and {b} do not differ{' but in how long they took' if slower else ''}", err=True)
        if not slower:
            return
    sys.stdout.write(f"{paint(f'- {a}', 'red', sys.stdout)}\n{paint(f'+ {b}', 'green', sys.stdout)}\n")
    for section, differences in groupby(found, lambda one: one.section):
        sys.stdout.write(f"\n{paint(section, 'bold', sys.stdout)}\n")
        for one in differences:
            sys.stdout.write(_render(one))


def _render(one: Any) -> str:
    """A difference: what, before and after on one line; a difference of code as a diff."""
    if one.text:
        return "".join(f"  {paint(line, _COLOURS.get(line[:1], ''), sys.stdout)}\n" for line in one.text.splitlines())
    before, after = (_spell(value, one.section) for value in (one.before, one.after))
    return f"  {one.what}  {before} → {after}\n"


def _spell(value: Any, section: str) -> str:
    if value is None:
        return "none"
    if section == "durations":
        return spell_duration(value)
    if section == "metrics":
        return spell_number(value)
    return spell_value(value, 60)
