"""What HTTP promises: who may ask, in what words, what comes back and how it is packed."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from starlette.testclient import TestClient

from fairway.web.openapi import make_document
from tests.web.rig import Server, started

PROBLEM = "application/problem+json"
RUN = "20261124-081503-x7kq3"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


@pytest.mark.parametrize(
    ("token", "status"),
    [("", 401), ("u1.ann.wrong", 401), ("w1.a0-1.99999999999.00", 403)],
)
def test_only_users_are_let_in(server: Server, token: str, status: int) -> None:
    with server.client(token) as client:
        for path in ("/runs", "/target", "/secrets", f"/runs/{RUN}/events", "/blobs/sha256/aa/bb"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (status, PROBLEM, "FW-FORBIDDEN")
        assert client.post("/runs", json={}).status_code == status
        assert client.get("/health").status_code == 200
        assert client.get("/openapi.json").status_code == 200


def test_every_endpoint_but_health_asks_for_a_token(server: Server) -> None:
    document = make_document()
    with server.client("") as client:
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                spelled = path.replace("{", "").replace("}", "")
                status = client.request(method.upper(), spelled).status_code
                assert status == (200 if operation.get("security") else 401), (method, path)


def test_what_is_not_there_is_a_problem(client: TestClient) -> None:
    answer = client.get("/nothing/here")
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
    assert answer.json() == {
        "type": "urn:fairway:error:fw-not-found",
        "title": "Not Found",
        "status": 404,
        "code": "FW-NOT-FOUND",
        "detail": "there is nothing at /api/v1/nothing/here",
        "hint": "/api/v1/openapi.json lists all there is",
        "where": "",
    }


def test_a_method_that_is_not_for_this_is_told_which_are(client: TestClient) -> None:
    answer = client.put("/runs", json={})
    assert (answer.status_code, answer.headers["allow"], answer.headers["content-type"]) == (405, "GET, HEAD, POST", PROBLEM)


def test_what_cannot_be_answered_with_is_refused(client: TestClient) -> None:
    assert client.get("/runs", headers={"accept": "image/png"}).status_code == 406
    assert client.get("/runs", headers={"accept": "application/json;q=0"}).status_code == 406
    for accept in ("*/*", "application/*", "text/html, application/json;q=0.1", ""):
        assert client.get("/runs", headers={"accept": accept}).status_code == 200


@pytest.mark.parametrize(
    ("content", "media", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"reason": 1}', "application/json", 422),
        (b'{"reason": "", "other": 1}', "application/json", 422),
        (b" " * (17 << 20), "application/json", 413),
    ],
)
def test_a_body_that_is_wrong_is_refused(client: TestClient, content: bytes, media: str, status: int) -> None:
    client.post("/runs", json=started(RUN))
    answer = client.post(f"/runs/{RUN}/cancel", content=content, headers={"content-type": media})
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)


def test_a_body_that_is_nested_too_deeply_is_refused(client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    deep = b'{"kind": "cancel", "body": {"reason": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    answer = client.post(f"/runs/{RUN}/commands", content=deep, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("limit=0", "query.limit"),
        ("limit=many", "query.limit"),
        ("limit=99999999999999999999999", "query.limit"),
        ("limit=5&limit=6", "query.limit"),
        ("archived=perhaps", "query.archived"),
        ("status=good", "query.status"),
        ("unknown=1", "query.unknown"),
        ("tag=a%00b", "query"),
    ],
)
def test_a_parameter_that_is_wrong_is_refused_by_name(client: TestClient, query: str, where: str) -> None:
    answer = client.get(f"/runs?{query}")
    assert (answer.status_code, answer.json()["where"]) == (422, where)


@pytest.mark.parametrize("name", ["a%00b", "%FF", "a%0Ab", "x" * 2000])
def test_a_name_that_nothing_can_have_is_not_found(client: TestClient, name: str) -> None:
    assert client.get(f"/runs/{name}").status_code == 404


def test_what_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/runs")
    again = client.get("/runs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    client.post("/runs", json=started(RUN))
    other = client.get("/runs", headers={"if-none-match": f'"x", {first.headers["etag"]}'})
    assert (other.status_code, other.headers["etag"] == first.headers["etag"]) == (200, False)


@pytest.mark.parametrize(
    ("accepted", "coding"), [("gzip", "gzip"), ("gzip, zstd", "zstd"), ("zstd;q=0, gzip", "gzip"), ("identity", ""), ("br", "")]
)
def test_large_answers_are_compressed_as_the_caller_likes(client: TestClient, accepted: str, coding: str) -> None:
    plain = client.get("/openapi.json", headers={"accept-encoding": "identity"})
    with client.stream("GET", "/openapi.json", headers={"accept-encoding": accepted}) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers.get("content-encoding", "") == coding
    unpack = {"gzip": gzip.decompress, "zstd": lambda data: zstandard.ZstdDecompressor().decompress(data), "": bytes}[coding]
    assert unpack(raw) == plain.content
    assert "accept-encoding" in answer.headers["vary"]
    assert not coding or len(raw) < len(plain.content) / 4


def test_head_is_get_without_the_body(client: TestClient) -> None:
    answer = client.head("/target")
    assert (answer.status_code, answer.headers["etag"]) == (200, client.get("/target").headers["etag"])


def test_a_defect_is_said_to_be_one_and_told_to_the_log(server: Server, client: TestClient, capsys: pytest.CaptureFixture[str]) -> None:
    server.services.executor = None  # type: ignore[assignment]  # as no server ever has it
    answer = client.get("/cluster")
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (500, PROBLEM, "FW-INTERNAL")
    assert "NoneType" not in answer.text
    assert "AttributeError" in capsys.readouterr().err


def test_health_says_whether_the_runs_were_taken_up(server: Server, client: TestClient) -> None:
    assert client.get("http://server/livez").text == "ok\n"
    assert client.get("http://server/readyz").status_code == 200
    client.post("/runs", json=started(RUN))
    assert client.get("/health").json() | {"version": ""} == {"status": "ok", "version": "", "drivers": 1, "driven": [RUN], "problems": {}}
    server.host.taken_up = False
    assert client.get("http://server/readyz").status_code == 503
    assert client.get("/health").json()["status"] == "starting"


def test_the_server_says_what_it_is_and_has(client: TestClient) -> None:
    target = client.get("/target").json()
    assert (target["name"], target["user"], target["capabilities"]) == ("campus", "ann", ["CONTAINER", "IMAGE", "POOL", "VOLUME"])
    cluster = client.get("/cluster").json()
    assert (cluster["free"]["cpu"], cluster["facts"]) == (8.0, {"nodes": 2})


def test_secrets_are_named_and_never_shown(tmp_path: Path) -> None:
    async def names() -> list[str]:
        return ["TOKEN", "KEY"]

    with Server(tmp_path, secrets=names).client() as client:
        assert client.get("/secrets").json() == {"names": ["KEY", "TOKEN"]}


def test_metrics_for_prometheus_count_runs_tasks_and_requests(server: Server, client: TestClient) -> None:
    client.post("/runs", json=started(RUN))
    client.get("/runs")
    text = client.get("http://server/metrics").text
    lines = text.splitlines()
    assert 'fairway_runs{status="running"} 1' in lines
    assert 'fairway_tasks{status="running"} 1' in lines
    assert 'fairway_tasks{status="waiting"} 1' in lines
    assert "fairway_attempts_live 1" in lines
    assert 'fairway_http_requests_total{method="GET",operation="/runs",status="200"} 1' in lines
    assert 'fairway_http_request_duration_seconds_count{operation="/runs"} 2' in lines
    client.get(f"/runs/{RUN}/events", params={"wait": 0.01, "after": 100})
    later = client.get("http://server/metrics").text
    assert 'fairway_http_requests_total{method="GET",operation="/runs/{run}/events",status="200"} 1' in later
    assert 'duration_seconds_count{operation="/runs/{run}/events"}' not in later  # waiting is not slowness
    (resident,) = [float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes ")]
    assert resident > 1 << 20
    assert RUN not in text
    assert "flow" not in text


def test_pods_and_requests_to_the_cluster_are_counted_where_attempts_are_pods(tmp_path: Path) -> None:
    counted = {("pool", "Running"): 8, ("attempt", "Pending"): 2}
    with Server(tmp_path, pods=lambda: counted, asked=lambda: {"create Pod": 10, "get version": 1}).client() as client:
        lines = client.get("http://server/metrics").text.splitlines()
        assert 'fairway_pods{role="attempt",phase="Pending"} 2' in lines
        assert 'fairway_pods{role="pool",phase="Running"} 8' in lines
        assert 'fairway_kubernetes_requests_total{verb="create",kind="Pod"} 10' in lines


def test_descriptions_are_unwrapped_but_for_their_lists() -> None:
    """Whatever release of msgspec took them out of the docstrings."""
    lines = make_document()["components"]["schemas"]["Expr"]["description"].splitlines()
    assert lines[:2] == ["One value, by `kind`:", '- "param": the pipeline parameter `name`']
    assert all(line.startswith("- ") and "  " not in line for line in lines[1:])


def test_the_document_is_openapi_and_names_every_route(server: Server, client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document == json.loads(json.dumps(make_document()))
    assert document["openapi"] == "3.1.0"
    served = {route.path.removeprefix("/api/v1").replace(":path", "") for route in server.app.routes if route.path.startswith("/api/v1/")}
    assert set(document["paths"]) == served - {"/openapi.json"}
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))
    assert all(operation["description"] for path in document["paths"].values() for operation in path.values())
