"""Who takes part in a gang on this machine: places, ports that are free, variables, devices."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import LOOPBACK, PORTS_EACH, Gang, Place, World, places_of
from fairway.spec.record import replace
from fairway.step.gangreport import Folder

if TYPE_CHECKING:
    from fairway.spec.ports import Framework

_VISIBLE = (("nvidia", "CUDA_VISIBLE_DEVICES"), ("amd", "HIP_VISIBLE_DEVICES"))


def alone(gang: Gang) -> World:
    """The world of a gang whose replicas are all on this machine."""
    return with_ports(World((LOOPBACK,) * gang.replicas, ()), gang)


def with_ports(world: World, gang: Gang) -> World:
    """The world of one machine, with free ports and a key of its own where it has none."""
    return replace(world, ports=world.ports or _find_ports(len(world.hosts), gang), key=world.key or os.urandom(16).hex())


def _find_ports(replicas: int, gang: Gang) -> tuple[tuple[int, ...], ...]:
    from fairway.step.freeports import free_ports

    count = gang.processes * PORTS_EACH
    found = free_ports(count * replicas)
    return tuple(found[at : at + count] for at in range(0, len(found), count))


def places_for(spec: AttemptSpec, world: World, folder: Folder) -> list[Place]:
    """The places of an attempt's gang, by rank, as every process of it sees them."""
    each = spec.step.gang.processes
    cpus, devices = max(1, int(spec.resources.cpu / each)), sum(spec.resources.accelerators.values()) // each
    places = places_of(spec.step.gang, world, spec.id, spec.n, cpus=cpus, devices=devices)
    return [replace(place, folder=f"{folder.given}/{place.replica}") for place in places]


def variables_of(place: Place, spec: AttemptSpec, world: World, row: Framework) -> dict[str, str]:
    """What the process at `place` is told: the framework's variables, which of the machine's devices are its replica's, and, above all
    else, what the step itself sets. Who has set a number of threads around us keeps it, as under torchrun."""
    variables = {**row.environment(place, spec.step.gang), **spec.step.environment.variables}
    if "OMP_NUM_THREADS" in os.environ:
        variables["OMP_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
    if world.devices:
        kind = next((name for name, _ in _VISIBLE if any(each.startswith(name) for each in spec.resources.accelerators)), "")
        numbers = ",".join(map(str, world.devices[place.replica]))
        variables |= {variable: numbers for name, variable in _VISIBLE if name == kind}
    return variables
