"""NDJSON or server-sent events over HTTP: reads on after what it has when the connection breaks, where the server can."""

from __future__ import annotations

import base64
import contextlib
import queue
import random
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from fairway.data.streams.lines import Lines
from fairway.data.streams.sse import Events
from fairway.data.streams.transport import EndOfStream, Records, without_secrets
from fairway.errors import ConfigError, FairwayError, InfraError, NotFoundError

if TYPE_CHECKING:
    from http.client import HTTPResponse

_PIECE = 1 << 16
_PIECES = 8
_SILENCE_S = 300.0
_FIRST_WAIT_S = 0.25


class HttpTransport:
    """One GET, again and again. A position is the last event's id, or a byte of the body, which `Range` asks for when the connection is
    made anew. A thread reads ahead by a few pieces, then waits: so a slow reader slows the server down."""

    resumable = True
    keeps_offsets = False

    def __init__(
        self,
        uri: str,
        *,
        quoted: bool = False,
        once: bool = False,
        headers: Mapping[str, str] | None = None,
        retry_s: float = 30.0,
    ) -> None:
        self._shown = without_secrets(uri)
        self._url, self._headers = _with_credentials(uri, headers or {})
        self._quoted, self._once, self._longest_wait_s = quoted, once, retry_s
        self.notes: list[str] = []
        self._pieces: queue.Queue[Records | FairwayError | None] = queue.Queue(_PIECES)
        self._closed = threading.Event()
        self._response: HTTPResponse | None = None
        self._lines = Lines(quoted=quoted)
        self._events: Events | None = None
        self._event_id = ""
        self._tag = ""

    def open(self, position: Any) -> None:
        if position is not None:
            self._event_id, self._tag = position.get("event", ""), position.get("tag", "")
            self._lines = Lines(position.get("offset", 0), quoted=self._quoted)
        threading.Thread(target=self._run, name="fairway-http-stream", daemon=True).start()

    def receive(self, timeout_s: float) -> Records | None:
        try:
            piece = self._pieces.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if piece is None:
            raise EndOfStream
        if isinstance(piece, FairwayError):
            raise piece
        return piece

    def commit(self, positions: list[Any]) -> None:
        """The group's file of offsets keeps it."""

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(Exception):
            if self._response is not None:
                self._response.fp.raw._sock.shutdown(2)  # type: ignore[union-attr]  # nothing public wakes a thread that reads

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        failures = 0
        while not self._closed.is_set():
            try:
                came = self._read_once()
            except FairwayError as error:
                self._put(error)
                return
            except Exception as error:  # noqa: BLE001 - a port's boundary: whatever breaks a connection, another is tried
                came, failures = False, failures + 1
                if failures == 1:
                    self._note(f"the connection broke ({_say(error)}); trying again")
            else:
                failures = 0
                if self._once:
                    self._put(None)
                    return
            wait_s = _FIRST_WAIT_S if came else min(wait_s * 2, self._longest_wait_s)
            if self._events is not None and self._events.retry_s is not None:
                wait_s = max(self._events.retry_s, wait_s if failures else 0.0)
            self._closed.wait(wait_s * random.uniform(0.75, 1.25))  # not all who lost the server come back at once

    def _read_once(self) -> bool:
        """One connection, to its end; whether anything came. Raises FairwayError where trying again would not help."""
        response = self._connect()
        if response is None:
            return False
        came = False
        with response:
            self._response = response
            while not self._closed.is_set():
                data = response.read1(_PIECE)
                if not data:
                    break
                came = self._feed(data) or came
            if response.length:
                raise ConnectionError("it ended early")
        if self._events is None and (self._once or self._tag):
            self._feed(b"", last=self._once)
        return came

    def _feed(self, data: bytes, *, last: bool = False) -> bool:
        if self._events is not None:
            records = self._events.records(data)
            self._event_id = self._events.last_id
        else:
            tag = self._tag
            records = self._lines.records(data, lambda end: {"offset": end, "tag": tag}, last=last)
        if records is not None:
            self._put(records)
        return records is not None

    def _put(self, piece: Records | FairwayError | None) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=0.2)
                return

    def _connect(self) -> HTTPResponse | None:
        """The body from where we are on; None if there is nothing after that yet."""
        import urllib.error
        import urllib.request

        start = self._lines.position
        headers = {"Accept": "text/event-stream, application/x-ndjson, */*;q=0.5", "Cache-Control": "no-cache", **self._headers}
        if self._event_id:
            headers["Last-Event-ID"] = self._event_id
        elif start:
            headers["Range"] = f"bytes={start}-"
        try:
            response: HTTPResponse = urllib.request.urlopen(urllib.request.Request(self._url, headers=headers), timeout=_SILENCE_S)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error.code, error.headers.get("Content-Range", ""), start)
        if response.headers.get_content_type() == "text/event-stream":
            self._events = Events(self._event_id)
            return response
        self._events = None
        tag = response.headers.get("ETag", "") or response.headers.get("Last-Modified", "")
        if response.status == 206:
            self._lines = Lines(start, quoted=self._quoted)
        elif start:
            self._from_start(response, start, same=bool(tag) and tag == self._tag)
        self._tag = tag
        return response

    def _from_start(self, response: HTTPResponse, start: int, *, same: bool) -> None:
        """The server sends all anew. Of the same body, what was read is left out; of a live one there is nothing to leave out."""
        if not same:
            self._note("the server could not read on after the last record: what it sends now is taken as new")
            self._lines = Lines(quoted=self._quoted)
            return
        left = start
        while left > 0:
            left -= len(response.read1(min(left, _PIECE)) or b"x" * left)
        self._lines = Lines(start, quoted=self._quoted)

    def _refused(self, status: int, content_range: str, start: int) -> None:
        if status == 416:
            total = content_range.rpartition("/")[2]
            if total.isdigit() and int(total) < start:
                self._note("the body is shorter than it was: read again from its start")
                self._lines = Lines(quoted=self._quoted)
            return
        if status in (408, 425, 429) or status >= 500:
            raise ConnectionError(f"HTTP status {status}")
        if status in (404, 410):
            raise NotFoundError(f"{self._shown} answers {status}: there is no such stream", hint="check the URL")
        if status in (401, 403):
            raise ConfigError(
                f"{self._shown} answers {status}: it lets nobody in without the right key",
                hint='give headers={"Authorization": "Bearer ${TOKEN}"}, or a name and a password in the URL',
            )
        raise InfraError(f"{self._shown} answers with HTTP status {status}")

    def _note(self, text: str) -> None:
        if len(self.notes) < 100:
            self.notes.append(text)


def _with_credentials(uri: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The URL without a name and a password, and the headers with them."""
    parts = urlsplit(uri)
    credentials, _, host = parts.netloc.rpartition("@")
    made = dict(headers)
    if credentials:
        made.setdefault("Authorization", "Basic " + base64.b64encode(unquote(credentials).encode()).decode())
    return urlunsplit((parts.scheme, host, parts.path or "/", parts.query, "")), made


def _say(error: Exception) -> str:
    """The error without an address: it may hold a secret."""
    inner = getattr(error, "reason", None)
    reason = inner if isinstance(inner, Exception) else error
    told = getattr(reason, "strerror", None)
    return told or (str(reason) if isinstance(reason, ConnectionError | TimeoutError) else type(reason).__name__)
