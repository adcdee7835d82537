"""The HTTP server over real sockets: order, limits, slow and leaving clients, ends without a broken answer."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.exchange import Exchange
from fairway.serve.http import HttpServer
from fairway.serve.listening import listen_on, listen_on_path
from fairway.serve.refusal import Refused

Handle = Callable[[Exchange], None]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


@asynccontextmanager
async def serving(handle: Handle, **options: Any) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(handle, **options)
    sock = listen_on("127.0.0.1", 0)
    await server.listen(sock)
    try:
        yield server, sock.getsockname()[1]
    finally:
        server.close()


class Client:
    """A connection that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        if headers.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int((await self.reader.readuntil(b"\r\n"))[:-2], 16):
                body += await self.reader.readexactly(size)
                await self.reader.readexactly(2)
            await self.reader.readexactly(2)
        else:
            body = await self.reader.readexactly(int(headers.get(b"content-length", 0)))
        return int(first.split()[1]), headers, body

    async def ended(self) -> bytes:
        """Whatever comes until the server closes."""
        return await self.reader.read()


def request(path: str = "/", body: bytes = b"", method: str = "POST", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


def echo(exchange: Exchange) -> None:
    exchange.reply(200, f"{exchange.method} {exchange.path}?{exchange.query} {bytes(exchange.body).decode()}".encode())


def test_a_connection_is_used_again_and_every_answer_has_an_id() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            client = await Client.connect(port)
            ids = set[bytes]()
            for number in range(3):
                await client.send(request(f"/a%20b?n={number}", b"body"))
                status, headers, body = await client.answer()
                assert (status, body) == (200, f"POST /a b?n={number} body".encode())
                ids.add(headers[b"fairway-request-id"])
            assert len(ids) == 3

    run(test)


@pytest.mark.parametrize(("given", "kept"), [("run-7.x:y_z", True), ("a" * 64, True), ("a" * 65, False), ("bad id", False)])
def test_a_sane_id_of_the_caller_is_kept(given: str, kept: bool) -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            client = await Client.connect(port)
            await client.send(request(more=f"x-request-id: {given}\r\n"))
            _, headers, _ = await client.answer()
            assert (headers[b"fairway-request-id"] == given.encode()) is kept

    run(test)


def test_requests_sent_ahead_are_answered_in_their_order_whenever_the_answers_are_made() -> None:
    async def test() -> None:
        held = list[Exchange]()
        async with serving(held.append) as (_, port):
            client = await Client.connect(port)
            await client.send(b"".join(request(f"/{number}") for number in range(12)))
            for number in range(12):
                while not held:
                    await asyncio.sleep(0)
                exchange = held.pop()
                assert not held, "the next one begins when this one is answered"
                exchange.reply(200, exchange.path.encode())
                assert (await client.answer())[2] == f"/{number}".encode()

    run(test)


def test_a_body_in_pieces_and_in_chunks_is_put_together() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            client = await Client.connect(port)
            for piece in (b"POST / HT", b"TP/1.1\r\nhost: x\r\nconte", b"nt-length: 6\r\n\r\nab", b"cd", b"ef"):
                await client.send(piece)
            assert (await client.answer())[2] == b"POST /? abcdef"
            await client.send(b"POST /c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
            assert (await client.answer())[2] == b"POST /c? abcde"

    run(test)


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() -> None:
    async def test() -> None:
        async with serving(echo, body_bytes=100) as (server, port):
            client = await Client.connect(port)
            await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
            status, headers, body = await client.answer()
            assert (status, headers[b"connection"]) == (413, b"close")
            assert b'"code":"FW-TOO-LARGE"' in body and b"came 1000.0 MB, at most 0.0 MB" in body
            await client.send(b"x" * 50_000)  # it goes on all the same: its answer is not lost for that
            assert await client.ended() == b""
            assert server.in_flight == 0

    run(test)


def test_a_chunked_body_is_refused_when_it_grows_too_large() -> None:
    async def test() -> None:
        async with serving(echo, body_bytes=100) as (_, port):
            client = await Client.connect(port)
            await client.send(
                b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n60\r\n" + b"a" * 96 + b"\r\n60\r\n" + b"a" * 96
            )
            assert (await client.answer())[0] == 413

    run(test)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: abc\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"a" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    ],
)
def test_what_is_no_request_is_refused_and_the_server_lives_on(data: bytes, status: int) -> None:
    async def test() -> None:
        async with serving(echo) as (server, port):
            client = await Client.connect(port)
            await client.send(data)
            found, headers, body = await client.answer()
            assert (found, headers[b"connection"]) == (status, b"close")
            assert b'"code":"FW-' in body
            other = await Client.connect(port)
            await other.send(request("/well"))
            assert (await other.answer())[0] == 200
            assert server.in_flight == 0

    run(test)


