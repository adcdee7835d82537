"""`fairway train`: a gang before it runs, each rank's variables and command."""

from __future__ import annotations

import sys

import click

from fairway.cli.arguments import output_option
from fairway.errors import ConfigError, DefinitionError, NotFoundError
from fairway.spec.graph import Graph, StepDef


@click.command("train")
@click.argument("what", metavar="PIPELINE[:STEP]")
@click.option("--dry-run", is_flag=True, help="Print what each rank is told; start nothing.")
@click.option("--hosts", default="", metavar="HOST,…", help="Addresses of the replicas, as on a cluster.")
@output_option
def command(what: str, dry_run: bool, hosts: str, output: str | None) -> None:
    """Look at a step that is a gang: per rank, the variables and the command, for any framework.

    `fairway run` trains; this shows how the ranks find each other. STEP may be left out where one step is a gang.

    \b
    Examples:
      fairway train pipeline.py --dry-run
      fairway train pipeline.py:fit --dry-run -o json
      fairway train pipeline.py --dry-run --hosts 10.0.0.1,10.0.0.2
    """
    from fairway.train.dryrun import plan_gang, render_plan

    if not dry_run:
        raise ConfigError("say what to do with the gang", hint=f"--dry-run shows it; `fairway run {what.partition(':')[0]}` trains")
    step = find_gang(what)
    addresses = [host.strip() for host in hosts.split(",") if host.strip()]
    if addresses and len(addresses) != step.gang.replicas:
        raise ConfigError(
            f"--hosts names {len(addresses)} addresses, and `{step.name}` has {step.gang.replicas} replicas", hint="one for each replica"
        )
    plan = plan_gang(step, addresses)
    if output == "json":
        from fairway.cli.listing import print_json

        print_json(plan)
    else:
        sys.stdout.write(render_plan(plan))


def find_gang(what: str) -> StepDef:
    """The step that PIPELINE[:STEP] names. Raises DefinitionError, which says what to do, where it is no gang."""
    graph, name = _load(what)
    steps = {node.id: graph.steps[node.step] for node in graph.nodes}
    gangs = {id: step for id, step in steps.items() if step.gang.replicas}
    if name:
        chosen = [step for id, step in steps.items() if name in (id, step.name)]
        if not chosen:
            raise NotFoundError(f"{graph.name} has no step {name!r}", hint=f"its gangs are {', '.join(gangs) or 'none'}")
        if not chosen[0].gang.replicas:
            raise DefinitionError(
                f"`{name}` is no gang: one process runs it",
                hint="make it one: @fw.step(gang=fw.gang(replicas=2, framework=…))",
                where=chosen[0].where,
            )
        return chosen[0]
    distinct = {step.name: step for step in gangs.values()}
    if not distinct:
        raise DefinitionError(
            f"no step of {graph.name} is a gang", hint="make one: @fw.step(gang=fw.gang(replicas=2, framework=…)) on the step that trains"
        )
    if len(distinct) > 1:
        raise ConfigError(f"{graph.name} has {len(distinct)} gangs", hint=f"name one: {', '.join(f'{what}:{step}' for step in distinct)}")
    return next(iter(distinct.values()))


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
