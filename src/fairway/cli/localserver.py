"""`fairway up` and `fairway down` for this machine: the local server, kept until it is told to go."""

from __future__ import annotations

import sys
import time

import click

from fairway.cli.listing import print_json
from fairway.cli.serving import local_endpoints
from fairway.cli.style import spell_age, spell_count
from fairway.engine.project import Project
from fairway.errors import ConfigError, FairwayError


def up(project: Project, output: str | None) -> int:
    """Have a server that stays; returns the exit status."""
    from fairway.engine.localserver import ensure_server

    server = ensure_server(project, keep=True)
    if output == "json":
        print_json({"url": server.url, "pid": server.pid, "version": server.version, "changed": server.is_new})
        return 0
    _say(f"the local server {'is up' if server.is_new else 'was up already'}: process {server.pid}, {server.url}")
    _say("it stays until `fairway down --on local`; look: fairway ui")
    return 0


def down(project: Project, *, yes: bool) -> int:
    """End the server; returns the exit status. Asks if it drives runs."""
    from fairway.engine.localserver import find_server, list_driven, stop_server

    server = find_server(project.home)
    if server is None:
        stop_server(project.home)
        _say(f"there is no local server of {project.root}")
        return 0
    try:
        driven = list_driven(server)
    except FairwayError as error:
        _say(f"warning: {error.message}")
        driven = []
    if driven:
        _say(f"warning: it drives {spell_count(len(driven), 'run')}: {', '.join(driven[:5])}")
        _say("  what they run is stopped, nothing recorded is lost, and the next local server goes on with them (fairway ui)")
        if not yes:
            _confirm()
    stop_server(project.home)
    _say(f"ended the local server (process {server.pid}, started {spell_age(server.started_at, time.time())})")
    names = local_endpoints(project)
    if names:
        _say(f"its endpoints answer on as they are, and nothing is started for them: {', '.join(names[:5])}")
        _say("  `fairway endpoints` keeps them again; `fairway endpoints NAME --delete` ends one")
    return 0


def _confirm() -> None:
    """Ask; raises ConfigError where there is nobody to ask, click.Abort for a no."""
    if not sys.stdin.isatty():
        raise ConfigError("this needs a confirmation, and there is no terminal to ask on", hint="add --yes")
    if not click.confirm("End it all the same?", err=True):
        raise click.Abort


def _say(text: str) -> None:
    click.echo(text, err=True)
