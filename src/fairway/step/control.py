"""The control channel: what a pod may ask of its server, scoped by its token to its attempt or pool."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from http.client import HTTPResponse
from typing import Any, BinaryIO
from urllib.parse import quote

from fairway.spec.tokens import HEADER
from fairway.step.link import Link, check_status

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_POLL_SLACK_S = 15.0


class Control:
    """`url` is the server's, without a path. Every call is tried again while the link's patience lasts; every call may be repeated."""

    def __init__(self, link: Link, url: str, token: str) -> None:
        self.link, self.url = link, url.rstrip("/")
        self.headers = {HEADER: token} if token else {}

    def scoped(self, token: str) -> Control:
        """The same server for another token."""
        return Control(self.link, self.url, token)

    def find_attempt(self, id: str) -> dict[str, Any] | None:
        """What is to be done; None if the attempt has an outcome already. Raises NotFoundError."""
        answer = self._call("GET", f"attempts/{id}", fine=(200, 410))
        return None if answer.status == 410 else answer.json()

    def put_outcome(self, id: str, outcome: bytes) -> bool:
        """Store it if there is none; False if one was there (that one stands)."""
        return self._call("PUT", f"attempts/{id}/outcome", outcome, fine=(200, 201, 410)).status == 201

    def append(self, id: str, kind: str, offset: int, data: bytes) -> int:
        """Add what lies beyond the stream's size; returns its size, which is less than `offset` if something before it is missing."""
        path = f"attempts/{id}/streams/{kind}?offset={offset}"
        return int(self._call("POST", path, data, fine=(200, 409), kind="application/octet-stream").json()["size"])

    def read_others(self, id: str, offset: int) -> bytes:
        """What trials beside this one say of themselves, from `offset` on."""
        return self._call("GET", f"attempts/{id}/others?offset={offset}").body

    def sign(self, get: Sequence[str] = (), put: Sequence[tuple[str, int]] = ()) -> tuple[dict[str, str], dict[str, str | None]]:
        """Addresses to read and to write blobs; None for one that is there already."""
        answer = self._call("POST", "blobs", _encode({"get": list(get), "put": [list(each) for each in put]}).encode()).json()
        return answer.get("get", {}), answer.get("put", {})

    def put_outputs(self, id: str, found: Mapping[str, Any]) -> None:
        """What a container step has written."""
        self._call("PUT", f"attempts/{id}/outputs", _encode(found).encode("utf-8", "replace"), fine=(200, 201, 204))

    def end_replica(self, id: str, end: Mapping[str, Any]) -> None:
        """How this replica of a gang has ended; what that means for the attempt is the server's to say."""
        self._call("PUT", f"attempts/{id}/gang/end", _encode(end).encode("utf-8", "replace"), fine=(200, 204, 410))

    def list_checkpoint(self, id: str, folder: str = "") -> list[dict[str, Any]]:
        """Files that earlier tries of the attempt's tasks have left: path, size, sha256. Of files of saved states it is "", but for the one
        in `folder` (TASK/STEP): the server looks at all bytes of that."""
        return self._call("GET", f"attempts/{id}/checkpoint" + (f"?digests={quote(folder)}" if folder else "")).json()

    def put_checkpoint(self, id: str, path: str, file: BinaryIO) -> None:
        """Store one file in place of what had its name."""
        url = self.path_url(f"attempts/{id}/checkpoint/{quote(path)}")
        self.link.upload(lambda: url, file, doing=f"keeping the checkpoint {path}", headers=self.headers)

    def delete_checkpoint(self, id: str, path: str) -> None:
        """Absent = success."""
        self._call("DELETE", f"attempts/{id}/checkpoint/{quote(path)}", fine=(200, 204, 404))

    def get_checkpoint(self, id: str, path: str, file: BinaryIO, digest: str) -> None:
        """Fetch one file, checked. Raises NotFoundError."""
        url = self.path_url(f"attempts/{id}/checkpoint/{quote(path)}")
        self.link.download(lambda: url, file, digest=digest, doing=f"fetching the checkpoint {path}", headers=self.headers)

    def _call(self, method: str, path: str, body: bytes = b"", *, fine: tuple[int, ...] = (200,), kind: str = "application/json") -> Any:
        headers = {**self.headers, "Content-Type": kind} if body else self.headers
        return self.link.call(method, self.path_url(path), body=body, headers=headers, fine=fine)

    def path_url(self, path: str) -> str:
        """The address of something of the channel's."""
        return f"{self.url}/worker/v1/{path}"


class Poll:
    """One question (for work at "pools/POOL/poll", for the others of a gang at "attempts/ID/gang"), which waits with the server for up to
    `wait_s`. Another thread may drop it."""

    def __init__(self, control: Control, path: str, asked: Mapping[str, Any]) -> None:
        self._control, self._url, self._asked = control, control.path_url(path), asked
        self._sock: socket.socket | None = None
        self.dropped = False

    def ask(self) -> dict[str, Any]:
        """One try. Raises OSError, HTTPException or NotNow when another may succeed, Refused when none will."""
        return self._control.link.exchange(
            "POST",
            self._url,
            body=_encode(self._asked).encode(),
            headers={**self._control.headers, "Content-Type": "application/json"},
            read=self._read,
            timeout_s=self._asked["wait_s"] + _POLL_SLACK_S,
            opened=self._note_opened,
        )

    def drop(self) -> None:
        """Wait for no answer any more; `ask` raises OSError."""
        self.dropped = True
        sock = self._sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def _note_opened(self, sock: socket.socket) -> None:
        self._sock = sock
        if self.dropped:
            raise ConnectionAbortedError("dropped")

    def _read(self, response: HTTPResponse) -> dict[str, Any]:
        check_status(response, (200,), "asking for work")
        answer = json.loads(response.read())
        self._sock = None
        return answer
