"""An attempt's output: from its pipe into its log stream, line by line, stamped, masked, in order."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fairway.errors import FairwayError

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore

LINE_BYTES = 64 * 1024
BUSY_BYTES = 1 << 15
_READ_BYTES = 1 << 16
_TAIL_BYTES = 16 * 1024
_TELLING_CHARS = 8


def read_waiting(fd: int) -> Iterator[bytes]:
    """What is in a pipe that never blocks, piece by piece, until it is empty or its other end is closed."""
    while data := read_some(fd):
        yield data


def read_some(fd: int) -> bytes | None:
    """One fill at most of a pipe that never blocks; b"" when its other end is closed, None while it is empty."""
    try:
        return os.read(fd, _READ_BYTES)
    except BlockingIOError:
        return None


class LogPump:
    """Reads a pipe that never blocks. Lines are "<ISO time in ms>Z <text>\\n"; bytes that are no UTF-8 become replacement characters.

    A line longer than 64 KiB is cut into several; of a line redrawn with carriage returns only the last state is kept. `busy`: more came
    at once than would need time to gather, and whoever writes may wait for us.
    """

    def __init__(self, fd: int, stream: str, streams: StreamStore, secrets: tuple[str, ...] = ()) -> None:
        self.fd = fd
        self.rests_until = 0.0
        self.busy = False
        self.tail = b""
        self._stream, self._streams = stream, streams
        self._secrets = _find_forms(secrets)
        self._longest = max(map(len, self._secrets), default=1)
        self._rest = b""
        self._broken = False

    def pump(self) -> bool:
        """Move what is there (one pipe's fill at most); False when the other end is closed."""
        data = read_some(self.fd)
        self.busy = len(data or b"") >= BUSY_BYTES
        if data:
            self._take(data)
        return data != b""

    def drain(self) -> None:
        """Move everything that was written so far, with the last line whether ended or not."""
        for data in read_waiting(self.fd):
            self._take(data)
        if self._rest:
            self._take(b"\n")

    def add(self, data: bytes) -> None:
        """Text that did not come through the pipe."""
        self._take(data if data.endswith(b"\n") else data + b"\n")

    def close(self) -> None:
        """Give the pipe back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _take(self, data: bytes) -> None:
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        if not newline:
            if len(rest) < LINE_BYTES:
                self._rest = rest
                return
            rest = self.mask(rest)
            cut = len(rest) - self._longest + 1  # what may be the beginning of a secret waits for its end
            whole, rest = rest[:cut], rest[cut:]
        self._rest = rest
        whole = self.mask(whole)
        if len(whole) > LINE_BYTES:
            whole = b"\n".join(_cut(line) for line in whole.split(b"\n"))
        self.tail = (self.tail + whole + b"\n")[-_TAIL_BYTES:]
        text = whole.decode("utf-8", "replace").replace("\r\n", "\n")
        if "\r" in text:
            text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z "
        self._write((stamp + text.replace("\n", "\n" + stamp) + "\n").encode("utf-8", "replace"))

    def mask(self, data: bytes) -> bytes:
        """Without the secrets."""
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        return data

    def _write(self, lines: bytes) -> None:
        if self._broken:
            return
        try:
            self._streams.append(self._stream, lines)
        except FairwayError as error:  # the step goes on; what it prints is lost and the worker's own log says so
            self._broken = True
            try:
                os.write(2, f"fairway: output is not kept any more: {error}\n".encode())
            except OSError:  # nobody reads the run's own output any more either
                return


def _find_forms(secrets: tuple[str, ...]) -> tuple[bytes, ...]:
    """What must not be shown: each secret, and each line of one that has several, as keys do; the longest first."""
    forms = {form for secret in secrets for form in (secret, *(line for line in secret.splitlines() if len(line) >= _TELLING_CHARS))}
    return tuple(sorted((form.encode("utf-8", "surrogatepass") for form in forms if form), key=len, reverse=True))


def _cut(line: bytes) -> bytes:
    return b"\n".join(line[i : i + LINE_BYTES] for i in range(0, len(line), LINE_BYTES)) or line
