"""How many requests are let through, in a time of its own that passes at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.kube.rate import TokenBucket


class _SkippingSelector(selectors.SelectSelector):
    """Never waits: the time that it should have waited has passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


def run_skipping(work: Coroutine[Any, Any, Any]) -> float:
    """Seconds that `work` would have taken."""
    selector = _SkippingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
    return selector.now


async def take(bucket: TokenBucket, count: int) -> None:
    await asyncio.gather(*(bucket.take() for _ in range(count)))


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    assert run_skipping(take(TokenBucket(50, burst=100), 100)) == 0
    assert run_skipping(take(TokenBucket(50, burst=100), 140)) == pytest.approx(0.8, abs=0.01)


@given(st.integers(1, 60), st.sampled_from([1.0, 7.0, 20.0, 100.0]), st.integers(1, 20))
def test_never_more_than_the_burst_and_the_rate_together(count: int, per_s: float, burst: int) -> None:
    seconds = run_skipping(take(TokenBucket(per_s, burst), count))
    assert count <= burst + seconds * per_s + 1e-6
    assert seconds <= max(0, count - burst) / per_s + 1e-6  # and not slower than that


def test_what_was_not_used_does_not_pile_up_beyond_the_burst() -> None:
    async def work() -> None:
        bucket = TokenBucket(10, burst=5)
        await asyncio.sleep(60)
        await take(bucket, 10)

    assert run_skipping(work()) == pytest.approx(60.5, abs=0.01)


def test_a_pause_holds_everybody_back() -> None:
    async def work() -> None:
        bucket = TokenBucket(10)
        bucket.pause(7)
        await bucket.take()

    assert run_skipping(work()) == pytest.approx(7)


def test_takers_go_in_the_order_in_which_they_came() -> None:
    order: list[int] = []

    async def one(bucket: TokenBucket, number: int) -> None:
        await bucket.take()
        order.append(number)

    async def work() -> None:
        bucket = TokenBucket(10, burst=1)
        await asyncio.gather(*(one(bucket, number) for number in range(20)))

    run_skipping(work())
    assert order == list(range(20))
