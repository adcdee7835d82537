"""What every fleet promises. Subclass `FleetContract` and give the fixture `subject`: a `FleetSubject`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fairway.spec.endpoint import Endpoint, Revision, ServeSpec
from fairway.spec.record import Record, record

_DEADLINE_S = 30.0
Fleet = Any
"""See `serve.control.fleet.Fleet`: what serves stands above this room."""
Replica = Any


@record
class FleetSubject(Record):
    """`open` makes a started fleet over the same machines each time, as servers that follow each other do; `make(kind)` a spec: "good", or
    "bad" for one that cannot start. `kill` ends a replica from outside."""

    open: Callable[[], Awaitable[Fleet]]
    make: Callable[[str], ServeSpec]
    kill: Callable[[Replica], Awaitable[None]]


class FleetContract:
    """Subclass it and give the fixture `subject`."""

    def run(self, subject: FleetSubject, work: Callable[[Fleet], Awaitable[Any]]) -> Any:
        """Do `work` with a fleet, and leave nothing behind."""

        async def main() -> Any:
            fleet = await subject.open()
            try:
                return await work(fleet)
            finally:
                for name in {one.endpoint for one in await fleet.observe()} | {"risk"}:
                    await fleet.remove(name)
                await until(fleet, lambda replicas: not replicas)
                await fleet.close()

        return asyncio.run(main())

    def deploy(self, subject: FleetSubject, kind: str = "good", number: int = 1) -> tuple[Endpoint, Revision]:
        revision = Revision(number, subject.make(kind))
        return Endpoint("risk", revisions=(revision,), traffic=((number, 100.0),)), revision

    def test_as_many_as_are_wanted_get_ready_and_no_more(self, subject: FleetSubject) -> None:
        endpoint, revision = self.deploy(subject)

        async def work(fleet: Fleet) -> None:
            for _ in range(3):
                await fleet.apply(endpoint, revision, 2)
            ready = await until(fleet, lambda replicas: count(replicas, "ready") == 2)
            assert len(ready) == 2
            assert {(one.endpoint, one.revision) for one in ready} == {("risk", 1)}
            assert len({one.address for one in ready}) == 2
            assert all(one.cold_start_s > 0 and one.where for one in ready)
            assert all(abs(sum(took_s for _, took_s in one.phases) - one.cold_start_s) < 1e-6 for one in ready), "phases add up"

        self.run(subject, work)

    def test_what_is_too_much_drains_and_is_gone(self, subject: FleetSubject) -> None:
        endpoint, revision = self.deploy(subject)

        async def work(fleet: Fleet) -> None:
            await fleet.apply(endpoint, revision, 2)
            await until(fleet, lambda replicas: count(replicas, "ready") == 2)
            await fleet.apply(endpoint, revision, 1)
            seen = await until(fleet, lambda replicas: count(replicas, "draining") == 1)
            assert count(seen, "ready") == 1
            await until(fleet, lambda replicas: len(replicas) == 1)
            await fleet.apply(endpoint, revision, 0)
            await until(fleet, lambda replicas: not replicas)

        self.run(subject, work)

    def test_one_that_dies_is_started_again(self, subject: FleetSubject) -> None:
        endpoint, revision = self.deploy(subject)

        async def work(fleet: Fleet) -> None:
            await fleet.apply(endpoint, revision, 1)
            (first,) = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
            await subject.kill(first)
            (second,) = await until(fleet, lambda replicas: [one.state for one in replicas if one.id != first.id] == ["ready"])
            assert second.revision == 1

        self.run(subject, work)

    def test_one_that_cannot_start_says_why(self, subject: FleetSubject) -> None:
        endpoint, revision = self.deploy(subject, "bad")

        async def work(fleet: Fleet) -> None:
            await fleet.apply(endpoint, revision, 1)
            seen = await until(fleet, lambda replicas: count(replicas, "failed") > 0)
            assert "no weights at hand" in next(one.reason for one in seen if one.state == "failed")
            lines = await fleet.logs("risk", revision=1)
            assert any("no weights at hand" in line for line in lines)

        self.run(subject, work)

    def test_the_next_server_finds_what_runs(self, subject: FleetSubject) -> None:
        endpoint, revision = self.deploy(subject)

        async def main() -> tuple[Replica, ...]:
            fleet = await subject.open()
            await fleet.apply(endpoint, revision, 1)
            before = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
            await fleet.close()
            return before

        (before,) = asyncio.run(main())

        async def work(fleet: Fleet) -> None:
            (found,) = await until(fleet, lambda replicas: count(replicas, "ready") == 1)
            assert (found.id, found.address, found.where) == (before.id, before.address, before.where)
            await fleet.apply(endpoint, revision, 1)
            await fleet.wait(0.2)
            assert [one.id for one in await fleet.observe()] == [before.id]
            await subject.kill(found)
            await until(fleet, lambda replicas: [one.state for one in replicas if one.id != before.id] == ["ready"])

        self.run(subject, work)

    def test_revisions_do_not_mix_and_removing_is_idempotent(self, subject: FleetSubject) -> None:
        endpoint, first = self.deploy(subject)
        _, second = self.deploy(subject, number=2)

        async def work(fleet: Fleet) -> None:
            await fleet.apply(endpoint, first, 1)
            await fleet.apply(endpoint, second, 1)
            await until(fleet, lambda replicas: count(replicas, "ready") == 2)
            for _ in range(2):
                await fleet.remove("risk", 1)
            left = await until(fleet, lambda replicas: len(replicas) == 1)
            assert [one.revision for one in left] == [2]
            await fleet.remove("nobody")

        self.run(subject, work)


async def until(fleet: Fleet, wanted: Callable[[tuple[Replica, ...]], bool]) -> tuple[Replica, ...]:
    """The replicas, as soon as they are as wanted."""
    end = time.monotonic() + _DEADLINE_S
    while True:
        seen = tuple(await fleet.observe())
        if wanted(seen):
            return seen
        assert time.monotonic() < end, seen
        await fleet.wait(0.5)


def count(replicas: tuple[Replica, ...], state: str) -> int:
    """How many are in that state."""
    return sum(one.state == state for one in replicas)
