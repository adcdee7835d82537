"""`fairway up`: one command puts a server into a namespace, or upgrades the one that is there."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.arguments import LOCAL, output_option, server_option
from fairway.cli.listing import print_json
from fairway.cli.style import spell_count, spell_duration
from fairway.engine.project import load_project
from fairway.engine.targets import get_cluster
from fairway.errors import ConfigError, FairwayError, ForbiddenError

if TYPE_CHECKING:
    from fairway.engine.deploy import Lacking
    from fairway.spec.target import TargetSettings


@click.command("up")
@server_option
@click.option("--dry-run", is_flag=True, help="Print the YAML, apply nothing.")
@click.option("--user", default="", metavar="NAME", help="The name that your token bears, instead of your user name here.")
@click.option("--timeout", default="10m", metavar="TIME", help="How long to wait for the server.", show_default=True)
@output_option
@click.pass_obj
def command(folder: str, on: str, dry_run: bool, user: str, timeout: str, output: str | None) -> int:
    """Set up Fairway's server in a namespace of a Kubernetes cluster; upgrade it in place.

    Says what it waits for. Where you lack rights, lists them, and writes to stdout
    what an administrator may apply for you. With --on local: a server of your own
    on this machine, which stays until `fairway down --on local`.

    \b
    Examples:
      fairway up --on campus --dry-run > server.yaml
      fairway up --on local
    """
    project = load_project(folder)
    if on == LOCAL:
        if dry_run:
            raise ConfigError("the server on this machine is a process: there is no YAML of it", hint="leave out --dry-run")
        from fairway.cli.localserver import up

        return up(project, output)
    target = get_cluster(project, on)
    if dry_run:
        sys.stdout.write(_render(target))
        _say(f"of runs nothing is in it: the server makes their objects; `fairway train FILE --dry-run --on {target.name}` shows a gang's")
        return 0
    return asyncio.run(_up(target, user, _seconds(timeout), output))


def _seconds(text: str) -> float:
    from fairway.spec.resources import parse_duration

    try:
        return parse_duration(text)
    except FairwayError as error:
        raise ConfigError(f"--timeout: {error.message}", hint=error.hint) from None


def _render(target: TargetSettings) -> str:
    from fairway.engine.deploy import plan_for
    from fairway.engine.manifest_text import render_yaml
    from fairway.kube.config import ClientSettings, load_connection
    from fairway.kube.server_manifests import render_server

    namespace = target.namespace or load_connection(ClientSettings(target.context, "", target.kubeconfig)).namespace
    return render_yaml(render_server(plan_for(target, namespace)))


async def _up(target: TargetSettings, user: str, timeout_s: float, output: str | None) -> int:
    from fairway.engine.deploy import connect, deploy, find_lacking

    client = connect(target)
    try:
        lacking = await find_lacking(client, target)
        if lacking is not None:
            raise _refusal(lacking, client.namespace, output)
        done = await deploy(client, target, say=_say, user=user, timeout_s=timeout_s)
    finally:
        await client.close()
    if output == "json":
        print_json(done)
        return 0
    what = "is ready" if done.changed else "was ready already"
    _say(f"Fairway {done.version} {what} in the namespace {done.namespace}, after {spell_duration(done.seconds)}")
    _say(f"you are {done.user!r} there; next: fairway run FILE --on {target.name}")
    return 0


def _say(text: str) -> None:
    click.echo(text, err=True)


def _refusal(lacking: Lacking, namespace: str, output: str | None) -> ForbiddenError:
    """Show what is missing on stderr, and what gives it on stdout."""
    from fairway.engine.rights import spell_rights

    count = spell_count(len(lacking.missing), "right")
    _say(f"you lack {count} in the namespace {namespace}:")
    for text in spell_rights(lacking.missing):
        _say(f"  {text}")
    if output == "json":
        data: dict[str, Any] = {"missing": [right.text for right in lacking.missing], "request": lacking.request}
        print_json(data)
    else:
        sys.stdout.write(lacking.request)
        sys.stdout.flush()
    return ForbiddenError(f"nothing was applied: {count} missing", hint="hand the YAML above to an administrator: kubectl apply -f FILE")
