"""`fairway cluster`: what a cluster has, what waits, where a step fits, and what keeps idle nodes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from fairway.cli.arguments import output_option, take_target
from fairway.cli.listing import print_json, print_table
from fairway.cli.style import paint, spell_count
from fairway.engine.project import Project, load_project
from fairway.errors import FairwayError, UnsupportedError
from fairway.spec.record import Record, record, replace, to_plain

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient
    from fairway.kube.config import ClientSettings
    from fairway.kube.fitting import Fit
    from fairway.kube.inventory import ClusterInventory, Stock
    from fairway.kube.scaledown import Action, IdleNode
    from fairway.kube.survey import Survey
    from fairway.spec.resources import Resources
    from fairway.spec.target import TargetSettings

_WAITING_SHOWN = 20
_PATIENCE_S = 5.0
_UNITS = ((4, "T"), (3, "G"), (2, "M"), (1, "K"))


@click.command("cluster")
@click.option("--on", "target", metavar="TARGET", callback=take_target, help="A target; else the kubeconfig's context.")
@click.option("--fits", metavar="SIZE", help="Say where such a step fits, and how often.")
@click.option("--scale-down", is_flag=True, help="Let an autoscaler remove idle nodes.")
@click.option("-y", "--yes", is_flag=True, help="Scale down without asking.")
@output_option
@click.pass_obj
def command(folder: str, target: str | None, fits: str | None, scale_down: bool, yes: bool, output: str | None) -> None:
    """Show a cluster's nodes with their accelerators, what is used and free, what waits and why, and which nodes are idle.

    It is seen with your own kubeconfig: whole if you may list nodes, else through quotas and the scheduler's words. SIZE is made of
    a step's cpu, memory, disk, accelerator and so on. --scale-down lists what it would change of what Fairway made in the namespace,
    and asks; what others made it explains, and leaves alone.

    \b
    Examples:
      fairway cluster --on campus
      fairway cluster --fits cpu=4,memory=8Gi,accelerator=nvidia.com/gpu:1
      fairway cluster --on campus --scale-down
    """
    import asyncio

    if fits and scale_down:
        raise click.UsageError("--fits and --scale-down are two questions: ask one at a time")
    project = load_project(folder, overrides={"target": target} if target else None)
    settings, found = _find_settings(project)
    size = None
    if fits:
        from fairway.kube.fitting import parse_size

        size = parse_size(fits)
    running = _find_running(replace(project, target=found.name), found) if scale_down and found else None
    asyncio.run(_answer(settings, found, size, _ScaleDown(yes, running) if scale_down else None, output == "json"))


@record
class _ScaleDown(Record):
    """`yes`: without asking. `running`: whether a run is under way, None if the server could not be asked."""

    yes: bool
    running: bool | None


def _find_settings(project: Project) -> tuple[ClientSettings, TargetSettings | None]:
    """How to reach the cluster meant: the target's, or, as this machine is none, the kubeconfig's current one."""
    try:
        from fairway.kube.config import ClientSettings
    except ImportError as error:
        raise UnsupportedError("Kubernetes needs packages that are not installed", hint="pip install 'fairway[kubernetes]'") from error

    clusters = [one for one in project.targets.values() if one.kind == "kubernetes"]
    only = clusters[0] if len(clusters) == 1 else None
    target = only if project.target == "local" else project.targets[project.target]
    if target is None:
        return ClientSettings(patience_s=_PATIENCE_S), None
    if target.kind != "kubernetes":
        raise UnsupportedError(
            f"the target {target.name!r} is reached by a URL, not by a kubeconfig", hint="ask for one of kind kubernetes"
        )
    return ClientSettings(target.context, target.namespace, target.kubeconfig, target.requests_per_s, patience_s=_PATIENCE_S), target


def _find_running(project: Project, target: TargetSettings) -> bool | None:
    """Whether the target's server drives a run now; None if it cannot be asked."""
    from fairway.engine.remote import open_connection

    try:
        connection = open_connection(project, patience_s=_PATIENCE_S)
    except FairwayError:
        return None
    try:
        return next(iter(connection.api.pages("/runs", status="running", limit=1)), None) is not None
    except FairwayError:
        return None
    finally:
        connection.close()


