"""A real inference server, asked in every protocol, and then with garbage."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression

import fairway as fw
from tests.serve.replica.rig import Replica, replica, script
from tests.waiting import Gate, await_true

ROWS = [{"age": 1.0, "income": 2.0}, {"age": 3.0, "income": 4.0}]
ARROW, PARQUET = "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """age + 10 x income."""
    folder = tmp_path_factory.mktemp("served") / "risk"
    x = pd.DataFrame({"age": [1.0, 2.0, 3.0, 5.0], "income": [1.0, 5.0, 2.0, 2.0]})
    fw.Model(LinearRegression().fit(x, x.age + 10 * x.income), example=x[:2]).save(folder)
    with replica(folder, "--name", "risk", "--grpc-port", "0", "--limits", '{"body_bytes": 1000000}') as running:
        yield running


def ask(server: Replica, path: str, body: bytes, kind: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    import http.client

    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    link.request("POST", path, body, {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}})
    answer = link.getresponse()
    data = answer.read()
    link.close()
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, data


def encoded(kind: str) -> bytes:
    table = pa.Table.from_pylist(ROWS)
    out = io.BytesIO()
    if kind == PARQUET:
        pq.write_table(table, out)
    elif kind == ARROW:
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    elif kind == "text/csv":
        out.write(b"age,income\n1,2\n3,4\n")
    else:
        out.write(json.dumps({"inputs": ROWS}).encode())
    return out.getvalue()


@pytest.mark.parametrize("takes", ["application/json", "text/csv", ARROW, PARQUET])
@pytest.mark.parametrize("sends", ["application/json", "text/csv", ARROW, PARQUET])
def test_rows_come_and_go_in_every_form(server: Replica, sends: str, takes: str) -> None:
    status, headers, data = ask(server, "/predict", encoded(sends), sends, accept=takes)
    assert status == 200, data
    assert headers["content-type"].startswith(takes)
    if takes == "application/json":
        found = json.loads(data)["predictions"]
    elif takes == "text/csv":
        found = [float(line) for line in data.decode().split()[1:]]
    else:
        table = pa.ipc.open_stream(data).read_all() if takes == ARROW else pq.read_table(io.BytesIO(data))
        (found,) = table.to_pydict().values()
    assert found == pytest.approx([21.0, 43.0])


@pytest.mark.parametrize(
    ("path", "body", "find"),
    [
        ("/score", {"data": ROWS}, lambda found: found),
        ("/v1/models/risk:predict", {"instances": ROWS}, lambda found: found["predictions"]),
        ("/invocations", {"dataframe_records": ROWS}, lambda found: found["predictions"]),
        ("/invocations", {"dataframe_split": {"columns": ["income", "age"], "data": [[2, 1], [4, 3]]}}, lambda found: found["predictions"]),
        (
            "/v2/models/risk/infer",
            {"inputs": [{"name": "x", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}]},
            lambda found: found["outputs"][0]["data"],
        ),
        (
            "/v2/models/risk/infer",
            {
                "inputs": [
                    {"name": name, "shape": [2], "datatype": "FP32", "data": [row[name] for row in ROWS]} for name in ("income", "age")
                ]
            },
            lambda found: found["outputs"][0]["data"],
        ),
    ],
)
def test_every_protocol_gives_the_same_answer(server: Replica, path: str, body: object, find) -> None:
    status, found = server.call(path, body)
    assert status == 200, found
    assert find(found) == pytest.approx([21.0, 43.0])


def test_grpc_gives_the_same_answer(server: Replica) -> None:
    from grpclib.client import Channel, UnaryUnaryMethod

    from fairway.serve.protocols import inference_messages as m

    async def main() -> np.ndarray:
        host, _, port = server.ready["grpc"].rpartition(":")
        channel = Channel(host, int(port))
        request = m.ModelInferRequest(model_name="risk", raw_input_contents=[np.array([[1, 2], [3, 4]], "<f4").tobytes()])
        request.inputs.add(name="x", datatype="FP32", shape=[2, 2])
        infer = UnaryUnaryMethod(channel, "/inference.GRPCInferenceService/ModelInfer", m.ModelInferRequest, m.ModelInferResponse)
        answer = await infer(request, timeout=60)
        channel.close()
        return np.frombuffer(answer.raw_output_contents[0], {"FP32": "<f4", "FP64": "<f8"}[answer.outputs[0].datatype])

    assert asyncio.run(main()).tolist() == pytest.approx([21.0, 43.0])
    assert 'route="grpc/ModelInfer"' in server.call("/metrics", method="GET")[1]


HEAD = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}'
GARBAGE = [
    (b"\x00\xff\xfe\r\n\r\n", 400),
    (b"GET\r\n\r\n", 400),
    (b"POST /predict HTTP/1.1\r\n\r\n", 400),
    (b"POST /predict HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
    (b"POST /predict HTTP/1.1\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{]", 400),
    (b"POST /predict HTTP/1.1\r\ncontent-length: 5\r\ncontent-type: \xff\r\n\r\n{}{}{", 415),
    (b"POST /predict HTTP/1.1\r\ncontent-length: 999999999\r\ncontent-type: application/json\r\n\r\n{", 413),
    (b"POST /predict HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\nzz\r\n", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    (b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    (b"GET /docs/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    (b"GET /%ff%00 HTTP/1.1\r\nhost: x\r\n\r\n", 404),
    (b"BREW /predict HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"DELETE /predict HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    (b"POST /v2/models/risk/infer HTTP/1.1\r\nInference-Header-Content-Length: 500\r\ncontent-length: 101\r\n\r\n" + HEAD + b"\0" * 8, 400),
    (b"POST /v2/models/risk/infer HTTP/1.1\r\nInference-Header-Content-Length: 20\r\ncontent-length: 101\r\n\r\n" + HEAD + b"\0" * 8, 400),
    (b"POST /v2/models/risk/infer HTTP/1.1\r\nInference-Header-Content-Length: 93\r\ncontent-length: 97\r\n\r\n" + HEAD + b"\0" * 4, 400),
    (b"POST /v2/models/risk/infer HTTP/1.1\r\nInference-Header-Content-Length: 93\r\ncontent-length: 105\r\n\r\n" + HEAD + b"\0" * 12, 400),
]


def test_the_lengths_in_the_garbage_are_what_they_seem() -> None:
    assert len(HEAD) == 93


@pytest.mark.parametrize(("sent", "status"), GARBAGE)
def test_garbage_has_a_clear_answer_and_the_server_lives_on(server: Replica, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as link:
        link.sendall(sent)
        link.shutdown(socket.SHUT_WR)
        answer = b""
        while part := link.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert b"fairway-request-id" in answer
    assert b'"error"' in answer
    assert server.call("/predict", [ROWS[0]])[0] == 200


def test_garbage_on_the_port_of_grpc_ends_that_connection_only(server: Replica) -> None:
    host, _, port = server.ready["grpc"].rpartition(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 5000, preface + b"\xff" * 100, preface, b""):
        with socket.create_connection((host, int(port)), 20) as link:
            link.sendall(sent)
            link.shutdown(socket.SHUT_WR)
            while link.recv(65536):
                pass
    test_grpc_gives_the_same_answer(server)


def test_clients_that_leave_in_the_midst_harm_nobody(server: Replica) -> None:
    body = json.dumps([ROWS[0]] * 1000).encode()
    head = b"POST /predict HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    failures: list[object] = []

    def leave(after: int) -> None:
        with socket.create_connection(("127.0.0.1", server.port), 20) as link:
            link.sendall((head + body)[:after])

    def stay() -> None:
        status, answer = server.call("/predict", [ROWS[0]])
        if status != 200 or answer["predictions"] != pytest.approx([21.0]):
            failures.append(answer)

    threads = [threading.Thread(target=leave, args=(at,)) for at in (10, 60, len(head), len(head) + 500, len(head) + len(body))]
    threads += [threading.Thread(target=stay) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.skipif(sys.platform != "linux", reason="what a process has loaded is looked at in /proc")
def test_the_front_knows_no_numeric_library(server: Replica) -> None:
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "msgspec" in loaded
    for library in ("numpy", "pandas", "pyarrow", "sklearn"):
        assert library not in loaded


STREAM = """
import fcntl, json, pathlib
def init(): pass
def run(raw_data):
    asked = json.loads(raw_data)
    def pieces():
        try:
            for at in range(asked["pieces"]):
                if "gate" in asked and at:
                    fcntl.flock(open(asked["gate"]), fcntl.LOCK_SH)
                yield {"at": at}
                if asked.get("breaks") == at:
                    raise ValueError("no more")
        finally:
            if "mark" in asked:
                pathlib.Path(asked["mark"]).write_text("ended")
    return pieces()
