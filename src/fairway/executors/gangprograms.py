"""Gangs of container steps: programs in images that know nothing of Fairway. Who each one is stands in the variables of its pod."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairway.errors import UnsupportedError
from fairway.executors import programs
from fairway.executors.gathered import Gathered, Replica
from fairway.kube.gangs import KEY, TOLD, Program
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import Gang, World
from fairway.spec.outcome import Outcome
from fairway.spec.record import replace
from fairway.step.gangpod import program_places

if TYPE_CHECKING:
    from fairway.executors.gangs import Gangs
    from fairway.executors.kubernetes import KubernetesExecutor

Object = dict[str, Any]
_WORD = "FAIRWAY_WORD_{}"


def program_of(spec: AttemptSpec, argv: Sequence[str]) -> Program:
    """What each replica runs, as one pattern for all of them: a word of the command line that depends on who it is, is a variable as well.
    Raises UnsupportedError where they differ in more than that."""
    gang = spec.step.gang
    lines = _command_lines(spec, argv, gang.replicas)
    if any(len(one) != len(lines[0]) for one in lines):
        title = _row(gang).title
        raise UnsupportedError(
            f"{spec.node}: {title} starts its ranks itself, which containers in a cluster cannot",
            hint='use fw.command(…, env=fw.env(image="…")), whose image needs Python, too; or write framework="plain" and meet without it',
        )
    differing = _differing(spec, argv)
    words = [f"$({_WORD.format(number)})" if number in differing else word for number, word in enumerate(lines[0])]
    return Program(tuple(words), tuple(dict.fromkeys(name for one in tell(spec, argv, gang.replicas) for name in one)))


def tell(spec: AttemptSpec, argv: Sequence[str], count: int) -> list[dict[str, str]]:
    """The variables of each replica's program where `count` of them have met."""
    gang = spec.step.gang
    row, firsts = _row(gang), program_places(spec, count)[:: gang.processes]
    lines, differing = _command_lines(spec, argv, count), _differing(spec, argv)
    return [
        {**row.environment(place, gang), **{_WORD.format(number): line[number] for number in differing}}
        for place, line in zip(firsts, lines, strict=True)
    ]


def _command_lines(spec: AttemptSpec, argv: Sequence[str], count: int) -> list[list[str]]:
    gang = spec.step.gang
    row, places = _row(gang), program_places(spec, count)
    if any(place.local_rank and row.command(place, gang, argv) for place in places):
        raise UnsupportedError(
            f"{spec.node}: a container runs one program, and {gang.processes} ranks were asked for",
            hint="leave `processes` out and ask for more replicas, or run a launcher such as torchrun, which starts them",
        )
    return [list(row.command(place, gang, argv)) for place in places if not place.local_rank]


def _differing(spec: AttemptSpec, argv: Sequence[str]) -> list[int]:
    """Which words of the command line are not the same for all replicas, however many there are."""
    gang = spec.step.gang
    lines = [line for count in {gang.replicas, gang.fewest} for line in _command_lines(spec, argv, count)]
    return [number for number, words in enumerate(zip(*lines, strict=False)) if len(set(words)) > 1]


def _row(gang: Gang) -> Any:
    return import_module("fairway.train.frameworks").get_framework(gang.framework)


class GangPrograms:
    """Follows the pods of such gangs: their logs, and how their programs end."""

    def __init__(self, whole: KubernetesExecutor, gangs: Gangs) -> None:
        self._whole, self._gangs = whole, gangs
        self._stopped: set[str] = set()
        self._told: dict[str, list[dict[str, str]]] = {}

    async def introduce(self, gang: Gathered, pod: str, world: World) -> None:
        """Write on a pod what its program is to be told, before `fetch` hears that it may begin."""
        spec = gang.spec
        if gang.id not in self._told:
            self._told[gang.id] = tell(spec, programs.argv_of(spec, self._whole.artifacts), len(world.hosts))
        said = {**self._told[gang.id][world.replica], KEY: world.key}
        notes = {f"{TOLD}/{name}": value for name, value in said.items()}
        await self._whole.client.patch("Pod", pod, {"metadata": {"annotations": notes}})

    def see(self, gang: Gathered, pod: Replica, obj: Object) -> None:
        """Its program runs, or has ended."""
        if gang.tracked is None or pod.noted:
            return
        kind = f"log.{_rank(gang, pod)}"
        self._whole.programs.follow(gang.spec, obj, kind)
        over = pod.phase in ("Succeeded", "Failed")
        if over or programs.find_outcome(_of_replica(gang, pod), obj, self._whole.artifacts, gang.tracked.since) is not None:
            pod.noted = True
            self._whole.begin(self._end(gang, pod, obj, kind))

    async def _end(self, gang: Gathered, pod: Replica, obj: Object, kind: str) -> None:
        since = gang.tracked.since if gang.tracked else 0.0
        at = self._whole.clock()
        outcome: Outcome = await self._whole.programs.end(_of_replica(gang, pod), obj, pod.events, since, kind)
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
        self._told.pop(gang.id, None)

    async def _kill(self, pod: Replica) -> None:
        await self._whole.client.delete("Pod", pod.name, grace_s=max(1, round(self._whole.settings.target.grace_s)), uid=pod.uid)


def _rank(gang: Gathered, pod: Replica) -> int:
    """The first rank of those that the pod runs; before they have met, as if all were to come."""
    met = gang.meeting.met
    place = met.replicas.index(pod.index) if met is not None and pod.index in met.replicas else pod.index
    return place * gang.spec.step.gang.processes


def _of_replica(gang: Gathered, pod: Replica) -> AttemptSpec:
    """Only the first has outputs."""
    spec = gang.spec
    return replace(spec, step=replace(spec.step, outputs=())) if _rank(gang, pod) else spec