async def _answer(
    settings: ClientSettings, target: TargetSettings | None, size: Resources | None, scale_down: _ScaleDown | None, as_json: bool
) -> None:
    from fairway.kube.client import KubeClient
    from fairway.kube.scaledown import find_idle_nodes
    from fairway.kube.survey import survey_cluster

    client = KubeClient.from_settings(settings)
    try:
        survey = await survey_cluster(client)
        idle = find_idle_nodes(survey.inventory, survey.nodes, survey.pods, survey.budgets)
        if size is not None:
            _show_fit(survey.inventory, size, target, as_json)
        elif scale_down:
            await _scale_down(client, survey, idle, scale_down, as_json)
        elif as_json:
            print_json(
                _tidy({"context": client.context, "namespace": client.namespace, **to_plain(survey.inventory), "idle": to_plain(idle)})
            )
        else:
            _show(client, survey.inventory, idle)
    finally:
        await client.close()


def _tidy(plain: Any) -> Any:
    """Whole numbers as such: bytes and pieces have no fraction."""
    if isinstance(plain, dict):
        return {key: _tidy(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_tidy(value) for value in plain]
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def _show(client: KubeClient, inventory: ClusterInventory, idle: Sequence[IdleNode]) -> None:
    click.echo(f"context {client.context or 'of this pod'}, namespace {client.namespace}", err=True)
    for sentence in inventory.unseen:
        click.echo(paint(f"! {sentence}", "yellow", sys.stderr), err=True)
    if inventory.nodes:
        free = {one.name: one for one in idle}
        print_table(
            ("NODE", "CPU FREE", "MEMORY FREE", "PODS FREE", "ACCELERATORS FREE", "STATE"),
            [_row(node, free.get(node.name)) for node in inventory.nodes],
            right=(1, 2, 3),
        )
    if inventory.quotas:
        _gap(bool(inventory.nodes))
        rows = [(one.name, one.resource, _spell(one.resource, one.used), _spell(one.resource, one.hard)) for one in inventory.quotas]
        print_table(("QUOTA", "RESOURCE", "USED", "OF"), rows, right=(2, 3))
    if inventory.waiting:
        _gap(bool(inventory.nodes or inventory.quotas))
        _show_waiting(inventory)
    if idle:
        _gap(True)
        _show_idle(idle)


def _gap(wanted: bool) -> None:
    """An empty line between two tables."""
    sys.stdout.write("\n" if wanted else "")


def _row(node: Stock, idle: IdleNode | None) -> tuple[str, ...]:
    state = node.state or ("idle" if idle else "")
    notes = [state, "spot" if node.spot else "", node.topology]
    accelerators = [
        f"{node.free[name]:.0f} of {node.total[name]:.0f} {node.models.get(name) or name}" for name in node.total if _is_accelerator(name)
    ]
    return (
        node.name,
        f"{_spell('cpu', node.free.get('cpu', 0))} of {_spell('cpu', node.total.get('cpu', 0))}",
        f"{_spell('memory', node.free.get('memory', 0))} of {_spell('memory', node.total.get('memory', 0))}",
        f"{node.free.get('pods', 0):.0f} of {node.total.get('pods', 0):.0f}",
        ", ".join(accelerators) or "-",
        ", ".join(note for note in notes if note) or "busy",
    )


def _is_accelerator(name: str) -> bool:
    from fairway.kube.inventory import is_accelerator

    return is_accelerator(name)


def _show_waiting(inventory: ClusterInventory) -> None:
    shown = inventory.waiting[:_WAITING_SHOWN]
    rows = [(f"{one.namespace}/{one.name}", spell_amounts(one.asks), one.reason) for one in shown]
    print_table(("WAITING", "ASKS FOR", "WHY"), rows)
    if len(inventory.waiting) > len(shown):
        sys.stdout.write(f"… and {len(inventory.waiting) - len(shown):,} more\n")


def _show_idle(idle: Sequence[IdleNode]) -> None:
    rows: list[tuple[str, str, str, str]] = []
    for node in idle:
        if not node.keepers:
            rows.append((node.name, f"{node.use:.0%}", "nothing", "an autoscaler may remove it"))
        for keeper in node.keepers:
            what = f"{keeper.namespace}/{keeper.pod}: {keeper.reason}" if keeper.pod else keeper.reason
            rows.append((node.name, f"{node.use:.0%}", what, keeper.cure))
    print_table(("IDLE NODE", "USED", "KEPT BY", "WHAT WOULD HELP"), rows, right=(1,))


def _show_fit(inventory: ClusterInventory, size: Resources, target: TargetSettings | None, as_json: bool) -> None:
    from fairway.kube.fitting import find_fit

    nodes, tolerations = (target.nodes, target.tolerations) if target else ({}, ())
    fit = find_fit(inventory, size, nodes=nodes, tolerations=tolerations)
    if as_json:
        print_json(fit)
        return
    for sentence in inventory.unseen:
        click.echo(paint(f"! {sentence}", "yellow", sys.stderr), err=True)
    if fit.nodes:
        rows = [(one.node, f"{one.free:,}", f"{one.empty:,}", one.lacks) for one in fit.nodes]
        print_table(("NODE", "FIT NOW", "FIT WHEN EMPTY", "LACKS"), rows, right=(1, 2))
        sys.stdout.write("\n")
    sys.stdout.write(_sum_up(fit) + "\n")


def _sum_up(fit: Fit) -> str:
    """How many at once, in a sentence."""
    bound = f" (bounded by the quota {fit.bound})" if fit.quota >= 0 and (fit.quota == fit.free or not fit.nodes) else ""
    if not fit.nodes and fit.quota < 0:
        return "how many fit cannot be said: neither nodes nor a quota can be seen"
    if not fit.nodes:
        return f"the quota lets {fit.free:,} in now{bound}"
    on = sum(one.free > 0 for one in fit.nodes)
    if fit.free:
        return f"{fit.free:,} at once now, on {spell_count(on, 'node')}{bound}; {fit.empty:,} if nothing else ran"
    return f"none now{bound}; {fit.empty:,} if nothing else ran" if fit.empty else "it fits on no node"


async def _scale_down(client: KubeClient, survey: Survey, idle: Sequence[IdleNode], wish: _ScaleDown, as_json: bool) -> None:
    plan = await _plan(client, running=wish.running is not False)
    if as_json:
        print_json({"idle": idle, "actions": plan})
    else:
        if idle:
            _show_idle(idle)
        unasked = "The server could not be asked whether a run is under way: pools and ended pods are left alone."
        for sentence in [*survey.inventory.unseen, *([unasked] if wish.running is None else [])]:
            click.echo(paint(f"! {sentence}", "yellow", sys.stderr), err=True)
        if plan:
            _gap(bool(idle))
            print_table(("TO DO", "WHAT", "WHY"), [(one.verb, f"{one.kind.lower()}/{one.name}", one.why) for one in plan])
        else:
            click.echo(f"there is nothing of Fairway's to change in {client.namespace}", err=True)
    sys.stdout.flush()
    if not plan or not (wish.yes or (sys.stdin.isatty() and click.confirm("do it?", err=True))):
        if plan and not as_json:
            click.echo("nothing changed; --yes does it", err=True)
        return
    failed = [error for action in plan if (error := await _do(client, action))]
    click.echo(f"done: {spell_count(len(plan) - len(failed), 'change')}", err=True)
    if failed:
        raise failed[0]


async def _plan(client: KubeClient, *, running: bool) -> list[Action]:
    import asyncio

    from fairway.kube.scaledown import plan_scale_down
    from fairway.kube.survey import find_all

    ours = "app.kubernetes.io/managed-by=fairway"
    kinds = ("Pod", "PodDisruptionBudget", "Deployment", "StatefulSet")
    pods, budgets, *workloads = await asyncio.gather(*(find_all(client, kind, labels=ours) for kind in kinds))
    return plan_scale_down(pods or [], budgets or [], [one for found in workloads for one in found or []], running=running)


async def _do(client: KubeClient, action: Action) -> FairwayError | None:
    """Carry one action out; its error, if it failed, so that the others are tried all the same."""
    try:
        if action.verb == "delete":
            await client.delete(action.kind, action.name)
        else:
            await client.patch(action.kind, action.name, action.patch)
    except FairwayError as error:
        click.echo(f"{action.verb} {action.kind.lower()}/{action.name}: {error}", err=True)
        return error
    return None


def spell_amounts(amounts: Mapping[str, float]) -> str:
    """ "2 cpu, 4 GiB memory, 1 nvidia.com/gpu"."""
    return ", ".join(f"{_spell(name, amount)} {name}" for name, amount in amounts.items() if amount and name != "pods") or "nothing"


def _spell(resource: str, amount: float) -> str:
    if resource.endswith(("memory", "storage")):  # in the units in which it is asked for
        return next((f"{amount / 1024**power:.4g}{unit}i" for power, unit in _UNITS if amount >= 1024**power), f"{amount:.0f}")
    return f"{amount:.3g}" if amount < 1000 and amount % 1 else f"{amount:,.0f}"
