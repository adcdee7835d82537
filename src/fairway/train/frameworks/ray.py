"""Ray: a cluster of the machines of all ranks, for the length of the step; `ray.init()` in the step finds it without arguments."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fairway.spec.gang import Gang, Place, Service
from fairway.train.beside.doors import wait_at
from fairway.train.frameworks.plain import Plain

_COME_S = 120.0
_SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
# All nodes are there before anybody asks; on a busy machine the answer may take longer than the five seconds that Ray waits by itself.
_PATIENT = {"RAY_gcs_rpc_server_connect_timeout_s": "60", "RAY_py_gcs_connect_timeout_s": "60"}


class Ray(Plain):
    """Rank 0 runs the step; its tasks and actors run on the machines of all ranks."""

    name = "ray"
    title = "Ray"
    style = "client"
    source = "https://docs.ray.io/en/latest/cluster/cli.html"
    options: Mapping[str, str] = {
        "dashboard": 'where Ray shows its own page ("127.0.0.1:8265"); without it, nowhere',
        "object_store": "bytes of shared memory for objects, on each machine (268435456)",
    }

    def environment(self, place: Place, gang: Gang) -> Mapping[str, str]:
        """Variables of one rank: where the head is. Usage statistics are never sent."""
        return {**super().environment(place, gang), "RAY_ADDRESS": place.endpoint(), **_variables(place)}

    def services(self, place: Place, gang: Gang) -> Sequence[Service]:
        """One Ray node on every machine; that of rank 0 is the head."""
        if not _has_node(place, place.rank):
            return ()
        here = place.hosts[place.rank]
        cpus = str(place.cpus * place.hosts.count(here))
        store = str(int(gang.options.get("object_store", 256 << 20)))
        told = ("--node-ip-address", here, "--num-cpus", cpus, "--object-store-memory", store, "--disable-usage-stats")
        run = ("python", "-m", "fairway.train.beside.raynode", here, str(place.ports[place.rank][1]))
        if place.rank:
            return (Service("Ray node", (*run, "--address", place.endpoint(), *told), after=place.endpoint()),)
        page = str(gang.options.get("dashboard", ""))
        host, _, port = page.rpartition(":")
        shown = ("--dashboard-host", host or "127.0.0.1", "--dashboard-port", port) if page else ()
        told += ("--port", str(place.ports[0][0]), "--include-dashboard", "true" if page else "false", *shown)
        return (Service("Ray head", (*run, "--head", *told)),)

    @contextmanager
    def around(self, place: Place, gang: Gang) -> Generator[None]:
        """All nodes have come. The step calls `ray.init()` itself, for Ray refuses a second call; what it has opened is closed after it."""
        for rank, host in enumerate(place.hosts):
            if _has_node(place, rank):
                wait_at(host, place.ports[rank][1], "Ray node", _COME_S)
        try:
            yield
        finally:
            used: Any = sys.modules.get("ray")
            if used is not None and used.is_initialized():
                used.shutdown()


def _has_node(place: Place, rank: int) -> bool:
    """Ray wants one node on a machine."""
    return place.hosts.index(place.hosts[rank]) == rank


def _variables(place: Place) -> dict[str, str]:
    """No statistics are sent; who knows the gang's key may use its cluster, and nobody else, whatever keys this user has for others; on
    one machine Ray keeps to the loopback, as it does by itself on macOS."""
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": place.key} if place.key else {"RAY_AUTH_MODE": "disabled"}
    return {**_SILENT, **_PATIENT, **key, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0" if place.on_one_machine else "1"}
