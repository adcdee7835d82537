"""Logs and other streams: by range, by tail, by search, and as they are written."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.store.serverapi import parse_events
from fairway.testing.memory import MemoryStreamStore
from fairway.web.routes.logs import LINE_LIMIT_BYTES, find_tail, read_lines
from fairway.web.schema.streams import LogQuery
from tests.web.rig import API, TOKEN, Live, Server, started

RUN = "20261124-081503-x7kq3"
AT = "2026-11-24T08:15:03.250Z"


@pytest.fixture
def server(live: Live, tmp_path: Path) -> Iterator[Server]:
    with live.serving(Server(tmp_path, heartbeat_s=0.05)) as server:
        yield server


class Caller:
    """Requests for the log of the one attempt that runs."""

    def __init__(self, live: Live, server: Server) -> None:
        self.live, self.server = live, server
        assert self.ask("POST", "/runs", started(RUN))[0] == 201
        (self.attempt,) = live.call(server.executor.submitted())

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.live.port, timeout=60)
        content = {"Content-Type": "application/json"} if body is not None else {}
        data = json.dumps(body) if body is not None else None
        connection.request(method, API + path, data, {"Fairway-Token": TOKEN, **content, **headers})
        response = connection.getresponse()
        answer = response.status, response.read(), response.headers
        connection.close()
        return answer

    def log(self, query: str = "", **headers: str) -> tuple[int, bytes, Any]:
        return self.ask("GET", f"/runs/{RUN}/attempts/{self.attempt}/log{query}", **headers)

    def write(self, *lines: str, name: str = "log") -> None:
        data = "".join(f"{AT} {line}\n" for line in lines).encode()
        self.server.services.streams.append(f"{RUN}/{self.attempt}/{name}", data)
        assert self.live.loop is not None
        self.live.loop.call_soon_threadsafe(self.server.host.bus.publish, f"{RUN}/{self.attempt}/{name}")

    def end(self) -> None:
        assert self.live.loop is not None
        self.live.loop.call_soon_threadsafe(self.server.executor.end, self.attempt)


@pytest.fixture
def caller(live: Live, server: Server) -> Caller:
    return Caller(live, server)


def test_the_whole_log_is_text(caller: Caller) -> None:
    assert caller.log()[:2] == (200, b"")
    caller.write("one", "two")
    status, data, headers = caller.log()
    assert (status, data.decode()) == (200, f"{AT} one\n{AT} two\n")
    assert (headers["content-type"], headers["x-stream-size"]) == ("text/plain; charset=utf-8", str(len(data)))


def test_a_range_of_the_log(caller: Caller) -> None:
    caller.write("one", "two")
    whole = caller.log()[1]
    status, data, headers = caller.log(Range="bytes=5-9")
    assert (status, data, headers["content-range"]) == (206, whole[5:10], f"bytes 5-9/{len(whole)}")
    assert caller.log(Range="bytes=-4")[1] == whole[-4:]
    assert caller.log(Range="bytes=30-")[1] == whole[30:]
    assert caller.log(Range="bytes=7-2")[0] == 200
    status, _, headers = caller.log(Range="bytes=1000-")
    assert (status, headers["content-range"]) == (416, f"bytes */{len(whole)}")


def test_the_last_lines_of_the_log(caller: Caller) -> None:
    caller.write(*map(str, range(30)))
    assert caller.log("?tail=2")[1].decode() == f"{AT} 28\n{AT} 29\n"
    assert caller.log("?tail=100")[1] == caller.log()[1]


def test_lines_are_found_by_what_they_say(caller: Caller) -> None:
    caller.write("Epoch 1", "warning", "EPOCH 2", "epoch 3")
    assert caller.log("?search=epoch")[1].decode() == f"{AT} Epoch 1\n{AT} EPOCH 2\n{AT} epoch 3\n"
    found = json.loads(caller.log("?search=epoch&limit=2", Accept="application/json")[1])
    assert [line["text"] for line in found["items"]] == ["Epoch 1", "EPOCH 2"]
    assert found["items"][1]["at"] == AT
    rest = json.loads(caller.log(f"?search=epoch&offset={found['next']}", Accept="application/json")[1])
    assert [line["text"] for line in rest["items"]] == ["epoch 3"]


def test_an_attempt_that_never_was_has_no_log(caller: Caller) -> None:
    assert caller.ask("GET", f"/runs/{RUN}/attempts/a0-1/log")[0] == 404


def test_a_log_is_followed_until_its_attempt_has_ended(live: Live, caller: Caller) -> None:
    caller.write("before")
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    headers = {"Fairway-Token": TOKEN, "Accept": "text/event-stream"}
    connection.request("GET", f"{API}/runs/{RUN}/attempts/{caller.attempt}/log", headers=headers)
    events = parse_events(connection.getresponse())
    assert next(events)[2]["text"] == "before"
    caller.write("meanwhile")
    id, kind, line = next(events)
    assert (kind, line) == ("line", {"at": AT, "text": "meanwhile"})
    caller.write("last words")
    caller.end()
    assert [(kind, data.get("text")) for _, kind, data in events] == [("line", "last words"), ("end", None)]
    connection.close()
    again = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    again.request("GET", f"{API}/runs/{RUN}/attempts/{caller.attempt}/log", headers={**headers, "Last-Event-ID": id})
    assert [data.get("text") for _, _, data in parse_events(again.getresponse())] == ["last words", None]
    again.close()


def test_plain_text_is_followed_too(caller: Caller) -> None:
    got: list[bytes] = []
    caller.write("before")
    thread = threading.Thread(target=lambda: got.append(caller.log("?follow=true")[1]))
    thread.start()
    caller.write("after")
    caller.end()
    thread.join(60)
    assert got[0].decode() == f"{AT} before\n{AT} after\n"


def test_streams_are_listed_and_read_as_bytes(caller: Caller) -> None:
    caller.write("one")
    caller.server.services.streams.append(f"{RUN}/{caller.attempt}/metrics", b"\x00\xff")
    listed = json.loads(caller.ask("GET", f"/runs/{RUN}/streams?prefix={caller.attempt}/m")[1])
    assert listed["items"] == [{"name": f"{caller.attempt}/metrics", "size": 2}]
    assert caller.ask("GET", f"/runs/{RUN}/streams/{caller.attempt}/metrics")[1] == b"\x00\xff"
    assert caller.ask("GET", f"/runs/{RUN}/streams/{caller.attempt}/progress")[:2] == (200, b"")


def test_new_bytes_of_many_streams_come_in_one_answer(caller: Caller) -> None:
    name = f"{caller.attempt}/log"
    caller.write("one")
    body = {"offsets": {name: 0, "other/log": 0}}
    found = json.loads(caller.ask("POST", f"/runs/{RUN}/streams", body)[1])["items"]
    assert {key: base64.b64decode(part["data"]) for key, part in found.items()} == {name: f"{AT} one\n".encode()}
    size = len(f"{AT} one\n")
    got: list[Any] = []
    ask = lambda: got.append(json.loads(caller.ask("POST", f"/runs/{RUN}/streams", {"offsets": {name: size}, "wait": 15})[1]))  # noqa: E731
    thread = threading.Thread(target=ask)
    thread.start()
    caller.write("two")
    thread.join(60)
    assert base64.b64decode(got[0]["items"][name]["data"]).decode() == f"{AT} two\n"


@pytest.mark.parametrize("path", ["..%2f..%2ffairway.db", "a%2f..%2f..%2fx", "%2e%2e"])
def test_no_name_leads_out_of_the_streams(server: Server, path: str) -> None:
    with server.client() as client:
        client.post("/runs", json=started(RUN))
        assert client.get(f"/runs/{RUN}/streams/{path}").status_code in (404, 422)
        assert client.get(f"/runs/{RUN}/attempts/{path}/log").status_code in (404, 422)


@given(st.lists(st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b"")), max_size=30), st.integers(1, 40), st.booleans())
def test_the_tail_begins_where_its_first_line_begins(lines: list[bytes], wanted: int, cut: bool) -> None:
    streams = MemoryStreamStore()
    data = b"".join(line + b"\n" for line in lines) + (b"unfinished" if cut else b"")
    streams.append("r/a/log", data)
    every = [part + b"\n" for part in data.split(b"\n")]
    every = every[:-1] if data.endswith(b"\n") or not data else [*every[:-1], every[-1][:-1]]
    assert data[find_tail(streams, "r/a/log", len(data), wanted) :] == b"".join(every[-wanted:])


@given(st.lists(st.text("ab ", max_size=8), max_size=20), st.integers(1, 5))
def test_lines_are_read_piece_by_piece_without_a_gap(texts: list[str], limit: int) -> None:
    streams = MemoryStreamStore()
    streams.append("r/a/log", "".join(f"{AT} {text}\n" for text in texts).encode())
    seen: list[str] = []
    position = 0
    while True:
        found = read_lines(streams, "r/a/log", position, LogQuery(limit=limit))
        if not found["items"]:
            break
        seen += [line["text"] for line in found["items"]]
        position = found["next"]
    assert seen == texts


def test_a_line_that_never_ends_comes_in_pieces() -> None:
    streams = MemoryStreamStore()
    streams.append("r/a/log", b"before\n" + b"x" * (2 * LINE_LIMIT_BYTES + 5))
    found = read_lines(streams, "r/a/log", 0, LogQuery())
    assert found["items"][0]["text"] == "before"
    pieces = [len(item["text"]) for item in found["items"][1:]]
    assert min(pieces) >= LINE_LIMIT_BYTES
    assert found["next"] == 7 + sum(pieces)
    streams.append("r/a/log", b"y\n")
    rest = read_lines(streams, "r/a/log", found["next"], LogQuery())["items"]
    assert "".join(item["text"] for item in found["items"][1:] + rest) == "x" * (2 * LINE_LIMIT_BYTES + 5) + "y"


def test_a_line_that_never_ends_is_followed(caller: Caller) -> None:
    name = f"{RUN}/{caller.attempt}/log"
    caller.server.services.streams.append(name, b"x" * (LINE_LIMIT_BYTES + 1))
    caller.end()
    status, data, _ = caller.log("", Accept="text/event-stream")
    lines = [line["text"] for _, kind, line in parse_events(data.splitlines(keepends=True)) if kind == "line"]
    assert (status, "".join(lines)) == (200, "x" * (LINE_LIMIT_BYTES + 1))


def test_a_log_of_a_client_in_this_process(server: Server) -> None:
    with server.client() as client:
        assert isinstance(client, TestClient)
        assert client.get(f"/runs/{RUN}/streams").status_code == 404
