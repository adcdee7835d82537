"""Callers on raw sockets that account for every request: answered rightly, answered with an error, wrong, broken off, not let in."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

Check = Callable[[dict[bytes, bytes], bytes], bool]
"""Is this the right answer, by its headers and its body?"""
_LATE_S = 60.0
_EXAMPLES = 5


class Broken(Exception):
    """The connection ended before the answer was whole."""


@dataclass
class Tally:
    """Of one phase. `right`: answers of 200 that are what they have to be; `wrong`: of 200 that are not; `failed`: by status;
    `broken`: connections that ended under a request; `refused`: connections that could not be made; `late`: no answer within a minute."""

    right: int = 0
    wrong: int = 0
    broken: int = 0
    refused: int = 0
    late: int = 0
    failed: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Requests that were not answered rightly."""
        return self.wrong + self.broken + self.refused + self.late + sum(self.failed.values())

    def note(self, text: str) -> None:
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)

    def __str__(self) -> str:
        parts = [f"{self.right} right", f"longest {self.longest_s:.2f} s"]
        parts += [f"{count} x {status}" for status, count in sorted(self.failed.items())]
        parts += [f"{value} {name}" for name in ("wrong", "broken", "refused", "late") if (value := getattr(self, name))]
        return ", ".join(parts)


class Link:
    """One connection that is kept as long as the other side keeps it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers (lower-case) and body. Raises ConnectionError when none can be made, Broken when it ends too early."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].split(b"\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            body = await reader.readexactly(int(headers.get(b"content-length", b"0")))
        except (OSError, EOFError) as error:  # IncompleteReadError is an EOFError
            self.close()
            raise Broken(type(error).__name__) from error
        except BaseException:
            self.close()
            raise
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return int(first.split(b" ", 2)[1]), headers, body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Callers:
    """`count` callers; each sends its next request when it has the answer to the one before. `phase` begins a new tally."""

    def __init__(self, host: str, port: int, request: bytes, check: Check, count: int = 32, *, pause_s: float = 0.0) -> None:
        self._host, self._port, self._request, self._check, self._pause_s = host, port, request, check, pause_s
        self.count = count
        self.tally = Tally()
        self.revisions: Counter[bytes] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def phase(self) -> Tally:
        """From now on another tally counts; returns the one before. A request counts where it ends."""
        before, self.tally = self.tally, Tally()
        self.revisions = Counter()
        return before

    async def __aenter__(self) -> Callers:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self.count)]
        return self

    async def __aexit__(self, *error: object) -> None:
        """Whatever is under way is waited for."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def until(self, condition: Callable[[], bool], limit_s: float = 60.0) -> None:
        """Go on until it holds. Raises TimeoutError."""
        async with asyncio.timeout(limit_s):
            while not condition():
                self.check()
                await asyncio.sleep(0.005)

    def check(self) -> None:
        """Raises whatever has ended a caller."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _call(self) -> None:
        link = Link(self._host, self._port)
        while not self._stopping:
            began = time.monotonic()
            await self._call_once(link)
            tally = self.tally
            tally.longest_s = max(tally.longest_s, time.monotonic() - began)
            if self._pause_s:
                await asyncio.sleep(self._pause_s)
        link.close()

    async def _call_once(self, link: Link) -> None:
        try:
            async with asyncio.timeout(_LATE_S):
                status, headers, body = await link.ask(self._request)
        except Broken as error:
            self.tally.broken += 1
            self.tally.note(f"broken: {error}")
        except TimeoutError:
            self.tally.late += 1
        except OSError as error:
            self.tally.refused += 1
            self.tally.note(f"refused: {error}")
            await asyncio.sleep(0.01)
        else:
            self._count(status, headers, body)

    def _count(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        tally = self.tally
        self.revisions[headers.get(b"fairway-revision", b"")] += 1
        if status != 200:
            tally.failed[status] += 1
            tally.note(f"{status}: {body[:300].decode('utf-8', 'replace')}")
        elif self._check(headers, body):
            tally.right += 1
        else:
            tally.wrong += 1
            tally.note(f"wrong: {headers.get(b'fairway-revision')} {body[:200].decode('utf-8', 'replace')}")


async def ask_at_once(host: str, port: int, request: bytes, count: int, check: Check) -> tuple[Tally, float]:
    """So many connections at the same moment, each with one request; the tally, and seconds until the first right answer."""
    tally, firsts = Tally(), list[float]()
    began = time.monotonic()

    async def one() -> None:
        caller = Callers(host, port, request, check, 1)
        caller.tally = tally
        link = Link(host, port)
        before = tally.right
        await caller._call_once(link)
        if tally.right > before:
            firsts.append(time.monotonic() - began)
        link.close()

    await asyncio.gather(*(one() for _ in range(count)))
    tally.longest_s = time.monotonic() - began
    return tally, min(firsts, default=float("inf"))


def render_post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """The whole request."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def pester(host: str, port: int, path: str, stop: asyncio.Event) -> int:
    """Clients that send garbage, half requests, endless headers and lies, until told to stop; how many there were. None of them is
    answered well, and none may disturb the others."""
    wrong = (
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{" % path.encode(),
        b"POST %b HTTP/1.1\r\nhost: x\r\n" % path.encode(),
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n" % path.encode() + b"[" * 65536,
        b"POST %b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFF\r\n" % path.encode() + b"x" * 65536,
        b"GET / HTTP/1.1\r\n" + b"x-long: " + b"y" * (1 << 20),
        b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n" % path.encode(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    )
    done = 0
    while not stop.is_set():
        with suppress(OSError, EOFError, TimeoutError):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(wrong[done % len(wrong)])
                async with asyncio.timeout(0.2):
                    await reader.read(65536)
            finally:
                writer.close() if done % 2 else writer.transport.abort()
        done += 1
    return done
