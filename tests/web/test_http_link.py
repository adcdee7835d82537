"""A client of a server outlives broken connections: what was asked is asked again, a watch goes on where it was."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway import errors
from fairway.errors import ConflictError, ForbiddenError, InfraError, InternalError
from fairway.spec.event import ClockAdvanced, RunStarted
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.store.http import HttpJournal, HttpStreamStore
from fairway.store.serverapi import ServerApi, parse_events
from tests.web.rig import TOKEN, Live, Server, graph, started

RUN = "20261124-081503-x7kq3"


class Tunnel:
    """A port that leads to another one, and can be cut: what a port-forward does when its pod goes away."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self.connections = 0
        self.refusing = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            if self.refusing:
                self.refusing -= 1
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def cut(self) -> None:
        """Break every connection there is."""
        for end in list(self._open):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._open.clear()

    def close(self) -> None:
        self._listening.close()
        self.cut()


@pytest.fixture
def server(live: Live, tmp_path: Path) -> Iterator[Server]:
    with live.serving(Server(tmp_path / "home", heartbeat_s=0.05)) as server:
        yield server


@pytest.fixture
def tunnel(live: Live) -> Iterator[Tunnel]:
    tunnel = Tunnel(live.port)
    yield tunnel
    tunnel.close()


@pytest.fixture
def api(server: Server, tunnel: Tunnel) -> Iterator[ServerApi]:
    api = ServerApi(f"http://127.0.0.1:{tunnel.port}", TOKEN, patience_s=60)
    yield api
    api.close()


def test_what_was_asked_is_asked_again_over_a_new_connection(api: ServerApi, tunnel: Tunnel) -> None:
    assert api.get("/runs")["items"] == []
    tunnel.cut()
    tunnel.refusing = 2
    assert api.get("/runs")["items"] == []
    assert tunnel.connections == 4


def test_a_connection_is_kept_for_the_next_request(api: ServerApi, tunnel: Tunnel) -> None:
    for _ in range(5):
        api.get("/runs")
    assert tunnel.connections == 1


def test_events_are_followed_over_a_break_without_a_gap(live: Live, server: Server, api: ServerApi, tunnel: Tunnel) -> None:
    journal = HttpJournal(api)

    async def record(first: int) -> None:
        events = [ClockAdvanced(float(n)) for n in range(first, first + 5)]
        await server.services.journal.append(RUN, first, events, f"b{first}", summary=RunSummary(RUN, "flow"))
        server.host.bus.publish(RUN)

    live.call(record(0))
    following = journal.follow(RUN, 2)
    assert [number for number, _ in itertools.islice(following, 3)] == [3, 4, 5]
    tunnel.cut()
    tunnel.refusing = 1
    live.call(record(5))
    assert list(itertools.islice(following, 5)) == [(n, ClockAdvanced(float(n - 1))) for n in range(6, 11)]
    following.close()


def test_a_watch_ends_when_something_is_recorded(live: Live, server: Server, api: ServerApi) -> None:
    api.send("POST", "/runs", started(RUN))
    (attempt,) = live.call(server.executor.submitted())
    assert live.loop is not None
    live.loop.call_soon_threadsafe(server.executor.end, attempt)
    assert run_now(HttpJournal(api).watch(RUN, 2, 20.0)) > 2
    assert run_now(HttpJournal(api).watch(RUN, 10**6, 0.01)) < 100


def test_a_run_is_read_as_it_was_recorded(live: Live, server: Server, api: ServerApi) -> None:
    api.send("POST", "/runs", started(RUN))
    live.call(server.executor.submitted())
    (number, first), *_ = run_now(HttpJournal(api).read(RUN, limit=1))
    assert (number, type(first), first.graph) == (1, RunStarted, graph())
    assert list(run_now(HttpJournal(api).read(RUN))) == list(run_now(server.services.journal.read(RUN)))


def test_commands_reach_the_driver(live: Live, server: Server, api: ServerApi) -> None:
    journal = HttpJournal(api)
    api.send("POST", "/runs", started(RUN))
    live.call(server.executor.submitted())
    assert run_now(journal.send(RUN, "cancel", {"at": 1.0, "by": "nobody", "reason": "enough"})) > 0
    head = 0
    while run_now(journal.find_summary(RUN)).status == "running":
        head = run_now(journal.watch(RUN, head, 5.0))
    kinds = [type(event).__name__ for _, event in run_now(journal.read(RUN))]
    assert "CancelRequested" in kinds
    assert run_now(journal.send(RUN, "label", {"add_tags": ["kept"], "remove_tags": [], "note": None, "archived": None})) == 0
    assert run_now(journal.find_summary(RUN)).tags == ("kept",)
    with pytest.raises(ConflictError):
        api.send("POST", f"/runs/{RUN}/resume", {"resumed": None}) and api.send("POST", f"/runs/{RUN}/resume", {})


def test_new_lines_of_many_attempts_come_in_one_exchange(live: Live, server: Server, api: ServerApi) -> None:
    api.send("POST", "/runs", started(RUN))
    streams = HttpStreamStore(api)
    for attempt in ("a-1", "b-1"):
        server.services.streams.append(f"{RUN}/{attempt}/log", attempt.encode())
    assert streams.read_many(RUN, {"a-1/log": 0, "b-1/log": 1, "c-1/log": 0}) == {"a-1/log": b"a-1", "b-1/log": b"-1"}
    assert streams.read_many(RUN, {"a-1/log": 3}, wait_s=0.05) == {}


def test_errors_are_raised_as_what_they_were_on_the_server(server: Server, api: ServerApi) -> None:
    with pytest.raises(errors.NotFoundError, match="there is no run"):
        api.get("/runs/nothing")
    with pytest.raises(errors.ConfigError) as refused:
        api.send("POST", "/runs", {"started": {}})
    assert refused.value.where == "body.started"
    nobody = ServerApi(api.url, "u1.ann.wrong", patience_s=5.0)
    with pytest.raises(ForbiddenError, match="no valid token"):
        nobody.get("/runs")
    server.services.executor = None  # type: ignore[assignment]  # as no server ever has it
    with pytest.raises(InternalError):
        api.get("/cluster")


def test_a_server_that_is_gone_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(InfraError, match="nobody listens"):
        ServerApi(f"http://127.0.0.1:{port}", TOKEN, patience_s=0.05).get("/runs")


def test_an_event_stream_is_read_line_by_line() -> None:
    lines = [b": hello\n", b"\n", b"id: 7\r\n", b"event: x\n", b'data: {"a":\n', b"data: 1}\n", b"\n", b"data: 2\n", b"\n", b"data: lost\n"]
    assert list(parse_events(lines)) == [("7", "x", {"a": 1}), ("7", "message", 2)]
