"""Ray: a head and a node for every rank, for the length of the step; `ray.init()` in the step finds it without arguments."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from fairway.spec.gang import Gang, Place, Service
from fairway.train.frameworks.plain import Plain

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}


class Ray(Plain):
    """Rank 0 runs the step; its tasks and actors run on the nodes of all ranks."""

    name = "ray"
    title = "Ray"
    style = "client"
    source = "https://docs.ray.io/en/latest/cluster/cli.html"
    options: Mapping[str, str] = {
        "dashboard": 'where Ray shows its own page ("127.0.0.1:8265"); without it, nowhere',
        "object_store": "bytes of shared memory for objects, of each node (268435456)",
    }

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: where the head is. Usage statistics are never sent."""
        return {**super().environment(place, gang), "RAY_ADDRESS": place.endpoint(), **QUIET}

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """One Ray node beside every rank; that of rank 0 is the head."""
        port, here = str(place.ports[0][0]), place.hosts[place.rank]
        page = str(gang.options.get("dashboard", ""))
        store = int(gang.options.get("object_store", 256 << 20))
        told = ("--node-ip-address", here, "--num-cpus", str(place.cpus), "--object-store-memory", str(store), "--disable-usage-stats")
        run = ("python", "-m", "fairway.train.beside.raynode")
        if place.rank == 0:
            host, _, at = page.rpartition(":")
            shown = ("--include-dashboard", "true", "--dashboard-host", host or "127.0.0.1", "--dashboard-port", at) if page else (
                "--include-dashboard", "false")  # fmt: skip
            return (Service("Ray head", (*run, "--head", "--port", port, *told, *shown), dict(QUIET), ready=place.endpoint()),)
        return (Service("Ray node", (*run, "--address", place.endpoint(), *told), dict(QUIET), after=place.endpoint()),)

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """What the step has opened is closed after it. The step calls `ray.init()` itself: Ray refuses a second call."""
        import sys

        try:
            yield
        finally:
            used = sys.modules.get("ray")
            if used is not None and used.is_initialized():
                used.shutdown()