"""


@pytest.fixture(scope="module")
def streamer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with replica(script(tmp_path_factory.mktemp("streams") / "s", STREAM)) as running:
        yield running


def open_stream(streamer: Replica, path: str, asked: object, accept: str):
    import http.client

    link = http.client.HTTPConnection("127.0.0.1", streamer.port, timeout=60)
    link.request("POST", path, json.dumps(asked), {"content-type": "application/json", "accept": accept})
    return link, link.getresponse()


@pytest.mark.parametrize("path", ["/predict", "/score"])
def test_pieces_come_while_the_model_still_works(streamer: Replica, tmp_path: Path, path: str) -> None:
    gate = Gate(tmp_path / "gate")
    link, answer = open_stream(streamer, path, {"pieces": 2, "gate": str(gate.path)}, "text/event-stream")
    assert answer.readline() + answer.readline() == b'data: {"at":0}\n\n'
    gate.open()
    assert answer.read() == b'data: {"at":1}\n\nevent: end\ndata: {"id":"%b"}\n\n' % answer.headers["fairway-request-id"].encode()
    link.close()


def test_who_leaves_a_stream_ends_the_scripts_work(streamer: Replica, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    link, answer = open_stream(streamer, "/score", {"pieces": 10**9, "mark": str(mark)}, "*/*")
    assert answer.readline() == b'{"at":0}\n'
    link.close()
    answer.close()
    await_true(mark.exists, "the script has ended its work")
    assert streamer.call("/predict", {"pieces": 2})[1]["predictions"] == [{"at": 0}, {"at": 1}]


def test_a_script_that_breaks_in_the_midst_says_so(streamer: Replica) -> None:
    _, answer = open_stream(streamer, "/predict", {"pieces": 5, "breaks": 1}, "text/event-stream")
    events = answer.read().decode().split("\n\n")
    assert events[:2] == ['data: {"at":0}', 'data: {"at":1}']
    assert events[2].startswith("event: error\ndata: ") and "ValueError: no more" in events[2]
    status, found = streamer.call("/predict", {"pieces": 5, "breaks": 1})
    assert (status, found["error"]["code"]) == (500, "FW-MODEL")
