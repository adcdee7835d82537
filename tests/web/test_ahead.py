"""A large run that has ended is folded before anybody asks for it; a small one, or one that goes on, is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fairway.engine.bus import RUNS, Bus
from fairway.engine.overviewfile import dump_overview, parse_overview, seal
from fairway.engine.sketch import Sketch
from fairway.spec.event import MapExpanded, RunEnded, RunStarted
from fairway.spec.graph import Axis, Expr, Graph, Node, StepDef
from fairway.spec.summary import RunSummary
from fairway.testing.memory import MemoryJournal
from fairway.web.ahead import Ahead
from fairway.web.overviews import Overviews
from tests.engine.build import by_step, mapped
from tests.engine.simulate import RUN, World

GRAPH = Graph("g", steps={"a": StepDef("a")}, nodes=(Node("a", "a", axes=("i",)),), axes={"i": Axis("i", (Expr("const", value=[]),))})


async def record(journal: MemoryJournal, run: str, tasks: int, *, ended: bool = True) -> None:
    events: list[Any] = [RunStarted(run, GRAPH, {}, "", 1.0), MapExpanded("", "i", (), tasks)]
    summary = RunSummary(run, "g", ended_at=2.0 if ended else 0.0, counts={"waiting": tasks})
    await journal.append(run, 0, [*events, *([RunEnded("cancelled", 2.0)] if ended else [])], "b0", summary=summary)


def test_only_large_runs_that_have_ended_are_made_and_only_once(tmp_path: Path) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        for run, tasks, ended in (("0-large", 50, True), ("1-small", 5, True), ("2-going", 50, False)):
            await record(journal, run, tasks, ended=ended)
        ahead = Ahead(journal, Overviews(journal, str(tmp_path)), Bus(), large=20)
        assert await ahead.look() == ["0-large"]
        assert await ahead.look() == []
        await record(journal, "3-later", 50)
        assert await ahead.look() == ["3-later"]

    asyncio.run(main())


def test_news_of_runs_sets_it_off(tmp_path: Path) -> None:
    class Noting(Overviews):
        def __init__(self) -> None:
            super().__init__(journal, str(tmp_path))
            self.asked: asyncio.Queue[str] = asyncio.Queue()

        async def read(self, run: str, work: Any) -> Any:
            await self.asked.put(run)
            return await super().read(run, work)

    journal = MemoryJournal()

    async def main() -> None:
        bus, overviews = Bus(), Noting()
        ahead = Ahead(journal, overviews, bus, large=20, quiet_s=0.0)
        ahead.start()
        await record(journal, "0-large", 50)
        while not bus.topics:
            await asyncio.sleep(0)
        bus.publish(RUNS)
        assert await asyncio.wait_for(overviews.asked.get(), 60) == "0-large"
        await ahead.close()
        assert not bus.topics

    asyncio.run(main())


def test_what_was_made_is_kept_in_the_file_too(tmp_path: Path) -> None:
    world = World(by_step())
    world.start(mapped(6))

    async def main() -> None:
        overview = await Overviews(world.journal).get(RUN)
        sketch = Sketch(world.journal, overview)
        await asyncio.to_thread(sketch.read_made)
        again = parse_overview(seal(dump_overview(overview)))
        assert (again.made.head, list(again.made.slots)) == (overview.head, list(overview.made.slots))
        assert len(again.made.slots) == 6

    asyncio.run(main())
