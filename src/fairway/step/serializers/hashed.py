"""A file whose SHA-256 is known the moment it is written: nothing is read twice."""

from __future__ import annotations

import hashlib
import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

_BESIDE_BYTES = 1 << 19
"""From this size on, a thread hashes while this one writes: both release the GIL."""


class HashedFile:
    """A new file, written once from the front; `digest` (hex) and `size_bytes` hold after closing.

    As a context manager it removes a file whose writing failed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._sha = hashlib.sha256()
        self._jobs: SimpleQueue[Any] | None = None
        self._done = threading.Semaphore(0)
        self.size_bytes = 0
        self.digest = ""
        self.closed = False

    def write(self, data: Any) -> int:
        """Append bytes or anything that offers them as a contiguous buffer; returns their number."""
        view = memoryview(data)
        view = view.cast("B") if view.ndim != 1 or view.format != "B" else view
        size = len(view)
        if size < _BESIDE_BYTES:
            self._sha.update(view)
            self._put(view)
        else:
            if self._jobs is None:
                self._jobs = SimpleQueue()
                threading.Thread(target=self._hash, args=(self._jobs,), daemon=True).start()
            self._jobs.put(view)
            try:
                self._put(view)
            finally:
                self._done.acquire()  # the buffer is its owner's again once we return
        self.size_bytes += size
        return size

    def _put(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._fd, view) :]

    def _hash(self, jobs: SimpleQueue[Any]) -> None:
        while (view := jobs.get()) is not None:
            self._sha.update(view)
            self._done.release()

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self._jobs is not None:
                self._jobs.put(None)
            os.close(self._fd)
            self.digest = self._sha.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        if kind is not None:
            os.unlink(self._path)


def hash_file(path: str | os.PathLike[str]) -> str:
    """The hex SHA-256 of a file."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
