"""Which replica gets a request, and what becomes of those for which none runs yet: on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.control.keys import make_key
from fairway.spec.record import to_plain
from tests.serve.gateway.rig import endpoint, gateway_rig, one, render, run
from tests.waiting import until

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
