"""A container's processes on this machine, and what they print."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

MARK = "EMULATOR_CONTAINER"
CLUSTER = "EMULATOR_CLUSTER"
LONGEST_EXEC_S = 2.0
_GUARD = """
cat > /dev/null
for process in /proc/[0-9]*; do
  if grep -qzx "$1" "$process/environ" 2> /dev/null; then kill -KILL "${process#/proc/}"; fi
done
"""


class Guard:
    """Kills what a cluster has started if this process dies before it has ended it itself."""

    def __init__(self, cluster: str) -> None:
        self._started = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", f"{CLUSTER}={cluster}"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def close(self) -> None:
        """All is ended: there is nothing to kill."""
        self._started.kill()
        self._started.communicate()


class Log:
    """Lines with their times; the last may be unfinished."""

    def __init__(self) -> None:
        self.lines: list[tuple[float, bytes]] = []
        self.closed = False
        self._grown: set[asyncio.Event] = set()

    def write(self, data: bytes) -> None:
        now = datetime.datetime.now(datetime.UTC).timestamp()
        for part in data.splitlines(keepends=True):
            if self.lines and not self.lines[-1][1].endswith(b"\n"):
                self.lines[-1] = (self.lines[-1][0], self.lines[-1][1] + part)
            else:
                self.lines.append((now, part))
        self._ring()

    def close(self) -> None:
        self.closed = True
        self._ring()

    def _ring(self) -> None:
        for event in self._grown:
            event.set()

    def text(self) -> bytes:
        return b"".join(line for _, line in self.lines)

    async def read(self, *, follow: bool, tail: int | None, since: float, stamps: bool) -> AsyncIterator[bytes]:
        """What there is, and with `follow` what comes until the container ends."""
        at = 0 if tail is None else max(len(self.lines) - tail, 0)
        while at < len(self.lines) and self.lines[at][0] < since:
            at += 1
        grown = asyncio.Event()
        self._grown.add(grown)
        sent = 0  # of line `at`
        try:
            while True:
                parts: list[bytes] = []
                while at < len(self.lines):
                    when, line = self.lines[at]
                    stamp = datetime.datetime.fromtimestamp(when, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ ").encode()
                    parts.append((stamp if stamps and not sent else b"") + line[sent:])
                    sent = len(line)
                    if not line.endswith(b"\n"):
                        break
                    at, sent = at + 1, 0
                if any(parts):
                    yield b"".join(parts)
                elif not follow or self.closed:
                    return
                else:
                    grown.clear()
                    await grown.wait()
        finally:
            self._grown.discard(grown)


class Process:
    """One started command. `ended` has its exit code as a container runtime gives it; then nothing that it started lives on."""

    def __init__(self, argv: list[str], variables: dict[str, str], folder: Path, log: Log, mark: str, cluster: str) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._log, self._mark, self._loop = log, mark, loop
        reading, writing = os.pipe()
        try:
            self._started = subprocess.Popen(
                argv,
                env=variables | {MARK: mark, CLUSTER: cluster},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,
            )
        except OSError:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        self._pipe = reading
        self._handle = os.pidfd_open(self._started.pid)
        loop.add_reader(reading, self._read)
        loop.add_reader(self._handle, self._reap)

    @property
    def pid(self) -> int:
        return self._started.pid

    def signal(self, number: int) -> None:
        """SIGKILL ends all that is in the container; any other goes to its first process."""
        if self.ended.done():
            return
        if number == signal.SIGKILL:
            kill_marked(self._mark)
            self._started.kill()
        else:
            self._started.send_signal(number)

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return False
        if data:
            self._log.write(data)
            return True
        self._loop.remove_reader(self._pipe)
        return False

    def _reap(self) -> None:
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        code = self._started.wait()
        kill_marked(self._mark)
        while self._read():
            pass
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._log.close()
        self.ended.set_result(128 - code if code < 0 else code)


def kill_marked(mark: str) -> None:
    """Kill every process that carries the mark, wherever it went. PIDs say nothing of who came later: they start again from the lowest."""
    wanted = f"{MARK}={mark}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                if wanted in _environment_of(entry):
                    os.kill(int(entry), signal.SIGKILL)


def _environment_of(pid: str) -> list[bytes]:
    """It reads as empty for the moment in which a program is exchanged for another, which on a busy machine takes a while; and for ever for
    what has no program, or none of its own. Raises OSError where the process has gone."""
    until = time.monotonic() + LONGEST_EXEC_S
    while True:
        if text := Path("/proc", pid, "environ").read_bytes():
            return text.split(b"\0")
        os.readlink(f"/proc/{pid}/exe")  # the kernel's own threads and the dead have none
        if time.monotonic() > until:
            return []
        time.sleep(0.001)
