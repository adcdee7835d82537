"""The keeper's way to one gateway: the table goes there, news come from there. A way that breaks is made anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Protocol

import msgspec

from fairway.serve.httpclient import Upstream
from fairway.spec.endpoint import Endpoint

News = dict[str, Any]
Tell = Callable[[str, News], None]
"""Called with the gateway's name and each of its news; {"gone": true} when the way to it is lost."""
_AGAIN_FIRST_S, _AGAIN_MOST_S = 0.02, 2.0
_PUT_S = 5.0


class Gateways(Protocol):
    """All gateways of a server: one process on this machine, pods on a cluster. Each has the same table."""

    async def start(self, tell: Tell) -> None:
        """Have them, and hear them from now on. Raises FairwayError where none can be had."""
        ...

    async def publish(self, endpoints: Sequence[Endpoint], table: bytes) -> None:
        """From now on this is their table, also of those that start later. One that cannot be reached gets it when it can be."""
        ...

    async def look(self) -> None:
        """Start again what is gone, hear those that are new. Called every few seconds."""
        ...

    def url(self, endpoint: Endpoint) -> str:
        """Where callers find it, without a slash at the end; "" before there is a gateway."""
        ...

    def grpc(self, endpoint: Endpoint) -> str:
        """ "host:port" of the same for gRPC, "" for none."""
        ...

    def unexposed(self, endpoint: Endpoint) -> str:
        """Why it cannot be reached as its `expose` asks, "" if it can."""
        ...

    def explain(self) -> str:
        """Why none of them answers, "" if one does."""
        ...

    @property
    def is_local(self) -> bool:
        """Can only this machine reach them? Then what has no keys is open."""
        ...

    @property
    def inner(self) -> str:
        """An address for `Upstream` by which this server reaches one of them; "" for none."""
        ...

    async def stop(self) -> None:
        """There is no endpoint any more: they may end."""
        ...

    async def close(self) -> None:
        """Let go of them; they go on."""
        ...


class GatewayLink:
    """One gateway's own address. `token` is shown there; `tell` hears its news."""

    def __init__(self, name: str, address: str, tell: Tell, *, token: str = "") -> None:
        self.name, self.address = name, address
        self._tell = tell
        self._headers = ((b"authorization", b"Bearer " + token.encode()),) if token else ()
        self._upstream = Upstream(address)
        self._table = b""
        self._sent = b""
        self.is_heard = False
        self._since = time.time()
        self._task = asyncio.get_running_loop().create_task(self._follow(), name=f"news of the gateway {name}")

    async def put(self, table: bytes) -> bool:
        """Send the table; True when it is in force there. Else it is sent as soon as the gateway is heard again."""
        self._table = table
        answer = await self._upstream.ask("PUT", "/table", self._headers, table, _PUT_S)
        if answer.status == 200:
            self._sent = table
        return answer.status == 200

    async def state(self) -> dict[str, Any] | None:
        """What it says of itself; None if it does not answer."""
        answer = await self._upstream.ask("GET", "/state", self._headers, timeout_s=_PUT_S)
        return msgspec.json.decode(answer.body) if answer.status == 200 and answer.body else None

    async def close(self) -> None:
        """Hear no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._upstream.abort()

    async def _follow(self) -> None:
        """Hear its news for ever."""
        again_s = _AGAIN_FIRST_S
        while True:
            try:
                async for item in self._listen():
                    again_s = _AGAIN_FIRST_S
                    self._tell(self.name, item)
            except (OSError, ValueError):
                pass
            if self.is_heard:
                self.is_heard = False
                self._tell(self.name, {"gone": True})
            await asyncio.sleep(again_s)
            again_s = min(_AGAIN_MOST_S, 2 * again_s)

    async def _listen(self) -> AsyncGenerator[News]:
        answer = await self._upstream.ask("GET", f"/news?since={self._since:.3f}", self._headers, timeout_s=_PUT_S)
        if answer.status != 200 or answer.chunks is None:
            return
        try:
            rest = b""
            async for piece in answer.chunks:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    item = msgspec.json.decode(line)
                    self._since = max(self._since, float(item.get("at", 0.0)))
                    await self._greet(item)
                    yield item
        finally:
            answer.chunks.close()

    async def _greet(self, item: News) -> None:
        """A gateway that begins to be heard has maybe missed the table."""
        if not self.is_heard:
            self.is_heard = True
            if self._table and item.get("table", -1) != _version_of(self._table):
                await self.put(self._table)


def _version_of(table: bytes) -> int:
    return int(msgspec.json.decode(table).get("version", -1))
