"""The blob process: `python -m fairway.web.blobs`. Bulk bytes in and out of the server's artifact store, by signed addresses.

It shares nothing with the API's process but the store's folder and the signing key, so no amount of bytes slows the API down. A thread
serves a connection: files leave by `sendfile`, arrive in one reused buffer, and are hashed while they arrive, all without the interpreter's
lock; a slow peer blocks its own thread and nothing else. See docs/adr/0007-blobs-have-a-process-of-their-own.md.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import unquote

from fairway.errors import ConfigError, FairwayError
from fairway.spec.layout import BLOBS
from fairway.spec.tokens import check_url
from fairway.step.folder import FolderArtifactStore

CONNECTIONS = 256
_BUFFER_BYTES = 1 << 20
_IDLE_S, _STALLED_S, _STOP_S = 5.0, 60.0, 25.0
_DRAINED_BYTES, _LINGER_S = 64 << 20, 2.0
_SPARE_BYTES = 16 << 20
_ABANDONED_S = 3600.0
_DIGESTED = "sha256/"
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_ROOM = "`fairway gc` frees some; or give the target more storage"


class BlobServer(HTTPServer):
    """Serves the blobs below `home` to whoever holds an address signed with `key`. More than `CONNECTIONS` peers at once wait."""

    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], home: str, key: str, *, durability: str = "process") -> None:
        self.store = FolderArtifactStore(f"{home}/{BLOBS}", durability=durability)
        self.key = key
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._places = threading.Semaphore(CONNECTIONS)
        self._open: set[Handler] = set()
        self._lock = threading.Lock()
        self.stopping = False
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Without asking a name server who we are."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, when there is a place."""
        while not self._places.acquire(timeout=0.2):
            if self.stopping:
                self.shutdown_request(request)
                return
        threading.Thread(target=self._serve, args=(request, client_address), daemon=True).start()

    def is_crowded(self) -> bool:
        """So many peers that each should leave as soon as it is served."""
        return self.stopping or len(self._open) > CONNECTIONS // 2

    def note(self, handler: Handler, *, opened: bool) -> None:
        """Keep account of connections."""
        with self._lock:
            (self._open.add if opened else self._open.discard)(handler)

    def stop(self) -> None:
        """Take no new connections, let requests in progress end, cut what takes too long."""
        self.stopping = True
        self.shutdown()
        self.socket.close()
        until = time.monotonic() + _STOP_S
        while True:
            with self._lock:
                busy = [handler for handler in self._open if handler.busy]
                if not busy or time.monotonic() > until:
                    return
            busy[0].finished.wait(min(0.5, max(0.0, until - time.monotonic())))

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:  # the peer has gone
            pass
        finally:
            self.shutdown_request(request)
            self._places.release()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    server: BlobServer  # type: ignore[assignment]

    def setup(self) -> None:
        """Called once a connection is there."""
        self.busy, self.finished = False, threading.Event()
        super().setup()
        self.server.note(self, opened=True)

    def finish(self) -> None:
        """Called when it is over."""
        self.server.note(self, opened=False)
        super().finish()

    def handle_one_request(self) -> None:
        """Wait for a request for a short while, then give it all the time it keeps moving in."""
        self.connection.settimeout(_IDLE_S)
        super().handle_one_request()

    def do_HEAD(self) -> None:
        """As GET, without the bytes."""
        self._guarded(self._get)

    def do_GET(self) -> None:
        """A blob, or a range of one."""
        if self.path == "/livez":
            self._answer(200, b"ok\n", {"Content-Type": "text/plain"})
        else:
            self._guarded(self._get)

    def do_PUT(self) -> None:
        """Store a blob unless it is there: 201, or 200."""
        self._guarded(self._put)

    def _guarded(self, serve: Any) -> None:
        self.busy = True
        self.finished.clear()
        self.connection.settimeout(_STALLED_S)
        if self.server.is_crowded():
            self.close_connection = True
        try:
            path, _, query = self.path.partition("?")
            key = unquote(path.removeprefix("/b/"))
            if not path.startswith("/b/") or not check_url(self.server.key, self.command, key, query, time.time()):
                self._refuse(403, "the address is not signed for this, or its time is over", hint="ask the server for a new one")
            else:
                serve(key, query)
        except FairwayError as error:
            full = "full" in error.message or "quota" in error.message
            self._refuse(507 if full else 404 if error.code == "FW-NOT-FOUND" else 500, error.message, hint=error.hint)
        finally:
            self.busy = False
            self.finished.set()

    # Reading

    def _get(self, key: str, query: str) -> None:
        with self.server.store.open(key) as file:
            found = os.fstat(file.fileno())
            tag = f'"{_digest_of(key) or f"{found.st_mtime_ns:x}-{found.st_size:x}"}"'
            headers = {"ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=31536000, immutable"}
            if tag in [each.strip() for each in self.headers.get("If-None-Match", "").split(",")]:
                self._answer(304, b"", headers)
                return
            first, last = 0, found.st_size - 1
            status = 200
            if self.headers.get("If-Range", tag) == tag and (wanted := _RANGE.fullmatch(self.headers.get("Range", "").strip())):
                chosen = _choose_range(wanted, found.st_size)
                if chosen is None:
                    self._answer(416, b"", {**headers, "Content-Range": f"bytes */{found.st_size}"})
                    return
                status, (first, last) = 206, chosen
                headers["Content-Range"] = f"bytes {first}-{last}/{found.st_size}"
            headers["Content-Type"] = "application/octet-stream"
            self._begin(status, last - first + 1, headers)
            if self.command != "HEAD" and last >= first:
                try:
                    self.connection.sendfile(file, first, last - first + 1)
                except OSError:
                    self.close_connection = True  # the peer has gone, or stopped reading

    # Writing

    def _put(self, key: str, query: str) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self._refuse(411, "how many bytes are to come? Content-Length must say so")
            return
        size, signed = int(length), re.search(r"(?:^|&)n=(\d+)", query)
        if signed and int(signed[1]) != size:
            self._refuse(400, f"the address is for {signed[1]} bytes, and {size} are announced", unread=size)
            return
        if self.server.store.touch(key):
            self._discard(size)
            self._answer(200, b"", {})
            return
        free = os.statvfs(self._folder())
        if free.f_bavail * free.f_frsize < size + _SPARE_BYTES:
            self._refuse(507, f"there is no room for {size} bytes", hint=_ROOM, unread=size)
            return
        self._receive(key, size)

    def _receive(self, key: str, size: int) -> None:
        file, path = self.server.store.create()
        left, digest, full = size, hashlib.sha256(), False
        try:
            buffer = memoryview(bytearray(min(_BUFFER_BYTES, size or 1)))
            while left:
                got = self.rfile.readinto1(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
                if not got:
                    raise ConnectionResetError("the peer left before all was sent")
                left -= got
                digest.update(buffer[:got])
                _write_all(file, buffer[:got])
            wanted = _digest_of(key) or digest.hexdigest()
            stored = digest.hexdigest() == wanted and self.server.store.put(key, Path(path), move=True)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            full, wanted, stored = True, "", False
        finally:
            os.close(file)
            Path(path).unlink(missing_ok=True)
        if full:
            self._refuse(507, "the disk is full", hint=_ROOM, unread=left)
        elif digest.hexdigest() != wanted:
            self._refuse(400, f"what arrived has the SHA-256 {digest.hexdigest()}, not {wanted}", hint="send it again")
        else:
            self._answer(201 if stored else 200, b"", {})

    def _folder(self) -> str:
        path = Path(self.server.store.root)
        path.mkdir(parents=True, exist_ok=True)
        return str(path)

    # Answers

    def _begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, len(body), headers)
        if body and self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, detail: str, *, hint: str = "", unread: int = -1) -> None:
        """A problem in JSON. `unread`: how much of the request's body has not been read."""
        if unread < 0:
            length = self.headers.get("Content-Length", "")
            unread = int(length) if length.isdigit() and status in (403, 404) else 0
        endless = unread > _DRAINED_BYTES or status == 411
        if endless:
            self.close_connection = True
        say(f"{self.command} {self.path.partition('?')[0]} {status}: {detail}")
        body = json.dumps({"type": "about:blank", "status": status, "detail": detail, "hint": hint}).encode()
        self._answer(status, body, {"Content-Type": "application/problem+json"})
        if endless:
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER_S)
        self._discard(_DRAINED_BYTES if endless else unread)

    def _discard(self, size: int) -> None:
        """Read what the peer sends anyway: it hears our answer only if it can finish."""
        buffer = memoryview(bytearray(min(_BUFFER_BYTES, size or 1)))
        while size > 0:
            got = self.rfile.readinto1(buffer[: min(size, len(buffer))])  # type: ignore[attr-defined]
            if not got:
                self.close_connection = True
                return
            size -= got

    def version_string(self) -> str:
        """What the header Server says."""
        return "fairway"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged; what was refused is."""


def say(text: str) -> None:
    """A line for the pod's log."""
    sys.stderr.write(f"blobs: {text}\n")
    sys.stderr.flush()


