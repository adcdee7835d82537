"""`fairway rollback`: all traffic where it went before."""

from __future__ import annotations

import click

from fairway.cli.arguments import on_option
from fairway.cli.serving import endpoint_argument, open_served, say, wait_ready

_WAIT_S = 600.0


@click.command("rollback")
@endpoint_argument
@click.argument("revision", type=click.IntRange(1), required=False, metavar="[REVISION]")
@on_option
@click.pass_obj
def command(folder: str, name: str, revision: int | None) -> int:
    """Send the traffic of NAME where it went before, or to REVISION.

    A rollout ends with it. What is in hand is answered by who has it.

    \b
    Examples:
      fairway rollback risk
      fairway rollback risk 3
    """
    served = open_served(folder)
    document = served.api.send("POST", served.path(name, "/rollback"), {"revision": revision or 0})
    for number, _ in document["traffic"]:
        wait_ready(served, name, number, _WAIT_S, say)
    say(f"{name}: " + ", ".join(f"revision {number}: {weight:g} %" for number, weight in document["traffic"]))
    return 0
