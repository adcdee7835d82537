"""How often a login may be tried: after a few failures each next one has to wait twice as long. In memory, and never much of it."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from fairway.spec.record import Record, record
from fairway.web.problem import Refused

FREE, MOST_S = 5, 300.0
TOTAL_FREE, TOTAL_MOST_S = 50, 30.0
FORGET_S = 3600.0
_KEPT = 10_000
_ALL = "*"


@record
class _Failures(Record):
    count: int
    last_at: float


class LoginLimit:
    """Counts failures by address, and of all addresses together. An address from which somebody has signed in is spared the common limit:
    strangers cannot lock out who works here."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    def check(self, address: str) -> None:
        """Raises 429, with how long to wait, while it is too soon."""
        place = _place(address)
        wait = self._wait(place, FREE, MOST_S)
        if place not in self._known:
            wait = max(wait, self._wait(_ALL, TOTAL_FREE, TOTAL_MOST_S))
        if wait > 0:
            seconds = math.ceil(wait)
            raise Refused(
                429,
                "too many logins have failed",
                hint=f"try again in {seconds} s",
                code="FW-FORBIDDEN",
                headers={"retry-after": str(seconds)},
            )

    def fail(self, address: str) -> None:
        """A login from there has failed."""
        now = self._clock()
        for place in (_place(address), _ALL):
            found = self._find(place, now)
            self._failures[place] = _Failures(found.count + 1 if found else 1, now)
            self._failures.move_to_end(place)
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def succeed(self, address: str) -> None:
        """Somebody has signed in from there."""
        place = _place(address)
        self._failures.pop(place, None)
        self._known[place] = None
        self._known.move_to_end(place)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _find(self, place: str, now: float) -> _Failures | None:
        found = self._failures.get(place)
        return found if found is not None and now - found.last_at < FORGET_S else None

    def _wait(self, place: str, free: int, most_s: float) -> float:
        now = self._clock()
        found = self._find(place, now)
        if found is None or found.count < free:
            return 0.0
        return found.last_at + min(most_s, 2.0 ** min(found.count - free, 30)) - now


def _place(address: str) -> str:
    """Whoever has an IPv6 address has 2**64 of them."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if found.version == 6 and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
