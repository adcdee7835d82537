"""What the gateway tells its keeper, what it keeps of the traffic, how it compares a shadow, and the keeper's address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.control.keys import make_key
from fairway.serve.exchange import Exchange
from fairway.serve.feedback.spool import Spool
from fairway.serve.gateway.admin import Admin
from fairway.serve.gateway.feedback import parse_feedback
from fairway.serve.gateway.table import Table
from fairway.serve.gateway.tablefile import TableFile
from fairway.serve.listening import listen_on
from fairway.serve.refusal import Fault, Refused
from fairway.spec.record import to_plain
from tests.serve.gateway.rig import Answered, Client, Rig, gateway_rig, render, run
from tests.waiting import until

REPLY = b'{"predictions": [0.25, 0.5], "id": "x"}'


class Keeper:
    """The keeper's side of a rig's gateway."""

    def __init__(self, rig: Rig, folder: Path, token: str = "") -> None:
        self.table = TableFile(folder / "table.json", rig.gateway.apply_table)
        self.admin = Admin(rig.gateway, self.table, token=token)
        self.port = 0

    async def start(self) -> Keeper:
        sock = listen_on("127.0.0.1", 0)
        await self.admin.server.listen(sock)
        self.port = sock.getsockname()[1]
        return self

    async def client(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ask(self, path: str, body: bytes = b"", method: str = "GET", headers: dict[str, str] | None = None) -> Answered:
        client = await self.client()
        try:
            return await client.ask(path, body, method, headers)
        finally:
            client.writer.close()

    async def hear(self, query: str = "") -> Client:
        client = await self.client()
        await client.send(render(f"/news{query}", method="GET"))
        assert (await client.head())[0] == 200
        return client


@asynccontextmanager
async def keeper_rig(folder: Path, token: str = "", **options: Any) -> AsyncIterator[tuple[Rig, Keeper]]:
    async with gateway_rig(folder, **options) as rig:
        keeper = await Keeper(rig, folder, token).start()
        try:
            yield rig, keeper
        finally:
            keeper.admin.server.close()


async def line(client: Client) -> Any:
    return json.loads(await client.chunk())


# news


def test_the_keeper_hears_at_once_that_a_revision_is_wanted_and_later_what_came_of_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with keeper_rig(tmp_path) as (rig, keeper):
            put = await keeper.ask("/table", json.dumps({"version": 5, "endpoints": {"risk": {"traffic": [[3, 1]]}}}).encode(), "PUT")
            assert (put.status, put.json) == (200, {"version": 5})
            news = await keeper.hear()
            first = await line(news)
            assert (first["table"], first["pid"] > 0) == (5, True)
            client = await rig.client()
            await client.send(render("/risk/predict"))
            assert await line(news) == {"wanted": "risk", "revision": 3, "waiting": 1}
            late = await keeper.hear()
            assert "table" in await line(late)
            assert await line(late) == {"wanted": "risk", "revision": 3, "waiting": 1}, "who comes later hears it too"
            replica = await rig.replica("a")
            rig.change(risk={"traffic": [[3, 1]], "replicas": {"3": [replica.row()]}})
            assert (await client.answer()).status == 200
            assert await line(news) == {"table": rig.version}
            rig.gateway.report()
            (window,) = (await line(news))["windows"]
            assert (window["endpoint"], window["revision"], window["requests"], window["errors"], window["held"]) == ("risk", 3, 1, 0, 1)
            assert (window["replicas"], window["in_flight"], window["waiting"]) == ({"a": 1}, 0, 0)
            assert sum(count for _, count in window["latency_ms"]) == 1
            assert window["waited_s"] > 0

    run(test)


def test_who_was_away_hears_what_it_missed(tmp_path: Path) -> None:
    async def test() -> None:
        async with keeper_rig(tmp_path) as (rig, keeper):
            replica = await rig.replica("a")
            rig.change(risk={"traffic": [[3, 1]], "replicas": {"3": [replica.row()]}})
            client = await rig.client()
            times = []
            for _ in range(3):
                await client.ask("/risk/predict")
                rig.gateway.report()
                times.append(rig.gateway.news._kept[-1][0])
            news = await keeper.hear(f"?since={times[0]!r}")
            assert "table" in await line(news)
            assert [(await line(news))["at"] for _ in range(2)] == times[1:]
            assert (await keeper.ask("/news?since=never")).status == 400

    run(test)


def test_refusals_are_told_with_what_the_caller_was_told(tmp_path: Path) -> None:
    def handle(exchange: Exchange) -> None:
        exchange.refuse(Refused(422, "FW-SCHEMA", "does not fit", faults=(Fault(3, "age", "the text 'old'", "a number"),)))

    async def test() -> None:
        token, key = make_key("ada", rate=0.001, burst=1)
        async with keeper_rig(tmp_path) as (rig, keeper):
            replica = await rig.replica("a", handle)
            rig.change(risk={"traffic": [[3, 1]], "keys": [to_plain(key)], "replicas": {"3": [replica.row()]}})
            news = await keeper.hear()
            await line(news)
            assert (await rig.ask("/risk/predict", headers={"x-api-key": token, "x-request-id": "one"})).status == 422
            assert (await rig.ask("/risk/predict", headers={"x-api-key": token, "x-request-id": "two"})).status == 429
            assert (await rig.ask("/risk/predict")).status == 401
            rig.gateway.report()
            told = await line(news)
            schema, rate, closed = told["refusals"]
            assert (schema["status"], schema["code"], schema["key"], schema["id"], schema["revision"]) == (
                422,
                "FW-SCHEMA",
                "ada",
                "one",
                3,
            )
            assert schema["faults"] == ["row 3, field 'age': came the text 'old', expected a number"]
            assert (rate["status"], rate["code"], rate["key"], rate["id"]) == (429, "FW-RATE", "ada", "two")
            assert (closed["status"], closed["key"]) == (401, "")
            assert told["keys"] == {"risk": {"ada": [2, 1]}}
            by_revision = {window["revision"]: window for window in told["windows"]}
            assert (by_revision[3]["refused"], by_revision[0]["refused"]) == (1, 2)

    run(test)


def test_of_many_refusals_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    async def test() -> None:
        async with keeper_rig(tmp_path) as (rig, keeper):
            rig.change(risk={"traffic": [[3, 1]], "paused": True})
            news = await keeper.hear()
            await line(news)
            client = await rig.client()
            for _ in range(30):
                await client.ask("/risk/predict", method="GET")
            rig.gateway.report()
            told = await line(news)
            assert (len(told["refusals"]), told["unsaid"]) == (20, 10)

    run(test)


def test_the_keepers_address_needs_its_token_where_others_could_reach_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with keeper_rig(tmp_path, token="secret") as (_, keeper):
            table = b'{"version": 1, "endpoints": {}}'
            assert (await keeper.ask("/table", table, "PUT")).status == 401
            assert (await keeper.ask("/news")).status == 401
            assert (await keeper.ask("/table", table, "PUT", {"authorization": "Bearer wrong"})).status == 401
            assert (await keeper.ask("/table", table, "PUT", {"authorization": "Bearer secret"})).status == 200
            assert (await keeper.ask("/health")).status == 200
            assert (await keeper.ask("/nothing", headers={"authorization": "Bearer secret"})).status == 404

    run(test)


def test_a_table_file_is_used_when_it_is_new_and_whole_and_not_older(tmp_path: Path) -> None:
    used: list[Table] = []
    path = tmp_path / "table.json"
    file = TableFile(path, used.append)

    def write(text: str) -> None:
        (tmp_path / "made").write_text(text)
        (tmp_path / "made").replace(path)
        file.look()
        file.look()

    file.look()
    write('{"version": 3, "endpoints": {}}')
    write('{"version": 4')
    write('{"version": 2, "endpoints": {}}')
    write('{"version": 5, "endpoints": {}}')
    assert [table.version for table in used] == [3, 5]
    file.save(b'{"version": 6, "endpoints": {}}')
    file.look()
    assert len(used) == 2, "what it wrote itself is no news"
    assert json.loads(path.read_text())["version"] == 6
    TableFile(tmp_path / "missing" / "table.json", used.append).save(b'{"version": 6, "endpoints": {}}')


def test_state_and_metrics_say_what_there_is(tmp_path: Path) -> None:
    async def test() -> None:
        async with keeper_rig(tmp_path) as (rig, keeper):
            replica = await rig.replica("a")
            rig.change(risk={"traffic": [[3, 1]], "replicas": {"3": [replica.row()]}})
            await rig.ask("/risk/predict")
            await rig.ask("/nothing")
            state = (await keeper.ask("/state")).json
            (row,) = state["endpoints"]["risk"]["replicas"]
            assert (row["id"], row["in_flight"], row["down"]) == ("a", 0, False)
            for _ in range(2):
                text = (await rig.ask("/metrics", method="GET")).body.decode()
                assert 'fairway_gateway_requests_total{endpoint="risk",revision="3",code="2xx"} 1' in text
                assert 'fairway_gateway_request_duration_seconds_bucket{endpoint="risk",revision="3",le="+Inf"} 1' in text
                assert 'fairway_gateway_request_duration_seconds_count{endpoint="risk",revision="3"} 1' in text
                assert "fairway_gateway_unknown_total 1" in text
                assert 'fairway_gateway_replicas{endpoint="risk",revision="3"} 1' in text
                rig.gateway.report()  # a window that is taken takes nothing from the totals

    run(test)


def test_what_is_counted_goes_with_the_endpoints_it_was_counted_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            replica = await rig.replica("a")
            for number in range(1, 40):
                rig.change(risk={"traffic": [[number, 1]], "replicas": {str(number): [replica.row()]}})
                assert (await rig.ask("/risk/predict")).revision == number
            assert set(rig.gateway.services["risk"].meters) <= {0, 38, 39}
            assert len(rig.gateway.services["risk"].all_replicas()) == 1
            rig.change()
            assert not rig.gateway.services
            await until(lambda: not replica.server.connections)

    run(test)


# shadow


def replying(body: bytes, status: int = 200) -> Any:
    return lambda exchange: exchange.reply(status, body)


async def shadowed(rig: Rig, answer: Any, shadow: Any, **more: Any) -> Any:
    main, other = await rig.replica("main", answer), await rig.replica("other", shadow)
    rig.change(risk={"traffic": [[3, 1]], "shadow": 4, "replicas": {"3": [main.row()], "4": [other.row()]}, **more})
    return other


@pytest.mark.parametrize(
    ("handle", "kind", "where"),
    [
        (replying(b'{"id": "y", "predictions": [0.2500000001, 0.5]}'), "equal", ""),
        (replying(b'{"predictions": [0.25, 0.75]}'), "differing", "/predictions/1"),
        (replying(b"{}", 400), "differing", "status"),
        (replying(b"{}", 500), "errors", "status"),
        (lambda exchange: exchange._connection.transport.abort(), "errors", "it closed the connection without an answer"),
    ],
)
def test_a_shadow_gets_a_copy_and_its_answer_is_compared_and_never_returned(tmp_path: Path, handle: Any, kind: str, where: str) -> None:
    async def test() -> None:
        async with keeper_rig(tmp_path) as (rig, keeper):
            other = await shadowed(rig, replying(REPLY), handle)
            news = await keeper.hear()
            await line(news)
            answer = await rig.ask("/risk/predict", b'{"age": 7}')
            assert (answer.body, answer.revision) == (REPLY, 3)
            shadow = rig.gateway.services["risk"].shadow
            assert shadow is not None
            await until(lambda: sum(shadow.totals.values()))
            assert other.seen[0].body == b'{"age": 7}'
            assert other.seen[0].headers[b"fairway-shadow"] == b"1"
            rig.gateway.report()
            told = await line(news)
            (said,) = told["shadow"]
            assert (said["endpoint"], said["revision"], said[kind]) == ("risk", 4, 1)
            if where:
                (example,) = said["examples"]
                assert (example["where"], example["request"], example["answer"]) == (where, '{"age": 7}', REPLY.decode())
            else:
                assert said["examples"] == []
            assert {w["revision"]: w.get("shadow", False) for w in told["windows"]} == {3: False, 4: True}

    run(test)


def test_of_a_shadows_differences_the_last_are_kept_without_what_must_not_be_kept(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            await shadowed(rig, replying(REPLY), replying(b"[]"), capture={"drop": ["name"]})
            client = await rig.client()
            for number in range(25):
                await client.ask("/risk/predict", b'{"name": "Ada", "n": %d}' % number)
            shadow = rig.gateway.services["risk"].shadow
            assert shadow is not None
            await until(lambda: shadow.totals["differing"] == 25)
            assert [json.loads(example["request"]) for example in shadow.examples] == [{"n": number} for number in range(5, 25)]
            report = shadow.report("risk")
            assert report is not None and len(report["examples"]) == 5
            assert shadow.report("risk") is None

    run(test)


def test_a_shadow_that_stands_still_holds_nobody_and_has_a_bound(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            other = await shadowed(rig, replying(REPLY), None)
            other.holds = True
            client = await rig.client()
            for _ in range(70):
                assert (await client.ask("/risk/predict")).body == REPLY
            shadow = rig.gateway.services["risk"].shadow
            assert shadow is not None
            await until(lambda: len(other.held) == 64)
            assert shadow.totals["dropped"] == 6

    run(test)


# capture and feedback


def lines_of(folder: Path, kind: str) -> list[Any]:
    return [json.loads(text) for path in sorted(folder.glob(f"{kind}-*.jsonl")) for text in path.read_text().splitlines()]


def test_sampled_traffic_is_kept_with_who_answered_it(tmp_path: Path) -> None:
    async def test() -> None:
        spool = Spool(tmp_path / "spool")
        async with gateway_rig(tmp_path, spool=spool) as rig:
            replica = await rig.replica("a", replying(REPLY))
            rows = {"3": [replica.row()]}
            rig.change(
                risk={"traffic": [[3, 1]], "capture": {"share": 1.0, "drop": ["name"]}, "replicas": rows},
                other={"traffic": [[3, 1]], "replicas": rows},
            )
            await rig.ask("/risk/predict", b'{"name": "Ada", "age": 7}', headers={"x-request-id": "call-1"})
            await rig.ask("/risk/docs", method="GET")
            await rig.ask("/other/predict")
            await spool.close()
        (record,) = lines_of(tmp_path / "spool" / "risk", "traffic")
        assert (record["id"], record["revision"], record["replica"], record["status"], record["path"]) == (
            "call-1",
            3,
            "a",
            200,
            "/predict",
        )
        assert (json.loads(record["request"]), json.loads(record["answer"])) == ({"age": 7}, json.loads(REPLY))
        assert not (tmp_path / "spool" / "other").exists()

    run(test)


def test_a_share_of_the_traffic_is_about_that_share(tmp_path: Path) -> None:
    async def test() -> None:
        spool = Spool(tmp_path / "spool")
        async with gateway_rig(tmp_path, spool=spool) as rig:
            replica = await rig.replica("a")
            rig.change(risk={"traffic": [[3, 1]], "capture": {"share": 0.3}, "replicas": {"3": [replica.row()]}})
            client = await rig.client()
            for _ in range(400):
                await client.ask("/risk/predict")
            await spool.close()
        assert 70 <= spool.counts.written <= 170

    run(test)


def test_feedback_is_on_the_disk_when_it_is_acknowledged(tmp_path: Path) -> None:
    async def test() -> None:
        spool = Spool(tmp_path / "spool")
        token, key = make_key("ada")
        async with gateway_rig(tmp_path, spool=spool) as rig:
            rig.change(risk={"traffic": [[3, 1]], "keys": [to_plain(key)]})  # nothing need run
            headers = {"x-api-key": token}
            one = await rig.ask("/risk/feedback", b'{"id": "call-1", "label": 1, "user": "eve", "caller": "root"}', headers=headers)
            assert (one.status, one.json["accepted"]) == (200, 1)
            (record,) = lines_of(tmp_path / "spool" / "risk", "feedback")
            assert (record["id"], record["label"], record["user"], record["caller"]) == ("call-1", 1, "eve", "ada")
            assert record["at"] > 0
            many = json.dumps([{"id": f"c{n}", "label": n} for n in range(500)]).encode()
            assert (await rig.ask("/risk/feedback", many, headers=headers)).json["accepted"] == 500
            assert len(lines_of(tmp_path / "spool" / "risk", "feedback")) == 501
            assert (await rig.ask("/risk/feedback", many)).status == 401
            form = {**headers, "content-type": "application/x-www-form-urlencoded"}
            assert (await rig.ask("/risk/feedback", b'[{"id": 5}]', headers=form)).status == 400, "read as JSON, as curl -d sends it"
            form["origin"] = "http://evil.test"
            assert (await rig.ask("/risk/feedback", b'{"id": "e", "label": 1}', headers=form)).status == 415
            bad = await rig.ask("/risk/feedback", b'[{"id": "c1", "label": 1}, {"id": 5}]', headers=headers)
            assert bad.status == 400
            assert [(fault["row"], fault["field"]) for fault in bad.json["error"]["faults"]] == [(1, "id"), (1, "label")]
            assert len(lines_of(tmp_path / "spool" / "risk", "feedback")) == 501
            await spool.close()

    run(test)


def test_a_gateway_without_a_spool_says_that_it_keeps_no_feedback(tmp_path: Path) -> None:
    async def test() -> None:
        async with gateway_rig(tmp_path) as rig:
            rig.change(risk={"traffic": [[3, 1]]})
            answer = await rig.ask("/risk/feedback", b'{"id": "c1", "label": 1}')
            assert (answer.status, answer.json["error"]["code"]) == (501, "FW-UNSUPPORTED")

    run(test)


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "1 to 1,000"),
        (b"5", 400, "the number 5"),
        (b'{"label": 1}', 400, "field 'id'"),
        (b'{"id": "a b", "label": 1}', 400, "the text 'a b'"),
        (b'{"id": "a", "label": 1, "user": 5}', 400, "field 'user'"),
        (b'{"id": "a", "label": 1, "at": "now"}', 400, "field 'at'"),
        (b"[" * 100_000, 400, "not JSON"),
        (b"1" * (2 << 20), 413, "at most"),
    ],
)
def test_feedback_that_cannot_be_taken_is_refused_by_name(body: bytes, status: int, text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_feedback(body)
    assert caught.value.status == status
    assert text in caught.value.message
