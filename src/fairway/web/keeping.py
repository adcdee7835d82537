"""The keeper of a server's endpoints: started when there is one, or when somebody makes the first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from fairway.engine.bus import Bus
from fairway.errors import UnsupportedError
from fairway.serve.control.view import EndpointView
from fairway.spec.layout import BLOBS, DATABASE
from fairway.spec.ports import ArtifactStore, EndpointStore, Journal
from fairway.store import open_endpoints, open_journal
from fairway.web.ports import Endpoints

if TYPE_CHECKING:
    from fairway.serve.control.desk import EndpointDesk
    from fairway.serve.control.fleet import Fleet
    from fairway.serve.control.gatewaylink import Gateways

TOPIC = "endpoints"
MakeFleet = Callable[[], Awaitable[tuple["Fleet", "Gateways", str]]]
"""Makes what runs replicas, the gateways, and says where the table is kept ("": nowhere that is read again)."""


class LateEndpoints:
    """`web.ports.Endpoints` (by `port`) that imports and starts what it needs when it is needed: most servers have no endpoints. `key`: see
    Keeper."""

    def __init__(
        self, store: EndpointStore, artifacts: ArtifactStore, home: str, bus: Bus, make_fleet: MakeFleet, *, key: str = ""
    ) -> None:
        self._store, self._artifacts, self._home, self._bus, self._make_fleet = store, artifacts, home, bus, make_fleet
        self._key = key
        self._desk: EndpointDesk | None = None
        self._keeper: Any = None
        self._opening = asyncio.Lock()

    @property
    def port(self) -> Endpoints:
        """As the API and the pages see it."""
        return cast("Endpoints", self)

    @property
    def is_busy(self) -> bool:
        """Are there endpoints to be kept?"""
        return self._keeper is not None and bool(self._keeper.watched)

    async def start(self) -> None:
        """Take up the endpoints that there are, if any, and what one that was deleted has left running."""
        left = (Path(self._home) / "serve" / "replicas").glob("*.json")
        if await self._store.endpoints() or any(left):
            await self._open()

    async def views(self) -> Sequence[EndpointView]:
        """None as long as there was none."""
        return await self._desk.views() if self._desk is not None else ()

    async def view(self, name: str) -> EndpointView | None:
        """None as long as there was none."""
        return await self._desk.view(name) if self._desk is not None else None

    def stand(self, name: str = "") -> int:
        """Counts up with every change."""
        return self._desk.stand(name) if self._desk is not None else 0

    def __getattr__(self, name: str) -> Any:
        """What is done with endpoints needs the keeper."""
        if name.startswith("_"):
            raise AttributeError(name)

        async def act(*args: Any, **more: Any) -> Any:
            return await getattr(await self._open(), name)(*args, **more)

        return act

    async def close(self) -> None:
        """Let go of everything; it goes on."""
        if self._keeper is not None:
            await self._keeper.close()

    async def _open(self) -> EndpointDesk:
        async with self._opening:
            if self._desk is None:
                self._desk = await self._make()
            return self._desk

    async def _make(self) -> EndpointDesk:
        try:
            from fairway.serve.control.desk import EndpointDesk
            from fairway.serve.control.forms import Columns
            from fairway.serve.control.keeper import Keeper
            from fairway.serve.feedback.gather import Gatherer
        except ImportError as error:
            raise UnsupportedError(
                f"endpoints need a package that is not installed where this server runs: {error.name}", hint="pip install 'fairway[serve]'"
            ) from error
        fleet, gateways, table = await self._make_fleet()
        spool = getattr(gateways, "spool", None)  # where gateways of this machine write, or what those of a cluster hand in
        bucket, blobs = getattr(self._artifacts, "url", ""), Path(self._home, BLOBS)
        gatherer = spool and Gatherer(spool, blobs, bucket=bucket, is_local=gateways.is_local, tell=self._tell)
        columns = Columns(self._artifacts, self._home, self._look)
        self._keeper = Keeper(self._store, fleet, gateways, tell=self._tell, table=table, gatherer=gatherer, key=self._key, columns=columns)
        await self._keeper.start()
        return EndpointDesk(self._keeper, self._artifacts, self._home)

    def _look(self) -> None:
        self._keeper.look_again()

    def _tell(self, name: str) -> None:
        self._bus.publish(f"endpoint:{name}")
        self._bus.publish(TOPIC)


def open_store(journal: Journal, home: str, *, own: bool) -> tuple[EndpointStore, Journal | None]:
    """Where endpoints are kept, and the journal that was opened for it alone. Those of a local server run on its machine: they are kept in
    its home, even if its runs are told elsewhere."""
    if own and not hasattr(journal, "path"):
        beside = open_journal(f"{home}/{DATABASE}")
        return open_endpoints(beside), beside
    return open_endpoints(journal), None


def local_fleet(home: str, artifacts: ArtifactStore, serving: Mapping[str, Any]) -> MakeFleet:
    """Processes of this machine. `serving`: the settings of that name."""

    async def make() -> tuple[Fleet, Gateways, str]:
        from fairway.serve.control.localfleet import LocalFleet
        from fairway.serve.control.localgateway import GatewaySettings, LocalGateways
        from fairway.serve.control.zygote import Zygotes

        fleet = LocalFleet(home, artifacts, zygotes=Zygotes(home))
        await fleet.start()
        gateways = LocalGateways(home, settings=GatewaySettings.of(serving))
        return fleet, gateways, str(gateways.table_path)

    return make
