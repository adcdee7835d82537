"""Gateways without a disk of their own: what is acknowledged is on the server's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fairway.serve.feedback import remote
from fairway.serve.feedback.remote import Received, RemoteSpool, open_spool
from fairway.serve.feedback.spool import Spool
from fairway.serve.inpod import SPOOL_TOKEN
from fairway.serve.refusal import Refused


class Server(ThreadingHTTPServer):
    """The server's end over `received`; `answer`: a status that it says instead; `hangs_up`: it closes connections after each answer."""

    daemon_threads = True
    answer = 0
    hangs_up = False
    tokens: list[str]
    received: Received


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Nobody wants to know."""

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.append(self.headers["Fairway-Token"])
        status = self.server.answer
        if not status:
            _, _, endpoint, kind = self.path.split("/")
            self.server.received.take(endpoint, kind, data)
            status = 200
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = self.server.hangs_up  # without a word about it


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.tokens, made.received = [], Received(tmp_path / "server")
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()
    made.received.close_now()


@pytest.fixture
def spool(server: Server, tmp_path: Path) -> Iterator[RemoteSpool]:
    made = RemoteSpool(f"http://127.0.0.1:{server.server_port}/spool", "secret", str(tmp_path / "own"))
    yield made
    made.close_now()


def lines(folder: Path, kind: str) -> list[bytes]:
    return [line for path in sorted((folder / "server" / "risk").glob(f"{kind}-*.jsonl")) for line in path.read_bytes().splitlines()]


def test_feedback_is_with_the_server_when_it_is_acknowledged(server: Server, spool: RemoteSpool, tmp_path: Path) -> None:
    asyncio.run(spool.write_durably("risk", {"id": "a", "label": 1}, {"id": "b", "label": 0}))
    assert len(lines(tmp_path, "feedback")) == 2
    assert server.tokens == ["secret"]
    assert spool.counts.acknowledged == 2


def test_private_fields_never_leave_the_gateway(spool: RemoteSpool, tmp_path: Path) -> None:
    spool.set_privacy("risk", drop=("user",), hash=("label",), secret=b"k" * 32)
    asyncio.run(spool.write_durably("risk", {"id": "a", "label": "Ada Lovelace", "user": "ada"}))
    (line,) = lines(tmp_path, "feedback")
    assert b"Lovelace" not in line and b'"ada"' not in line


@pytest.mark.parametrize(("says", "status"), [(507, 507), (503, 503), (401, 503)])
def test_what_the_server_does_not_keep_is_not_acknowledged(server: Server, spool: RemoteSpool, says: int, status: int) -> None:
    server.answer = says
    with pytest.raises(Refused) as caught:
        asyncio.run(spool.write_durably("risk", {"id": "a", "label": 1}))
    assert caught.value.status == status and caught.value.retry_after_s > 0


def test_a_server_that_is_away_is_said_at_once(tmp_path: Path) -> None:
    spool = RemoteSpool("http://127.0.0.1:9/spool", "secret", str(tmp_path))
    with pytest.raises(Refused, match="cannot be reached"):
        asyncio.run(spool.write_durably("risk", {"id": "a", "label": 1}))
    spool.close_now()


def test_a_connection_that_the_server_has_closed_costs_nothing(server: Server, spool: RemoteSpool, tmp_path: Path) -> None:
    server.hangs_up = True
    for number in range(3):
        asyncio.run(spool.write_durably("risk", {"id": str(number), "label": 1}))
    assert len(lines(tmp_path, "feedback")) == 3


def test_traffic_goes_there_too(spool: RemoteSpool, tmp_path: Path) -> None:
    assert spool.write("risk", {"id": "a", "at": 1.0, "request": b"{}", "answer": b"[1]"})
    spool.close_now()
    assert len(lines(tmp_path, "traffic")) == 1


def test_what_is_no_whole_record_is_refused(server: Server) -> None:
    for endpoint, kind, data in (
        ("risk", "feedback", b'{"id"'),
        ("..", "feedback", b"{}\n"),
        ("a/b", "traffic", b"{}\n"),
        ("risk", "x", b"{}\n"),
    ):
        with pytest.raises(ValueError):
            server.received.take(endpoint, kind, data)


def test_an_address_or_a_folder_says_which_spool_it_is(tmp_path: Path) -> None:
    assert isinstance(open_spool("http://server:8080/worker/v1/spool", str(tmp_path)), RemoteSpool)
    assert type(open_spool(str(tmp_path))) is Spool


def test_the_pod_gives_the_token_under_the_name_that_the_gateway_reads() -> None:
    assert SPOOL_TOKEN == remote.TOKEN
