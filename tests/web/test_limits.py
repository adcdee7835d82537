"""How often a login may fail before the next try has to wait."""

from __future__ import annotations

import pytest

from fairway.web.limits import FORGET_S, FREE, MOST_S, TOTAL_FREE, TOTAL_MOST_S, LoginLimit
from fairway.web.problem import Refused


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def wait_of(limit: LoginLimit, address: str) -> int:
    """Seconds to wait, 0 for none."""
    try:
        limit.check(address)
    except Refused as error:
        assert error.status == 429
        return int(error.headers["retry-after"])
    return 0


def test_after_a_few_failures_each_next_one_waits_twice_as_long() -> None:
    clock = Clock()
    limit = LoginLimit(clock=clock)
    waits: list[int] = []
    for _ in range(FREE + 12):
        waits.append(wait_of(limit, "10.0.0.1"))
        clock.now += waits[-1]
        assert wait_of(limit, "10.0.0.1") == 0
        limit.fail("10.0.0.1")
    assert waits == [0] * FREE + [min(2**n, int(MOST_S)) for n in range(12)]


def test_another_address_need_not_wait() -> None:
    limit = LoginLimit(clock=Clock())
    for _ in range(FREE):
        limit.fail("10.0.0.1")
    assert wait_of(limit, "10.0.0.1") and not wait_of(limit, "10.0.0.2")


def test_all_addresses_of_one_ipv6_network_are_one() -> None:
    limit = LoginLimit(clock=Clock())
    for n in range(FREE):
        limit.fail(f"2001:db8::{n}")
    assert wait_of(limit, "2001:db8::ffff") and not wait_of(limit, "2001:db8:0:1::1")
    assert not wait_of(limit, "::ffff:10.0.0.1")


def test_who_signs_in_begins_anew() -> None:
    limit = LoginLimit(clock=Clock())
    for _ in range(FREE):
        limit.fail("10.0.0.1")
    limit.succeed("10.0.0.1")
    assert not wait_of(limit, "10.0.0.1")


def test_what_was_long_ago_is_forgotten() -> None:
    clock = Clock()
    limit = LoginLimit(clock=clock)
    for _ in range(FREE + 20):
        limit.fail("10.0.0.1")
    clock.now += FORGET_S
    assert not wait_of(limit, "10.0.0.1")
    limit.fail("10.0.0.1")
    assert not wait_of(limit, "10.0.0.1")


def test_many_addresses_together_are_slowed_down_but_not_who_works_here() -> None:
    clock = Clock()
    limit = LoginLimit(clock=clock)
    limit.succeed("10.0.0.1")
    for n in range(TOTAL_FREE + 20):
        limit.fail(f"10.1.0.{n}")
    assert wait_of(limit, "10.2.0.1") == TOTAL_MOST_S
    assert not wait_of(limit, "10.0.0.1")
    clock.now += TOTAL_MOST_S
    assert not wait_of(limit, "10.2.0.1")


@pytest.mark.parametrize("address", ["", "testclient", "x" * 10_000, "fe80::1%eth0"])
def test_any_address_counts(address: str) -> None:
    limit = LoginLimit(clock=Clock())
    for _ in range(FREE):
        limit.fail(address)
    assert wait_of(limit, address)


def test_strangers_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.limits._KEPT", 100)
    limit = LoginLimit(clock=Clock())
    for n in range(300):
        limit.fail(f"10.0.{n // 256}.{n % 256}")
        limit.succeed(f"11.0.{n // 256}.{n % 256}")
    assert len(limit._failures) <= 101 and len(limit._known) <= 100
