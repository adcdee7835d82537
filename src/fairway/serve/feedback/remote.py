"""A spool for gateways whose disk does not last: what they keep goes to the server, and feedback is acknowledged once it is on its disk.

`POST URL/ENDPOINT/KIND` with JSON lines, fields covered already. While the server is away, feedback is refused (its sender tries again)
and traffic is dropped, and counted.
"""

from __future__ import annotations

import http.client
import os
import threading
from pathlib import Path
from urllib.parse import urlsplit

from fairway.serve.feedback.spool import FEEDBACK, TRAFFIC, Spool
from fairway.spec.tokens import HEADER

TOKEN = "FAIRWAY_SPOOL_TOKEN"
"""The variable with the token that the server wants to see."""
_ANSWER_S = 10.0
_TRIES = 2  # a connection that was kept open may have been closed at the other end


def open_spool(where: str, folder: str = "") -> Spool:
    """The spool in a folder, or behind an address. `folder`: for what a spool behind an address keeps here."""
    if where.startswith(("http://", "https://")):
        return RemoteSpool(where, os.environ.get(TOKEN, ""), folder or f"{os.environ.get('FAIRWAY_HOME', '/tmp')}/spool")
    return Spool(where)


class RemoteSpool(Spool):
    """A spool whose segments are with the server at `url`. `folder` holds no more than secrets of hashes that the table has none for."""

    def __init__(self, url: str, token: str, folder: str) -> None:
        super().__init__(folder)
        at = urlsplit(url)
        self._kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
        self._netloc, self._path = at.netloc, at.path.rstrip("/")
        self._headers = {HEADER: token, "Content-Type": "application/x-ndjson"}
        self._connection: http.client.HTTPConnection | None = None

    def _append(self, endpoint: str, kind: str, data: bytes, *, is_durable: bool) -> OSError | None:
        for left in reversed(range(_TRIES)):
            try:
                status = self._post(f"{self._path}/{endpoint}/{kind}", data)
            except (OSError, http.client.HTTPException) as error:
                self._close()
                if not left:
                    return OSError(f"the server cannot be reached: {error}")
                continue
            return (
                None
                if status == 200
                else OSError(28, "the server's disk is full")
                if status == 507
                else OSError(f"the server says {status}")
            )
        return None

    def _has_room(self, endpoint: str) -> bool:
        return True

    def _post(self, path: str, data: bytes) -> int:
        if self._connection is None:
            self._connection = self._kind(self._netloc, timeout=_ANSWER_S)
        self._connection.request("POST", path, data, self._headers)
        answer = self._connection.getresponse()
        answer.read()
        if answer.will_close:
            self._close()
        return answer.status

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close_now(self) -> None:
        """Send what waits."""
        super().close_now()
        self._close()


class Received(Spool):
    """The server's end: segments in `folder`, as a gateway on the same machine would write them."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._taking = threading.Lock()

    def take(self, endpoint: str, kind: str, data: bytes) -> None:
        """Keep lines; feedback is on the disk when this returns. Blocks. Raises OSError, ValueError for what is no record."""
        if kind not in (TRAFFIC, FEEDBACK) or not endpoint or "/" in endpoint or endpoint.startswith("."):
            raise ValueError(f"there is no spool of {kind!r} for {endpoint!r}")
        if not data.endswith(b"\n"):
            raise ValueError("the last line has no end")
        with self._taking:
            error = self._append(endpoint, kind, data, is_durable=kind == FEEDBACK)
        if error is not None:
            raise error
