"""A fleet and gateways in memory, for the keeper: replicas get ready when a test says so, news come from the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from fairway.errors import UnsupportedError
from fairway.serve.control.fleet import Replica
from fairway.serve.control.keeper import Keeper
from fairway.spec.endpoint import Endpoint, Revision
from fairway.spec.record import replace
from fairway.testing.memory import MemoryEndpointStore

DEADLINE_S = 60


class MemoryFleet:
    """See `serve.control.fleet.Fleet`."""

    def __init__(self) -> None:
        self.replicas: dict[str, Replica] = {}
        self.wanted: dict[tuple[str, int], int] = {}
        self.refuses = ""
        self.at_once = True
        self._made = 0
        self._news = asyncio.Event()

    async def apply(self, endpoint: Endpoint, revision: Revision, replicas: int) -> None:
        if self.refuses:
            raise UnsupportedError(self.refuses)
        key = (endpoint.name, revision.number)
        self.wanted[key] = replicas
        there = [one for one in self.replicas.values() if (one.endpoint, one.revision) == key and one.state != "draining"]
        for _ in range(replicas - len(there)):
            self._made += 1
            id = f"{endpoint.name}-{revision.number}-{self._made}"
            self.replicas[id] = Replica(id, *key, f"unix:/{id}.sock", "ready" if self.at_once else "starting", cold_start_s=0.5)
            self._news.set()
        for one in there[replicas:]:
            self.put(replace(one, state="draining"))

    def put(self, replica: Replica) -> None:
        self.replicas[replica.id] = replica
        self._news.set()

    def make_ready(self) -> None:
        for one in list(self.replicas.values()):
            if one.state == "starting":
                self.put(replace(one, state="ready"))

    def end_drained(self) -> None:
        for id in [id for id, one in self.replicas.items() if one.state == "draining"]:
            del self.replicas[id]
        self._news.set()

    async def observe(self) -> Sequence[Replica]:
        self._news.clear()
        return list(self.replicas.values())

    async def wait(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    async def remove(self, endpoint: str, revision: int = 0) -> None:
        for key in [key for key in self.wanted if key[0] == endpoint and revision in (0, key[1])]:
            del self.wanted[key]
        self.replicas = {id: one for id, one in self.replicas.items() if one.endpoint != endpoint or revision not in (0, one.revision)}
        self._news.set()

    async def logs(self, endpoint: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        return [f"{one.id}  ready" for one in self.replicas.values() if one.endpoint == endpoint][-lines:]

    def scales_itself(self, endpoint: Endpoint) -> bool:
        return False

    def scaled_by(self, endpoint: Endpoint) -> str:
        return "the moon" if endpoint.expose.get("with") == "moon" else ""

    def warm_bytes(self, endpoint: str) -> int:
        return 5_000_000

    async def close(self) -> None:
        """Nothing is open."""


class MemoryGateways:
    """See `serve.control.gatewaylink.Gateways`: keeps each table that it is given."""

    is_local = True
    inner = ""

    def __init__(self) -> None:
        self.tables: list[dict[str, Any]] = []
        self.tell: Callable[[str, dict[str, Any]], None] | None = None
        self.stopped = False

    async def start(self, tell: Callable[[str, dict[str, Any]], None]) -> None:
        self.tell = tell
        self.stopped = False
        tell("g1", {"table": -1})

    async def publish(self, endpoints: Sequence[Endpoint], table: bytes) -> None:
        self.tables.append(json.loads(table))

    async def look(self) -> None:
        """It is there."""

    def url(self, endpoint: Endpoint) -> str:
        return f"http://127.0.0.1:9/{endpoint.name}"

    def grpc(self, endpoint: Endpoint) -> str:
        return ""

    def unexposed(self, endpoint: Endpoint) -> str:
        return f"there is no host {host}" if (host := endpoint.expose.get("host")) else ""

    def explain(self) -> str:
        return ""

    async def stop(self) -> None:
        self.stopped = True

    async def close(self) -> None:
        """Nothing is open."""

    def row(self, name: str) -> dict[str, Any]:
        return self.tables[-1]["endpoints"].get(name, {}) if self.tables else {}

    def say(self, **item: Any) -> None:
        assert self.tell is not None
        self.tell("g1", item)

    def traffic(self, at: float, name: str, revision: int, requests: int, *, errors: int = 0, busy_s: float = 0.0, ms: float = 5.0) -> None:
        """One second of it."""
        window = {"endpoint": name, "revision": revision, "requests": requests, "errors": errors, "refused": 0, "waiting": 0,
                  "in_flight_seconds": busy_s, "latency_ms": [[ms, requests]], "replicas": {}}  # fmt: skip
        self.say(at=at, windows=[window])


async def make_memory_fleet() -> tuple[MemoryFleet, MemoryGateways, str]:
    """See `web.keeping.MakeFleet`."""
    return MemoryFleet(), MemoryGateways(), ""


class Rig:
    """A keeper with all that it needs. Time stands still until a test moves it."""

    def __init__(self, store: MemoryEndpointStore | None = None, fleet: MemoryFleet | None = None, table: str = "") -> None:
        self.store, self.fleet, self.gateways = store or MemoryEndpointStore(), fleet or MemoryFleet(), MemoryGateways()
        self.now = 1_000.0
        self.told: list[str] = []
        self.keeper = Keeper(self.store, self.fleet, self.gateways, tell=self.told.append, table=table, clock=lambda: self.now)

    async def put(self, endpoint: Endpoint) -> None:
        """Write it as it is, over whatever is there."""
        there = await self.store.find_endpoint(endpoint.name)
        await self.store.put_endpoint(replace(endpoint, version=there.version if there is not None else 0))
        await self.keeper.settle()

    async def tick(self, seconds: float = 1.0, times: int = 1) -> None:
        """Later, and everything was looked at."""
        for _ in range(times):
            self.now += seconds
            await self.keeper.settle()
            await self.keeper.settle()  # what came of the first look was looked at, too

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not wanted():
                await self.keeper.settle()

    async def __aenter__(self) -> Rig:
        await self.keeper.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.keeper.close()