@pytest.mark.parametrize(("sent", "what"), [(b"POST / HTTP/1.1\r\nho", b"head"), (request("/", b"12345")[:-2], b"body")])
def test_who_is_too_slow_is_told_so(sent: bytes, what: bytes) -> None:
    async def test() -> None:
        async with serving(echo) as (server, port):
            client = await Client.connect(port)
            await client.send(sent)
            while not any(connection._reading is not None for connection in server.connections):
                await asyncio.sleep(0)
            for connection in tuple(server.connections):
                connection.check_time(time.monotonic() + 3600)
            status, _, body = await client.answer()
            assert status == 408
            assert b"the " + what + b" of the request did not come in time" in body

    run(test)


def test_a_body_that_drips_in_gets_no_more_time_than_one_that_stays_away() -> None:
    async def test() -> None:
        async with serving(echo, body_s=5.0) as (server, port):
            client = await Client.connect(port)
            await client.send(request("/", b"x" * 1000)[:-900])
            while not any(connection._reading is not None for connection in server.connections):
                await asyncio.sleep(0)
            (connection,) = server.connections
            for _ in range(3):
                before = connection._reading.size if connection._reading is not None else 0
                await client.send(b"x")
                while connection._reading is not None and connection._reading.size == before:
                    await asyncio.sleep(0)
            connection.check_time(time.monotonic() + 6.0)
            assert (await client.answer())[0] == 408

    run(test)


def test_a_client_that_leaves_before_its_body_is_whole_is_told_of() -> None:
    async def test() -> None:
        gone, seen = asyncio.Event(), asyncio.Event()

        def admit(exchange: Exchange) -> None:
            exchange.on_gone = gone.set
            seen.set()

        async with serving(echo, admit=admit) as (_, port):
            client = await Client.connect(port)
            await client.send(request("/", b"12345")[:-2])
            await seen.wait()
            client.writer.close()
            await gone.wait()

    run(test)


def test_a_quiet_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    async def test() -> None:
        held = list[Exchange]()
        async with serving(held.append) as (server, port):
            quiet, waiting = await Client.connect(port), await Client.connect(port)
            await waiting.send(request("/"))
            while not held:
                await asyncio.sleep(0)
            for connection in tuple(server.connections):
                connection.check_time(time.monotonic() + 3600)
            assert await quiet.ended() == b""
            held[0].reply(200, b"late")
            assert (await waiting.answer())[2] == b"late"

    run(test)


def test_a_client_may_close_its_side_and_is_answered_all_the_same() -> None:
    async def test() -> None:
        held = list[Exchange]()
        async with serving(held.append) as (_, port):
            client = await Client.connect(port)
            await client.send(request("/half"))
            client.writer.write_eof()
            while not held:
                await asyncio.sleep(0)
            held[0].reply(200, b"whole")
            assert (await client.answer())[2] == b"whole"
            assert await client.ended() == b""

    run(test)


def test_a_handler_is_told_when_its_client_leaves() -> None:
    async def test() -> None:
        gone = asyncio.Event()

        def handle(exchange: Exchange) -> None:
            exchange.on_gone = gone.set
            held.append(exchange)

        held = list[Exchange]()
        async with serving(handle) as (server, port):
            client = await Client.connect(port)
            await client.send(request("/"))
            while not held:
                await asyncio.sleep(0)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()  # with a reset: a mere end of what it sends may mean that it waits for the answer
            await gone.wait()
            assert held[0].gone
            held[0].reply(200, b"nobody listens")
            assert server.in_flight == 0

    run(test)


def test_admission_comes_before_the_body_and_ends_the_connection_only_if_one_is_on_its_way() -> None:
    async def test() -> None:
        def admit(exchange: Exchange) -> None:
            if b"key" not in exchange.headers:
                exchange.refuse(Refused(401, "FW-KEY", "no key"))

        async with serving(echo, admit=admit) as (_, port):
            client = await Client.connect(port)
            await client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await client.answer())[0] == 401
            await client.send(b"GET / HTTP/1.1\r\nhost: x\r\nkey: 1\r\n\r\n")
            assert (await client.answer())[0] == 200
            await client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n")
            status, headers, _ = await client.answer()
            assert (status, headers[b"connection"]) == (401, b"close")

    run(test)


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            client = await Client.connect(port)
            await client.send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send(b"ok")
            assert (await client.answer())[2] == b"POST /? ok"

    run(test)


def test_an_offer_to_speak_another_protocol_is_not_taken_up_and_harms_nothing() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            client = await Client.connect(port)
            offer = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
            await client.send(request("/a", b"body", more=offer) + request("/b", b"next"))
            assert (await client.answer())[2] == b"POST /a? body"
            assert (await client.answer())[2] == b"POST /b? next"
            await client.send(request("/c", method="GET", more=offer))
            assert (await client.answer())[2] == b"GET /c? "

    run(test)


def test_head_has_no_body_and_an_old_client_is_closed() -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            client = await Client.connect(port)
            await client.send(b"HEAD /h HTTP/1.1\r\nhost: x\r\n\r\nGET /g HTTP/1.0\r\n\r\n")
            head = await client.reader.readuntil(b"\r\n\r\n")
            assert b"content-length: 9" in head
            rest = await client.ended()
            assert rest.startswith(b"HTTP/1.1 200") and rest.endswith(b"GET /g? ") and b"connection: close" in rest

    run(test)


