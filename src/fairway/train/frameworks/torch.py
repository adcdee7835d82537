"""PyTorch: the variables that torchrun sets, so that `torch.distributed.init_process_group()` needs no argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place
from fairway.train.frameworks.plain import Plain


class Torch:
    """See https://docs.pytorch.org/docs/stable/elastic/run.html#environment-variables."""

    name = "torch"
    title = "PyTorch"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank. Rank 0 listens at MASTER_ADDR:MASTER_PORT."""
        return {
            **Plain().environment(place, gang),
            "GROUP_RANK": str(place.replica),
            "GROUP_WORLD_SIZE": str(place.replicas),
            "ROLE_RANK": str(place.role_rank),
            "ROLE_WORLD_SIZE": str(place.roles.count(place.role)),
            "MASTER_ADDR": place.hosts[0],
            "MASTER_PORT": str(place.ports[0][0]),
            "TORCHELASTIC_RUN_ID": place.attempt,
            "TORCHELASTIC_RESTART_COUNT": str(place.n - 1),
        }

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """As it is: every rank runs it."""
        return argv
