"""`fairway export`: a pipeline with its server as Kubernetes YAML."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from fairway.cli.arguments import cluster_option
from fairway.cli.request import split_param
from fairway.engine.project import load_project
from fairway.engine.targets import get_cluster
from fairway.errors import ConfigError

if TYPE_CHECKING:
    from fairway.spec.target import TargetSettings


@click.command("export")
@click.argument("file", metavar="[FILE]", default="")
@cluster_option
@click.option("--endpoint", default="", metavar="NAME", help="No pipeline: the objects of an endpoint, as they stand.")
@click.option("-p", "--param", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline; may be given again.")
@click.option("--to", default="", metavar="PATH", help="Write the YAML there, for its owner alone, instead of stdout.")
@click.option("-n", "--namespace", default="", help="The namespace to stamp it into, instead of the target's.")
@click.option("--name", default="", help="A name for the run.")
@click.pass_obj
def command(folder: str, file: str, on: str, endpoint: str, param: tuple[str, ...], to: str, namespace: str, name: str) -> int:
    """Write a pipeline and its server as YAML: `kubectl apply -f` alone sets it up and runs it.

    The target has to name its server-image; a bare Python image will not do.

    \b
    Examples:
      fairway export churn.py --on campus --to churn.yaml
      fairway export churn.py --on campus -n lab -p rounds=50 | kubectl apply -f -
      fairway export --endpoint risk --on campus
    """
    if bool(endpoint) == bool(file):
        raise ConfigError("export a pipeline's FILE, or an --endpoint", hint="fairway export FILE, or: fairway export --endpoint NAME")
    if endpoint:
        return _export_endpoint(get_cluster(load_project(folder), on), endpoint, namespace, to)
    from fairway.dsl.load import load_pipeline
    from fairway.engine.export import export
    from fairway.engine.session import name_source
    from fairway.kube.config import ClientSettings, load_connection

    project = load_project(folder, near=file.partition(":")[0])
    target = get_cluster(project, on)
    given: dict[str, str] = {}
    for text in param:
        pair = split_param(text)
        if pair is None:
            raise click.UsageError(f"not NAME=VALUE: {text!r}")
        given[pair[0].replace("-", "_")] = pair[1]
    place = namespace or target.namespace or load_connection(ClientSettings(target.context, "", target.kubeconfig)).namespace
    made = export(project, target, lambda: load_pipeline(file), given, namespace=place, name=name, source=name_source(project, file))
    if to:
        _write(to, made.text)
        click.echo(f"wrote {to}: kubectl apply -f {to} starts the run {made.run} in the namespace {place}", err=True)
    else:
        sys.stdout.write(made.text)
    if made.secrets:
        names = ", ".join(made.secrets)
        click.echo(f"its steps take secrets that are not in it: {names}; its first lines say how to set them", err=True)
    if made.gangs:
        names = ", ".join(made.gangs)
        click.echo(f"the server makes the objects of gangs ({names}) when the run comes to them: its last lines show them", err=True)
    return 0


def _export_endpoint(target: TargetSettings, name: str, namespace: str, to: str) -> int:
    import asyncio

    from fairway.engine.deploy import connect
    from fairway.engine.endpointexport import export_endpoint
    from fairway.spec.record import replace

    async def read() -> str:
        client = connect(replace(target, namespace=namespace or target.namespace))
        try:
            return await export_endpoint(client, target, name)
        finally:
            await client.close()

    text = asyncio.run(read())
    if to:
        _write(to, text)
    else:
        sys.stdout.write(text)
    return 0


def _write(path: str, text: str) -> None:
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", hint="name another --to") from None
