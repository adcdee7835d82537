"""DeepSpeed: PyTorch's variables, those of its own launcher, and that launcher without ssh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.launchers import first_of_replica, with_arguments
from fairway.train.frameworks.plain import Plain
from fairway.train.frameworks.torch import Torch

HOSTS = "deepspeed-hosts"


class DeepSpeed:
    """`deepspeed.init_distributed()` and `deepspeed.initialize(…)` need no argument. A command that is itself `deepspeed SCRIPT` is started
    once a replica and told the rest; nobody needs ssh."""

    name = "deepspeed"
    title = "DeepSpeed"
    style = "ranks"
    source = "https://www.deepspeed.ai/getting-started/#launching-without-passwordless-ssh"
    alone = Torch.alone
    options: Mapping[str, str] = Torch.options

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank."""
        return {
            **Torch().environment(place, gang),
            "CROSS_RANK": str(place.replica),
            "CROSS_SIZE": str(place.replicas),
            "LOCAL_SIZE": str(place.local_world_size),
        }

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """The hostfile that every row gives, and the launcher's, in which replicas that share a machine must not have one name."""
        hosts = "".join(f"replica-{number} slots={gang.processes}\n" for number in range(place.replicas))
        return {**Plain().files(place, gang), HOSTS: hosts}

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """Every rank runs it; of `deepspeed` one in each replica, which starts the ranks."""
        if not argv or argv[0].rpartition("/")[2] != "deepspeed":
            return Torch().command(place, gang, argv)
        wanted = {
            "--no_ssh": "",
            "--hostfile": f"{place.folder}/{HOSTS}",
            "--node_rank": str(place.replica),
            "--master_addr": place.hosts[0],
            "--master_port": str(place.ports[0][0]),
        }
        return first_of_replica(place, with_arguments(argv, 1, wanted))

    def around(self, place: Place, gang: Gang) -> AbstractContextManager[None]:
        """As PyTorch."""
        return Torch().around(place, gang)

    def check(self, gang: Gang) -> str:
        """As PyTorch."""
        return Torch().check(gang)
