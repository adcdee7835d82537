"""The HTTP client against servers that say what they are told to: answers of all kinds, broken ones, what was read of a request."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.exchange import Exchange
from fairway.serve.http import HttpServer
from fairway.serve.httpclient import Answer, Upstream
from fairway.serve.listening import listen_on, listen_on_path
from tests.serve.gateway.rig import run
from tests.waiting import until

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(speak: Speak, **options: Any) -> AsyncIterator[Upstream]:
    """An upstream to a server that speaks so on each connection."""
    tasks = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    upstream = Upstream(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", **options)
    try:
        yield upstream
    finally:
        upstream.abort()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(*answers: bytes) -> Speak:
    """One for each request on a connection; then it ends."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return speak


async def whole(answer: Answer) -> bytes:
    return answer.body if answer.chunks is None else b"".join([piece async for piece in answer.chunks])


@pytest.mark.parametrize(
    ("said", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\n", b""),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_answers_of_all_kinds_are_understood(said: bytes, body: bytes) -> None:
    async def test() -> None:
        async with talking(saying(said)) as upstream:
            answer = await upstream.ask("GET", "/")
            assert 200 <= answer.status < 300
            assert await whole(answer) == body

    run(test)


def test_a_connection_is_used_again_and_not_after_one_that_ends() -> None:
    connections = 0
    plain = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx"

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await saying(plain, plain, plain.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))(reader, writer)

    async def test() -> None:
        async with talking(speak) as upstream:
            for _ in range(4):
                assert (await upstream.ask("GET", "/")).status == 200
            assert connections == 2

    run(test)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "closed"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "broken"),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", "broken"),
    ],
)
def test_what_is_no_whole_answer_is_none_and_may_have_been_read(said: bytes, problem: str) -> None:
    async def test() -> None:
        async with talking(saying(said)) as upstream:
            answer = await upstream.ask("POST", "/", body=b"x")
            assert (answer.status, answer.problem, answer.sent) == (0, problem, True)
            assert answer.why

    run(test)


def test_a_long_answer_that_breaks_off_says_so_while_it_is_read() -> None:
    async def test() -> None:
        said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        async with talking(saying(said)) as upstream:
            answer = await upstream.ask("GET", "/")
            assert answer.chunks is not None
            with pytest.raises(ConnectionResetError):
                await whole(answer)

    run(test)


def test_where_nobody_listens_nothing_was_sent(tmp_path: Path) -> None:
    async def test() -> None:
        sock = listen_on("127.0.0.1", 0)
        for address in (f"127.0.0.1:{sock.getsockname()[1]}", f"unix:{tmp_path}/none.sock"):
            answer = await Upstream(address).ask("POST", "/", body=b"x")
            assert (answer.status, answer.problem, answer.sent) == (0, "connect", False)
        sock.close()

    run(test)


def test_who_takes_no_connections_in_time_is_given_up() -> None:
    async def test() -> None:
        sock = listen_on("127.0.0.1", 0)
        sock.listen(0)
        port = sock.getsockname()[1]
        fillers = [asyncio.ensure_future(asyncio.open_connection("127.0.0.1", port)) for _ in range(8)]
        await until(lambda: sum(filler.done() for filler in fillers) >= 1)
        answer = await Upstream(f"127.0.0.1:{port}", connect_s=0.1).ask("GET", "/")
        assert (answer.problem, answer.sent, "within 0.1 s" in answer.why) == ("connect", False, True)
        for filler in fillers:
            filler.cancel()
        await asyncio.gather(*fillers, return_exceptions=True)
        sock.close()

    run(test)


def test_an_answer_that_does_not_come_in_time_is_none_and_a_cancelled_one_is_nobodys() -> None:
    async def test() -> None:
        gone = asyncio.Event()
        held: list[Exchange] = []

        def handle(exchange: Exchange) -> None:
            exchange.on_gone = gone.set
            held.append(exchange)

        server, sock = HttpServer(handle), listen_on("127.0.0.1", 0)
        await server.listen(sock)
        upstream = Upstream(f"127.0.0.1:{sock.getsockname()[1]}")
        answer = await upstream.ask("GET", "/", timeout_s=0.5)
        assert (answer.status, answer.problem) == (0, "timeout")
        await gone.wait()
        gone.clear()
        told: list[Answer] = []
        ticket = upstream.request("GET", "/", (), b"", told.append, 0)
        await until(lambda: len(held) == 2)
        ticket.cancel()
        await gone.wait()
        early = upstream.request("GET", "/", (), b"", told.append, 0)
        early.cancel()  # before there is a connection
        assert (await upstream.ask("GET", "/", timeout_s=0.5)).problem == "timeout"
        assert told == []
        server.close()

    run(test)


