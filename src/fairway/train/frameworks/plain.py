"""Any program: rank, world size and addresses in plain variables, which every other row gives as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place


class Plain:
    """FAIRWAY_RANK, FAIRWAY_WORLD_SIZE and what else a `Place` says; RANK, WORLD_SIZE and the two local ones as most programs read them."""

    name = "plain"
    title = "any program"

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank."""
        return {
            "FAIRWAY_RANK": str(place.rank),
            "FAIRWAY_WORLD_SIZE": str(place.world_size),
            "FAIRWAY_LOCAL_RANK": str(place.local_rank),
            "FAIRWAY_LOCAL_WORLD_SIZE": str(place.local_world_size),
            "FAIRWAY_REPLICA": str(place.replica),
            "FAIRWAY_REPLICAS": str(place.replicas),
            "FAIRWAY_ROLE": place.role,
            "FAIRWAY_HOSTS": ",".join(place.hosts),
            "FAIRWAY_ENDPOINTS": ",".join(f"{host}:{ports[0]}" for host, ports in zip(place.hosts, place.ports, strict=True)),
            "RANK": str(place.rank),
            "WORLD_SIZE": str(place.world_size),
            "LOCAL_RANK": str(place.local_rank),
            "LOCAL_WORLD_SIZE": str(place.local_world_size),
        }

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """The command line of one rank of a command step; () if this rank starts none."""
        return argv
