"""The Open Inference Protocol over gRPC, over a real connection."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from h2.connection import H2Connection
from hyperframe.frame import DataFrame, Frame, GoAwayFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.data.schema.datatypes import FROM_NUMPY
from fairway.serve.protocols import inference_messages as m
from fairway.serve.protocols.grpc import read_tensors, receive, serve_grpc
from fairway.serve.refusal import Refused
from tests.serve.protocols.rig import NUMPY, MemoryServing, array_of, failed, identity, stream_of, sum_rows
from tests.waiting import until

X = np.arange(6, dtype="<f4").reshape(3, 2)
Ask = Callable[..., Awaitable[Any]]


def talk(serving: MemoryServing, conversation: Callable[[Ask], Awaitable[None]], **options: Any) -> None:
    """Have a conversation with a server of its own."""

    async def main() -> None:
        server = await serve_grpc(serving, "127.0.0.1", 0, **options)  # type: ignore[arg-type]
        channel = Channel("127.0.0.1", server.port)

        async def ask(name: str, message: Any = None, **more: Any) -> Any:
            reply = getattr(m, f"{name}Response")
            method = UnaryUnaryMethod(channel, f"/inference.GRPCInferenceService/{name}", type(message), reply)
            return await method(message if message is not None else getattr(m, f"{name}Request")(), **more)

        try:
            await conversation(ask)
        finally:
            channel.close()
            await server.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def request_of(*arrays: np.ndarray, raw: bool = True, **more: Any) -> Any:
    request = m.ModelInferRequest(model_name="risk", **more)
    for at, array in enumerate(arrays):
        datatype = FROM_NUMPY[array.dtype.str]
        tensor = request.inputs.add(name=f"x{at}", datatype=datatype, shape=array.shape)
        if raw:
            request.raw_input_contents.append(array.tobytes())
        else:
            getattr(tensor.contents, FIELDS[datatype]).extend(array.ravel().tolist())
    return request


FIELDS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents",
}  # fmt: skip


def test_rows_as_bytes_are_answered_with_bytes_and_the_id() -> None:
    async def conversation(ask: Ask) -> None:
        answer = await ask("ModelInfer", request_of(X, id="mine"))
        assert (answer.model_name, answer.model_version, answer.id) == ("risk", "3", "mine")
        assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [("predictions", "FP32", [3])]
        assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == [1.0, 5.0, 9.0]

    talk(MemoryServing(sum_rows), conversation)


@pytest.mark.parametrize("datatype", sorted(FIELDS))
def test_typed_contents_are_answered_with_typed_contents(datatype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype=NUMPY[datatype])

    async def conversation(ask: Ask) -> None:
        answer = await ask("ModelInfer", request_of(array, raw=False))
        assert list(getattr(answer.outputs[0].contents, FIELDS[datatype])) == array.ravel().tolist()
        assert not answer.raw_output_contents

    talk(MemoryServing(identity, None), conversation)


def test_texts_go_both_ways() -> None:
    async def conversation(ask: Ask) -> None:
        request = m.ModelInferRequest(model_name="risk")
        request.inputs.add(name="s", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"a", b"\xff"])
        answer = await ask("ModelInfer", request)
        assert list(answer.outputs[0].contents.bytes_contents) == [b"a", b"\xff"]

    talk(MemoryServing(identity, None), conversation)


def test_live_ready_and_metadata() -> None:
    serving = MemoryServing(sum_rows)

    async def conversation(ask: Ask) -> None:
        assert (await ask("ServerLive", m.ServerLiveRequest())).live
        assert (await ask("ServerReady", m.ServerReadyRequest())).ready
        assert (await ask("ModelReady", m.ModelReadyRequest(name="risk", version="3"))).ready
        assert (await ask("ServerMetadata", m.ServerMetadataRequest())).name == "fairway"
        about = await ask("ModelMetadata", m.ModelMetadataRequest(name="risk"))
        assert [(t.name, t.datatype, list(t.shape)) for t in about.inputs] == [("inputs", "FP64", [-1, 2])]
        assert dict(about.properties) == {"columns": '["age","income"]'}
        serving.ready = False
        assert not (await ask("ServerReady", m.ServerReadyRequest())).ready
        assert not (await ask("ModelReady", m.ModelReadyRequest(name="risk"))).ready

    talk(serving, conversation)


def break_raw(request: Any) -> None:
    request.raw_input_contents[0] = b"123"


def break_count(request: Any) -> None:
    request.raw_input_contents.append(b"")


def break_both(request: Any) -> None:
    request.inputs[0].contents.fp32_contents.append(1.0)


def break_shape(request: Any) -> None:
    request.inputs[0].shape[0] = 0


def break_datatype(request: Any) -> None:
    request.inputs[0].datatype = "FLOAT"


def break_twice(request: Any) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def break_field(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.int_contents.extend(range(6))


def break_length(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].contents.fp32_contents.extend(range(5))


def break_half(request: Any) -> None:
    del request.raw_input_contents[:]
    request.inputs[0].datatype = "BF16"


def break_model(request: Any) -> None:
    request.model_name = "other"


def break_output(request: Any) -> None:
    request.outputs.add(name="other")


@pytest.mark.parametrize(
    ("break_it", "status", "said"),
    [
        (break_raw, Status.INVALID_ARGUMENT, "tensor 'x0': came 3 bytes, expected 24"),
        (break_count, Status.INVALID_ARGUMENT, "has 2 entries, expected one for each of the 1 inputs"),
        (break_both, Status.INVALID_ARGUMENT, "tensor 'x0' has contents beside raw_input_contents"),
        (break_shape, Status.INVALID_ARGUMENT, "tensor 'x0': came the shape [0, 2]"),
        (break_datatype, Status.INVALID_ARGUMENT, "tensor 'x0': came the datatype 'FLOAT'"),
        (break_twice, Status.INVALID_ARGUMENT, "tensor 'x0': came the tensor twice"),
        (break_field, Status.INVALID_ARGUMENT, "tensor 'x0': came int_contents, expected fp32_contents for FP32"),
        (break_length, Status.INVALID_ARGUMENT, "tensor 'x0': came 5 values, expected 6"),
        (break_half, Status.INVALID_ARGUMENT, "came the datatype 'BF16' in typed contents"),
        (break_model, Status.NOT_FOUND, "there is no model 'other' here (there is 'risk')"),
        (break_output, Status.INVALID_ARGUMENT, "there is no output 'other'"),
    ],
)
def test_what_is_wrong_is_told_with_the_tensors_name(break_it: Callable[[Any], None], status: Status, said: str) -> None:
    async def conversation(ask: Ask) -> None:
        request = request_of(X)
        break_it(request)
        with pytest.raises(GRPCError) as error:
            await ask("ModelInfer", request)
        assert error.value.status == status
        assert said in str(error.value.message)
        assert list((await ask("ModelInfer", request_of(X))).outputs[0].shape) == [3]  # it lives on

    talk(MemoryServing(sum_rows), conversation)


@pytest.mark.parametrize(
    ("http", "status"),
    [
        (500, Status.INTERNAL),
        (504, Status.DEADLINE_EXCEEDED),
        (503, Status.UNAVAILABLE),
        (422, Status.INVALID_ARGUMENT),
        (429, Status.RESOURCE_EXHAUSTED),
    ],
)
def test_a_failed_call_has_grpcs_status(http: int, status: Status) -> None:
    async def conversation(ask: Ask) -> None:
        with pytest.raises(GRPCError) as error:
            await ask("ModelInfer", request_of(X))
        assert (error.value.status, error.value.message) == (status, "it broke: ä")

    talk(MemoryServing(lambda call: failed(http, "it broke: ä")), conversation)


def test_a_message_over_the_limit_is_refused_and_the_next_is_answered() -> None:
    async def conversation(ask: Ask) -> None:
        with pytest.raises(GRPCError) as error:
            await ask("ModelInfer", request_of(np.zeros((4000, 2), "<f4")))
        assert error.value.status == Status.RESOURCE_EXHAUSTED
        assert "too large" in str(error.value.message)
        assert (await ask("ModelInfer", request_of(X))).outputs

    talk(MemoryServing(sum_rows, body_bytes=10_000), conversation)


def test_a_token_is_asked_for_where_there_is_one() -> None:
    async def conversation(ask: Ask) -> None:
        assert (await ask("ServerLive", m.ServerLiveRequest())).live
        for metadata in ({}, {"fairway-token": "guess"}):
            with pytest.raises(GRPCError) as error:
                await ask("ModelInfer", request_of(X), metadata=metadata)
            assert error.value.status == Status.UNAUTHENTICATED
        assert (await ask("ModelInfer", request_of(X), metadata={"fairway-token": "secret"})).outputs

    talk(MemoryServing(sum_rows), conversation, token="secret")


def test_every_call_is_told_of() -> None:
    ended: list[tuple[str, int]] = []

    async def conversation(ask: Ask) -> None:
        await ask("ServerLive", m.ServerLiveRequest())
        await ask("ModelInfer", request_of(X))
        request = request_of(X)
        break_model(request)
        with pytest.raises(GRPCError):
            await ask("ModelInfer", request)
        assert ended == [("ServerLive", 200), ("ModelInfer", 200), ("ModelInfer", 404)]

    talk(MemoryServing(sum_rows), conversation, ended=lambda name, status, seconds: ended.append((name, status)))


def test_the_deadline_and_the_id_of_the_caller_are_the_calls() -> None:
    serving = MemoryServing(sum_rows)

    async def conversation(ask: Ask) -> None:
        import time

        mine = {"fairway-request-id": "mine", "fairway-timeout-ms": "90000"}
        asked: list[tuple[dict[str, Any], float]] = [
            ({"timeout": 25, "metadata": mine}, 25),
            ({"timeout": 25, "metadata": {"fairway-timeout-ms": "20000"}}, 20),
            ({}, 30),
        ]
        for number, (words, limit_s) in enumerate(asked):
            before = time.monotonic()
            await ask("ModelInfer", request_of(X), **words)
            assert before - 1 <= serving.calls[number].deadline - limit_s <= time.monotonic()  # whole seconds are sent
        assert serving.calls[0].id == "mine"

    talk(serving, conversation)


def test_parameters_and_a_stream_are_taken_whole() -> None:
    serving = MemoryServing(lambda call: stream_of([1, 2]), None)

    async def conversation(ask: Ask) -> None:
        request = request_of(X)
        request.parameters["top"].int64_param = 3
        request.parameters["how"].string_param = "best"
        answer = await ask("ModelInfer", request)
        assert np.frombuffer(answer.raw_output_contents[0], "<i8").tolist() == [1, 2]
        assert serving.calls[0].params == {"top": 3, "how": "best"}

    talk(serving, conversation)


class Source:
    """A stream's data, as grpclib gives it."""

    def __init__(self, data: bytes) -> None:
        self._stream, self.data = self, data

    async def recv_data(self, size: int) -> bytes:
        if self.data and len(self.data) < size:
            raise AssertionError("Received less data than expected")
        taken, self.data = self.data[:size], self.data[size:]
        return taken