def test_more_requests_than_connections_wait_for_one(tmp_path: Path) -> None:
    async def test() -> None:
        most = 0
        server = HttpServer(lambda exchange: asyncio.get_running_loop().call_soon(exchange.reply, 200, b"x"))
        await server.listen(listen_on_path(str(tmp_path / "a.sock")))
        upstream = Upstream(f"unix:{tmp_path}/a.sock", most=3)
        asking = [asyncio.create_task(upstream.ask("GET", f"/{n}")) for n in range(30)]
        while not all(task.done() for task in asking):
            most = max(most, len(server.connections))
            await asyncio.sleep(0)
        assert {task.result().status for task in asking} == {200}
        assert most == 3
        upstream.close()
        await until(lambda: not server.connections)
        server.close()

    run(test)


def test_a_connection_that_was_quiet_for_long_is_closed(tmp_path: Path) -> None:
    async def test() -> None:
        server = HttpServer(lambda exchange: exchange.reply(200, b"x"))
        await server.listen(listen_on_path(str(tmp_path / "a.sock")))
        upstream = Upstream(f"unix:{tmp_path}/a.sock")
        await upstream.ask("GET", "/")
        upstream._sweep()
        assert len(server.connections) == 1
        (connection,) = upstream.connections
        connection.idle_since -= 31
        upstream._sweep()
        await until(lambda: not server.connections)
        assert (await upstream.ask("GET", "/")).status == 200
        upstream.abort()
        server.close()

    run(test)


def test_a_server_that_ends_with_our_bytes_unread_has_not_had_the_request() -> None:
    async def test() -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        upstream = Upstream(f"127.0.0.1:{listener.getsockname()[1]}")
        asking = asyncio.create_task(upstream.ask("POST", "/", body=b"x" * 300_000))
        await until(lambda: [c for c in upstream.connections if c._ticket is not None])
        (connection,) = upstream.connections
        await until(lambda: connection._transport.get_write_buffer_size() == 0)
        accepted, _ = listener.accept()
        accepted.shutdown(socket.SHUT_WR)
        answer = await asking
        assert (answer.problem, answer.sent) == ("closed", False)
        accepted.close()
        listener.close()

    run(test)


STILL = """
import socket, sys, time
kind, where = sys.argv[1:]
if kind == "unix":
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
else:
    server = socket.create_server(("127.0.0.1", 0))
server.listen()
print(server.getsockname() if kind == "unix" else server.getsockname()[1], flush=True)
connection, _ = server.accept()
connection.recv(65536)
connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 1\\r\\n\\r\\nx")
if sys.stdin.readline() == "read\\n":
    connection.recv(65536)
    print("read", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("reads", [True, False])
def test_when_a_process_is_killed_it_is_known_whether_it_had_read_the_request(tmp_path: Path, kind: str, reads: bool) -> None:
    async def test() -> None:
        path = str(tmp_path / "a.sock")
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", STILL, kind, path, **pipes)  # type: ignore[arg-type]
        assert process.stdout is not None and process.stdin is not None
        port = (await process.stdout.readline()).decode().strip()
        upstream = Upstream(f"unix:{path}" if kind == "unix" else f"127.0.0.1:{port}")
        try:
            assert (await upstream.ask("POST", "/", body=b"first")).status == 200
            asking = asyncio.create_task(upstream.ask("POST", "/", body=b"second"))
            (connection,) = upstream.connections
            await until(lambda: connection._ticket is not None)
            if reads:
                process.stdin.write(b"read\n")
                assert await process.stdout.readline() == b"read\n"
            process.send_signal(signal.SIGKILL)
            answer = await asking
            assert (answer.status, answer.problem, answer.sent) == (0, "closed", reads)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            upstream.abort()

    run(test)
