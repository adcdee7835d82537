"""A gang: the processes that train together. What is asked for (`Gang`), who came (`World`), where each process stands (`Place`).

A gang is one attempt of one task. It has `replicas` (a pod each on a cluster, all of them on this machine on a laptop), and each replica
runs `processes`; ranks count processes, replica by replica. What a step asks for (cores, memory, devices) is asked for by every replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any

from fairway.spec.record import Record, field, record

LOOPBACK = "127.0.0.1"
PORTS_EACH = 2
"""Free ports that are kept for every process of a gang."""


@record
class Gang(Record):
    """What is asked for. `replicas` 0: no gang, a plain step.

    `framework`: the row of the rendezvous table (`fairway.train.frameworks`). `processes`: of each replica (torchrun's nproc_per_node).
    `min_replicas`: with how many it may start where not all can be had (0: all or none). `roles`: how many replicas are of which role, in
    order ({"chief": 1, "ps": 1, "worker": 2}); empty where all are alike. `restarts`: how often a gang that lost a process starts again
    from its newest checkpoint. `stall_timeout_s`: ended, with every rank's stack kept, when no rank has reported progress for so long
    (0: never). `start_timeout_s`: how long those that are there wait for the others before all is given back. `options`: the framework's
    own ({"backend": "gloo"}).
    """

    replicas: int = 0
    framework: str = "plain"
    processes: int = 1
    min_replicas: int = 0
    roles: dict[str, int] = field(default_factory=dict)
    restarts: int = 3
    stall_timeout_s: float = 0.0
    start_timeout_s: float = 600.0
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def fewest(self) -> int:
        """With how many replicas it may start."""
        return self.min_replicas or self.replicas


@record
class World(Record):
    """Who takes part in one attempt: known when all have reported, and the same for each of them, but for `replica`, which says which one
    this machine is (-1: it is all of them, as on a laptop).

    `hosts`: an address of each replica. `ports`: free ports of each replica, PORTS_EACH for every process. `key`: a secret that only this
    gang knows, never empty in a gang that runs (who has it may run programs in it). `devices`: numbers of accelerators by replica, where
    several replicas share a machine.
    """

    hosts: tuple[str, ...]
    ports: tuple[tuple[int, ...], ...]
    replica: int = -1
    key: str = ""
    devices: tuple[tuple[int, ...], ...] = ()


@record
class Place(Record):
    """Where one process of a gang stands. `local_rank` counts the processes of its replica; `role_rank` those of its role; `attempt` is
    the attempt's id, `n` the try. `hosts` and `ports` are by rank: `ports[rank]` are that process's own. `cpus`: whole cores that the
    process may use; `devices`: accelerators that it may. `folder`: where its leader writes the files of the framework's row, absolute and
    the same for the places of one replica."""

    rank: int
    world_size: int
    local_rank: int = 0
    local_world_size: int = 1
    replica: int = 0
    replicas: int = 1
    role: str = ""
    role_rank: int = 0
    hosts: tuple[str, ...] = (LOOPBACK,)
    ports: tuple[tuple[int, ...], ...] = ((0, 0),)
    attempt: str = ""
    n: int = 1
    key: str = ""
    roles: tuple[str, ...] = ()
    cpus: int = 1
    folder: str = ""
    devices: int = 0

    def endpoint(self, rank: int = 0, which: int = 0) -> str:
        """HOST:PORT of a rank, as a URL writes it: the address of IPv6 in brackets."""
        return join_address(self.hosts[rank], self.ports[rank][which])

    @property
    def on_one_machine(self) -> bool:
        """All ranks are on this machine, and talk over its loopback."""
        return set(self.hosts) <= {LOOPBACK, "::1", "localhost"}


@record
class Service(Record):
    """A program that runs beside the ranks of a place: a tracker, a scheduler, a worker.

    The leader starts it before the ranks of its replica and ends it (SIGTERM, then SIGKILL, its whole process group) after them. `argv[0]`
    "python" is the step's interpreter; the bundle's folder and Fairway itself are on its PYTHONPATH, so that it can read what the step
    pickles; `environment` comes on top of the variables that the place's rank gets. `after`: "HOST:PORT" that must accept connections
    before it is started; `ready`: one that must before the ranks are ("" = at once). One that ends with a status other than 0 while ranks
    run ends the gang: it failed first. What it prints goes into the stream of the place's rank.
    """

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    ready: str = ""
    after: str = ""


def places_of(gang: Gang, world: World, attempt: str = "", n: int = 1, *, cpus: int = 1, folder: str = "", devices: int = 0) -> list[Place]:
    """One for each process of the gang, by rank. Pure. `cpus` and `devices` are those of one process."""
    replicas, each = len(world.hosts), gang.processes
    hosts = tuple(host for host in world.hosts for _ in range(each))
    ports = tuple(tuple(ports[local * PORTS_EACH : (local + 1) * PORTS_EACH]) for ports in world.ports for local in range(each))
    roles = roles_of(gang, replicas)
    seen: dict[str, int] = {}
    found: list[Place] = []
    for rank in range(replicas * each):
        replica, local = divmod(rank, each)
        role = roles[replica]
        found.append(
            Place(
                rank, replicas * each, local, each, replica, replicas, role, seen.get(role, 0), hosts, ports, attempt, n, world.key,
                tuple(roles[number // each] for number in range(replicas * each)), cpus, folder, devices,
            )
        )  # fmt: skip
        seen[role] = seen.get(role, 0) + 1
    return found


def here(places: list[Place], world: World) -> list[Place]:
    """Those that this machine runs."""
    return [place for place in places if world.replica in (-1, place.replica)]


def join_address(host: str, port: int) -> str:
    """HOST:PORT, the address of IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def mean_of(tables: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """A gang's metrics: of each the mean over those ranks that have it. Pure."""
    found: dict[str, list[float]] = {}
    for table in tables:
        for name, value in table.items():
            found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else fsum(values) / len(values) for name, values in found.items()}


def roles_of(gang: Gang, replicas: int) -> list[str]:
    """The role of each replica. A gang that has become smaller lacks the last ones."""
    named = [role for role, count in gang.roles.items() for _ in range(count)]
    return (named + [""] * replicas)[:replicas]
