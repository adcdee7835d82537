"""Requests to a server's API: tried again while a connection or the server is down; its errors are raised as what they were there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fairway import errors
from fairway.errors import FairwayError, InfraError, InternalError, NotFoundError
from fairway.spec.tokens import HEADER
from fairway.step.link import TRANSIENT, Answer, Link, NotNow, Patience

if TYPE_CHECKING:
    import http.client

PATIENCE_S = 60.0
LONGEST_WAIT_S = 25.0
"""How long the server is asked to wait for news in one request."""
SLACK_S = 15.0
_CODES: dict[str, type[FairwayError]] = {
    cls.code: cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, FairwayError)
}


class ServerApi:
    """`url` is the server's, without a path; `blobs_url` that of its blobs' port.

    Raises InfraError if it cannot be reached for `patience_s`.
    """

    def __init__(self, url: str, token: str, *, blobs_url: str = "", patience_s: float = PATIENCE_S, link: Link | None = None) -> None:
        self.url, self.blobs_url = url.rstrip("/"), blobs_url.rstrip("/")
        self.link = link or Link(patience_s=patience_s)
        self._headers = {HEADER: token, "Accept-Encoding": "gzip"}

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at `path`; parameters that are empty are left out."""
        return self.call("GET", path, query=query).json()

    def find(self, path: str, **query: Any) -> Any:
        """The JSON at `path`, None if there is nothing."""
        try:
            return self.get(path, **query)
        except NotFoundError:
            return None

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer to a request with a JSON body; None if it has none."""
        data = json.dumps(body if body is not None else {}).encode()
        answer = self.call(method, path, body=data, headers={"Content-Type": "application/json"})
        return answer.json() if answer.body else None

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """The items of all pages."""
        cursor = ""
        while True:
            page = self.get(path, cursor=cursor, **query)
            yield from page["items"]
            cursor = page["next"]
            if not cursor:
                return

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,
    ) -> Answer:
        """One exchange, tried until it is answered. Raises the FairwayError that the server answers with."""
        url, patience = self._url(path, query or {}), Patience(self.link)
        while True:
            try:
                return self.link.exchange(
                    method, url, body=body, headers={**self._headers, **(headers or {})}, read=_read_answer, timeout_s=timeout_s
                )
            except TRANSIENT as error:
                patience.wait(f"{method} {path}", error)

    def follow(self, path: str, *, after: str = "", query: Mapping[str, Any] | None = None) -> Iterator[tuple[str, str, Any]]:
        """(id, kind, data) of server-sent events from after the id `after`, for ever; a stream that breaks is taken up where it was."""
        url, patience = self._url(path, query or {}), Patience(self.link)
        while True:
            headers = {**self._headers, "Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            try:
                for id, kind, data in self._stream(url, headers):
                    patience.progress()
                    after = id
                    yield id, kind, data
            except TRANSIENT as error:
                patience.wait(f"following {path}", error)

    def _stream(self, url: str, headers: Mapping[str, str]) -> Iterator[tuple[str, str, Any]]:
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        at = urlsplit(url)
        make = HTTPSConnection if at.scheme == "https" else HTTPConnection
        connection = make(at.netloc, timeout=LONGEST_WAIT_S + SLACK_S)  # a server that lives says so more often
        try:
            connection.request("GET", at.path + (f"?{at.query}" if at.query else ""), headers={**headers, "Accept-Encoding": "identity"})
            response = connection.getresponse()
            if response.status != 200:
                _raise_problem(response.status, response.read(), response.headers.get("Retry-After", ""))
            yield from parse_events(response)
            raise NotNow("the stream ended")
        finally:
            connection.close()

    def close(self) -> None:
        """Close what is open and not in use. A later call opens it again."""
        self.link.close()

    def _url(self, path: str, query: Mapping[str, Any]) -> str:
        several = [(name, each) for name, value in query.items() for each in (value if isinstance(value, list | tuple) else (value,))]
        given = [(name, _spell(value)) for name, value in several if value not in ("", None, False)]
        return f"{self.url}/api/v1{path}" + (f"?{urlencode(given)}" if given else "")


def parse_events(lines: Iterable[bytes]) -> Iterator[tuple[str, str, Any]]:
    """(id, kind, data) of a text/event-stream; comments are passed over."""
    id, kind, data = "", "message", list[bytes]()
    for raw in lines:
        line = raw.rstrip(b"\r\n")
        if not line:
            if data:
                yield id, kind, json.loads(b"\n".join(data))
            kind, data = "message", []
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            id = value.decode()
        elif name == b"event":
            kind = value.decode()
        elif name == b"data":
            data.append(value)


class UnsatisfiableRange(FairwayError):
    """Nothing lies in the range that was asked for."""

    code = "FW-CONFIG"


def _read_answer(response: http.client.HTTPResponse) -> Answer:
    body = response.read()
    if response.headers.get("Content-Encoding") == "gzip":
        import gzip

        body = gzip.decompress(body)
    if response.status >= 300:
        _raise_problem(response.status, body, response.headers.get("Retry-After", ""))
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, body)


def _raise_problem(status: int, body: bytes, retry_after: str) -> None:
    """Raise what a problem+json answer says; NotNow where another try may succeed."""
    try:
        said = json.loads(body) if body else {}
        detail, hint, where, code = (str(said.get(name) or "") for name in ("detail", "hint", "where", "code"))
    except (ValueError, AttributeError):
        detail, hint, where, code = "", "", "", ""
    detail = detail or f"the server answers {status}"
    if status == 404:
        raise NotFoundError(detail, hint=hint, where=where)
    if status == 416:
        raise UnsatisfiableRange(detail)
    if status in (408, 429, 502, 503, 504):
        raise NotNow(detail, float(retry_after) if retry_after.isdigit() else 0.0)
    raise _CODES.get(code, InternalError if status == 500 else InfraError)(detail, hint=hint, where=where)


def _spell(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
