"""What a launcher prints for all its ranks, sorted: each rank's lines into its own log, what the launcher itself says into the leader's."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable
from itertools import groupby

from fairway.step.pump import BUSY_BYTES, LINE_BYTES, LogPump, read_some, read_waiting

_TAIL_BYTES = 16 * 1024
_TAG_BYTES = 64
_OWN = -1


class Sorter:
    """Reads a pipe that never blocks, as a LogPump does. `tag` is what stands before each piece of a rank's output: at the beginning of
    every line, and in the middle of one where the rank wrote it bit by bit and others wrote meanwhile. Its group "rank" is the number.

    `log_of(rank)` is where lines of a rank go, `own` where the others do. `spoke`: whose lines have come since it was emptied (-1: the
    launcher's own).
    """

    def __init__(self, fd: int, tag: str, own: LogPump, log_of: Callable[[int], LogPump]) -> None:
        self.fd = fd
        self._tail = {True: b"", False: b""}  # of what ranks have printed, and of what the launcher has
        self.busy = False
        self.spoke: set[int] = set()
        self._tag = re.compile(tag.encode())
        self._own, self._log_of = own, log_of
        self._rest = b""
        self._whose = _OWN  # the line that the pipe is in the middle of
        self._begun: defaultdict[int, bytes] = defaultdict(bytes)  # lines whose ends have not come, by rank
        self._whole: list[tuple[int, bytes]] = []

    @property
    def tail(self) -> bytes:
        """The last lines of all, without tags. Those of ranks come last, and with them the cause: what a launcher says about it is long."""
        return self._tail[False] + self._tail[True]

    def pump(self) -> bool:
        """Move what is there (one pipe's fill at most); False when the other end is closed."""
        data = read_some(self.fd)
        self.busy = len(data or b"") >= BUSY_BYTES
        if data is None:
            return True
        text = self._rest + data
        start = text.rfind(b"[", max(0, len(text) - _TAG_BYTES))  # may be a tag of which the end has not come
        cut = start if start >= 0 and b"\n" not in text[start:] and not self._tag.match(text, start) else len(text)
        self._rest = text[cut:]
        self._sort(text[:cut])
        self._give()
        return bool(data)

    def drain(self) -> None:
        """Move everything that was written so far, with last lines whether ended or not."""
        self._rest += b"".join(read_waiting(self.fd))
        self._sort(self._rest)
        self._rest = b""
        self._whole += [(rank, line) for rank, line in self._begun.items() if line]
        self._begun.clear()
        self._give()

    def close(self) -> None:
        """Give the pipe back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _sort(self, text: bytes) -> None:
        at = 0
        for found in self._tag.finditer(text):
            self._take(text[at : found.start()])
            self._whose, at = int(found["rank"]), found.end()
        self._take(text[at:])

    def _take(self, text: bytes) -> None:
        """A piece without tags: to the end of the line it is whose the tag says, beyond that the launcher's own."""
        while text:
            line, end, text = text.partition(b"\n")
            line = self._begun.pop(self._whose, b"") + line
            if end or len(line) >= LINE_BYTES:
                self._whole.append((self._whose, line))
            else:
                self._begun[self._whose] = line
            if end:
                self._whose = _OWN

    def _give(self) -> None:
        """Neighbours of one rank go together."""
        for rank, lines in groupby(self._whole, key=lambda one: one[0]):
            log = self._own if rank == _OWN else self._log_of(rank)
            data = b"\n".join(line for _, line in lines) + b"\n"
            log.add(data)
            self.spoke.add(rank)
            self._tail[rank != _OWN] = (self._tail[rank != _OWN] + log.mask(data))[-_TAIL_BYTES:]
        self._whole.clear()