def test_a_stream_comes_in_chunks_and_waits_for_who_reads_slowly() -> None:
    async def test() -> None:
        written = 0

        async def write(exchange: Exchange) -> None:
            nonlocal written
            stream = exchange.stream(200, b"text/event-stream")
            for _ in range(200):
                stream.write(b"x" * 100_000)
                await stream.drain()
                written += 1
            stream.end()

        tasks = list[asyncio.Task[None]]()
        async with serving(lambda exchange: tasks.append(asyncio.ensure_future(write(exchange)))) as (_, port):
            sock = socket.create_connection(("127.0.0.1", port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            sock.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=sock, limit=65536)
            writer.write(request("/"))
            client = Client(reader, writer)
            before = -1
            while written != before or not written:
                before = written
                for _ in range(200):
                    await asyncio.sleep(0)
            assert written < 150, "it ran ahead of its reader"
            status, headers, body = await client.answer()
            assert (status, headers[b"content-type"], len(body)) == (200, b"text/event-stream", 20_000_000)

    run(test)


def test_draining_answers_what_is_there_and_closes_the_rest() -> None:
    async def test() -> None:
        held = list[Exchange]()
        async with serving(held.append) as (server, port):
            busy, quiet = await Client.connect(port), await Client.connect(port)
            await busy.send(request("/"))
            while not held:
                await asyncio.sleep(0)
            draining = asyncio.ensure_future(server.drain(10, linger_s=0.0))
            assert await quiet.ended() == b""
            assert not draining.done()
            held[0].reply(200, b"last")
            status, headers, body = await busy.answer()
            assert (status, headers[b"connection"], body) == (200, b"close", b"last")
            await draining
            with pytest.raises(OSError):
                await Client.connect(port)

    run(test)


def test_draining_still_answers_a_connection_that_was_quiet_for_a_moment() -> None:
    async def test() -> None:
        async with serving(echo) as (server, port):
            client = await Client.connect(port)
            while not server.connections:
                await asyncio.sleep(0)
            draining = asyncio.ensure_future(server.drain(10, linger_s=5.0))
            await asyncio.sleep(0)
            await client.send(request("/"))
            status, headers, _ = await client.answer()
            assert (status, headers[b"connection"]) == (200, b"close")
            await draining

    run(test)


@pytest.mark.parametrize("turns", range(5))
def test_draining_answers_who_has_just_come(turns: int) -> None:
    """Whatever has become of the connection: waiting in the kernel, accepted, or with its protocol."""

    async def test() -> None:
        async with serving(echo) as (server, port):
            with socket.create_connection(("127.0.0.1", port)) as caller:
                caller.sendall(request("/last"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                draining = asyncio.ensure_future(server.drain(10, linger_s=0.3))
                client = Client(*await asyncio.open_connection(sock=caller))
                status, _, body = await client.answer()
                assert (status, body) == (200, b"POST /last? ")
                assert await client.ended() == b""
                await draining

    run(test)


def test_draining_waits_for_nobody_who_never_ends_the_beginning_of_tls(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", tmp_path / "key.pem",
         "-out", tmp_path / "cert.pem", "-subj", "/CN=localhost"], check=True, capture_output=True,
    )  # fmt: skip
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    async def test() -> None:
        server, sock = HttpServer(echo), listen_on("127.0.0.1", 0)
        await server.listen(sock, ssl=context)
        client = await Client.connect(sock.getsockname()[1])
        await server.drain(3600, linger_s=0.2)
        assert await client.ended() == b""

    run(test)


def test_connections_are_taken_again_when_there_were_too_many_files(capfd: pytest.CaptureFixture[str]) -> None:
    async def test() -> None:
        async with serving(echo) as (_, port):
            caller = socket.create_connection(("127.0.0.1", port))
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)
            least = os.open("/dev/null", os.O_RDONLY)
            os.close(least)
            resource.setrlimit(resource.RLIMIT_NOFILE, (least, limit[1]))
            try:
                for _ in range(3):
                    await asyncio.sleep(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limit)
            client = Client(*await asyncio.open_connection(sock=caller))
            await client.send(request("/late"))
            assert (await client.answer())[0] == 200

    run(test)
    assert capfd.readouterr().err == "no connection can be taken for the moment: Too many open files\n"


def test_a_unix_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("left behind")
    with listen_on_path(str(path)):
        assert path.is_socket()
        assert path.stat().st_mode & 0o077 == 0


def test_small_pieces_are_sent_at_once() -> None:
    async def test() -> None:
        seen = list[int]()

        def handle(exchange: Exchange) -> None:
            sock = exchange._connection.transport.get_extra_info("socket")
            seen.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            echo(exchange)

        async with serving(handle) as (_, port):
            client = await Client.connect(port)
            await client.send(request("/"))
            await client.answer()
        assert seen[0] != 0

    run(test)
