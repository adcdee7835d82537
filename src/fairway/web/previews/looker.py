"""Looks into artifacts by processes of their own: a bad file can cost such a process, never the server.

One process answers several looks in a row, because importing what reads tables takes longer than reading them, and ends a few seconds after
the last. What was seen is kept by digest: an artifact never changes.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.errors import FairwayError, NotFoundError
from fairway.spec.artifact import blob_key
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, record
from fairway.web.previews.kept import Kept

COMMAND = (sys.executable, "-P", "-m", "fairway.web.previews")
MEMORY_BYTES = 1 << 30
TIMEOUT_S = 15.0
IDLE_S = 20.0
AT_ONCE = 2
LOOKS_EACH = 200
_HEAVY_BYTES = 300 << 20
_READ_LIMIT_BYTES = 64 << 20
_ANSWER_LIMIT_BYTES = 64 << 20
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Of the server's environment: no secret of the server is in a process that reads what strangers wrote."""


@record
class Subject(Record):
    """What is looked at: a blob by `digest`, or the `inline` text of a small value. `name`: of a file, for its ending."""

    digest: str
    size_bytes: int
    inline: str | None = None
    name: str = ""


class Looker:
    """Asks processes of their own, at most `AT_ONCE`, for what artifacts of `store` look like. For threads: its calls block."""

    def __init__(
        self,
        home: str,
        store: ArtifactStore,
        *,
        memory_bytes: int = MEMORY_BYTES,
        timeout_s: float = TIMEOUT_S,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._home, self._store = home, store
        self._memory_bytes, self._timeout_s, self._command = memory_bytes, timeout_s, tuple(command)
        self._kept = Kept(Path(home, "cache", "previews"))
        self._turns = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._idle: list[tuple[_Eye, threading.Timer]] = []

    def look(self, what: str, subject: Subject, args: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What there is to see, as `what` says it (see `previews.sights`); {"problem": …, "hint": …} where it cannot be seen.

        Raises NotFoundError if the blob is gone.
        """
        request = {"what": what, "digest": subject.digest, "name": subject.name, "args": dict(args or {})}
        name = json.dumps(request, sort_keys=True)
        known = self._kept.find(name)
        if known is not None:
            return known
        request["source"] = self._source(subject)
        request["home"] = self._home
        with self._turns:
            known = self._kept.find(name)
            if known is not None:  # somebody else has looked meanwhile
                return known
            seen = self._ask(request, subject)
        if not seen.pop("passing", False) and "problem" not in seen:
            self._kept.keep(name, seen)
        return seen

    def close(self) -> None:
        """End the processes that wait for more."""
        with self._lock:
            idle, self._idle = self._idle, []
        for eye, timer in idle:
            timer.cancel()
            eye.close()

    def _source(self, subject: Subject) -> dict[str, Any]:
        if subject.inline is not None:
            return {"text": subject.inline, "size": subject.size_bytes}
        path = self._store.local_path(blob_key(subject.digest))
        if path is not None:
            return {"path": str(path)}
        stat = self._store.stat(blob_key(subject.digest))
        if stat is None:
            raise NotFoundError(
                f"the bytes of {subject.digest[:12]} are not in the store any more",
                hint="run the pipeline again; what is missing is made anew",
            )
        return {"size": stat.size_bytes}

    def _ask(self, request: dict[str, Any], subject: Subject) -> dict[str, Any]:
        eye = self._take()
        try:
            seen = eye.ask(request, lambda offset, size: self._read(subject, offset, size), self._timeout_s)
        except _Closed as closed:
            eye.close()
            return closed.seen
        except BaseException:
            eye.close()
            raise
        if eye.looks >= LOOKS_EACH or eye.rss_bytes > _HEAVY_BYTES:
            eye.close()
        else:
            self._give_back(eye)
        return seen

    def _read(self, subject: Subject, offset: int, size: int) -> bytes:
        """For a store that has no files of its own: a part of the blob."""
        with self._store.open(blob_key(subject.digest)) as file:
            file.seek(offset)
            parts: list[bytes] = []
            while size > 0 and (part := file.read(size)):
                parts.append(part)
                size -= len(part)
        return b"".join(parts)

    def _take(self) -> _Eye:
        with self._lock:
            while self._idle:
                eye, timer = self._idle.pop()
                timer.cancel()
                if eye.is_alive:
                    return eye
        return _Eye(self._command, self._memory_bytes)

    def _give_back(self, eye: _Eye) -> None:
        timer = threading.Timer(IDLE_S, self._end, (eye,))
        timer.daemon = True
        with self._lock:
            self._idle.append((eye, timer))
        timer.start()

    def _end(self, eye: _Eye) -> None:
        with self._lock:
            before = len(self._idle)
            self._idle = [(one, timer) for one, timer in self._idle if one is not eye]
            ours = len(self._idle) < before
        if ours:
            eye.close()


class _Closed(Exception):
    """The process ended, or had to be ended; `seen` says why."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.seen = {"problem": problem, "hint": hint}


class _Eye:
    """One process that looks."""

    def __init__(self, command: Sequence[str], memory_bytes: int) -> None:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["FAIRWAY_PREVIEW_MEMORY_BYTES"] = str(memory_bytes)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        self._memory_bytes = memory_bytes
        self._left = b""
        self.looks = 0
        self.rss_bytes = 0

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Mapping[str, Any], read: Any, timeout_s: float) -> dict[str, Any]:
        """Its answer. Raises _Closed if it has none in time, or dies."""
        deadline = time.monotonic() + timeout_s
        self.looks += 1
        self._send(json.dumps(request).encode() + b"\n")
        while True:
            answer = json.loads(self._line(deadline))
            if "read" not in answer:
                self.rss_bytes = int(answer.pop("rss_bytes", 0))
                return answer
            offset, size = answer["read"]
            data = read(offset, min(size, _READ_LIMIT_BYTES))
            self._send(f"{len(data)}\n".encode() + data)

    def close(self) -> None:
        """End it now."""
        with suppress(OSError):
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()

    def _send(self, data: bytes) -> None:
        try:
            self._process.stdin.write(data)  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            raise self._died() from None

    def _line(self, deadline: float) -> bytes:
        descriptor = self._process.stdout.fileno()  # type: ignore[union-attr]
        parts, size = [self._left], len(self._left)
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in parts[-1]:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _Closed("looking into it took too long, and was given up", "download it, and open it with its own library")
                part = os.read(descriptor, 1 << 20)
                if not part:
                    raise self._died()
                parts.append(part)
                size += len(part)
                if size > _ANSWER_LIMIT_BYTES:
                    raise _Closed("there is more to show than a page can hold", "download it, and open it with its own library")
        line, _, self._left = b"".join(parts).partition(b"\n")
        return line

    def _died(self) -> _Closed:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.returncode
        if code in (_NO_MEMORY, -signal.SIGKILL):
            return _Closed(
                f"looking into it needs more memory than a preview may take ({self._memory_bytes >> 20} MiB)", "download it instead"
            )
        return _Closed(
            f"what reads this format broke off at it ({'signal' if (code or 0) < 0 else 'status'} {abs(code or 0)})",
            "is the file whole? download it to see",
        )


_NO_MEMORY = 71
"""With this status a process ends that has run out of the memory it may take."""


def as_error(seen: Mapping[str, Any]) -> FairwayError:
    """A problem as an error, for who asked for data."""
    from fairway.errors import UnsupportedError

    return UnsupportedError(str(seen["problem"]), hint=str(seen.get("hint", "")))
