"""JAX: variables from which `jax.distributed.initialize()` finds everything without an argument.

JAX reads the coordinator's address from a variable of its own, but how many processes there are, and which one this is, only from those of
a cluster that it knows. So every rank is told what Slurm would tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.plain import Plain


class Jax:
    """`jax.distributed.initialize()` needs no argument; afterwards `jax.devices()` are those of all ranks."""

    name = "jax"
    title = "JAX"
    style = "ranks"
    source = "https://docs.jax.dev/en/latest/_autosummary/jax.distributed.initialize.html"
    options: Mapping[str, str] = {}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank. Rank 0 listens at the coordinator's address."""
        variables = {
            **Plain().environment(place, gang),
            "JAX_COORDINATOR_ADDRESS": place.endpoint(),
            "JAX_COORDINATOR_PORT": str(place.ports[0][0]),
            "SLURM_JOB_ID": str(place.ports[0][0]),  # a number is all that is asked
            "SLURM_STEP_NODELIST": place.hosts[0],
            "SLURM_STEP_NUM_NODES": str(place.replicas),
            "SLURM_NTASKS": str(place.world_size),
            "SLURM_PROCID": str(place.rank),
            "SLURM_LOCALID": str(place.local_rank),
        }
        if place.on_one_machine:
            variables["JAX_COORDINATOR_BIND_ADDRESS"] = place.endpoint()  # else everybody could reach it
        if place.devices:
            first = place.local_rank * place.devices
            variables["JAX_LOCAL_DEVICE_IDS"] = ",".join(str(number) for number in range(first, first + place.devices))
        return variables

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The hostfile that every row gives."""
        return Plain().files(place, gang)

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """As it is: every rank runs it."""
        return argv
