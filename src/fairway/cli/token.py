"""`fairway token`: who may use a server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from fairway.cli.arguments import cluster_option, output_option
from fairway.cli.listing import print_json, print_table
from fairway.cli.meant import KnowingGroup
from fairway.engine.project import load_project
from fairway.engine.targets import get_cluster

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient
    from fairway.spec.target import TargetSettings

T = TypeVar("T")


def on_cluster(folder: str, on: str, work: Callable[[KubeClient, TargetSettings], Awaitable[T]]) -> T:
    """What `work` makes of the cluster that is meant."""
    from fairway.engine.deploy import connect

    target = get_cluster(load_project(folder), on)

    async def run() -> T:
        client = connect(target)
        try:
            return await work(client, target)
        finally:
            await client.close()

    return asyncio.run(run())


@click.group("token", cls=KnowingGroup)
def command() -> None:
    """Say who may use a server. Each person has a token; the server keeps its digest.

    \b
    Examples:
      fairway token add ada --on campus > ada.token
      fairway token list --on campus
    """


@command.command("add")
@click.argument("name")
@cluster_option
@click.option("--role", type=click.Choice(["view", "run", "admin"]), default="run", show_default=True, help="What its owner may do.")
@click.option("--project", "projects", multiple=True, metavar="NAME", help="Only runs of this project; may be repeated.")
@click.option("--replace", is_flag=True, help="Make the user's old token void.")
@click.pass_obj
def add(folder: str, name: str, on: str, role: str, projects: tuple[str, ...], replace: bool) -> int:
    """Make a token for NAME and write it to stdout, this once.

    Who may view sees runs, logs and artifacts. Who may run starts, stops and
    labels them, too. An admin also deletes them and sees the audit log.

    Hand it over safely. Its owner keeps it with `fairway token use`, or sets
    FAIRWAY_TOKEN.

    \b
    Examples:
      fairway token add ada --on campus > ada.token
      fairway token add eve --role view --project churn > eve.token
    """
    from fairway.engine.secretkeys import add_user

    token = on_cluster(folder, on, lambda client, target: add_user(client, target, name, role=role, projects=projects, replace=replace))
    sys.stdout.write(f"{token}\n")
    click.echo(f"{name} has the role {role!r}; hand over the token safely: fairway token use < FILE", err=True)
    return 0


@command.command("use")
@cluster_option
@click.pass_obj
def use(folder: str, on: str) -> int:
    """Keep a token that you were given: it is read from stdin, never from the arguments.

    \b
    Examples:
      fairway token use --on campus < ada.token
    """
    from fairway.engine.credentials import save_token, server_key
    from fairway.engine.targets import get_target
    from fairway.errors import ConfigError
    from fairway.spec.tokens import user_of

    project = load_project(folder)
    target = get_target(project, on)
    if target.kind != "server":
        target = get_cluster(project, on)
    token = click.prompt("Token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    token = token.strip()
    if not user_of(token):
        raise ConfigError("this is no token", hint="it looks like u1.NAME.SECRET, and `fairway token add` writes it")
    save_token(server_key(target), token)
    click.echo(f"you are {user_of(token)!r} on {target.name}", err=True)
    return 0


@command.command("list")
@cluster_option
@output_option
@click.pass_obj
def list_(folder: str, on: str, output: str | None) -> int:
    """List who has a token, in which role, for which projects.

    \b
    Examples:
      fairway token list --on campus
    """
    from fairway.engine.secretkeys import list_users

    users = on_cluster(folder, on, list_users)
    if output == "json":
        print_json(users)
    else:
        print_table(("user", "role", "projects"), [(user.name, user.role or "none", ", ".join(user.projects) or "all") for user in users])
    return 0


@command.command("remove")
@click.argument("name")
@cluster_option
@click.pass_obj
def remove(folder: str, name: str, on: str) -> int:
    """Make the token of NAME void. The server has noticed within about a minute.

    \b
    Examples:
      fairway token remove ada --on campus
    """
    from fairway.engine.secretkeys import remove_user

    on_cluster(folder, on, lambda client, target: remove_user(client, target, name))
    click.echo(f"{name} has no token any more", err=True)
    return 0
