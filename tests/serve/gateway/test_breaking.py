"""Replicas that break off, streams, and callers that leave: requests through the gateway on real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.exchange import Exchange
from tests.serve.gateway.rig import endpoint, gateway_rig, one, one_that_holds, render, run
from tests.waiting import until

# failing replicas


def test_a_replica_that_is_gone_costs_nothing_while_another_runs(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            a, b = await rig.replica("a"), await rig.replica("b")
            rig.change(risk=endpoint(a, b))
            client = await rig.client()
            for _ in range(4):
                await client.ask("/risk/predict")
            a.stop()
            for _ in range(20):
                assert (await client.ask("/risk/predict")).json == {"replica": "b"}

    run(test)


def test_with_all_replicas_gone_requests_wait_for_one_that_comes_back_by_itself(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            a = await one(rig)
            a.stop()
            client = await rig.client()
            await client.send(render("/risk/predict"))
            await until(lambda: rig.gateway.services["risk"].held)
            await a.start()
            assert (await client.answer()).json == {"replica": "a"}

    run(test)


def test_a_replica_that_breaks_off_is_a_502_that_says_who_and_nobody_else_is_asked(tmp_path: Path) -> None:
    def handle(exchange: Exchange) -> None:
        exchange._connection.transport.abort()

    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            a, b = await rig.replica("a", handle), await rig.replica("b", handle)
            rig.change(risk=endpoint(a, b))
            answer = await rig.ask("/risk/predict")
            assert (answer.status, answer.json["error"]["code"]) == (502, "FW-REPLICA-LOST")
            assert answer.json["error"]["message"].startswith(f"replica {'a' if a.seen else 'b'} of 'risk' (revision 3): ")
            assert len(a.seen) + len(b.seen) == 1

    run(test)


def test_a_request_that_a_closing_replica_has_not_read_is_sent_again(tmp_path: Path) -> None:
    """The replica's process stands still with the connection open, then is killed: what lay unread in its socket is sent to another."""

    async def test() -> None:
        script = (
            "import asyncio, sys\n"
            "from fairway.serve.http import HttpServer\n"
            "from fairway.serve.listening import listen_on_path\n"
            "async def main():\n"
            '    await HttpServer(lambda e: e.reply(200, b\'{"replica": "still"}\')).listen(listen_on_path(sys.argv[1]))\n'
            "    print('up', flush=True)\n"
            "    await asyncio.Event().wait()\n"
            "asyncio.run(main())\n"
        )
        path = tmp_path / "still.sock"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(path), stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            await process.stdout.readline()
            async with gateway_rig(tmp_path) as rig:
                still = {"id": "still", "address": f"unix:{path}"}
                rig.change(risk={"traffic": [[3, 1]], "replicas": {"3": [still]}})
                client = await rig.client()
                assert (await client.ask("/risk/predict")).json == {"replica": "still"}
                process.send_signal(signal.SIGSTOP)
                await client.send(render("/risk/predict"))
                service = rig.gateway.services["risk"]
                await until(lambda: service.all_replicas()[0].in_flight == 1)
                other = await rig.replica("other")
                rig.change(risk={"traffic": [[3, 1]], "replicas": {"3": [still, other.row()]}})
                process.kill()
                assert (await client.answer()).json == {"replica": "other"}
                assert rig.gateway.retries == 1
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    run(test)


