"""MPI: `mpirun` starts the ranks. On other machines it starts them through an agent of ours, so that nobody needs ssh."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fairway.errors import ConfigError
from fairway.spec.gang import Gang, Place, Service
from fairway.train.frameworks.plain import HOSTFILE, Plain

_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
_LAUNCHERS = ("mpirun", "mpiexec", "orterun", "prterun")
_COUNTS = ("-n", "-np", "--np", "-c")
_HERE = {
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "^tcp,openib,ofi",
    "OMPI_MCA_oob_tcp_if_include": "lo",
    "PRTE_MCA_oob_tcp_if_include": "lo",
}
"""Ranks of one machine talk by its memory, and listen nowhere."""
_QUIET = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_ALLOW_RUN_AS_ROOT": "1",
    "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "OMPI_MCA_btl_base_warn_component_unused": "0",
    "OMPI_MCA_orte_base_help_aggregate": "1",
    "OMPI_MCA_orte_tag_output": "1",
}
"""A container is root, has fewer cores than ranks now and then, may not read another process's memory, and has no InfiniBand."""
_HOROVODS = ("horovod.torch", "horovod.tensorflow", "horovod.mxnet")
_AGENT = "python -m fairway.train.beside.mpi rsh"


class Mpi(Plain):
    """The leader of rank 0 calls `mpirun`, which starts all ranks. Tried with Open MPI 4.1."""

    name = "mpi"
    title = "MPI"
    style = "launcher"
    source = "https://www.open-mpi.org/faq/?category=rsh"
    tag = r"\[\d+,(?P<rank>\d+)\]<std(?:out|err|diag)>:"
    options: Mapping[str, str] = {"mpirun": 'the launcher, and words for it ("mpirun --report-bindings")'}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of the launcher and, by it, of every rank: an `mpirun` inside the step's own program works as well."""
        found = {
            "FAIRWAY_WORLD_SIZE": str(place.world_size),
            "FAIRWAY_HOSTS": ",".join(place.hosts),
            "FAIRWAY_HOSTFILE": f"{place.folder}/{HOSTFILE}",
            "OMPI_MCA_orte_default_hostfile": f"{place.folder}/{HOSTFILE}",
            "PRTE_MCA_prte_default_hostfile": f"{place.folder}/{HOSTFILE}",
            **_QUIET,
        }
        if place.on_one_machine:
            return {**found, **_HERE}
        # SHELL: mpirun asks which one a pod's user has, who is in no list of users
        agents = {host: place.endpoint(rank, 1) for rank, host in reversed(list(enumerate(place.hosts)))}
        return {
            **found,
            "OMPI_MCA_plm_rsh_agent": _AGENT,
            "OMPI_MCA_plm_rsh_no_tree_spawn": "1",
            "OMPI_MCA_orte_leave_session_attached": "1",
            "PRTE_MCA_plm_ssh_agent": _AGENT,
            "PRTE_MCA_plm_ssh_no_tree_spawn": "1",
            "SHELL": "/bin/sh",
            "FAIRWAY_MPI_AGENTS": ",".join(f"{host}={agent}" for host, agent in sorted(agents.items())),
            "FAIRWAY_GANG_KEY": place.key,
        }

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """The agent, on every machine but that of the launcher."""
        if place.hosts[place.rank] == place.hosts[0] or place.local_rank or place.on_one_machine:
            return ()
        argv = ("python", "-m", "fairway.train.beside.mpi", "serve", place.hosts[place.rank], str(place.ports[place.rank][1]))
        return (Service("MPI agent", argv, {"FAIRWAY_GANG_KEY": place.key}),)

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """`mpirun` with the hostfile, by the leader of rank 0. Who has written `mpirun` means this one."""
        if place.rank:
            return ()
        launcher = gang.options.get("mpirun", "mpirun")
        words = launcher.split() if isinstance(launcher, str) else [str(word) for word in launcher]
        if argv and argv[0].rpartition("/")[2] in _LAUNCHERS:
            words, argv = [argv[0]], argv[1:]
        count = () if argv and argv[0] in _COUNTS else ("-np", str(place.world_size))
        return (*words, *count, "--hostfile", f"{place.folder}/{HOSTFILE}", *argv)

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """A rank that has done its work takes its leave of the others; mpirun ends all when one goes without (so it is where it fails)."""
        yield
        mpi: Any = sys.modules.get("mpi4py.MPI")
        if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
            mpi.Finalize()

    def place_from_environment(self, environ: Mapping[str, str], places: Sequence[Place]) -> Place:
        """By the rank that MPI has given this process. Raises ConfigError."""
        told = next((environ[name] for name in _RANKS if environ.get(name, "").isdigit()), "")
        if not told or int(told) >= len(places):
            raise ConfigError(
                "this process was not started by mpirun" if not told else f"mpirun says rank {told} of {len(places)}",
                hint=f"a launcher has to set one of {', '.join(_RANKS)}",
            )
        return places[int(told)]


class Horovod(Mpi):
    """`mpirun` in place of `horovodrun`, which needs ssh."""

    name = "horovod"
    title = "Horovod"
    source = "https://horovod.readthedocs.io/en/stable/mpi_include.html"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """MPI's variables, and that Horovod takes its controller from MPI."""
        return {**super().environment(place, gang), "HOROVOD_CONTROLLER": "mpi", "HOROVOD_CPU_OPERATIONS": "mpi"}

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """Horovod is shut down, and with it the MPI that it has begun."""
        with super().around(place, gang):
            yield
            for name in [name for name in sys.modules if name in _HOROVODS]:
                sys.modules[name].shutdown()
