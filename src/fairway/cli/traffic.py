"""`fairway traffic`: which revision gets which share of the requests."""

from __future__ import annotations

from typing import Any

import click

from fairway.cli.arguments import on_option, output_option
from fairway.cli.listing import print_json, print_table
from fairway.cli.serving import endpoint_argument, open_served, parse_weights, say, wait_ready

_WAIT_S = 600.0


@click.command("traffic")
@endpoint_argument
@click.argument("weights", nargs=-1, metavar="[REVISION=PERCENT]…")
@click.option("--shadow", type=click.IntRange(0), metavar="REVISION", help="Send it a copy of each request; 0: to none.")
@click.option("--sticky", metavar="key|header:NAME|no", help="The same caller meets the same revision.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, name: str, weights: tuple[str, ...], shadow: int | None, sticky: str | None, output: str | None) -> int:
    """Spread the requests to NAME over its revisions; the weights add up to 100.

    Traffic moves as soon as a revision is ready. A shadow's answers are compared
    and never returned. Without weights: show what is so now.

    \b
    Examples:
      fairway traffic risk 3=95 4=5
      fairway traffic risk --shadow 4
      fairway traffic risk 3=50 4=50 --sticky header:x-user-id
    """
    served = open_served(folder)
    body: dict[str, Any] = {}
    if weights:
        body["traffic"] = parse_weights(weights)
    if shadow is not None:
        body["shadow"] = shadow
    if sticky is not None:
        body["sticky"] = "" if sticky == "no" else sticky
    document = served.api.send("POST", served.path(name, "/traffic"), body) if body else served.get(name)["endpoint"]
    for number, _ in document["traffic"] if weights else ():
        wait_ready(served, name, number, _WAIT_S, say)
    if output == "json":
        print_json({"traffic": document["traffic"], "shadow": document["shadow"], "sticky": document["sticky"]})
        return 0
    print_table(("REVISION", "TRAFFIC"), [(str(number), f"{weight:g} %") for number, weight in document["traffic"]], right=(1,))
    if document["shadow"]:
        say(f"revision {document['shadow']} gets a copy of each request")
    if document["sticky"]:
        say(f"who has the same {document['sticky']} meets the same revision")
    return 0
