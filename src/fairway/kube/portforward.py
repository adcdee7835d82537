"""One TCP connection to a port of a pod, through the API server, over a websocket.

The API server's `portforward` speaks `v4.channel.k8s.io` (kubelet's `portforward/websocket.go`): a binary message's first byte is its
channel; channel 0 carries the bytes, channel 1 an error in words. The first message on each is the port number in two bytes.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpcore2
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from fairway.errors import InfraError
from fairway.kube.transport import Call

if TYPE_CHECKING:
    from fairway.kube.transport import Transport

PROTOCOL = "v4.channel.k8s.io"
_READ_BYTES = 256 * 1024
_DATA, _ERROR = 0, 1


class PodStream:
    """Bytes to and from a pod's port; one reads, any may write. Breaks are raised as InfraError; b"" is the end. `refused`: nothing of what
    was written has reached the pod."""

    def __init__(self, network: Any, pod: str, port: int) -> None:
        self._network = network
        self._frames = Connection(ConnectionType.CLIENT)
        self._where = f"port {port} of pod {pod}"
        self._opened: set[int] = set()  # channels whose first message, the port number, has come
        self._channel = -1  # of the message that is being read
        self._head = b""
        self._ready: list[bytes] = []
        self._refusal = b""
        self._received = False
        self._ended = False
        self._turn = asyncio.Lock()  # an answer to a ping must not be written into the middle of a message

    @property
    def refused(self) -> bool:
        return bool(self._refusal) and not self._received

    async def read(self) -> bytes:
        """The next bytes, of any length; b"" when the pod has closed the connection."""
        while not self._ready and not self._ended:
            try:
                data = await self._network.read(_READ_BYTES)
                self._frames.receive_data(data or None)
            except (httpcore2.NetworkError, httpcore2.TimeoutException, RemoteProtocolError) as error:
                raise InfraError(f"the connection to {self._where} broke: {error}") from error
            for event in self._frames.events():
                await self._take(event)
        if not self._ready:
            if self._refusal:
                raise InfraError(f"no connection to {self._where}: {self._refusal.decode(errors='replace').strip()}")
            return b""
        ready, self._ready = self._ready, []
        return ready[0] if len(ready) == 1 else b"".join(ready)

    async def write(self, data: bytes) -> None:
        """Send bytes; returns when the network has taken them."""
        await self._send(BytesMessage(data=b"\x00" + data))

    async def ping(self) -> None:
        """Say something, so that no balancer in between takes the connection for idle."""
        await self._send(Ping())

    async def aclose(self) -> None:
        """Close; idempotent."""
        with suppress(InfraError):
            if not self._ended:
                self._ended = True
                await self._send(CloseConnection(code=1000))
        with suppress(httpcore2.NetworkError):
            await self._network.aclose()

    async def _send(self, event: Any) -> None:
        try:
            async with self._turn:
                await self._network.write(self._frames.send(event))
        except (httpcore2.NetworkError, httpcore2.TimeoutException, LocalProtocolError) as error:
            raise InfraError(f"the connection to {self._where} broke: {error}") from error

    async def _take(self, event: Any) -> None:
        if isinstance(event, BytesMessage | TextMessage):
            data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
            if self._channel < 0 and data:
                self._channel, data = data[0], data[1:]
            self._put(data)
            if event.message_finished:
                self._ended = self._ended or bool(self._refusal)
                self._channel = -1
        elif isinstance(event, Ping):
            await self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._ended = True
            with suppress(InfraError):
                await self._send(event.response())

    def _put(self, data: bytes) -> None:
        if self._channel not in self._opened:
            self._head += data  # the port number, which may come in two pieces
            if len(self._head) < 2:
                return
            data, self._head = self._head[2:], b""
            self._opened.add(self._channel)
        if not data:
            return
        if self._channel == _DATA:
            self._received = True
            self._ready.append(data)
        elif self._channel == _ERROR:
            self._refusal += data


@asynccontextmanager
async def dial(transport: Transport, path: str, port: int) -> AsyncGenerator[PodStream]:
    """A connection to `port` of the pod whose portforward subresource is at `path`. That nothing listens there shows at the first read."""
    pod = path.split("/")[-2]
    headers = {
        "Accept": "*/*",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Protocol": PROTOCOL,
    }
    call = Call("create", "Pod/portforward", "GET", path, pod, {"ports": str(port)})
    async with transport.stream(call, silence_s=transport.timeout_s, headers=headers) as response:
        if response.status_code != 101:
            raise InfraError(f"the API server does not forward ports: it answered {response.status_code} instead of switching protocols")
        stream = PodStream(response.extensions["network_stream"], pod, port)
        try:
            yield stream
        finally:
            await stream.aclose()
