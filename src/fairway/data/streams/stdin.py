"""Standard input as a stream: ends when whoever writes it does."""

from __future__ import annotations

import os
import select
from typing import Any

from fairway.data.streams.lines import Lines
from fairway.data.streams.transport import EndOfStream, Records

_PIECE = 1 << 18


class StdinTransport:
    """Records of a pipe (or a terminal). What was read cannot come again; what is not read waits in the pipe."""

    resumable = False
    keeps_offsets = False

    def __init__(self, *, quoted: bool = False, descriptor: int = 0) -> None:
        self.notes: list[str] = []
        self._lines = Lines(quoted=quoted)
        self._descriptor = descriptor
        self._ended = False

    def open(self, position: Any) -> None:
        """There is nowhere to go to."""

    def receive(self, timeout_s: float) -> Records | None:
        if self._ended:
            raise EndOfStream
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return None
        data = os.read(self._descriptor, _PIECE)
        self._ended = not data
        return self._lines.records(data, lambda end: end, last=self._ended)

    def commit(self, positions: list[Any]) -> None:
        """Nobody is told."""

    def close(self) -> None:
        """Standard input is not ours to close."""
