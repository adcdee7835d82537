"""What the gateway tells its keeper: at once which revision is wanted, and each second what the traffic was. NDJSON, for any number of
listeners; one that comes late, or again, gets the last two minutes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from fairway.serve.exchange import Exchange, Stream
from fairway.serve.gateway.service import Service
from fairway.serve.refusal import Fault
from fairway.spec.record import from_plain

_KEPT = 120
_REFUSALS = 20
_WORDS_BYTES = 64 << 10
_WANT_AGAIN_S = 0.5
_BEHIND_BYTES = 4 << 20


class News:
    """Lines for listeners."""

    def __init__(self) -> None:
        self._listeners: set[Stream] = set()
        self._kept: deque[tuple[float, bytes]] = deque(maxlen=_KEPT)
        self._wanted: dict[tuple[str, int], float] = {}
        self._refusals: list[dict[str, Any]] = []
        self._unsaid = 0

    def listen(self, stream: Stream, since: float, first: dict[str, Any]) -> None:
        """Tell the stream all from now on, and what it missed since then."""
        stream.write(_line(first))
        for at, line in self._kept:
            if at > since:
                stream.write(line)
        self._listeners.add(stream)

    def tell(self, stream: Stream, item: dict[str, Any]) -> None:
        """To one listener."""
        stream.write(_line(item))

    def say(self, item: dict[str, Any]) -> None:
        """To all listeners, at once."""
        self._send(_line(item))

    def want(self, endpoint: str, revision: int, waiting: int) -> None:
        """A request finds no replica of this revision. Not repeated for a while."""
        now = time.monotonic()
        key = (endpoint, revision)
        if now - self._wanted.get(key, -1e9) >= _WANT_AGAIN_S:
            self._wanted[key] = now
            self.say({"wanted": endpoint, "revision": revision, "waiting": waiting})

    def started(self, endpoint: str) -> None:
        """It may be wanted again."""
        for key in [key for key in self._wanted if key[0] == endpoint]:
            del self._wanted[key]

    def note(self, refusal: dict[str, Any]) -> None:
        """For the next report; of many, the first ones."""
        if len(self._refusals) < _REFUSALS:
            self._refusals.append(refusal)
        else:
            self._unsaid += 1

    def note_answer(self, status: int, body: bytes, exchange: Exchange, *, endpoint: str, revision: int, caller: str) -> None:
        """A replica refused a request, or failed at it: its own words, if it found some."""
        if len(self._refusals) >= _REFUSALS:
            self._unsaid += 1
            return
        error: Any = None
        if len(body) < _WORDS_BYTES:
            try:
                error = msgspec.json.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                error = None
        error = error.get("error") if isinstance(error, dict) else None
        error = error if isinstance(error, dict) else {"message": str(error)[:200] if error else f"the replica answered {status}"}
        item = {
            "at": time.time(), "endpoint": endpoint, "revision": revision, "status": status, "code": str(error.get("code", "")),
            "message": str(error.get("message", ""))[:500], "id": exchange.id, "key": caller, "faults": _show_faults(error.get("faults")),
        }  # fmt: skip
        self.note(item)

    def report(self, services: Iterable[Service], shadows: list[dict[str, Any]]) -> bool:
        """The windows of the last second. False if there is nothing to tell."""
        now, windows, keys = time.monotonic(), list[dict[str, Any]](), dict[str, dict[str, list[int]]]()
        for service in services:
            for revision, meter in service.meters.items():
                window = meter.take(now)
                if window is not None:
                    window = {"endpoint": service.name, "revision": revision, **window}
                    if revision and revision == service.row.shadow and revision not in service.spread.revisions:
                        window["shadow"] = True  # copies: nobody asked for these
                    windows.append(window)
            if service.key_use:
                keys[service.name], service.key_use = service.key_use, {}
        if not (windows or self._refusals or shadows):
            return False
        at = time.time()
        line = _line({"at": at, "windows": windows, "keys": keys, "refusals": self._refusals, "unsaid": self._unsaid, "shadow": shadows})
        self._refusals, self._unsaid = [], 0
        self._kept.append((at, line))
        self._send(line)
        return True

    def close(self) -> None:
        for stream in self._listeners:
            stream.end()
        self._listeners.clear()

    def _send(self, line: bytes) -> None:
        for stream in tuple(self._listeners):
            if stream.is_gone:
                self._listeners.discard(stream)
            elif stream.waiting_bytes > _BEHIND_BYTES:  # it sleeps; it will come again and ask for what it missed
                self._listeners.discard(stream)
                stream.abort()
            else:
                stream.write(line)


async def tick(every_s: float, act: Any) -> None:
    """Call `act` again and again."""
    while True:
        await asyncio.sleep(every_s)
        act()


def _show_faults(faults: Any) -> list[str]:
    """As the caller was told, one line each."""
    made: list[str] = []
    for fault in faults if isinstance(faults, list) else ():
        try:
            made.append(from_plain(Fault, fault).text)
        except (TypeError, KeyError):
            continue
    return made[:20]


def _line(item: dict[str, Any]) -> bytes:
    return msgspec.json.encode(item) + b"\n"
