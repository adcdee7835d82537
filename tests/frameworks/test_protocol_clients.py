"""The protocols as others speak them: NVIDIA's tritonclient and KServe's own client, against a real inference server.

Needs tritonclient[http,grpc] and kserve.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import fairway as fw
from tests.serve.replica.rig import Replica, replica, script

ROOT = Path(__file__).parents[2]
X = np.random.default_rng(1).normal(size=(1000, 23)).astype(np.float32)
WEIGHTS = np.arange(1, 24, dtype=np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A weighted sum of 23 columns."""
    folder = tmp_path_factory.mktemp("served") / "risk"
    x = pd.DataFrame(X[:200].astype(float), columns=[f"c{at}" for at in range(23)])
    fw.Model(LinearRegression().fit(x, x @ WEIGHTS), example=x[:2]).save(folder)
    with replica(folder, "--name", "risk", "--version", "7", "--grpc-port", "0") as running:
        yield running


def close(found: Any, rows: np.ndarray = X) -> bool:
    return bool(np.allclose(np.asarray(found).ravel(), rows.astype(float) @ WEIGHTS, atol=1e-2))


@pytest.fixture(params=["http", "grpc"])
def triton(request: pytest.FixtureRequest, server: Replica) -> Iterator[tuple[Any, Any]]:
    """tritonclient's module and a client of it."""
    import tritonclient.grpc
    import tritonclient.http

    module = tritonclient.http if request.param == "http" else tritonclient.grpc
    client = module.InferenceServerClient(f"127.0.0.1:{server.port}" if request.param == "http" else server.ready["grpc"])
    yield module, client
    client.close()


def tensor(module: Any, array: np.ndarray = X, name: str = "inputs", **how: Any) -> Any:
    from tritonclient.utils import np_to_triton_dtype

    made = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, **how)
    return made


def first(answer: Any) -> np.ndarray:
    found = answer.get_response()
    return answer.as_numpy(found["outputs"][0]["name"] if isinstance(found, dict) else found.outputs[0].name)


def test_triton_sees_a_live_server_and_its_model(triton: tuple[Any, Any]) -> None:
    module, client = triton
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("risk") and client.is_model_ready("risk", "7")
    about, served = client.get_model_metadata("risk"), client.get_server_metadata()
    if module.__name__.endswith("grpc"):
        assert (about.name, list(about.versions), list(about.inputs[0].shape)) == ("risk", ["7"], [-1, 23])
        assert served.name == "fairway"
    else:
        assert (about["name"], about["versions"], about["inputs"][0]["shape"]) == ("risk", ["7"], [-1, 23])
        assert "binary_tensor_data" in served["extensions"]


def test_triton_gets_a_thousand_rows_in_binary(triton: tuple[Any, Any]) -> None:
    module, client = triton
    answer = client.infer("risk", [tensor(module)], request_id="mine")
    assert close(first(answer))
    found = answer.get_response()
    assert (found["id"] if isinstance(found, dict) else found.id) == "mine"


def test_triton_asks_for_outputs_by_name(triton: tuple[Any, Any]) -> None:
    module, client = triton
    about = client.get_model_metadata("risk")
    name = about["outputs"][0]["name"] if isinstance(about, dict) else about.outputs[0].name
    answer = client.infer("risk", [tensor(module)], outputs=[module.InferRequestedOutput(name)])
    assert close(answer.as_numpy(name))
    with pytest.raises(Exception, match="there is no output 'other'"):
        client.infer("risk", [tensor(module)], outputs=[module.InferRequestedOutput("other")])


def test_triton_sends_json_and_takes_json(server: Replica) -> None:
    import tritonclient.http as module

    client = module.InferenceServerClient(f"127.0.0.1:{server.port}")
    name = client.get_model_metadata("risk")["outputs"][0]["name"]
    for sent in (True, False):
        for taken in (True, False):
            outputs = [module.InferRequestedOutput(name, binary_data=taken)]
            assert close(client.infer("risk", [tensor(module, binary_data=sent)], outputs=outputs).as_numpy(name))
    client.close()


