"""The bytes of what is looked at: a file of this machine, a text, or parts that the server reads from a store that is far away."""

from __future__ import annotations

import io
import json
import os
from typing import Any, BinaryIO


class Source:
    """`path` is set for a file of this machine. `name`: the artifact's own, for its ending. `size_bytes`: of the whole."""

    def __init__(self, given: dict[str, Any], asks: Any = None, answers: Any = None, *, name: str = "") -> None:
        self.path: str = given.get("path", "")
        self.name = name
        self._text: bytes | None = given["text"].encode("utf-8", "surrogatepass") if "text" in given else None
        self._asks, self._answers = asks, answers
        self.size_bytes: int = os.stat(self.path).st_size if self.path else int(given["size"])  # noqa: PTH116

    def open(self) -> BinaryIO:
        """A file to read from, at any place."""
        if self.path:
            return open(self.path, "rb")  # noqa: PTH123
        if self._text is not None:
            return io.BytesIO(self._text)
        return io.BufferedReader(_Piped(self._asks, self._answers, self.size_bytes), 256 << 10)  # type: ignore[return-value]

    def head(self, limit: int) -> bytes:
        """The first `limit` bytes."""
        with self.open() as file:
            return file.read(limit)


class _Piped(io.RawIOBase):
    """Reads by asking the server."""

    def __init__(self, asks: Any, answers: Any, size_bytes: int) -> None:
        self._asks, self._answers, self._size_bytes, self._at = asks, answers, size_bytes, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size_bytes)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        size = min(len(buffer), max(0, self._size_bytes - self._at))
        if not size:
            return 0
        self._answers.write(json.dumps({"read": [self._at, size]}).encode() + b"\n")
        self._answers.flush()
        got = int(self._asks.readline() or b"0")
        data = self._asks.read(got)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
