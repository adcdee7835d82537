"""Streams over HTTP, against a real server that breaks connections."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fairway.data.streams import follow
from fairway.data.streams.http import HttpTransport
from fairway.data.streams.sse import Events
from fairway.data.streams.transport import EndOfStream
from fairway.errors import ConfigError, NotFoundError


class Server:
    """`answer` is called for each request with the handler."""

    def __init__(self) -> None:
        self.answer: Callable[[Any, int], None] = lambda handler, number: None
        self.requests: list[dict[str, str]] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                owner.requests.append(dict(self.headers))
                self.close_connection = True
                owner.answer(self, len(owner.requests) - 1)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/stream"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _begin(handler: Any, status: int = 200, kind: str = "application/x-ndjson", **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def _chunk(handler: Any, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def _lines(*numbers: int) -> bytes:
    return b"".join(b'{"n": %d}\n' % number for number in numbers)


def _receive(transport: HttpTransport, count: int) -> list[int]:
    """The next records, however many pieces they come in."""
    told: list[int] = []
    for _ in range(200):
        records = transport.receive(0.1)
        told += [json.loads(one)["n"] for one in records.payloads] if records else []
        if len(told) >= count:
            return told
    raise AssertionError(f"only {told} came")


def _opened(url: str, position: Any = None, **options: Any) -> HttpTransport:
    transport = HttpTransport(url, **options)
    transport.open(position)
    return transport


def test_a_chunked_body_is_read_as_it_comes(server: Server) -> None:
    go_on = threading.Event()

    def answer(handler: Any, number: int) -> None:
        _begin(handler, Transfer_Encoding="chunked")
        _chunk(handler, _lines(1) + b'{"n": ')
        go_on.wait(60)
        _chunk(handler, b"2}\n")
        _chunk(handler, b"")

    server.answer = answer
    transport = _opened(server.url, once=True)
    assert _receive(transport, 1) == [1]
    go_on.set()
    assert _receive(transport, 1) == [2]
    with pytest.raises(EndOfStream):
        for _ in range(100):
            transport.receive(0.1)
    transport.close()


def test_a_broken_connection_is_read_on_from_the_byte_after_the_last_record(server: Server) -> None:
    whole = _lines(*range(100))

    def answer(handler: Any, number: int) -> None:
        told = handler.headers.get("Range", "bytes=0-")
        start = int(told.removeprefix("bytes=").removesuffix("-"))
        rest = whole[start:]
        if not rest:
            _begin(handler, 416, Content_Range=f"bytes */{len(whole)}", Content_Length="0")
            return
        _begin(handler, 206 if start else 200, Content_Length=str(len(rest)), ETag='"1"')
        handler.wfile.write(rest[:203])  # in the middle of a record, then the connection breaks

    server.answer = answer
    transport = _opened(server.url, retry_s=0.05)
    assert _receive(transport, 100) == list(range(100))
    assert transport.notes
    transport.close()


def test_a_server_without_ranges_sends_the_same_body_again_and_nothing_comes_twice(server: Server) -> None:
    def answer(handler: Any, number: int) -> None:
        data = _lines(*range(10))
        _begin(handler, Content_Length=str(len(data)), ETag='"same"')
        handler.wfile.write(data[:40] if number == 0 else data)

    server.answer = answer
    transport = _opened(server.url, retry_s=0.05)
    assert _receive(transport, 10) == list(range(10))
    transport.close()


def test_a_live_stream_that_cannot_be_resumed_says_so(server: Server) -> None:
    def answer(handler: Any, number: int) -> None:
        _begin(handler, Transfer_Encoding="chunked")
        _chunk(handler, _lines(number))

    server.answer = answer
    transport = _opened(server.url, retry_s=0.05)
    assert _receive(transport, 3) == [0, 1, 2]
    assert any("could not read on" in note for note in transport.notes)
    transport.close()


def test_server_sent_events_are_resumed_by_their_id(server: Server) -> None:
    def answer(handler: Any, number: int) -> None:
        last = int(handler.headers.get("Last-Event-ID", "0"))
        _begin(handler, kind="text/event-stream", Transfer_Encoding="chunked")
        _chunk(handler, b"retry: 10\n: hello\n\n")
        for event in range(last + 1, last + 4):
            _chunk(handler, b'id: %d\ndata: {"n":\ndata:  %d}\n\n' % (event, event))
        _chunk(handler, b'id: 99\ndata: {"n": 99}')  # never ended: not an event

    server.answer = answer
    transport = _opened(server.url)
    assert _receive(transport, 9)[:9] == list(range(1, 10))
    transport.close()


def test_a_group_resumes_an_event_stream(server: Server, tmp_path: Any) -> None:
    def answer(handler: Any, number: int) -> None:
        last = int(handler.headers.get("Last-Event-ID", "0"))
        _begin(handler, kind="text/event-stream", Transfer_Encoding="chunked")
        for event in range(last + 1, 8):
            _chunk(handler, b'id: %d\ndata: {"n": %d}\n\n' % (event, event))
        _chunk(handler, b"")

    server.answer = answer
    options: Any = {"window": "3 rows", "once": True, "group": "g", "offsets": tmp_path}
    windows = iter(follow(server.url, **options))
    next(windows).commit()
    windows.close()  # type: ignore[attr-defined]
    told = [number for window in follow(server.url, **options) for number in window.batch.columns["n"].data.tolist()]
    assert told == [4, 5, 6, 7]


def test_a_server_that_is_busy_is_tried_again(server: Server) -> None:
    def answer(handler: Any, number: int) -> None:
        if number < 2:
            _begin(handler, 503, Content_Length="0")
            return
        _begin(handler, Transfer_Encoding="chunked")
        _chunk(handler, _lines(1))

    server.answer = answer
    transport = _opened(server.url, retry_s=0.05)
    assert _receive(transport, 1) == [1]
    transport.close()


def test_what_trying_again_does_not_mend_is_said(server: Server) -> None:
    for status, error, problem in ((404, NotFoundError, "no such stream"), (401, ConfigError, "right key")):
        server.answer = lambda handler, number, status=status: _begin(handler, status, Content_Length="0")
        with pytest.raises(error, match=problem) as caught:
            list(follow(server.url.replace("//", "//me:secret@"), window="1 rows"))
        assert "secret" not in str(caught.value)


def test_name_and_password_and_headers_are_sent(server: Server) -> None:
    def answer(handler: Any, number: int) -> None:
        _begin(handler, Content_Length="0")

    server.answer = answer
    list(follow(server.url.replace("//", "//me:pw@"), once=True, headers={"X-Tenant": "7"}))
    assert server.requests[0]["Authorization"] == "Basic bWU6cHc="
    assert server.requests[0]["X-Tenant"] == "7"


def test_a_slow_reader_slows_the_server_down(server: Server) -> None:
    sent = 0
    line = b'{"n": 1, "pad": "' + b"x" * 1000 + b'"}\n'

    def answer(handler: Any, number: int) -> None:
        nonlocal sent
        _begin(handler, Transfer_Encoding="chunked")
        handler.connection.settimeout(1.0)
        try:
            for _ in range(100_000):
                _chunk(handler, line)
                sent += 1
        except OSError:
            stuck.set()

    stuck = threading.Event()
    server.answer = answer
    transport = _opened(server.url)
    assert stuck.wait(60), "the server was never held up"
    assert sent * len(line) < 30 << 20
    transport.close()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_events_are_parsed_however_they_are_cut(size: int) -> None:
    text = (
        b"\xef\xbb\xbf: comment\r\ndata: a\r\ndata: b\r\n\r\n"
        b"id: 1\nevent: x\ndata:c\n\ndata\n\nid: 2\n\nretry: 1500\rdata: d\r\rid: bad\0\ndata: e\n\ndata: lost"
    )
    events = Events()
    payloads: list[bytes] = []
    ids: list[Any] = []
    for start in range(0, len(text), size):
        records = events.records(text[start : start + size])
        if records is not None:
            payloads += records.payloads
            ids += [records.mark(place + 1)["event"] for place in range(len(records.payloads))]
    assert payloads == [b"a\nb", b"c", b"", b"d", b"e"]
    assert ids == ["", "1", "1", "2", "2"]
    assert events.retry_s == 1.5
