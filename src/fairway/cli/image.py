"""`fairway image`: images without a container daemon."""

from __future__ import annotations

import sys
from typing import Any

import click

from fairway.cli.arguments import cluster_option, output_option
from fairway.cli.listing import print_json
from fairway.cli.meant import KnowingGroup
from fairway.engine.project import Project, load_project
from fairway.engine.targets import PLATFORMS, get_cluster
from fairway.errors import ConfigError
from fairway.spec.record import replace
from fairway.spec.target import TargetSettings


@click.group("image", cls=KnowingGroup)
def command() -> None:
    """Build container images, without a container daemon.

    \b
    Examples:
      fairway image build churn.py --on campus
      fairway image build --server --to ghcr.io/team/fairway:0.1
    """


@command.command("build")
@click.argument("file", required=False, metavar="[FILE]")
@cluster_option
@click.option("--server", is_flag=True, help="The image of Fairway's server, for a target's `server-image`.")
@click.option("--base", default="", metavar="IMAGE", help="What to build upon: an image of any registry, or oci:FOLDER:TAG.")
@click.option("--to", default="", metavar="IMAGE", help="Where it goes: a registry's repository, or oci:FOLDER:TAG; the target's registry.")
@click.option("--platform", default="", metavar="PLATFORMS", help="linux/amd64, linux/arm64, or both with a comma.")
@output_option
@click.pass_obj
def build_command(folder: str, file: str | None, on: str, server: bool, base: str, to: str, platform: str, output: str | None) -> None:
    """Build an image of a pipeline's environment and code, and push what the registry lacks of it.

    One image for each environment of the pipeline's steps: the base, the locked
    packages, Fairway's runtime, the code. The same inputs give the same digest.
    A target with a registry does this by itself for steps that name packages.

    \b
    Examples:
      fairway image build churn.py --on campus
      fairway image build churn.py --to ghcr.io/team/churn --platform linux/amd64,linux/arm64
      fairway image build --server --to ghcr.io/team/fairway:0.1
    """
    if bool(file) == server:
        raise click.UsageError("name a pipeline's FILE, or --server")
    project = load_project(folder)
    target = _target(project, on, base, platform)
    to = to or target.registry
    if not to:
        raise ConfigError("it is not said where the image goes", hint="--to ghcr.io/team/churn, or `registry` of the target")
    built = [_build_server(target, to)] if server else _build_pipeline(str(file), project, target, to, base)
    if output == "json":
        print_json([{name: getattr(one, name) for name in one.record_fields} for one in built])
        return
    for one in built:
        sys.stderr.write(
            "there already, nothing sent\n" if not one.new else f"sent {one.sent_bytes / 1e6:.1f} of {one.size_bytes / 1e6:.1f} MB\n"
        )
        sys.stdout.write(f"{one.image}\n")


def _target(project: Project, on: str, base: str, platform: str) -> TargetSettings:
    named = on or any(one.kind == "kubernetes" for one in project.targets.values())
    target = get_cluster(project, on) if named else TargetSettings()
    if platform:
        platforms = tuple(one.strip() for one in platform.split(","))
        for one in platforms:
            if one not in PLATFORMS:
                raise ConfigError(f"images cannot be built for {one!r}", hint=f"known: {', '.join(PLATFORMS)}")
        target = replace(target, platforms=platforms)
    return replace(target, image=base) if base else target


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _build_server(target: TargetSettings, to: str) -> Any:
    from fairway.engine import images

    return images.build(images.plan_server(target.image, target.platforms), to, _say)


def _build_pipeline(file: str, project: Project, target: TargetSettings, to: str, base: str) -> list[Any]:
    from fairway.dsl.load import load_pipeline
    from fairway.engine import images
    from fairway.engine.submit import lock_and_bundle

    graph, bundle = lock_and_bundle(load_pipeline(file), project, source=file)
    plans = [images.plan_environment(one, project, target, bundle=bundle, base=base) for one in images.environments_of(graph)]
    if len(plans) > 1 and ":" in to.rpartition("/")[2]:
        raise ConfigError(f"{file} has {len(plans)} environments, which cannot all be {to}", hint="leave the tag out: each gets its own")
    return [images.build(plan, to, _say) for plan in plans]
