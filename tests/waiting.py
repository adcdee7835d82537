"""How tests wait: at a gate that the kernel opens; and, for what nothing tells of, by looking again and again.

All tests that look again and again do it by `await_true`, or by `until` in an event loop: with a deadline, and words for what never came.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 180.0
"""Only what hangs takes so long, on a machine that is busy, too."""
_PAUSE_S = 0.002


class Gate:
    """A file that others wait at, in processes of their own, until it is opened: they call `fcntl.flock` on it, or run PASS. Whoever comes
    later goes through at once; if the test dies, all do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    @property
    def code(self) -> str:
        """An expression that waits until it is open, for the code of a step or a script."""
        return pass_gate(self.path)

    def open(self) -> None:
        """Let all through."""
        self._file.close()


def pass_gate(path: Path | str) -> str:
    """See `Gate.code`."""
    return f"__import__('fcntl').flock(open({str(path)!r}), {fcntl.LOCK_SH})"


def await_true(
    condition: Callable[[], Any], what: str, *, process: subprocess.Popen[Any] | None = None, patience_s: float = PATIENCE_S
) -> None:
    """Look until it holds; it must in time, and while `process` runs."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, what
        if process is not None and process.poll() is not None and not condition():
            raise AssertionError(f"{what}: {process.communicate()}")
        time.sleep(_PAUSE_S)


def find_files(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder in which others work: what goes meanwhile, with which `rglob` fails, is none. `pattern`: as of `Path.match`."""
    return [path for place, _, names in os.walk(folder) for name in names if (path := Path(place, name)).match(pattern)]


async def until(condition: Callable[[], Any], what: str = "", *, patience_s: float = PATIENCE_S) -> None:
    """As `await_true`, while the loop goes on; `condition` may be a coroutine function."""
    end = time.monotonic() + patience_s
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < end, what or "it never became so"
        await asyncio.sleep(_PAUSE_S)
