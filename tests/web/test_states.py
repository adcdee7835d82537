"""Folded runs are kept, brought up to date, let go, and made without holding up the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairway.engine.bus import Bus
from fairway.engine.host import Host
from fairway.engine.services import Services
from fairway.errors import NotFoundError
from fairway.spec.event import ClockAdvanced, RunLabelled, RunStarted
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal, MemoryStreamStore
from fairway.web import states
from fairway.web.states import States
from tests.web.rig import graph


class Kept(States):
    """`States` over a journal in memory, with nobody who drives."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        services = Services("", self.journal, MemoryArtifactStore(), MemoryStreamStore(), None)  # type: ignore[arg-type]
        super().__init__(self.journal, Host(services, None, Bus()))  # type: ignore[arg-type]

    async def record(self, run: str, *events: Any) -> None:
        head = await self.journal.head(run)
        await self.journal.append(run, head, events, f"b{head}")


async def begun(run: str = "r1") -> Kept:
    kept = Kept()
    await kept.record(run, RunStarted(run, graph(), {}, "", 1.0, tags=("a",)))
    return kept


def test_a_state_is_brought_up_to_date_and_not_made_anew() -> None:
    async def main() -> None:
        kept = await begun()
        head, state = await kept.get("r1")
        assert (head, state.tags) == (1, ("a",))
        await kept.record("r1", RunLabelled(2.0, add_tags=("b",)))
        again = await kept.get("r1")
        assert (again[0], again[1] is state, state.tags) == (2, True, ("a", "b"))

    asyncio.run(main())


def test_a_run_that_is_not_there_or_not_any_more_is_not_found() -> None:
    async def main() -> None:
        kept = await begun()
        await kept.get("r1")
        await kept.journal.delete_run("r1")
        for run in ("r1", "r2"):
            with pytest.raises(NotFoundError):
                await kept.get(run)

    asyncio.run(main())


def test_a_run_that_was_deleted_and_begun_again_is_folded_anew() -> None:
    async def main() -> None:
        kept = await begun()
        await kept.record("r1", RunLabelled(2.0, add_tags=("b",)))
        await kept.get("r1")
        await kept.journal.delete_run("r1")
        await kept.record("r1", RunStarted("r1", graph(), {}, "", 1.0, tags=("new",)))
        assert (await kept.get("r1"))[1].tags == ("new",)

    asyncio.run(main())


def test_those_that_were_asked_for_longest_ago_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "KEPT_EVENTS", 25)

    async def main() -> None:
        kept = await begun()
        for run in ("r2", "r3"):
            await kept.record(run, RunStarted(run, graph(), {}, "", 1.0), *[ClockAdvanced(float(n)) for n in range(9)])
        first = (await kept.get("r1"))[1]
        await kept.get("r2")
        assert (await kept.get("r1"))[1] is first
        second = (await kept.get("r2"))[1]
        await kept.record("r3", *[ClockAdvanced(float(n)) for n in range(14)])
        await kept.get("r3")
        assert (await kept.get("r2"))[1] is not second

    asyncio.run(main())


def test_folding_a_long_run_lets_others_go_on() -> None:
    async def main() -> int:
        kept = await begun()
        for first in range(0, 8_000, 1_000):
            await kept.record("r1", *[ClockAdvanced(float(first + n)) for n in range(1_000)])
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        head, _ = await kept.get("r1")
        beside.cancel()
        assert head == 8_001
        return turns

    assert asyncio.run(main()) >= 8


def test_many_who_ask_at_once_get_one_state() -> None:
    async def main() -> None:
        kept = await begun()
        await kept.record("r1", *[ClockAdvanced(float(n)) for n in range(500)])
        found = await asyncio.gather(*[kept.get("r1") for _ in range(5)])
        assert {id(state) for _, state in found} == {id(found[0][1])}
        assert kept._locks == {}

    asyncio.run(main())
