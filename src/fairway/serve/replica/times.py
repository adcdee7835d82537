"""A log whose lines say when: those of the front itself, and those of all that it has started.

The children write into a pipe, which the front reads; what the front writes goes straight into the log. So nothing that is written by
whoever dies is lost, unless the front is killed: then what it had not read yet is.
"""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import select
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO, cast

_PIPE_BYTES = 1 << 20
_LINE_BYTES = 64 << 10
_READ_BYTES = 64 << 10
_PATIENCE_S = 0.3


class TimedLog:
    """Takes the place of this process's `sys.stdout` and `sys.stderr`, and of the standard output and error of its children from now on.
    To be made before they are forked. `log`: the file, 2 for where this process writes anyway."""

    def __init__(self, log: int = 2) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._log = os.dup(log)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        with suppress(OSError, AttributeError):
            fcntl.fcntl(self._writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._rest = b""
        self._is_parent = True
        os.register_at_fork(after_in_child=self._divert)
        sys.stdout = sys.stderr = cast("TextIO", _Lines(self))

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Read what children write, from now on."""
        loop.add_reader(self._reader, self._read, loop)

    def write(self, data: bytes) -> None:
        """Lines of this process itself, after what its children have said before."""
        self._read()
        self._put(data)

    def finish(self) -> None:
        """What children still have to say; they have ended, or do so now."""
        self._is_parent = False
        os.close(self._writer)
        end = time.monotonic() + _PATIENCE_S
        while (left_s := end - time.monotonic()) > 0 and select.select([self._reader], [], [], left_s)[0]:
            if not self._read():
                break
        if self._rest:
            self._put(self._rest)
            self._rest = b""

    def _divert(self) -> None:
        """In a child. Its own children, and what it sends elsewhere itself, are none of our business."""
        if not self._is_parent:
            return
        self._is_parent = False
        for number in (1, 2):
            os.dup2(self._writer, number)
        for number in (self._reader, self._writer, self._log):
            os.close(number)
        for name, stream in (("stdout", sys.__stdout__), ("stderr", sys.__stderr__)):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(line_buffering=True)  # the time is that of the line
            setattr(sys, name, stream)

    def _read(self, loop: asyncio.AbstractEventLoop | None = None) -> bool:
        """False once nobody can write any more."""
        try:
            data = os.read(self._reader, _READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            if loop is not None:
                loop.remove_reader(self._reader)
            return False
        whole, end, rest = (self._rest + data).rpartition(b"\n")
        if len(rest) > _LINE_BYTES:
            whole, rest = whole + end + rest, b""
        self._rest = rest
        if whole:
            self._put(whole)
        return True

    def _put(self, lines: bytes) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23].encode() + b"Z "
        data = memoryview(b"".join(stamp + line + b"\n" for line in lines.split(b"\n")))
        with suppress(OSError):  # a full disk is no reason to serve nothing
            while data:
                data = data[os.write(self._log, data) :]


class _Lines(io.TextIOBase):
    """Text for the log: a line is written when it is whole."""

    encoding = "utf-8"

    def __init__(self, log: TimedLog) -> None:
        self._timed, self._rest = log, ""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def write(self, text: str) -> int:
        whole, end, self._rest = (self._rest + text).rpartition("\n")
        if end:
            self._timed.write(whole.encode("utf-8", "backslashreplace"))
        return len(text)
