"""`fairway secret`: what `fw.secret` gives to steps on a cluster."""

from __future__ import annotations

import sys

import click

from fairway.cli.arguments import cluster_option, output_option
from fairway.cli.listing import print_json
from fairway.cli.meant import KnowingGroup
from fairway.cli.token import on_cluster
from fairway.errors import ConfigError


@click.group("secret", cls=KnowingGroup)
def command() -> None:
    """Set what `fw.secret("NAME")` is on a cluster; here it comes from variables.

    Values are read from stdin or asked for, never from the arguments, and never shown.

    \b
    Examples:
      fairway secret set DB_PASSWORD --on campus
      fairway secret list --on campus
    """


@command.command("set")
@click.argument("name")
@cluster_option
@click.pass_obj
def set_(folder: str, name: str, on: str) -> int:
    """Set the secret NAME to what comes from stdin, or is typed.

    \b
    Examples:
      fairway secret set DB_PASSWORD --on campus
      fairway secret set TLS_KEY --on campus < key.pem
    """
    from fairway.engine.secretkeys import check_secret_name, set_secret

    check_secret_name(name)
    if sys.stdin.isatty():
        value = click.prompt(name, hide_input=True, err=True)
    else:
        value = sys.stdin.read()
        value = value.removesuffix("\n") if value.count("\n") == 1 else value
    if not value:
        raise ConfigError(f"no value came for {name}", hint=f"fairway secret set {name} < FILE, or type it")
    new = on_cluster(folder, on, lambda client, target: set_secret(client, target, name, value))
    click.echo(f"{name} is {'set' if new else 'replaced'}", err=True)
    return 0


@command.command("list")
@cluster_option
@output_option
@click.pass_obj
def list_(folder: str, on: str, output: str | None) -> int:
    """List the names of the secrets.

    \b
    Examples:
      fairway secret list --on campus
    """
    from fairway.engine.secretkeys import list_secrets

    names = on_cluster(folder, on, list_secrets)
    if output == "json":
        print_json(names)
    else:
        sys.stdout.write("".join(f"{name}\n" for name in names))
    return 0


@command.command("remove")
@click.argument("name")
@cluster_option
@click.pass_obj
def remove(folder: str, name: str, on: str) -> int:
    """Forget the secret NAME.

    \b
    Examples:
      fairway secret remove DB_PASSWORD --on campus
    """
    from fairway.engine.secretkeys import remove_secret

    on_cluster(folder, on, lambda client, target: remove_secret(client, target, name))
    click.echo(f"{name} is removed", err=True)
    return 0