@pytest.mark.parametrize("how", ["gzip", "deflate"])
def test_triton_compresses(triton: tuple[Any, Any], how: str) -> None:
    module, client = triton
    named = "compression_algorithm" if module.__name__.endswith("grpc") else "request_compression_algorithm"
    assert close(first(client.infer("risk", [tensor(module)], **{named: how})))


def test_triton_asks_at_once_and_asynchronously(triton: tuple[Any, Any]) -> None:
    module, client = triton
    if module.__name__.endswith("grpc"):
        from queue import Queue

        done: Queue[Any] = Queue()
        for _ in range(8):
            client.async_infer("risk", [tensor(module)], callback=lambda result, error: done.put((result, error)))
        for _ in range(8):
            result, error = done.get(timeout=60)
            assert error is None and close(first(result))
    else:
        waiting = [client.async_infer("risk", [tensor(module)]) for _ in range(8)]
        assert all(close(first(one.get_result())) for one in waiting)


def test_triton_is_told_what_is_wrong(triton: tuple[Any, Any]) -> None:
    from tritonclient.utils import InferenceServerException

    module, client = triton
    nan = X.copy()
    nan[5, 3] = np.nan
    for call, said in (
        (lambda: client.infer("other", [tensor(module)]), "there is no model 'other' here"),
        (lambda: client.infer("risk", [tensor(module)], model_version="9"), "there is no version '9'"),
        (lambda: client.infer("risk", [tensor(module, X[:, :22])]), "22"),
        (lambda: client.infer("risk", [tensor(module, nan)]), "row 5, field 'c3'"),
        (lambda: client.infer("risk", [tensor(module, np.array([["a"] * 23], dtype=object))]), ""),
        (lambda: client.infer("risk", [tensor(module), tensor(module)]), "twice"),
    ):
        with pytest.raises(InferenceServerException) as error:
            call()
        assert said in error.value.message(), error.value.message()
        assert client.is_model_ready("risk")


def test_triton_sends_columns_of_every_number(triton: tuple[Any, Any]) -> None:
    module, client = triton
    for dtype in (np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32):
        rows = (np.arange(46).reshape(2, 23) % 5).astype(dtype)
        assert close(first(client.infer("risk", [tensor(module, rows)])), rows), dtype
        columns = [tensor(module, np.ascontiguousarray(rows[:, at]), f"c{at}") for at in reversed(range(23))]
        assert close(first(client.infer("risk", columns)), rows), dtype


def test_kserve_asks_by_v1_and_v2_and_grpc(server: Replica) -> None:
    """In a process of its own: KServe's messages and tritonclient's cannot be imported into one."""
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kserve_talk.py")), server.ready["url"], server.ready["grpc"]],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.split() == ["v1", "v2", "grpc", "messages"]


def test_texts_come_back_as_they_went(tmp_path: Path, triton: tuple[Any, Any]) -> None:
    """A script without a schema answers what it was sent, as texts."""
    module, _ = triton
    folder = script(tmp_path / "echo", "import json\ndef init(): pass\ndef run(data): return ['a', 'ä', json.dumps(1)]\n")
    with replica(folder, "--name", "echo", "--grpc-port", "0") as running:
        address = running.ready["grpc"] if module.__name__.endswith("grpc") else f"127.0.0.1:{running.port}"
        client = module.InferenceServerClient(address)
        answer = client.infer("echo", [tensor(module, np.array(["x", "y"], dtype=object), "text")])
        assert [one.decode() for one in first(answer)] == ["a", "ä", "1"]
        client.close()


def test_our_messages_are_what_protoc_makes_of_their_source() -> None:
    import base64

    from google.protobuf import descriptor_pb2

    from fairway.serve.protocols import inference_messages

    # protoc in a process of its own: its library and that of a framework that is loaded here crash each other
    code = "from tools.make_inference_messages import render; print(render())"
    rendered = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    scope: dict[str, Any] = {}
    made = next(line for line in rendered.split("DESCRIPTOR = ")[1:])
    exec("DESCRIPTOR = " + made.split("\n)\n")[0] + "\n)", scope)  # the same data, whatever the version of protoc
    ours, theirs = (
        descriptor_pb2.FileDescriptorProto.FromString(base64.b64decode(text))
        for text in (inference_messages.DESCRIPTOR, scope["DESCRIPTOR"])
    )
    assert ours == theirs
