"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): the data of each is a record."""

from __future__ import annotations

from typing import Any

from fairway.data.streams.transport import LARGEST_RECORD, Records


class Events:
    """Bytes → events. `last_id` is what a server wants to read on after."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_s: float | None = None
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._id = last_id

    def records(self, data: bytes) -> Records | None:
        """The events that are whole now."""
        data = self._rest + data
        held = data[-1:] == b"\r"  # a \n may follow it
        text = (data[:-1] if held else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + (b"\r" if held else b"")
        if len(self._rest) > LARGEST_RECORD:
            self._rest = self._rest[:LARGEST_RECORD]
        payloads: list[bytes] = []
        ids: list[str] = []
        for line in lines:
            if line:
                self._take(line)
                continue
            self.last_id = self._id
            if self._data:
                payloads.append(b"\n".join(self._data))
                ids.append(self.last_id)
            self._data, self._size = [], 0
        return Records(payloads, lambda count: _position(ids[count - 1])) if payloads else None

    def _take(self, line: bytes) -> None:
        name, _, value = line.removeprefix(b"\xef\xbb\xbf").partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data" and self._size < LARGEST_RECORD:
            self._data.append(value)
            self._size += len(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry_s = int(value[:9]) / 1000


def _position(event: str) -> Any:
    return {"event": event}
