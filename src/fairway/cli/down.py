"""`fairway down`: the server out of its namespace; what it kept only if asked twice."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from fairway.cli.arguments import LOCAL, server_option
from fairway.cli.style import spell_count
from fairway.engine.project import load_project
from fairway.engine.targets import get_cluster
from fairway.errors import ConfigError
from fairway.spec.record import replace
from fairway.spec.target import user_secrets, volume_claim

if TYPE_CHECKING:
    from fairway.engine.project import Project
    from fairway.engine.undeploy import Presence
    from fairway.kube.client import KubeClient
    from fairway.spec.target import TargetSettings


@click.command("down")
@server_option
@click.option("--volume", is_flag=True, help="Delete its volume too: all runs, artifacts and logs.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def command(folder: str, on: str, volume: bool, yes: bool) -> int:
    """Take Fairway's server out of its namespace: exactly what `fairway up` made.

    The volume with runs, artifacts and logs stays, and `fairway up` finds it again,
    unless --volume is given and confirmed. Warns about runs that are going on.

    With --on local: end the server of this project on this machine, if one runs.

    \b
    Examples:
      fairway down --on campus
      fairway down --on campus --volume
      fairway down --on local
    """
    project = load_project(folder)
    if on == LOCAL:
        if volume:
            raise ConfigError(f"runs of this machine are kept in {project.home}, not on a volume", hint="leave out --volume")
        from fairway.cli.localserver import down

        return down(project, yes=yes)
    return asyncio.run(_down(project, get_cluster(project, on), volume, yes))


async def _down(project: Project, target: TargetSettings, volume: bool, yes: bool) -> int:
    from fairway.engine.deploy import connect
    from fairway.engine.undeploy import find_presence, leave_out_ended, undeploy

    client = connect(target)
    try:
        there = await find_presence(client, target)
        if not there.objects and not (volume and there.volume):
            kept = f"; its volume {volume_claim(target.app)} is kept" if there.volume else ""
            _say(f"there is no server in the namespace {client.namespace}{kept}")
            return 0
        if there.live:
            there = await leave_out_ended(client, replace(project, target=target.name), there, say=_say)
        _warn(there, client, volume)
        if (there.live or volume) and not yes:
            _confirm(volume, client.namespace)
        gone = await undeploy(client, target, volume=volume, say=_say)
    finally:
        await client.close()
    _say(f"removed {', '.join(gone)}")
    if there.volume and not volume:
        _say(f"kept the volume {volume_claim(target.app)}: `fairway up` finds all runs again; --volume deletes it")
    if there.secrets:
        _say(f"kept your secrets: kubectl delete secret {user_secrets(target.app)} -n {client.namespace}")
    return 0


def _warn(there: Presence, client: KubeClient, volume: bool) -> None:
    if not there.live:
        return
    runs = spell_count(len(there.live), "run")
    _say(f"warning: {runs} with {spell_count(sum(there.live.values()), 'pod')} going on: {', '.join(list(there.live)[:5])}")
    if not volume:
        _say("  their tasks go on, but without a server nothing that they end with is recorded; they are done again after `fairway up`")


def _confirm(volume: bool, namespace: str) -> None:
    """Ask; raises ConfigError where there is nobody to ask, click.Abort for a no."""
    if not sys.stdin.isatty():
        raise ConfigError("this needs a confirmation, and there is no terminal to ask on", hint="add --yes")
    if volume:
        typed = click.prompt(f"This deletes all runs, artifacts and logs in {namespace}. Type the namespace's name to go on", err=True)
        if typed != namespace:
            raise click.Abort
    elif not click.confirm("Take the server away all the same?", err=True):
        raise click.Abort


def _say(text: str) -> None:
    click.echo(text, err=True)
