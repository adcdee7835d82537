"""gRPC through the gateway: real messages, a real client, replicas that speak it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Server
from hypothesis import given
from hypothesis import strategies as st

from fairway.serve.control.keys import make_key
from fairway.serve.gateway.grpc import SERVICE, GrpcGate
from fairway.serve.gateway.protofields import read_field, write_text
from fairway.serve.listening import listen_on
from fairway.serve.protocols import inference_messages as messages
from fairway.spec.record import to_plain
from tests.serve.gateway.processes import gateway_process
from tests.serve.gateway.rig import Rig, gateway_rig, run
from tests.waiting import until

DEAD = "127.0.0.1:1"


class GrpcReplica:
    """Answers ModelInfer with its name and the id of the request; `seen`: what it was told."""

    def __init__(self, name: str, fails: GRPCError | None = None) -> None:
        self.name, self.fails = name, fails
        self.seen: list[tuple[Any, dict[str, Any]]] = []
        self.released = asyncio.Event()
        self.released.set()
        self.cancelled = 0
        self.address = ""
        self.server = Server([self])

    def __mapping__(self) -> dict[str, Handler]:
        return {
            f"{SERVICE}ModelInfer": Handler(self.infer, Cardinality.UNARY_UNARY, messages.ModelInferRequest, messages.ModelInferResponse)
        }

    async def infer(self, stream: Any) -> None:
        request = await stream.recv_message()
        self.seen.append((request, dict(stream.metadata)))
        if self.fails is not None:
            raise self.fails
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        await stream.send_message(
            messages.ModelInferResponse(model_name=self.name, id=request.id, raw_output_contents=request.raw_input_contents)
        )

    async def start(self) -> GrpcReplica:
        sock = listen_on("127.0.0.1", 0)
        await self.server.start(sock=sock)
        self.address = f"127.0.0.1:{sock.getsockname()[1]}"
        return self

    def row(self) -> dict[str, Any]:
        return {"id": self.name, "address": DEAD, "grpc": self.address}


class GrpcClient:
    def __init__(self, port: int) -> None:
        self.channel = Channel("127.0.0.1", port)

    async def ask(self, name: str, request: Any, *, timeout: float | None = None, metadata: dict[str, str] | None = None) -> Any:
        reply = getattr(messages, f"{name}Response")
        async with self.channel.request(
            SERVICE + name, Cardinality.UNARY_UNARY, type(request), reply, timeout=timeout, metadata=metadata
        ) as call:
            await call.send_message(request, end=True)
            return await call.recv_message()


@asynccontextmanager
async def grpc_rig(folder: Path, *replicas: GrpcReplica, **options: Any) -> AsyncIterator[tuple[Rig, GrpcClient]]:
    async with gateway_rig(folder, **options) as rig:
        for replica in replicas:
            await replica.start()
        gate, sock = GrpcGate(rig.gateway), listen_on("127.0.0.1", 0)
        gate.listen(sock, None)
        client = GrpcClient(sock.getsockname()[1])
        try:
            yield rig, client
        finally:
            client.channel.close()
            await gate.drain(5.0, linger_s=0.0)
            rig.change()
            for replica in replicas:
                replica.server.close()


def infer(model: str = "risk", body: bytes = b"\0" * 8, **more: Any) -> Any:
    made = messages.ModelInferRequest(model_name=model, id="one", raw_input_contents=[body], **more)
    made.inputs.add(name="x", datatype="FP64", shape=[1])
    return made


def row(*replicas: GrpcReplica, **more: Any) -> dict[str, Any]:
    return {"traffic": [[3, 1]], "replicas": {"3": [replica.row() for replica in replicas]}, **more}


def test_a_call_reaches_its_replica_as_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        replica = GrpcReplica("a")
        async with grpc_rig(tmp_path, replica) as (rig, client):
            rig.change(risk=row(replica))
            body = bytes(range(256)) * 20_000
            answer = await client.ask(
                "ModelInfer", infer(body=body), metadata={"fairway-request-id": "call-7", "x-own": "1", "fairway-caller": "root"}
            )
            assert (answer.model_name, answer.id, answer.raw_output_contents[0] == body) == ("a", "one", True)
            request, metadata = replica.seen[0]
            assert request == infer(body=body)
            assert (metadata["fairway-request-id"], metadata["x-own"], "fairway-caller" in metadata) == ("call-7", "1", False)
            meter = rig.gateway.services["risk"].meters[3]
            assert (meter.requests, meter.errors, meter.in_flight) == (1, 0, 0)

    run(test)


def test_the_gateway_answers_about_itself(tmp_path: Path) -> None:
    async def test() -> None:
        async with grpc_rig(tmp_path) as (rig, client):
            assert (await client.ask("ServerLive", messages.ServerLiveRequest())).live
            assert not (await client.ask("ServerReady", messages.ServerReadyRequest())).ready
            rig.change()
            assert (await client.ask("ServerReady", messages.ServerReadyRequest())).ready
            assert (await client.ask("ServerMetadata", messages.ServerMetadataRequest())).name == "fairway gateway"

    run(test)


@pytest.mark.parametrize(
    ("model", "more", "status", "text"),
    [
        ("rsik", {}, Status.NOT_FOUND, "there is no endpoint 'rsik'"),
        ("", {}, Status.NOT_FOUND, "there is no endpoint"),
        ("risk", {"model_version": "9"}, Status.NOT_FOUND, "no such revision"),
        ("paused", {}, Status.UNAVAILABLE, "paused"),
        ("closed", {}, Status.UNAUTHENTICATED, "needs a key"),
        ("small", {}, Status.RESOURCE_EXHAUSTED, "too large"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, model: str, more: dict[str, str], status: Status, text: str) -> None:
    async def test() -> None:
        replica = GrpcReplica("a")
        async with grpc_rig(tmp_path, replica) as (rig, client):
            key = to_plain(make_key("ada")[1])
            small = {"body_bytes": 10}
            rig.change(
                risk=row(replica), paused=row(replica, paused=True), closed=row(replica, keys=[key]), small=row(replica, limits=small)
            )
            with pytest.raises(GRPCError) as caught:
                await client.ask("ModelInfer", infer(model, **more))
            assert caught.value.status is status
            assert text in (caught.value.message or "")
            assert not replica.seen

    run(test)


def test_a_key_opens_and_a_replicas_own_error_comes_back(tmp_path: Path) -> None:
    async def test() -> None:
        token, key = make_key("ada")
        replica = GrpcReplica("a", GRPCError(Status.INVALID_ARGUMENT, "tensor 'x': 7 elements"))
        async with grpc_rig(tmp_path, replica) as (rig, client):
            rig.change(risk=row(replica, keys=[to_plain(key)]))
            with pytest.raises(GRPCError) as caught:
                await client.ask("ModelInfer", infer(), metadata={"authorization": f"Bearer {token}"})
            assert (caught.value.status, caught.value.message) == (Status.INVALID_ARGUMENT, "tensor 'x': 7 elements")
            assert replica.seen[0][1]["fairway-caller"] == "ada"
            assert "authorization" not in replica.seen[0][1]
            assert rig.gateway.services["risk"].meters[3].refused == 1

    run(test)


def test_a_call_is_held_until_a_replica_runs_and_a_dead_one_costs_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        replica, dead = GrpcReplica("a"), GrpcReplica("dead")
        async with grpc_rig(tmp_path, replica) as (rig, client):
            rig.change(risk={"traffic": [[3, 1]]})
            asking = asyncio.create_task(client.ask("ModelInfer", infer()))
            await until(lambda: rig.gateway.services.get("risk") and rig.gateway.services["risk"].held)
            dead.address = DEAD
            rig.change(risk=row(dead, replica))
            assert (await asking).model_name == "a"
            for _ in range(6):
                assert (await client.ask("ModelInfer", infer())).model_name == "a"

    run(test)


def test_deadlines_end_calls_and_who_leaves_is_not_worked_for(tmp_path: Path) -> None:
    async def test() -> None:
        replica = GrpcReplica("a")
        replica.released.clear()
        async with grpc_rig(tmp_path, replica) as (rig, client):
            rig.change(risk=row(replica, limits={"deadline_s": 0.6}))
            with pytest.raises(GRPCError) as caught:
                await client.ask("ModelInfer", infer())
            assert caught.value.status is Status.DEADLINE_EXCEEDED
            rig.change(risk=row(replica))
            before = replica.cancelled
            asking = asyncio.create_task(client.ask("ModelInfer", infer()))
            await until(lambda: len(replica.seen) == 2)
            asking.cancel()
            await until(lambda: replica.cancelled > before)
            await until(lambda: rig.gateway.services["risk"].all_replicas()[0].in_flight == 0)
            assert rig.gateway.abandoned == 1

    run(test)


def test_a_replica_out_of_the_table_answers_what_it_has(tmp_path: Path) -> None:
    async def test() -> None:
        replica, other = GrpcReplica("a"), GrpcReplica("b")
        replica.released.clear()
        async with grpc_rig(tmp_path, replica, other) as (rig, client):
            rig.change(risk=row(replica))
            asking = asyncio.create_task(client.ask("ModelInfer", infer()))
            await until(lambda: replica.seen)
            rig.change(risk=row(other))
            assert (await client.ask("ModelInfer", infer())).model_name == "b"
            replica.released.set()
            assert (await asking).model_name == "a"

    run(test)


def test_a_port_that_ends_answers_all_that_comes_on_a_connection_that_is_in_use(tmp_path: Path) -> None:
    async def test() -> None:
        replica = GrpcReplica("a")
        replica.released.clear()
        async with gateway_rig(tmp_path) as rig:
            await replica.start()
            gate, sock = GrpcGate(rig.gateway), listen_on("127.0.0.1", 0)
            gate.listen(sock, None)
            rig.change(risk=row(replica))
            client = GrpcClient(sock.getsockname()[1])
            first = asyncio.create_task(client.ask("ModelInfer", infer()))
            await until(lambda: replica.seen)
            ending = asyncio.create_task(gate.drain(10.0, linger_s=5.0))
            second = asyncio.create_task(client.ask("ModelInfer", infer()))
            await until(lambda: len(replica.seen) == 2)
            assert not ending.done()
            replica.released.set()
            assert [answer.model_name for answer in await asyncio.gather(first, second)] == ["a", "a"]
            client.channel.close()
            await ending
            rig.change()
            replica.server.close()

    run(test)


def test_a_compressed_message_is_understood(tmp_path: Path) -> None:
    async def test() -> None:
        replica = GrpcReplica("a")
        async with grpc_rig(tmp_path, replica) as (rig, client):
            rig.change(risk=row(replica))
            packed = zlib.compress(infer().SerializeToString())
            async with client.channel.request(
                SERVICE + "ModelInfer", Cardinality.UNARY_UNARY, messages.ModelInferRequest, messages.ModelInferResponse
            ) as call:
                await call.send_request()
                await call._stream.send_data(b"\1" + len(packed).to_bytes(4, "big") + packed, end_stream=True)
                call._send_message_done = True
                assert (await call.recv_message()).model_name == "a"
            assert replica.seen[0][0] == infer()

    run(test)


def test_the_process_takes_calls_at_a_port_of_its_own(tmp_path: Path) -> None:
    async def test() -> None:
        replica = await GrpcReplica("a").start()
        async with gateway_process(tmp_path, "--grpc", "127.0.0.1:0") as gateway:
            await gateway.change(risk=row(replica))
            client = GrpcClient(int(gateway.said["grpc"].rpartition(":")[2]))
            assert (await client.ask("ModelInfer", infer())).model_name == "a"
            client.channel.close()
        replica.server.close()

    run(test)


@given(st.text(max_size=40), st.text(max_size=10), st.binary(max_size=50))
def test_names_are_found_in_any_message(model: str, version: str, body: bytes) -> None:
    data = infer(model, body, model_version=version).SerializeToString()
    assert (read_field(data, 1), read_field(data, 2)) == (model.encode(), version.encode())


@given(st.binary(max_size=60))
def test_what_is_no_message_has_no_name_and_harms_nobody(data: bytes) -> None:
    found = read_field(data, 1)
    assert isinstance(found, bytes) and len(found) <= len(data)


def test_a_text_that_is_written_is_read() -> None:
    made = messages.ServerMetadataResponse.FromString(write_text(1, "fairway") + write_text(3, "a") + write_text(3, "b"))
    assert (made.name, list(made.extensions)) == ("fairway", ["a", "b"])