def frame(data: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


def read(data: bytes) -> Any:
    return asyncio.run(receive(Source(data), m.ModelReadyRequest, 1000))


def test_messages_may_be_compressed() -> None:
    plain = m.ModelReadyRequest(name="risk" * 50).SerializeToString()
    assert read(frame(plain)).name == "risk" * 50
    assert read(frame(gzip.compress(plain), 1)).name == "risk" * 50


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"\0\0", 400),
        (frame(b"\xff\xff\xff"), 400),
        (frame(b"abc")[:-1], 400),
        (frame(b"x" * 1001), 413),
        (b"\0\xff\xff\xff\xff", 413),
        (frame(gzip.compress(b"\0" * 100_000), 1), 413),
        (frame(b"no gzip", 1), 501),
    ],
)
def test_a_message_that_is_none_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(Refused) as refused:
        read(data)
    assert refused.value.status == status


def test_array_answers_of_odd_shapes_keep_them() -> None:
    async def conversation(ask: Ask) -> None:
        answer = await ask("ModelInfer", request_of(X))
        assert list(answer.outputs[0].shape) == [3, 0]

    talk(MemoryServing(lambda call: array_of(np.zeros((3, 0)))), conversation)


def test_it_is_encrypted_with_a_certificate(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", tmp_path / "key.pem",
         "-out", tmp_path / "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr

    async def main() -> None:
        server = await serve_grpc(
            MemoryServing(sum_rows),
            "127.0.0.1",
            0,
            certificate=str(tmp_path / "cert.pem"),
            key=str(tmp_path / "key.pem"),  # type: ignore[arg-type]
        )
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        context.set_alpn_protocols(["h2"])
        channel = Channel("localhost", server.port, ssl=context)
        live = UnaryUnaryMethod(channel, "/inference.GRPCInferenceService/ServerLive", m.ServerLiveRequest, m.ServerLiveResponse)
        assert (await live(m.ServerLiveRequest())).live
        channel.close()
        await server.close()

    asyncio.run(asyncio.wait_for(main(), 60))


def frames_of_a_call() -> bytes:
    """A new connection, and one call."""
    client = H2Connection()
    client.initiate_connection()
    path = "/inference.GRPCInferenceService/ModelInfer"
    about = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", path)]
    client.send_headers(1, [*about, ("te", "trailers"), ("content-type", "application/grpc")])
    client.send_data(1, frame(request_of(X).SerializeToString()), end_stream=True)
    return client.data_to_send()


@pytest.mark.parametrize("turns", range(4))
def test_closing_answers_who_has_just_come(turns: int) -> None:
    async def main() -> None:
        server = await serve_grpc(MemoryServing(sum_rows), "127.0.0.1", 0)  # type: ignore[arg-type]
        with socket.create_connection(("127.0.0.1", server.port)) as caller:
            caller.sendall(frames_of_a_call())
            for _ in range(turns):
                await asyncio.sleep(0)
            closing = asyncio.ensure_future(server.close())
            reader, _ = await asyncio.open_connection(sock=caller)
            frames: list[Any] = []
            while not (frames and frames[-1].stream_id == 1 and "END_STREAM" in frames[-1].flags):
                frames.append(await read_frame(reader))
            (data,) = (one for one in frames if isinstance(one, DataFrame))
            assert m.ModelInferResponse.FromString(data.data[5:]).outputs
            await reader.read()
            await closing

    asyncio.run(asyncio.wait_for(main(), 60))


@pytest.mark.parametrize("patience_s", [10.0, 0.2])
def test_closing_waits_for_those_that_are_being_answered_and_says_so_when_they_are_or_at_last(patience_s: float) -> None:
    """Frame by frame: of grpclib's and h2's clients neither reads on after the frame that says that a connection ends."""

    async def main() -> None:
        serving = MemoryServing(sum_rows)
        waiting: list[Callable[[], None]] = []
        serving.submit = lambda call, done: waiting.append(lambda: done(sum_rows(call)))  # type: ignore[method-assign]
        server = await serve_grpc(serving, "127.0.0.1", 0)  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(frames_of_a_call())
        await until(lambda: waiting)
        closing = asyncio.ensure_future(server.close(patience_s * 2, linger_s=10.0))
        frames: list[Any] = []
        is_last = lambda: bool(frames) and isinstance(frames[-1], GoAwayFrame)  # noqa: E731
        if patience_s < 1:
            while not is_last():
                frames.append(await read_frame(reader))
        else:
            with pytest.raises(ConnectionError):
                while True:
                    (await asyncio.open_connection("127.0.0.1", server.port))[1].close()
        assert not closing.done()
        waiting[0]()
        ended = False
        while not ended or not any(isinstance(one, GoAwayFrame) for one in frames):
            frames.append(await read_frame(reader))
            ended = ended or (frames[-1].stream_id == 1 and "END_STREAM" in frames[-1].flags)
        assert is_last() == (patience_s > 1)
        (data,) = (one for one in frames if isinstance(one, DataFrame))
        assert m.ModelInferResponse.FromString(data.data[5:]).outputs
        writer.close()
        await closing
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", server.port)

    asyncio.run(asyncio.wait_for(main(), 60))


async def read_frame(reader: asyncio.StreamReader) -> Any:
    made, length = Frame.parse_frame_header(memoryview(await reader.readexactly(9)))
    made.parse_body(memoryview(await reader.readexactly(length)))
    return made


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=80), st.integers(0, 200), st.booleans())
def test_bytes_are_tensors_or_refused(noise: bytes, at: int, raw: bool) -> None:
    """A request of which some bytes are others."""
    plain = request_of(X, X[:, 0], raw=raw, id="x").SerializeToString()
    at = min(at, len(plain))
    for data in (plain[:at] + noise + plain[at + len(noise) :], noise):
        try:
            request = asyncio.run(receive(Source(frame(data)), m.ModelInferRequest, 1000))
            tensors = read_tensors(request)
        except Refused as refused:
            assert refused.status in (400, 413)
            assert len(refused.message) < 1000
        else:
            assert [tensor.name for tensor in tensors] == [one.name for one in request.inputs]
