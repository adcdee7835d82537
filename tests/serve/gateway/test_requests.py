"""Requests through the gateway on real sockets: where they go, who may send them, what comes back, also when replicas fail."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fairway.cli.endpoints import key
from fairway.serve.control.keys import make_key
from fairway.serve.http import Exchange
from fairway.spec.record import to_plain
from tests.serve.gateway.rig import FakeReplica, Rig, gateway_rig, render, run, until


def endpoint(*replicas: FakeReplica, **more: Any) -> dict[str, Any]:
    """All of revision 3."""
    return {"traffic": [[3, 100]], "replicas": {"3": [replica.row() for replica in replicas]}, **more}


async def one(rig: Rig, handle: Any = None, **more: Any) -> FakeReplica:
    replica = await rig.replica("a", handle)
    rig.change(risk=endpoint(replica, **more))
    return replica


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
            replica = await one(rig)
            replica.holds = True
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
    ("headers", "limits"), [({"fairway-timeout-ms": "60"}, {}), ({"grpc-timeout": "60m"}, {}), ({}, {"deadline_s": 0.06})]
)
def test_who_is_not_answered_in_time_is_told_so_and_the_replica_sees_the_request_go(tmp_path: Path, headers: Any, limits: Any) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await one(rig, limits=limits)
            replica.holds = True
            answer = await rig.ask("/risk/predict", headers=headers)
            assert (answer.status, answer.json["error"]["code"]) == (504, "FW-DEADLINE")
            assert 1 <= int(replica.seen[0].headers[b"fairway-timeout-ms"]) <= 60
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


# spreading


def test_revisions_get_their_weights_and_a_change_holds_from_the_next_request(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            old, new = await rig.replica("old"), await rig.replica("new")
            rows = {"3": [old.row()], "4": [new.row()]}
            rig.change(risk={"traffic": [[3, 75], [4, 25]], "replicas": rows})
            client = await rig.client()
            found = [(await client.ask("/risk/predict")).revision for _ in range(200)]
            assert 46 <= found.count(4) <= 54
            rig.change(risk={"traffic": [[4, 100]], "replicas": rows})
            assert {(await client.ask("/risk/predict")).revision for _ in range(20)} == {4}

    run(test)


def test_the_replica_with_the_least_in_flight_is_asked_and_a_draining_one_is_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            a, b, c = [await rig.replica(name) for name in "abc"]
            rig.change(risk={"traffic": [[3, 1]], "replicas": {"3": [a.row(), b.row(), c.row(draining=True)]}})
            a.holds = b.holds = True
            clients = [await rig.client() for _ in range(6)]
            for client in clients:
                await client.send(render("/risk/predict"))
            await until(lambda: len(a.held) + len(b.held) == 6)
            assert (len(a.held), len(b.held), len(c.seen)) == (3, 3, 0)
            for exchange in a.held:
                exchange.reply(200, b"{}")
            await until(lambda: all(r.in_flight == 0 for r in rig.gateway.services["risk"].replicas[3] if r.id == "a"))
            a.holds = False
            for _ in range(3):
                assert (await rig.ask("/risk/predict")).headers["fairway-replica"] == "a"

    run(test)


@pytest.mark.parametrize("sticky", ["key", "header:X-User"])
def test_callers_with_the_same_value_meet_the_same_revision(tmp_path: Path, sticky: str) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            old, new = await rig.replica("old"), await rig.replica("new")
            callers = {f"user{n}": make_key(f"user{n}") for n in range(30)}
            keys = [to_plain(key) for _, key in callers.values()]
            rows = {"3": [old.row()], "4": [new.row()]}
            rig.change(risk={"traffic": [[3, 50], [4, 50]], "sticky": sticky, "keys": keys, "replicas": rows})
            client = await rig.client()
            met = {}
            for name, (token, _) in callers.items():
                found = {(await client.ask("/risk/predict", headers={"x-api-key": token, "x-user": name})).revision for _ in range(3)}
                assert len(found) == 1
                met[name] = found.pop()
            assert {3, 4} == set(met.values())

    run(test)


def test_a_revision_can_be_asked_for_by_number(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            old, new = await rig.replica("old"), await rig.replica("new")
            rig.change(risk={"traffic": [[3, 100]], "replicas": {"3": [old.row()], "4": [new.row()]}})
            for headers, path in (({"fairway-revision": "4"}, "/risk/predict"), ({}, "/v2/models/risk/versions/4/infer")):
                assert (await rig.ask(path, headers=headers)).revision == 4
            missing = await rig.ask("/risk/predict", headers={"fairway-revision": "7"})
            assert (missing.status, missing.json["error"]["hint"]) == (404, "there are: 3, 4")

    run(test)


# holding


def test_a_burst_at_an_endpoint_where_nothing_runs_is_held_and_answered_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            rig.change(risk={"traffic": [[3, 100]], "replicas": {}})
            clients = [await rig.client() for _ in range(200)]
            for number, client in enumerate(clients):
                await client.send(render("/risk/predict", json.dumps({"n": number}).encode()))
            await until(lambda: len(rig.gateway.services["risk"].held) == 200)
            assert rig.gateway.services["risk"].meters[3].waiting == 200
            replica = await rig.replica("a", lambda exchange: exchange.reply(200, exchange.body))
            rig.change(risk=endpoint(replica))
            for number, client in enumerate(clients):
                answer = await client.answer()
                assert (answer.status, answer.json) == (200, {"n": number})
            assert rig.gateway.held_bytes == 0
            assert rig.gateway.services["risk"].meters[3].waiting == 0

    run(test)


def test_who_finds_too_many_waiting_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            rig.change(risk={"traffic": [[3, 100]], "replicas": {}, "limits": {"queue": 2}})
            for _ in range(2):
                await (await rig.client()).send(render("/risk/predict"))
            await until(lambda: len(rig.gateway.services["risk"].held) == 2)
            full = await rig.ask("/risk/predict")
            assert (full.status, full.json["error"]["code"]) == (503, "FW-BUSY")

    run(test)


def test_who_waited_too_long_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            rig.change(risk={"traffic": [[3, 100]], "replicas": {}, "hold_s": 0.05})
            for late in await asyncio.gather(*(rig.ask("/risk/predict") for _ in range(2))):
                assert (late.status, late.json["error"]["code"], late.headers["retry-after"]) == (503, "FW-NOT-RUNNING", "5")
            assert not rig.gateway.services["risk"].held

    run(test)


def test_a_held_request_ends_with_its_callers_patience_with_the_caller_or_with_the_endpoint(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            rig.change(risk={"traffic": [[3, 100]], "replicas": {}})
            hurried = await rig.ask("/risk/predict", headers={"fairway-timeout-ms": "30"})
            assert (hurried.status, hurried.json["error"]["code"]) == (504, "FW-DEADLINE")
            held = rig.gateway.services["risk"].held
            leaving, staying = await rig.client(), await rig.client()
            for client in (leaving, staying):
                await client.send(render("/risk/predict"))
            await until(lambda: len(held) == 2)
            sock = leaving.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            leaving.writer.transport.abort()
            await until(lambda: len(held) == 1)
            rig.change()
            assert (await staying.answer()).status == 404
            assert rig.gateway.held_bytes == 0

    run(test)


def test_while_the_revision_that_was_meant_does_not_run_another_answers_and_the_keeper_hears_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            old = await rig.replica("old")
            said: list[dict[str, Any]] = []
            rig.gateway.news.say = said.append  # type: ignore[method-assign]
            rig.change(risk={"traffic": [[3, 60], [4, 40]], "replicas": {"3": [old.row()], "4": []}})
            assert {(await rig.ask("/risk/predict")).revision for _ in range(5)} == {3}
            assert {"wanted": "risk", "revision": 4, "waiting": 0} in said

    run(test)


def test_what_is_only_tried_does_not_answer_for_the_established_one_that_sleeps(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            old, new = await rig.replica("old"), await rig.replica("new")
            said: list[dict[str, Any]] = []
            rig.gateway.news.say = said.append  # type: ignore[method-assign]
            rig.change(risk={"traffic": [[3, 95], [4, 5]], "replicas": {"3": [], "4": [new.row()]}})
            client = await rig.client()
            await client.send(render("/risk/predict"))
            await until(lambda: rig.gateway.services["risk"].held)
            assert {"wanted": "risk", "revision": 3, "waiting": 1} in said
            rig.change(risk={"traffic": [[3, 95], [4, 5]], "replicas": {"3": [old.row()], "4": [new.row()]}})
            assert (await client.answer()).revision == 3

    run(test)


def test_who_waits_for_a_revision_that_loses_its_traffic_waits_for_the_other(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            said: list[dict[str, Any]] = []
            rig.gateway.news.say = said.append  # type: ignore[method-assign]
            rig.change(risk={"traffic": [[4, 1]], "replicas": {"4": []}})
            client = await rig.client()
            await client.send(render("/risk/predict"))
            await until(lambda: rig.gateway.services["risk"].held)
            rig.change(risk={"traffic": [[5, 1]], "replicas": {}})
            assert {"wanted": "risk", "revision": 5, "waiting": 1} in said
            replica = await rig.replica("a")
            rig.change(risk={"traffic": [[5, 1]], "replicas": {"5": [replica.row()]}})
            assert (await client.answer()).revision == 5
            rig.change(risk={"traffic": [[5, 1]], "replicas": {"5": [replica.row()]}})
            meters = rig.gateway.services["risk"].meters
            assert 4 not in meters and meters[5].waiting == 0

    run(test)


def test_many_that_meet_a_dead_replica_at_once_count_as_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            a = await one(rig)
            a.stop()
            said: list[dict[str, Any]] = []
            rig.gateway.news.say = said.append  # type: ignore[method-assign]
            clients = [await rig.client() for _ in range(50)]
            for client in clients:
                await client.send(render("/risk/predict"))
            await until(lambda: len(rig.gateway.services["risk"].held) == 50)
            assert len([item for item in said if "unreachable" in item]) <= 2
            replica = rig.gateway.services["risk"].all_replicas()[0]
            assert replica.down_until < time.monotonic() + 1.1
            await a.start()
            for client in clients:
                assert (await client.answer()).status == 200

    run(test)


def test_a_paused_endpoint_and_one_without_traffic_say_so(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await one(rig, paused=True)
            paused = await rig.ask("/risk/predict")
            assert (paused.status, paused.json["error"]["code"], paused.headers["retry-after"]) == (503, "FW-PAUSED", "30")
            rig.change(risk={"traffic": []})
            assert (await rig.ask("/risk/predict")).json["error"]["code"] == "FW-NO-TRAFFIC"

    run(test)


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
            replica = await one(rig)
            replica.holds = True
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
            replica = await one(rig)
            replica.holds = True
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
