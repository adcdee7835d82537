"""`fairway train`: a gang before it runs, each rank's variables and command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from fairway.cli.arguments import on_option, open_project, output_option
from fairway.cli.request import split_param
from fairway.engine.targets import get_target
from fairway.errors import ConfigError, DefinitionError, NotFoundError
from fairway.spec.graph import Graph, StepDef
from fairway.spec.record import to_plain


@click.command("train")
@click.argument("what", metavar="PIPELINE[:STEP]")
@click.option("--dry-run", is_flag=True, help="Print what each rank is told; start nothing.")
@click.option("--scale", default="", metavar="N,…", help="Train with so many replicas, and compare.")
@click.option("--by", type=click.Choice(["steps", "time"]), help="With --scale: steps a second, or time taken.")
@click.option("-p", "--param", multiple=True, metavar="NAME=VALUE", help="With --scale: a parameter of the pipeline.")
@click.option("--hosts", default="", metavar="HOST,…", help="Addresses of the replicas, as on a cluster.")
@output_option
@on_option
@click.pass_obj
def command(folder: str, what: str, dry_run: bool, scale: str, hosts: str, output: str | None, **more: Any) -> None:
    """See how the ranks of a gang find each other (--dry-run), or how it scales.

    `fairway run` trains. STEP may be left out where one step is a gang. With --on a cluster the dry run shows its Job, too.

    \b
    Examples:
      fairway train pipeline.py --dry-run
      fairway train pipeline.py --dry-run --hosts 10.0.0.1,10.0.0.2
      fairway train pipeline.py --scale 1,2,4
    """
    from fairway.train.dryrun import plan_gang, render_plan

    _refuse(dry_run, scale, hosts, **more)
    if scale:
        _scale(folder, what, scale, output, **more)
        return
    if not dry_run:
        raise ConfigError(
            "say what to do with the gang",
            hint=f"--dry-run shows it; --scale 1,2 measures it; `fairway run {what.partition(':')[0]}` trains",
        )
    graph, node, _ = find_gang(what)
    step = graph.steps[next(one.step for one in graph.nodes if one.id == node)]
    addresses = [host.strip() for host in hosts.split(",") if host.strip()]
    if addresses and len(addresses) != step.gang.replicas:
        raise ConfigError(
            f"--hosts names {len(addresses)} addresses, and `{step.name}` has {step.gang.replicas} replicas", hint="one for each replica"
        )
    plan, objects = plan_gang(step, addresses), _find_objects(folder, step)
    if output == "json":
        from fairway.cli.listing import print_json

        print_json({**to_plain(plan), "objects": objects} if objects else plan)
        return
    sys.stdout.write(render_plan(plan))
    if objects:
        from fairway.engine.manifest_text import render_yaml

        sys.stdout.write(f"\nin the cluster\n\n{render_yaml(objects)}")


def _refuse(dry_run: bool, scale: str, hosts: str, by: str | None, param: Sequence[str]) -> None:
    """Raises ConfigError for an option that would do nothing beside the others."""
    if dry_run and scale:
        raise ConfigError("--dry-run starts nothing, and --scale trains", hint="leave one of them out")
    if dry_run and (param or by):
        raise ConfigError(
            f"{'--param' if param else '--by'} goes with --scale, which trains",
            hint="what the ranks are told depends on no parameter: leave it out",
        )
    if scale and hosts:
        raise ConfigError(
            "--hosts goes with --dry-run: --scale measures where the target is", hint="leave it out, or name a target by --on"
        )


def _find_objects(folder: str, step: StepDef) -> list[dict[str, Any]]:
    """What the server of a cluster's target would make; nothing where the target is no cluster."""
    target = get_target(open_project(folder))
    if target.kind != "kubernetes":
        return []
    from fairway.engine.gangexport import render_objects

    return render_objects(step, target)


def _scale(folder: str, what: str, scale: str, output: str | None, by: str | None, param: Sequence[str]) -> None:
    from fairway.cli.trainscale import measure_sizes, show_scaling
    from fairway.train.scaling import parse_sizes

    sizes = parse_sizes(scale)
    graph, node, file = find_gang(what)
    pairs = [split_param(text) or (text, "") for text in param]
    show_scaling(measure_sizes(folder, graph, node, sizes, dict(pairs), file), by or "steps", output)


def find_gang(what: str) -> tuple[Graph, str, str]:
    """The graph, the node of the gang, and the pipeline's own name out of PIPELINE[:STEP]. Raises DefinitionError, which says what to do,
    where it is no gang."""
    graph, name = _load(what)
    steps = {node.id: graph.steps[node.step] for node in graph.nodes}
    gangs = {id: step for id, step in steps.items() if step.gang.replicas}
    if name:
        chosen = next((id for id, step in steps.items() if name in (id, step.name)), "")
        if not chosen:
            raise NotFoundError(f"{graph.name} has no step {name!r}", hint=f"its gangs are {', '.join(gangs) or 'none'}")
        if not steps[chosen].gang.replicas:
            raise DefinitionError(
                f"`{name}` is no gang: one process runs it",
                hint="make it one: @fw.step(gang=fw.gang(replicas=2, framework=…))",
                where=steps[chosen].where,
            )
        return graph, chosen, what.rpartition(":")[0]
    distinct = {step.name: id for id, step in reversed(gangs.items())}
    if not distinct:
        raise DefinitionError(
            f"no step of {graph.name} is a gang", hint="make one: @fw.step(gang=fw.gang(replicas=2, framework=…)) on the step that trains"
        )
    if len(distinct) > 1:
        raise ConfigError(f"{graph.name} has {len(distinct)} gangs", hint=f"name one: {', '.join(f'{what}:{step}' for step in distinct)}")
    return graph, next(iter(distinct.values())), what


def _load(what: str) -> tuple[Graph, str]:
    """The graph, and the step's name behind the pipeline's, "" if there is none."""
    from fairway.cli.pipelines import load_graph
    from fairway.dsl.load import load_pipeline

    place, _, name = what.rpartition(":")
    if not place:
        return load_graph(what), ""
    try:
        load_pipeline(what)
    except (NotFoundError, DefinitionError):
        return load_graph(place), name  # what it names is no pipeline, so it is a step of the one before it
    return load_graph(what), ""
