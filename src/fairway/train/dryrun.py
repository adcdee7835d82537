"""What each rank of a gang would be told, without starting any: the rendezvous table applied to one step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from fairway.errors import FairwayError
from fairway.spec.gang import LOOPBACK, PORTS_EACH, Gang, Place, World, places_of
from fairway.spec.graph import StepDef
from fairway.spec.record import Record, field, record, replace
from fairway.train.frameworks import check_gang, get_framework

ATTEMPT, KEY, FOLDER = "ATTEMPT", "SECRET", "FOLDER"
"""What stands where a run has an attempt's id, the gang's secret, the folder of the framework's files."""
OF_THE_SECRET = "(made of the gang's secret when it starts)\n"
_FIRST_PORT = 29500
_EXAMPLES = f"Ports are examples: free ones are found when it starts. {ATTEMPT}, {FOLDER} and {KEY} stand for each attempt's own."


@record
class Beside(Record):
    """A program that runs beside a rank."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


@record
class RankPlan(Record):
    """One rank. `command`: what it starts, () if it starts nothing; `runs` says the same in words where it is no command."""

    rank: int
    replica: int
    role: str
    host: str
    variables: dict[str, str]
    command: tuple[str, ...]
    runs: str
    beside: tuple[Beside, ...] = ()


@record
class GangPlan(Record):
    """A step's gang with all its ranks. `files`: what leaders write into FOLDER for them. `image`: the container's, "" if it is none."""

    step: str
    framework: str
    title: str
    style: str
    replicas: int
    processes: int
    ranks: tuple[RankPlan, ...]
    files: dict[str, str] = field(default_factory=dict)
    image: str = ""

    def shared(self) -> dict[str, str]:
        """The variables that are the same for every rank."""
        first = self.ranks[0].variables
        return {name: value for name, value in first.items() if all(rank.variables.get(name) == value for rank in self.ranks)}


def plan_gang(step: StepDef, hosts: Sequence[str] = ()) -> GangPlan:
    """The ranks of `step`, whose addresses are `hosts` (one for each replica; on this machine if there is none). Ports are examples.

    Raises DefinitionError, NotFoundError for what the framework cannot do.
    """
    gang = step.gang
    try:
        check_gang(gang)
    except FairwayError as error:
        raise type(error)(f"the step `{step.name}`: {error.message}", hint=error.hint, where=step.where) from None
    row: Any = get_framework(gang.framework)
    places = _places(step, hosts)
    files = {name: text for place in places for name, text in _files(row, place, gang).items()}
    style = getattr(row, "style", "ranks")
    ranks = tuple(_plan_rank(row, style, place, step) for place in places)
    return GangPlan(step.name, gang.framework, row.title, style, gang.replicas, gang.processes, ranks, files, step.image)


def _files(row: Any, place: Place, gang: Gang) -> dict[str, str]:
    """What is written for a rank; of a file that another secret would change nothing is shown."""
    files, others = (_ask(row, "files", each, gang, {}) for each in (place, replace(place, key=f"{place.key}.")))
    return {name: text if others[name] == text else OF_THE_SECRET for name, text in files.items()}


def _places(step: StepDef, hosts: Sequence[str]) -> list[Place]:
    gang, asked = step.gang, step.resources
    each = gang.processes * PORTS_EACH
    apart = 0 if hosts else each  # replicas that share a machine share no ports
    starts = [_FIRST_PORT + replica * apart for replica in range(gang.replicas)]
    ports = tuple(tuple(range(start, start + each)) for start in starts)
    world = World(tuple(hosts) or (LOOPBACK,) * gang.replicas, ports, key=KEY)
    return places_of(
        gang,
        world,
        ATTEMPT,
        cpus=max(1, int(asked.cpu) // gang.processes),
        folder=FOLDER,
        devices=sum(asked.accelerators.values()) // gang.processes,
    )


def _plan_rank(row: Any, style: str, place: Place, step: StepDef) -> RankPlan:
    gang = step.gang
    services = tuple(Beside(one.name, tuple(one.argv), dict(one.environment)) for one in _ask(row, "services", place, gang, ()))
    command, runs = _work(row, style, place, step)
    return RankPlan(
        place.rank,
        place.replica,
        place.role,
        place.hosts[place.rank],
        {**row.environment(place, gang), **step.environment.variables},
        command,
        runs,
        services,
    )


def _work(row: Any, style: str, place: Place, step: StepDef) -> tuple[tuple[str, ...], str]:
    """The command of a rank, and what it does in words."""
    if place.rank and style == "client":
        return (), "lends its machine: rank 0 alone runs the step"
    if step.kind in ("command", "container"):
        argv = tuple(row.command(place, step.gang, step.argv)) if not (style == "launcher" and place.rank) else ()
        return argv, "" if argv else "is started by the launcher"
    function = f"{step.module}.{step.qualname}()"
    if style != "launcher":
        return (), f"calls {function}"
    argv = () if place.rank else tuple(row.command(place, step.gang, ("python", "-m", "fairway.step", "rank", "FILE")))
    return argv, f"is started by the launcher and calls {function}"


def _ask(row: Any, method: str, place: Place, gang: Gang, otherwise: Any) -> Any:
    """What an optional method of the row says."""
    found = getattr(row, method, None)
    return found(place, gang) if found is not None else otherwise


def render_plan(plan: GangPlan) -> str:
    """For people: what all ranks share, then each with what is its own."""
    each = f", {plan.processes} processes each" if plan.processes > 1 else ""
    replicas = "1 replica" if plan.replicas == 1 else f"{plan.replicas} replicas"
    image = f", in {plan.image}" if plan.image else ""
    lines = [f"{plan.step}: {replicas} of {plan.title}{each}{image}", _EXAMPLES, ""]
    shared = plan.shared()
    lines += ["every rank", *(f"  {name}={_quote(value)}" for name, value in shared.items())]
    for rank in plan.ranks:
        role = f", {rank.role}" if rank.role else ""
        lines += ["", f"rank {rank.rank} ({rank.host}, replica {rank.replica}{role})"]
        lines += [f"  {name}={_quote(value)}" for name, value in rank.variables.items() if name not in shared]
        for beside in rank.beside:
            told = "".join(f"{name}={_quote(value)} " for name, value in beside.environment.items())
            lines.append(f"  beside it, {beside.name}: {told}{_spell(beside.argv)}")
        lines += [f"  {rank.runs}"] if rank.runs else []
        lines += [f"  $ {_spell(rank.command)}"] if rank.command else []
    for name, text in plan.files.items():
        lines += ["", f"{FOLDER}{os.sep}{name}", *(f"  {line}" for line in text.splitlines())]
    return "\n".join(lines) + "\n"


def _quote(value: str) -> str:
    import shlex

    return shlex.quote(value) if value else ""


def _spell(argv: Sequence[str]) -> str:
    import shlex

    return shlex.join(argv)
