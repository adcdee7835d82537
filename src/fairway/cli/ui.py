"""`fairway ui`: the dashboard."""

from __future__ import annotations

import click

from fairway.cli.arguments import take_target


@click.command("ui")
@click.option("--no-open", is_flag=True, help="Print the link, open no browser.")
@click.option("--port", default=0, metavar="N", type=click.IntRange(0, 65535), help="Serve it there; else where it was the last time.")
@click.option("--on", default="", metavar="TARGET", callback=take_target, help="The dashboard of that target.")
@click.pass_obj
def command(folder: str, no_open: bool, port: int, on: str) -> int:
    """Open the dashboard: runs, their graphs, logs, metrics, artifacts; pipelines to start.

    On this machine a small server of your own is started for it unless it runs already.
    It ends by itself when nobody has looked for an hour.

    \b
    Examples:
      fairway ui
      fairway ui --on campus
      fairway ui --no-open
    """
    from fairway.cli.dashboard import open_dashboard

    return open_dashboard(folder, on, browser=not no_open, port=port)
