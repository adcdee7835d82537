"""Requests through the gateway on real sockets: where they go, who may send them, how large they may be and how long they may take."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from fairway.cli.endpoints import key
from fairway.serve.control.keys import make_key
from fairway.serve.exchange import Exchange
from fairway.spec.record import to_plain
from tests.serve.gateway.rig import endpoint, gateway_rig, one, one_that_holds, render, run
from tests.waiting import until

# forwarding


def test_a_request_reaches_its_replica_and_the_answer_says_which_it_was(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig)
            answer = await rig.ask(
                "/risk/predict?method=x", b'{"a":1}', headers={"x-own": "1", "fairway-request-id": "call-7", "fairway-caller": "root"}
            )
            assert (answer.status, answer.json) == (200, {"replica": "a"})
            assert answer.headers["fairway-request-id"] == "call-7"
            assert (answer.revision, answer.headers["fairway-replica"]) == (3, "a")
            (seen,) = replica.seen
            assert (seen.method, seen.url, seen.body) == ("POST", b"/predict?method=x", b'{"a":1}')
            given = {name.decode(): value.decode() for name, value in seen.headers.items()}
            assert given.pop("fairway-timeout-ms") in ("29999", "30000")
            assert given == {
                "host": "fairway", "content-type": "application/json", "x-own": "1", "x-forwarded-for": "127.0.0.1",
                "x-forwarded-proto": "http", "x-forwarded-host": "localhost", "x-forwarded-prefix": "/risk",
                "fairway-request-id": "call-7", "content-length": "7",
            }  # fmt: skip

    run(test)


def test_connections_to_a_replica_are_used_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig)
            client = await rig.client()
            for _ in range(20):
                assert (await client.ask("/risk/predict")).status == 200
            assert len(replica.server.connections) == 1

    run(test)


@pytest.mark.parametrize("path", ["/v2/models/risk/infer", "/v1/models/risk:predict", "/v2/models/risk"])
def test_protocols_that_name_a_model_reach_the_endpoint_with_their_paths(tmp_path: Path, path: str) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig)
            assert (await rig.ask(path)).status == 200
            assert replica.seen[0].url == path.encode()

    run(test)


def test_a_host_can_stand_for_an_endpoint(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig, hosts=["risk.example.org"])
            assert (await rig.ask("/predict", headers={"host": "Risk.example.org:8000"})).status == 200
            assert replica.seen[0].url == b"/predict"
            foreign = await rig.ask("/risk/predict", headers={"host": "evil.example.org"})
            assert (foreign.status, foreign.json["error"]["code"]) == (403, "FW-HOST")

    run(test)


def test_head_and_options_and_status_codes_pass_through(tmp_path: Path) -> None:
    def handle(exchange: Exchange) -> None:
        if exchange.method == "OPTIONS":
            exchange.reply(204, b"", headers=((b"allow", b"POST"),))
        elif exchange.path == "/moved":
            exchange.reply(307, b"", headers=((b"location", b"/docs"),))
        else:
            exchange.reply(418 if exchange.path == "/teapot" else 200, b"twelve bytes", b"text/plain")

    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, handle)
            client = await rig.client()
            head = await client.ask("/risk/x", method="HEAD")
            assert (head.status, head.headers["content-length"]) == (200, "12")
            assert (await client.ask("/risk/x", method="OPTIONS")).headers["allow"] == "POST"
            assert (await client.ask("/risk/moved", method="GET")).headers["location"] == "/risk/docs"
            tea = await client.ask("/risk/teapot")
            assert (tea.status, tea.body, tea.headers["content-type"]) == (418, b"twelve bytes", "text/plain")

    run(test)


def test_an_unknown_endpoint_is_told_which_there_are_but_only_on_this_machine(tmp_path: Path) -> None:
    async def test() -> None:
        for is_local in (True, False):
            async with gateway_rig(tmp_path, is_local=is_local) as rig:
                await one(rig)
                answer = await rig.ask("/rsik/predict")
                assert (answer.status, answer.json["error"]["code"]) == (404, "FW-NOT-FOUND")
                assert ("risk" in answer.body.decode().replace("rsik", "")) is is_local

    run(test)


def test_what_the_gateway_answers_itself_is_open(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path, is_local=False) as rig:
            assert (await rig.ask("/health/ready", method="GET")).status == 503
            await one(rig)
            for path in ("/health", "/health/live", "/health/ready", "/v2/health/ready", "/v2/health/live", "/metrics", "/v2", "/"):
                answer = await rig.ask(path, method="GET")
                assert answer.status == 200, path
                assert path == "/metrics" or b"risk" not in answer.body
            assert (await rig.ask("/health")).status == 405

    run(test)


# access


def keyed(**more: Any) -> tuple[str, dict[str, Any]]:
    token, key = make_key("ada", **more)
    return token, {"keys": [to_plain(key)]}


def test_beyond_this_machine_nothing_is_open_without_a_key(tmp_path: Path) -> None:
    async def test() -> None:
        token, row = keyed()
        async with gateway_rig(tmp_path, is_local=False) as rig:
            replica = await one(rig)
            refused = await rig.ask("/risk/predict")
            assert (refused.status, refused.json["error"]["code"]) == (401, "FW-KEY")
            assert "authorization: Bearer" in refused.json["error"]["hint"]
            words = shlex.split(refused.json["error"]["hint"].partition("make one: ")[2])
            assert words[:4] == ["fairway", "endpoints", "key", "add"]
            given = key.commands["add"].make_context("add", words[4:]).params
            assert (given["name"], given["caller"]) == ("risk", "NAME"), "the command line takes them in this order"
            rig.change(risk=endpoint(replica, **row))
            assert (await rig.ask("/risk/predict")).status == 401
            assert (await rig.ask("/risk/predict", headers={"authorization": "Bearer fk1.ada.wrong"})).status == 401
            assert not replica.seen
            for headers in ({"authorization": f"Bearer {token}"}, {"x-api-key": token}):
                assert (await rig.ask("/risk/predict", headers=headers)).status == 200
                given = replica.seen[-1].headers
                assert given[b"fairway-caller"] == b"ada"
                assert token.encode() not in b"".join(given.values()), "the model's code never sees a key"
            rig.change(risk=endpoint(replica, is_open=True))
            assert (await rig.ask("/risk/predict", headers={"authorization": "Bearer own"})).status == 200
            assert replica.seen[-1].headers[b"authorization"] == b"Bearer own"

    run(test)


def test_an_endpoint_with_keys_needs_one_on_this_machine_too(tmp_path: Path) -> None:
    async def test() -> None:
        token, row = keyed()
        async with gateway_rig(tmp_path) as rig:
            await one(rig, **row)
            assert (await rig.ask("/risk/predict")).status == 401
            assert (await rig.ask("/risk/predict", headers={"x-api-key": token})).status == 200

    run(test)


def test_a_key_over_its_rate_is_told_when_to_come_again_and_a_new_table_forgets_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        token, row = keyed(rate=0.01, burst=3)
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig, **row)
            headers = {"x-api-key": token}
            assert [(await rig.ask("/risk/predict", headers=headers)).status for _ in range(3)] == [200] * 3
            rig.change(risk=endpoint(replica, **row))
            refused = await rig.ask("/risk/predict", headers=headers)
            assert (refused.status, refused.json["error"]["code"]) == (429, "FW-RATE")
            assert 90 <= int(refused.headers["retry-after"]) <= 100
            assert len(replica.seen) == 3

    run(test)


# limits


def test_a_large_body_is_refused_from_its_announcement_before_anything_is_forwarded(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig, limits={"body_bytes": 1000})
            client = await rig.client()
            await client.send(b"POST /risk/predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n")
            answer = await client.answer()
            assert (answer.status, answer.json["error"]["code"]) == (413, "FW-TOO-LARGE")
            client = await rig.client()
            await client.send(
                b"POST /risk/predict HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n"
                + b"x" * 2000
                + b"\r\n0\r\n\r\n"
            )
            assert (await client.answer()).status == 413
            assert not replica.seen
            assert (await rig.ask("/risk/predict", b"x" * 1000)).status == 200

    run(test)


def test_each_endpoint_has_its_own_limit(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await rig.replica("a")
            rig.change(risk=endpoint(replica, limits={"body_bytes": 10}), image=endpoint(replica, limits={"body_bytes": 2000}))
            assert (await rig.ask("/risk/predict", b"x" * 11)).status == 413
            assert (await rig.ask("/image/predict", b"x" * 2000)).status == 200

    run(test)


def test_a_body_that_is_not_whole_is_not_forwarded_and_its_room_is_given_back(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig)
            client = await rig.client()
            await client.send(render("/risk/predict", b"x" * 100_000)[:-1])
            await until(lambda: rig.gateway.body_bytes == 100_000)
            assert (await rig.ask("/risk/predict")).status == 200
            assert len(replica.seen) == 1
            client.writer.transport.abort()
            await until(lambda: rig.gateway.body_bytes == 0)
            assert (await rig.ask("/risk/predict", b"x" * 100_000)).status == 200
            assert rig.gateway.body_bytes == 0

    run(test)


def test_bodies_of_all_requests_together_have_a_limit(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path, body_bytes=150_000) as rig:
            replica = await one_that_holds(rig)
            first = await rig.client()
            await first.send(render("/risk/predict", b"x" * 100_000))
            await until(lambda: replica.held)
            refused = await rig.ask("/risk/predict", b"x" * 100_000)
            assert (refused.status, refused.json["error"]["code"]) == (503, "FW-BUSY")
            replica.held[0].reply(200, b"{}")
            assert (await first.answer()).status == 200
            replica.holds = False
            assert (await rig.ask("/risk/predict", b"x" * 100_000)).status == 200

    run(test)


def test_a_client_that_asks_before_it_sends_is_told_to_go_on_or_not_to(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, limits={"body_bytes": 100})
            client = await rig.client()
            head = "POST /risk/predict HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
            await client.send((head % 2).encode())
            assert (await client.head())[0] == 100
            await client.send(b"{}")
            assert (await client.answer()).status == 200
            await client.send((head % 101).encode())
            assert (await client.answer()).status == 413

    run(test)


def test_a_connection_is_not_upgraded(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig)
            client = await rig.client()
            await client.send(render("/risk/x", method="GET", headers={"connection": "upgrade", "upgrade": "websocket"}))
            assert (await client.answer()).status == 400
            assert not replica.seen

    run(test)


# deadlines


@pytest.mark.parametrize(
    ("headers", "limits"), [({"fairway-timeout-ms": "600"}, {}), ({"grpc-timeout": "600m"}, {}), ({}, {"deadline_s": 0.6})]
)
def test_who_is_not_answered_in_time_is_told_so_and_the_replica_sees_the_request_go(tmp_path: Path, headers: Any, limits: Any) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one_that_holds(rig, limits=limits)
            answer = await rig.ask("/risk/predict", headers=headers)
            assert (answer.status, answer.json["error"]["code"]) == (504, "FW-DEADLINE")
            assert 1 <= int(replica.seen[0].headers[b"fairway-timeout-ms"]) <= 600
            await until(lambda: not replica.server.connections)
            assert rig.gateway.services["risk"].all_replicas()[0].in_flight == 0

    run(test)


def test_a_deadline_that_cannot_be_read_is_a_fault_of_the_caller(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig)
            answer = await rig.ask("/risk/predict", headers={"fairway-timeout-ms": "soon"})
            assert (answer.status, answer.json["error"]["faults"][0]["field"]) == (400, "fairway-timeout-ms")

    run(test)