def test_replicas_and_revisions_change_under_load_without_one_failed_request(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replicas = [await rig.replica(f"r{n}") for n in range(4)]
            failed: list[Any] = []
            answered = 0
            stop = False

            async def load() -> None:
                nonlocal answered
                client = await rig.client()
                while not stop:
                    answer = await client.ask("/risk/predict")
                    answered += 1
                    if answer.status != 200:
                        failed.append(answer.json)

            rig.change(risk=endpoint(replicas[0]))
            callers = [asyncio.create_task(load()) for _ in range(16)]
            for turn in range(60):
                at = turn % 4
                rows = {str(3 + at % 2): [replicas[at].row()], str(3 + (at + 1) % 2): [replicas[(at + 1) % 4].row()]}
                rig.change(risk={"traffic": [[3, turn % 5], [4, 5]], "replicas": rows})
                await until(lambda goal=answered + 20: answered >= goal)
                gone = replicas[(at + 2) % 4]
                if gone.server._listeners:
                    await gone.server.drain(5.0, linger_s=0.0)  # it is out of the table, and ends
                    await gone.start()
            stop = True
            await asyncio.gather(*callers)
            assert not failed
            assert answered >= 1200

    run(test)


# streams


async def pour(exchange: Exchange, pieces: int, size: int, counted: list[int], *, breaks: bool = False) -> None:
    stream = exchange.stream(200, b"text/event-stream")
    try:
        for _ in range(pieces):
            stream.write(b"x" * size)
            await stream.drain()
            counted.append(size)
    except ConnectionResetError:
        counted.append(-1)
        return
    if breaks:
        stream.abort()
    else:
        stream.end()


def test_a_stream_comes_through_piece_by_piece(tmp_path: Path) -> None:
    streams: list[Any] = []

    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, lambda exchange: streams.append(exchange.stream(200, b"text/event-stream")))
            client = await rig.client()
            await client.send(render("/risk/predict"))
            status, headers = await client.head() if not streams else (0, {})
            assert (status, headers["content-type"], headers["fairway-revision"]) == (200, "text/event-stream", "3")
            for piece in (b"data: 1\n\n", b"data: 2\n\n"):
                streams[0].write(piece)
                assert await client.chunk() == piece
            streams[0].end()
            assert await client.chunk() == b""
            assert (await client.ask("/health", method="GET")).status == 200

    run(test)


def test_who_reads_a_stream_slowly_holds_its_replica_back_and_who_leaves_ends_it(tmp_path: Path) -> None:
    counted: list[int] = []
    tasks: list[Any] = []

    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, lambda exchange: tasks.append(asyncio.ensure_future(pour(exchange, 2000, 50_000, counted))))
            client = await rig.client()
            client.reader._limit = 65536  # type: ignore[attr-defined]
            await client.send(render("/risk/predict"))
            await until(lambda: counted)
            before = 0
            while len(counted) != before:
                before = len(counted)
                for _ in range(50):
                    await asyncio.sleep(0.002)
            assert before < 1000, "100 MB are not kept for who does not read"
            client.writer.transport.abort()
            await until(lambda: counted[-1] == -1)
            await until(lambda: rig.gateway.services["risk"].all_replicas()[0].in_flight == 0)

    run(test)


def test_a_stream_that_breaks_off_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    tasks: list[Any] = []

    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, lambda exchange: tasks.append(asyncio.ensure_future(pour(exchange, 3, 10, [], breaks=True))))
            client = await rig.client()
            await client.send(render("/risk/predict"))
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await client.answer()
            await until(lambda: rig.gateway.services["risk"].meters[3].errors == 1)

    run(test)


def test_an_answer_of_many_megabytes_comes_whole(tmp_path: Path) -> None:
    body = os.urandom(5 << 20)

    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, lambda exchange: exchange.reply(200, body, b"application/octet-stream"))
            assert (await rig.ask("/risk/predict")).body == body

    run(test)


# who leaves


def test_who_leaves_is_not_worked_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one_that_holds(rig)
            client = await rig.client()
            await client.send(render("/risk/predict"))
            await until(lambda: replica.held)
            client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.writer.transport.abort()
            await until(lambda: replica.held[0].gone or not replica.server.connections)
            assert rig.gateway.abandoned == 1
            assert rig.gateway.services["risk"].all_replicas()[0].in_flight == 0

    run(test)


def test_who_closed_its_side_is_answered_for_a_while_and_then_taken_for_gone(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one_that_holds(rig)
            patient, leaving = await rig.client(), await rig.client()
            for client in (patient, leaving):
                await client.send(render("/risk/predict"))
                client.writer.write_eof()
            await until(lambda: len(replica.held) == 2 and len(rig.gateway.server.half_closed()) == 2)
            rig.gateway.report()
            replica.held[0].reply(200, b"{}")
            assert (await patient.answer()).status == 200
            rig.gateway._closed_since = {exchange: time.monotonic() - 6 for exchange in rig.gateway._closed_since}
            rig.gateway.report()
            await until(lambda: not replica.server.connections or replica.held[1].gone)
            assert rig.gateway.abandoned == 1

    run(test)