def _digest_of(key: str) -> str:
    """The SHA-256 that a blob must have, "" if its key does not say."""
    return key.removeprefix(_DIGESTED).replace("/", "") if key.startswith(_DIGESTED) else ""


def _choose_range(wanted: re.Match[str], size: int) -> tuple[int, int] | None:
    """(first, last) byte of what is asked for; None if there is no such byte."""
    first, last, count = wanted.groups()
    if count is not None:
        return (max(0, size - int(count)), size - 1) if int(count) and size else None
    start, end = int(first), min(int(last), size - 1) if last else size - 1
    return (start, end) if start < size and start <= end else None


def _write_all(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]


def read_key(path: str) -> str:
    """The signing key in a file. Raises ConfigError."""
    try:
        key = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the signing key {path}: {error}", hint="`fairway up` makes it; is the Secret mounted?") from error
    if not key:
        raise ConfigError(f"the signing key in {path} is empty", hint="`fairway up` makes it anew if it is deleted")
    return key


def main(argv: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m fairway.web.blobs", description="Serve a home's blobs by signed addresses.")
    parser.add_argument("--home", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--durability", choices=("process", "power"), default="process")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends, as it does when the server dies")
    given = parser.parse_args(argv)
    threading.stack_size(512 << 10)
    try:
        server = BlobServer((given.host, given.port), given.home, read_key(given.key_file), durability=given.durability)
    except (OSError, ConfigError) as error:
        say(f"cannot serve: {error}")
        return 1
    server.store.sweep(time.time() - _ABANDONED_S)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.stop, daemon=True).start())
    if given.until_eof:
        threading.Thread(target=_stop_at_eof, args=(server,), daemon=True).start()
    say(f"serving {given.home} at {given.host}:{server.server_address[1]}")
    server.serve_forever(poll_interval=0.5)
    server.stop()
    say("stopped")
    return 0


def _stop_at_eof(server: BlobServer) -> None:
    while os.read(0, 4096):  # not through `sys.stdin`, whose lock would be in the way of the interpreter's own end
        pass
    server.stop()


if __name__ == "__main__":
    sys.exit(main())
