"""Answers kept in files by the question, as much as a folder may hold; the longest unused go first."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import fairway

EDITION = 2
"""Higher whenever a look answers otherwise than before: what was kept then is asked anew."""
LIMIT_BYTES = 64 << 20
_SWEEP_EVERY = 50


class Kept:
    """JSON answers below `folder`. Another version of Fairway asks anew. What cannot be written is not kept."""

    def __init__(self, folder: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._folder, self._limit_bytes = folder, limit_bytes
        self._since_sweep = 0

    def find(self, question: str) -> dict[str, Any] | None:
        """The answer, None if it is not kept."""
        path = self._path(question)
        try:
            answer = json.loads(zlib.decompress(path.read_bytes()))
            os.utime(path)
        except (OSError, ValueError, zlib.error):
            return None
        return answer

    def keep(self, question: str, answer: dict[str, Any]) -> None:
        """Keep it, and let old ones go for it."""
        path = self._path(question)
        data = zlib.compress(json.dumps(answer).encode(), 1)
        if len(data) > self._limit_bytes // 4:
            return
        half = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            half.write_bytes(data)
            half.replace(path)
        except OSError:
            with suppress(OSError):
                half.unlink()
            return
        if not self._since_sweep % _SWEEP_EVERY:
            self._sweep()
        self._since_sweep += 1

    def _path(self, question: str) -> Path:
        name = hashlib.blake2b(f"{fairway.__version__} {EDITION}\n{question}".encode(), digest_size=20).hexdigest()
        return self._folder / name[:2] / name[2:]

    def _sweep(self) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self._folder.glob("*/*"):
            with suppress(OSError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit_bytes:
                return
            with suppress(OSError):
                path.unlink()
                total -= size
