"""A gateway and replicas in one event loop, on real sockets, and a client that says exactly what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fairway.serve.exchange import Exchange
from fairway.serve.gateway.gateway import Gateway
from fairway.serve.gateway.table import parse_table
from fairway.serve.http import HttpServer
from fairway.serve.listening import listen_on, listen_on_path

Handle = Callable[[Exchange], None]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


class FakeReplica:
    """Answers who it is; `seen`: what it was asked; `held`: what it has not answered, while `holds`."""

    def __init__(self, folder: Path, name: str, handle: Handle | None = None) -> None:
        self.name, self.path = name, folder / f"{name}.sock"
        self.seen: list[Exchange] = []
        self.held: list[Exchange] = []
        self.holds = False
        self._handle = handle
        self.server = HttpServer(self.handle)

    async def start(self) -> FakeReplica:
        self.server = HttpServer(self.handle)
        await self.server.listen(listen_on_path(str(self.path)))
        return self

    def handle(self, exchange: Exchange) -> None:
        self.seen.append(exchange)
        if self.holds:
            self.held.append(exchange)
        elif self._handle is not None:
            self._handle(exchange)
        else:
            exchange.reply(200, json.dumps({"replica": self.name}).encode())

    def stop(self) -> None:
        self.server.close()
        self.path.unlink(missing_ok=True)

    def row(self, **more: Any) -> dict[str, Any]:
        return {"id": self.name, "address": f"unix:{self.path}", **more}


class Answered:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def revision(self) -> int:
        return int(self.headers["fairway-revision"])


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    async def chunk(self) -> bytes:
        size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def answer(self, *, is_head: bool = False) -> Answered:
        status, headers = await self.head()
        if is_head:
            return Answered(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while piece := await self.chunk():
                body += piece
            return Answered(status, headers, body)
        return Answered(status, headers, await self.reader.readexactly(int(headers.get("content-length", 0))))

    async def ask(self, path: str, body: bytes = b"{}", method: str = "POST", headers: dict[str, str] | None = None) -> Answered:
        await self.send(render(path, body, method, headers))
        return await self.answer(is_head=method == "HEAD")


def render(path: str, body: bytes = b"{}", method: str = "POST", headers: dict[str, str] | None = None) -> bytes:
    given = {"host": "localhost", "content-type": "application/json", **(headers or {})}
    if method not in ("GET", "HEAD", "OPTIONS"):
        given["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + (body if "content-length" in given else b"")


class Rig:
    """`gateway` at `port`; `change` sets the table."""

    def __init__(self, gateway: Gateway, port: int, folder: Path) -> None:
        self.gateway, self.port, self.folder = gateway, port, folder
        self.replicas: list[FakeReplica] = []
        self.version = 0

    def change(self, **endpoints: Any) -> None:
        self.version += 1
        self.gateway.apply_table(parse_table(json.dumps({"version": self.version, "endpoints": endpoints}).encode()))

    async def replica(self, name: str, handle: Handle | None = None) -> FakeReplica:
        made = await FakeReplica(self.folder, name, handle).start()
        self.replicas.append(made)
        return made

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, path: str, body: bytes = b"{}", method: str = "POST", headers: dict[str, str] | None = None) -> Answered:
        client = await self.client()
        try:
            return await client.ask(path, body, method, headers)
        finally:
            client.writer.close()


@asynccontextmanager
async def gateway_rig(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    gateway = Gateway(**{"is_local": True, **options})
    sock = listen_on("127.0.0.1", 0)
    await gateway.server.listen(sock)
    rig = Rig(gateway, sock.getsockname()[1], folder)
    try:
        yield rig
    finally:
        for service in gateway.services.values():
            for replica in service.all_replicas():
                replica.upstream.abort()
        for replica in rig.replicas:
            replica.stop()
        gateway.server.close()


def endpoint(*replicas: FakeReplica, **more: Any) -> dict[str, Any]:
    """All of revision 3."""
    return {"traffic": [[3, 100]], "replicas": {"3": [replica.row() for replica in replicas]}, **more}


async def one(rig: Rig, handle: Any = None, **more: Any) -> FakeReplica:
    replica = await rig.replica("a", handle)
    rig.change(risk=endpoint(replica, **more))
    return replica


async def one_that_holds(rig: Rig, **more: Any) -> FakeReplica:
    """One that answers when the test says so."""
    replica = await one(rig, **more)
    replica.holds = True
    return replica
