"""Any program: rank, world size and addresses in plain variables and in a hostfile, which every other row gives as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.spec.gang import Gang, Place

HOSTFILE = "hostfile"


class Plain:
    """FAIRWAY_RANK, FAIRWAY_WORLD_SIZE and what else a `Place` says; RANK, WORLD_SIZE and the two local ones as most programs read them."""

    name = "plain"
    title = "any program"
    style = "ranks"
    source = ""
    options: Mapping[str, str] = {}

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank."""
        found = {
            "FAIRWAY_RANK": str(place.rank),
            "FAIRWAY_WORLD_SIZE": str(place.world_size),
            "FAIRWAY_LOCAL_RANK": str(place.local_rank),
            "FAIRWAY_LOCAL_WORLD_SIZE": str(place.local_world_size),
            "FAIRWAY_REPLICA": str(place.replica),
            "FAIRWAY_REPLICAS": str(place.replicas),
            "FAIRWAY_ROLE": place.role,
            "FAIRWAY_HOSTS": ",".join(place.hosts),
            "FAIRWAY_ENDPOINTS": ",".join(endpoints(place)),
            "RANK": str(place.rank),
            "WORLD_SIZE": str(place.world_size),
            "LOCAL_RANK": str(place.local_rank),
            "LOCAL_WORLD_SIZE": str(place.local_world_size),
        }
        return {**found, "FAIRWAY_HOSTFILE": f"{place.folder}/{HOSTFILE}"} if place.folder else found

    def files(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """A line for each machine with how many ranks it runs, as MPI and many others read it."""
        return {HOSTFILE: "".join(f"{host} slots={count}\n" for host, count in machines(place))}

    def command(self, place: Place, gang: Gang, argv: Sequence[str]) -> Sequence[str]:
        """The command line of one rank of a command step; () if this rank starts none."""
        return argv


def endpoints(place: Place) -> list[str]:
    """HOST:PORT of each rank, by rank."""
    return [place.endpoint(rank) for rank in range(place.world_size)]


def machines(place: Place) -> list[tuple[str, int]]:
    """Each machine once, in the order of its first rank, with the number of ranks on it."""
    counts: dict[str, int] = {}
    for host in place.hosts:
        counts[host] = counts.get(host, 0) + 1
    return list(counts.items())
