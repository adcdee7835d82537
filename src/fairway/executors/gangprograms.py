"""Gangs of container steps: programs in images that know nothing of Fairway. Who each one is stands in the variables of its pod."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairway.errors import UnsupportedError
from fairway.executors import programs
from fairway.executors.gathered import Gathered, Replica
from fairway.kube.gangs import Program
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import PORTS_EACH, Gang, World, places_of
from fairway.spec.outcome import Outcome
from fairway.spec.record import replace
from fairway.step.program import WORK, first_port, host_name

if TYPE_CHECKING:
    from fairway.executors.gangs import Gangs
    from fairway.executors.kubernetes import KubernetesExecutor

Object = dict[str, Any]
_REPLICA = "$(FAIRWAY_REPLICA)"
_NUMBERS = re.compile(r"(\d+)")


def program_of(spec: AttemptSpec, argv: Sequence[str]) -> Program:
    """What each replica runs, as one pattern for all of them. Raises UnsupportedError where they differ in more than their number."""
    gang = spec.step.gang
    row = import_module("fairway.train.frameworks").get_framework(gang.framework)
    ports = tuple(first_port(number) for number in range(gang.processes * PORTS_EACH))
    world = World(tuple(host_name(replica) for replica in range(gang.replicas)), (ports,) * gang.replicas)
    places = [place for place in places_of(gang, world, spec.id, spec.n, folder=WORK) if place.local_rank == 0]
    if gang.processes > 1:
        raise UnsupportedError(f"{spec.node}: a container runs one program", hint="leave `processes` out, and ask for more replicas")
    commands = [list(row.command(place, gang, argv)) for place in places]
    if any(len(command) != len(commands[0]) for command in commands):
        raise UnsupportedError(
            f"{spec.node}: {row.title} starts its ranks itself, which containers in a cluster cannot", hint='write framework="plain"'
        )
    variables = [row.environment(place, gang) for place in places]
    named = {name: [one.get(name, "") for one in variables] for name in dict.fromkeys(name for one in variables for name in one)}
    return Program(
        tuple(_pattern(spec.node, gang, "its command", words, escape=False) for words in zip(*commands, strict=True)),
        {name: _pattern(spec.node, gang, name, values) for name, values in named.items()},
    )


def _pattern(node: str, gang: Gang, name: str, values: Sequence[str], *, escape: bool = True) -> str:
    """One text for all replicas, with the replica's number where they differ by it."""
    if len(set(values)) == 1:
        return values[0].replace("$", "$$") if escape else values[0]
    parts = [_NUMBERS.split(value) for value in values]
    if len({len(one) for one in parts}) == 1:
        made: list[str] = []
        for tokens in zip(*parts, strict=True):
            if len(set(tokens)) == 1:
                made.append(tokens[0].replace("$", "$$"))
            elif list(tokens) == [str(number) for number in range(len(values))]:
                made.append(_REPLICA)
            else:
                break
        else:
            return "".join(made)
    hint = "leave `roles` out, or write the step in Python" if gang.roles else "write the step in Python"
    raise UnsupportedError(
        f"{node}: {name} is not the same for all replicas of {gang.framework}, which a container's gang needs", hint=hint
    )


class GangPrograms:
    """Follows the pods of such gangs: their logs, and how their programs end."""

    def __init__(self, whole: KubernetesExecutor, gangs: Gangs) -> None:
        self._whole, self._gangs = whole, gangs
        self._stopped: set[str] = set()

    def see(self, gang: Gathered, pod: Replica, obj: Object) -> None:
        """Its program runs, or has ended."""
        if gang.tracked is None or pod.noted:
            return
        kind = f"log.{pod.index}"
        self._whole.programs.follow(gang.spec, obj, kind)
        over = pod.phase in ("Succeeded", "Failed")
        if over or programs.find_outcome(_of_replica(gang.spec, pod), obj, self._whole.artifacts, gang.tracked.since) is not None:
            pod.noted = True
            self._whole.begin(self._end(gang, pod, obj, kind))

    async def _end(self, gang: Gathered, pod: Replica, obj: Object, kind: str) -> None:
        since = gang.tracked.since if gang.tracked else 0.0
        at = self._whole.clock()
        outcome: Outcome = await self._whole.programs.end(_of_replica(gang.spec, pod), obj, pod.events, since, kind)
        if outcome.status == "ended":
            self._gangs.end(gang.id, pod.index, pod.name, outcome, False)
        elif outcome.error is not None:
            self._gangs.fail(gang, pod, outcome.error, at)

    def settle(self, gang: Gathered) -> None:
        """Its outputs have come."""
        for pod in list(gang.pods.values()):
            if pod.obj is not None:
                self.see(gang, pod, pod.obj)

    def stop(self, gang: Gathered) -> None:
        """One has failed: the others' programs get SIGTERM, then SIGKILL."""
        if gang.id in self._stopped:
            return
        self._stopped.add(gang.id)
        for pod in gang.pods.values():
            if not pod.noted:
                self._whole.begin(self._kill(pod))

    def forget(self, gang: Gathered) -> None:
        """It has its outcome."""
        self._stopped.discard(gang.id)

    async def _kill(self, pod: Replica) -> None:
        await self._whole.client.delete("Pod", pod.name, grace_s=max(1, round(self._whole.settings.target.grace_s)), uid=pod.uid)


def _of_replica(spec: AttemptSpec, pod: Replica) -> AttemptSpec:
    """Only the first has outputs."""
    return replace(spec, step=replace(spec.step, outputs=())) if pod.index else spec
