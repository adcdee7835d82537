"""`fairway …` in a process of its own with a bound on memory and time, which says what it took."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, Timer

_ADDRESSES = 6 << 30
_BETWEEN = """
import os, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
_, state, used = os.wait4(child, 0)
with open(sys.argv[1], "w") as told:
    told.write(f"{state} {used.ru_maxrss}")
"""
"""A small process between the tests and what they run: what is forked counts as its own the memory that its parent had."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str
    megabytes: float
    seconds: float

    def refused(self, *words: str, status: int = 2) -> Ended:
        """Asserts that it was refused in plain words, which hold these."""
        told = self.out + self.err
        assert self.status == status, (self.status, told[-3000:])
        assert "Traceback" not in told, told[-3000:]
        for word in words:
            assert word in told, (word, told[-3000:])
        assert len(self.err) < 4_000, f"{len(self.err)} characters of message"
        return self


def fairway(
    *words: str | Path, folder: Path, megabytes: float = 400, seconds: float = 120, stdin: bytes | None = None,
    environment: dict[str, str] | None = None, file_bytes: int = 0,
) -> Ended:  # fmt: skip
    """Run `fairway WORDS` in `folder`. Asserts that it ended within `seconds` and never had more than `megabytes` in memory."""
    return ended([sys.executable, "-m", "fairway", *map(str, words)], folder, megabytes, seconds, stdin, environment or {}, file_bytes)


def python(code: str, *, folder: Path, megabytes: float = 400, seconds: float = 120) -> Ended:
    """The same of lines of Python."""
    return ended([sys.executable, "-c", code], folder, megabytes, seconds, None, {}, 0)


def ended(
    words: list[str], folder: Path, megabytes: float, seconds: float, stdin: bytes | None, environment: dict[str, str], file_bytes: int
) -> Ended:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        if file_bytes:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    with (
        tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given,
        tempfile.NamedTemporaryFile() as used,
    ):  # fmt: skip
        given.write(stdin or b"")
        given.seek(0)
        begun = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BETWEEN, used.name, *words],
            cwd=folder,
            stdin=given,
            stdout=out,
            stderr=err,
            env={**os.environ, "NO_COLOR": "1", **environment},
            start_new_session=True,
            preexec_fn=limit,  # noqa: PLW1509 - it calls the system only
        )
        late: list[bool] = []
        watch = Timer(seconds, _kill_late, (child, late))
        watch.daemon = True
        watch.start()
        child.wait()
        watch.cancel()
        state, memory = (int(one) for one in (used.read() or b"9 0").split())
        took = time.monotonic() - begun
        out.seek(0)
        err.seek(0)
        told, errors = (one.read().decode("utf-8", "replace") for one in (out, err))
        made = Ended(os.waitstatus_to_exitcode(state), told, errors, memory / 1024, took)
    assert not late, f"not over after {seconds} s: {made.err[-2000:]}"
    assert made.megabytes <= megabytes, f"{made.megabytes:.0f} MB in memory: {made.err[-2000:]}"
    return made


def _kill_late(child: subprocess.Popen[bytes], late: list[bool]) -> None:
    late.append(True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def pour(path: Path, pieces: Callable[[], Iterable[bytes]]) -> Path:
    """A named pipe out of which these pieces come, as from a file of any size that no disk has to hold."""
    os.mkfifo(path)

    def feed() -> None:
        try:
            with path.open("wb", buffering=0) as pipe:
                for piece in pieces():
                    view = memoryview(piece)
                    while view:
                        view = view[pipe.write(view) :]
        except BrokenPipeError:
            pass

    Thread(target=feed, daemon=True).start()
    return path
