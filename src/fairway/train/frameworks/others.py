"""Frameworks whose programs are told where they stand by variables and files alone: MXNet, Julia, Caffe, CNTK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place, Service
from fairway.train.frameworks.plain import Plain, machines

MACHINEFILE = "machinefile"


class MXNet(Plain):
    """MXNet's parameter server (ps-lite): a scheduler, servers, workers.

    With roles ({"worker": 2, "server": 1, "scheduler": 1}) every role is a rank. Without, all ranks are workers, a server runs beside each
    of them and the scheduler beside rank 0; the option `server` is their command line.
    """

    name = "mxnet"
    title = "MXNet"
    source = "https://mxnet.apache.org/versions/1.9.1/api/faq/distributed_training"
    options: Mapping[str, str] = {"server": "without roles: the command line of servers and scheduler (python -c 'import mxnet')"}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank. The first scheduler (or rank 0) is where all of them meet."""
        named = "scheduler" in place.roles
        root = place.roles.index("scheduler") if named else 0
        found = {
            **super().environment(place, gang),
            "DMLC_ROLE": place.role if named else "worker",
            "DMLC_PS_ROOT_URI": place.hosts[root],
            "DMLC_PS_ROOT_PORT": str(place.ports[root][0]),
            "DMLC_NUM_SERVER": str(place.roles.count("server") if named else place.world_size),
            "DMLC_NUM_WORKER": str(place.roles.count("worker") if named else place.world_size),
            "DMLC_NODE_HOST": place.hosts[place.rank],
        }
        if found["DMLC_ROLE"] == "worker":
            found["DMLC_WORKER_ID"] = str(place.role_rank if named else place.rank)
        return found

    def serves(self, place: Place, gang: Gang) -> bool:
        """Servers and the scheduler are ended when all workers have."""
        return place.role in ("scheduler", "server")

    def check(self, gang: Gang) -> str:
        """Roles are MXNet's, with one scheduler and at least one of the others; the first rank is a worker."""
        roles = gang.roles
        if roles and (set(roles) != {"scheduler", "server", "worker"} or roles["scheduler"] != 1):
            return 'its roles are {"worker": 2, "server": 1, "scheduler": 1}, or none'
        if roles and next(iter(roles)) != "worker":
            return "the first role must be worker: the result of rank 0 is the step's, and the others never end by themselves"
        return ""

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """Servers and the scheduler, where roles do not say who is one."""
        if "scheduler" in place.roles:
            return ()
        given = gang.options.get("server", ("python", "-c", "import mxnet"))
        argv = tuple(given.split()) if isinstance(given, str) else tuple(str(word) for word in given)
        scheduler = () if place.rank else (Service("MXNet scheduler", argv, {"DMLC_ROLE": "scheduler"}),)
        return (*scheduler, Service("MXNet server", argv, {"DMLC_ROLE": "server"}))


class Julia(Plain):
    """Julia's `Distributed`: rank 0 runs the step, its workers are processes that Julia itself starts: here where all ranks are on one
    machine, by ssh elsewhere. MPI.jl goes with framework "mpi", which needs no ssh."""

    name = "julia"
    title = "Julia"
    style = "client"
    source = "https://docs.julialang.org/en/v1/stdlib/Distributed/"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank, with the machine file's path and how many threads each process has."""
        found = {**super().environment(place, gang), "JULIA_NUM_THREADS": str(place.cpus)}
        return {**found, "FAIRWAY_MACHINEFILE": f"{place.folder}/{MACHINEFILE}"} if place.folder else found

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The machine file: "COUNT*HOST", a line for each machine."""
        return {**super().files(place, gang), MACHINEFILE: "".join(f"{count}*{host}\n" for host, count in machines(place))}

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """`julia` with its workers; any other program as it is; () for other ranks than 0."""
        if place.rank:
            return ()
        if not argv or argv[0].rpartition("/")[2] != "julia":
            return argv
        workers = ("-p", str(place.world_size)) if place.on_one_machine else ("--machine-file", f"{place.folder}/{MACHINEFILE}")
        return (argv[0], *workers, *argv[1:])


class Caffe(Plain):
    """Caffe in its image: plain variables and the hostfile; a build with MPI goes with framework "mpi"."""

    name = "caffe"
    title = "Caffe"
    source = "https://caffe.berkeleyvision.org/"


class CNTK(Plain):
    """CNTK in its image: plain variables and the hostfile; its parallel SGD, which asks MPI, goes with framework "mpi"."""

    name = "cntk"
    title = "CNTK"
    source = "https://learn.microsoft.com/cognitive-toolkit/multiple-gpus-and-machines"
