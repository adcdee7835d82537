"""PyTorch: the variables that torchrun sets, so that `torch.distributed.init_process_group()` needs no argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks import torchwaits
from fairway.train.frameworks.launchers import first_of_replica, runs_module
from fairway.train.frameworks.plain import Plain

_SOCKETS = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME")


class Torch:
    """Every process is a rank, as under torchrun; a command that is itself `torchrun SCRIPT` is started once a replica, and finds its own
    arguments (nodes, processes of each, c10d rendezvous) in PET_ variables."""

    name = "torch"
    title = "PyTorch"
    style = "ranks"
    ahead = ("torch", "torch._dynamo")  # a second of every rank's first DistributedDataParallel, and all that loads late
    source = "https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables"
    alone = (
        "has called a collective of PyTorch: each seems to have worked alone, with all the data it was given. To train together, all call "
        'torch.distributed.init_process_group(), or have their trainer do so: L.Trainer(strategy="ddp", num_nodes=REPLICAS), and on CPUs '
        "TrainingArguments(use_cpu=True)"
    )
    options: Mapping[str, str] = {
        "backend": 'what `init_process_group()` takes where it is not told ("gloo", "nccl", "mpi"): else gloo for CPUs, nccl for GPUs',
        "rdzv": 'how several `torchrun` meet: "static" (the default), or "c10d", which is elastic and gives rank 0 to any replica',
        "interface": 'the network interface for all traffic between ranks ("eth0"); on one machine it is the loopback anyway',
    }

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank. Rank 0 listens at MASTER_ADDR:MASTER_PORT."""
        variables = {
            **Plain().environment(place, gang),
            "GROUP_RANK": str(place.replica),
            "GROUP_WORLD_SIZE": str(place.replicas),
            "ROLE_RANK": str(place.role_rank),
            "ROLE_WORLD_SIZE": str(place.roles.count(place.role) or place.world_size),
            "MASTER_ADDR": place.hosts[0],
            "MASTER_PORT": str(place.ports[0][0]),
            "OMP_NUM_THREADS": str(place.cpus),
            "TORCHELASTIC_RUN_ID": place.attempt,
            "TORCHELASTIC_RESTART_COUNT": str(place.n - 1),
            "TORCHELASTIC_MAX_RESTARTS": str(gang.restarts),
            **_of_torchrun(place, gang),
        }
        interface = gang.options.get("interface") or ("lo0" if sys.platform == "darwin" else "lo") * place.on_one_machine
        if interface:
            variables.update(dict.fromkeys(_SOCKETS, str(interface)))
        if "backend" in gang.options:
            variables["FAIRWAY_BACKEND"] = str(gang.options["backend"])
        return variables

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The hostfile that every row gives."""
        return Plain().files(place, gang)

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """Every rank runs it; of `torchrun` one in each replica, which starts the ranks."""
        launcher = argv and (argv[0].rpartition("/")[2] == "torchrun" or runs_module(argv, "torch.distributed.run"))
        return first_of_replica(place, argv) if launcher else argv

    def check(self, gang: Gang) -> str:
        """What is wrong with the options, "" if nothing is."""
        rdzv = gang.options.get("rdzv", "static")
        return "" if rdzv in ("static", "c10d") else f'rdzv is "static" or "c10d", not {rdzv!r}'

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """Threads as many as the rank has cores, and the backend that was asked for; a group that is left open is closed. What it
        waits for other ranks is counted, and whether it has heard of them."""
        torchwaits.watch()
        torch: Any = sys.modules.get("torch")
        if torch is not None:  # imported before this process was told OMP_NUM_THREADS
            torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", place.cpus)))
        if "backend" in gang.options:
            import torch.distributed as asked  # pyright: ignore[reportMissingImports]

            devices = asked.Backend.default_device_backend_map
            devices.update(dict.fromkeys(("cpu", "cuda"), str(gang.options["backend"])))
        yield
        distributed: Any = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()


def _of_torchrun(place: Place, gang: Gang) -> dict[str, str]:
    """What `torchrun` takes for its arguments where they are not given: a static rendezvous, in which replica 0 has rank 0, or c10d, in
    which launchers may leave and come back, and agree on their order by themselves."""
    elastic = gang.options.get("rdzv") == "c10d"
    shrinks = elastic and 0 < gang.min_replicas < place.replicas
    return {
        "PET_NNODES": f"{gang.min_replicas}:{place.replicas}" if shrinks else str(place.replicas),
        "PET_NPROC_PER_NODE": str(gang.processes),
        "PET_MAX_RESTARTS": str(gang.restarts if elastic else 0),
        "PET_RDZV_BACKEND": "c10d" if elastic else "static",
        "PET_RDZV_ENDPOINT": place.endpoint(0, 1),
        "PET_RDZV_ID": place.attempt or "gang",
        **({"PET_RDZV_CONF": f"is_host={'true' if place.replica == 0 else 'false'}"} if elastic else {"PET_NODE_RANK": str(place.replica)}),
        "PET_LOCAL_ADDR": place.hosts[place.rank],
    }
