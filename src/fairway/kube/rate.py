"""A bounded rate of requests: a bucket of tokens that fills steadily."""

from __future__ import annotations

import asyncio


class TokenBucket:
    """Lets `per_s` takers through a second on average, `burst` at once; the others wait in the order in which they came."""

    def __init__(self, per_s: float, burst: float = 0) -> None:
        self._per_s = per_s
        self._burst = burst or max(2 * per_s, 10.0)
        self._free_at = float("-inf")  # when the taker that comes next may go, were there no burst
        self._pause_until = 0.0

    async def take(self) -> None:
        """Returns when one more request may be made."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        gap = 1 / self._per_s
        self._free_at = max(self._free_at, now - gap * (self._burst - 1))
        wait = max(self._free_at, self._pause_until) - now
        self._free_at += gap
        if wait > 0:
            await asyncio.sleep(wait)

    def pause(self, seconds: float) -> None:
        """Let nobody through for that long: the server said so (Retry-After)."""
        self._pause_until = max(self._pause_until, asyncio.get_running_loop().time() + seconds)
