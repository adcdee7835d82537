"""Overviews are kept, brought up to date, let go, read again from disk, and made without holding up the loop."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.apply import fold
from fairway.engine.library import StoreLibrary
from fairway.engine.recorded import get_inputs
from fairway.errors import NotFoundError
from fairway.spec.event import AttemptObserved, AttemptPlanned, ClockAdvanced, RunEnded, RunLabelled, RunStarted, address
from fairway.spec.layout import BLOBS, DATABASE
from fairway.spec.summary import RunSummary
from fairway.step.folder import FolderArtifactStore
from fairway.store import open_journal
from fairway.testing.memory import MemoryJournal
from fairway.web import overviews
from fairway.web.overviews import Overviews
from tests.web.recorded import Journals
from tests.web.rig import graph

RUN = "20260101-000000-aaaaa"


class Watched(MemoryJournal):
    """Tells what was read; while `gate` is closed, what is read after the first event waits."""

    def __init__(self) -> None:
        super().__init__()
        self.read_after: list[int] = []
        self.gate = threading.Event()
        self.gate.set()

    async def read_text(self, run: str, after: int = 0, limit_bytes: int = 0) -> Sequence[tuple[int, str]]:
        self.read_after.append(after)
        if after:
            assert self.gate.wait(60)
        return await super().read_text(run, after, limit_bytes)

    async def record(self, *events: Any, run: str = RUN) -> None:
        head = await self.head(run)
        await self.append(run, head, events, f"b{head}")


def begun(at: float = 1.0, run: str = RUN) -> RunStarted:
    return RunStarted(run, graph(), {}, "", at, tags=("a",))


def ticks(count: int, first: int = 2) -> list[ClockAdvanced]:
    return [ClockAdvanced(float(first + n)) for n in range(count)]


async def journal_of(*events: Any) -> Watched:
    journal = Watched()
    await journal.record(begun(), *events)
    return journal


def test_an_overview_is_brought_up_to_date_and_not_made_anew() -> None:
    async def main() -> None:
        journal = await journal_of()
        kept = Overviews(journal)
        first = await kept.get(RUN)
        assert (first.head, first.tags) == (1, ("a",))
        await journal.record(RunLabelled(2.0, add_tags=("b",)))
        assert await kept.get(RUN) is first
        assert (first.head, first.tags) == (2, ("a", "b"))
        assert journal.read_after == [0, 1]
        await kept.get(RUN)
        assert journal.read_after == [0, 1]

    asyncio.run(main())


def test_a_run_that_is_not_there_or_not_any_more_is_not_found() -> None:
    async def main() -> None:
        journal = await journal_of()
        kept = Overviews(journal)
        await kept.get(RUN)
        await journal.delete_run(RUN)
        for run in (RUN, "other"):
            with pytest.raises(NotFoundError):
                await kept.get(run)
            with pytest.raises(NotFoundError):
                await kept.get_quick(run)

    asyncio.run(main())


def test_a_run_that_was_deleted_and_begun_again_is_folded_anew() -> None:
    async def main() -> None:
        journal = await journal_of(RunLabelled(2.0, add_tags=("b",)))
        kept = Overviews(journal)
        await kept.get(RUN)
        await journal.delete_run(RUN)
        await journal.record(begun())
        assert (await kept.get(RUN)).tags == ("a",)

    asyncio.run(main())


def test_those_that_were_asked_for_longest_ago_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        journal = await journal_of()
        for run in ("r2", "r3"):
            await journal.record(begun(run=run), run=run)
        kept = Overviews(journal)
        first = await kept.get(RUN)
        monkeypatch.setattr(overviews, "KEPT_BYTES", first.size_bytes * 5 // 2)
        second = await kept.get("r2")
        assert await kept.get(RUN) is first
        await kept.get("r3")
        assert await kept.get(RUN) is first
        assert await kept.get("r2") is not second

    asyncio.run(main())


def test_folding_a_long_run_lets_others_go_on() -> None:
    async def main() -> int:
        journal = await journal_of()
        for first in range(0, 40_000, 2_000):
            await journal.record(*ticks(2_000, first))
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        assert (await Overviews(journal).get(RUN)).head == 40_001
        beside.cancel()
        return turns

    assert asyncio.run(main()) >= 8


def test_many_who_ask_at_once_share_one_fold_and_who_comes_later_sees_what_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overviews, "_CHUNK_BYTES", 1)

    async def main() -> None:
        journal = await journal_of()
        await journal.record(*ticks(50))
        kept = Overviews(journal)
        journal.gate.clear()
        asking = [asyncio.create_task(kept.get(RUN)) for _ in range(5)]
        async with asyncio.timeout(60):
            while journal.read_after != [0, 1]:
                await asyncio.sleep(0)
        await journal.record(RunLabelled(99.0, note="late"))
        late = asyncio.create_task(kept.get(RUN))
        await asyncio.sleep(0)
        journal.gate.set()
        found = await asyncio.gather(*asking)
        assert {id(one) for one in found} == {id(found[0])}
        assert (await late).note == "late"

    asyncio.run(main())


def test_a_page_gets_what_there_is_at_once_and_the_rest_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overviews, "_CHUNK_BYTES", 1)

    async def main() -> None:
        journal = await journal_of()
        await journal.record(*ticks(99))
        kept = Overviews(journal)
        journal.gate.clear()
        part, share = await kept.get_quick(RUN, 0.05)
        assert (part.run, part.head, share) == (RUN, 1, 0.01)
        journal.gate.set()
        assert (await kept.get(RUN)).head == 100
        whole, share = await kept.get_quick(RUN)
        assert (whole is part, whole.head, share) == (True, 100, 1.0)

    asyncio.run(main())


class Folder:
    """A home in which long runs are kept, and a journal with one that has ended."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(overviews, "_SAVED_FROM", 10)
        self.home, self.journal = home, Watched()
        self.file = home / "cache" / "overviews" / RUN

    async def record(self, at: float = 1.0) -> None:
        events = [begun(at), *ticks(20), RunEnded("succeeded", 30.0)]
        await self.journal.append(RUN, 0, events, "b", summary=RunSummary(RUN, "flow", "succeeded", started_at=at))

    async def get(self) -> Any:
        """By a server that has just begun; and what it has read."""
        self.journal.read_after.clear()
        kept = Overviews(self.journal, str(self.home))
        found = await kept.get(RUN)
        await kept.settle()
        return found


def test_a_long_run_that_has_ended_is_read_from_disk_and_only_what_came_since_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        folder = Folder(tmp_path, monkeypatch)
        await folder.record()
        first = await folder.get()
        again = await folder.get()
        assert (folder.journal.read_after, again.status, again.counts()) == ([], "succeeded", first.counts())
        await folder.journal.record(RunLabelled(40.0, note="n"))
        assert ((await folder.get()).note, folder.journal.read_after) == ("n", [22])

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["empty", "cut", "bit", "other"])
def test_a_file_that_is_damaged_is_not_believed(damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        folder = Folder(tmp_path, monkeypatch)
        await folder.record()
        await folder.get()
        data = bytearray(folder.file.read_bytes())
        data[len(data) // 2] ^= damage == "bit"
        folder.file.write_bytes({"empty": b"", "cut": data[:-7], "other": b"\x80\x04K\x01."}.get(damage, data))
        found = await folder.get()
        assert (found.status, folder.journal.read_after) == ("succeeded", [0])
        await folder.get()
        assert folder.journal.read_after == []  # and it was written anew

    asyncio.run(main())


def test_the_file_of_a_run_that_was_deleted_says_nothing_of_the_next_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        folder = Folder(tmp_path, monkeypatch)
        await folder.record()
        await folder.get()
        await folder.journal.delete_run(RUN)
        await folder.record(at=2.0)
        assert ((await folder.get()).started_at, folder.journal.read_after) == (2.0, [0])
        await folder.journal.delete_run(RUN)
        with pytest.raises(NotFoundError):
            await folder.get()
        assert not folder.file.exists()

    asyncio.run(main())


def test_files_are_no_more_than_they_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        folder = Folder(tmp_path, monkeypatch)
        await folder.record()
        old = folder.file.with_name("20250101-000000-aaaaa")
        old.parent.mkdir(parents=True)
        old.write_bytes(b"x")
        import os

        os.utime(old, (1.0, 1.0))
        monkeypatch.setattr(overviews, "FOLDER_BYTES", 1)
        await folder.get()
        assert not old.exists()

    asyncio.run(main())


def test_json_is_made_once_and_again_when_there_is_news() -> None:
    async def main() -> None:
        journal = await journal_of()
        kept = Overviews(journal)
        first = await kept.graph_json(RUN)
        assert await kept.graph_json(RUN) is first
        await journal.record(AttemptPlanned("a-1", "", "load", ((),), 1, 2.0), AttemptObserved("a-1", "running", at=3.0))
        assert json.loads(await kept.graph_json(RUN))["nodes"][0]["status"] == "running"
        (bar,) = json.loads(await kept.timeline_json(RUN))["rows"][0]["bars"]
        assert (bar["task"], bar["status"], bar["running_at"]) == ("load", "running", 3.0)

    asyncio.run(main())


def test_recorded_runs_are_what_their_folds_are(recorded: tuple[Path, dict[str, str]], journals: Journals) -> None:
    home, runs = recorded
    journal = open_journal(journals(home) or home / DATABASE)
    library = StoreLibrary(FolderArtifactStore(home / BLOBS))

    async def main() -> None:
        kept = Overviews(journal)
        for run in runs.values():
            overview = await kept.get(run)
            state = fold(event for _, event in await journal.read(run))
            assert (overview.status, overview.counts(), overview.metrics) == (state.status, state.counts(), state.metrics)
            for scope, node, index, task in state.tasks():
                view, known = overview.node(scope, node), state.scopes[scope].nodes[node]
                assert (view.started_at, view.ended_at) == (known.started_at, known.ended_at)
                story = await kept.story(run, address(scope, node, index), library)
                assert (story.status, story.outputs, story.key) == (task.status, dict(task.outputs or {}), task.key)
                if task.status != "skipped":
                    assert story.inputs == get_inputs(state, scope, node, index, library)
        failures = (await kept.get(runs["failed"])).failures()
        assert [(one[0], one[1], one[3]) for one in failures] == [("broken", "ValueError", "no such luck")]
        times = json.loads(await kept.timeline_json(runs["first"]))
        bars = [bar for row in times["rows"] for bar in row["bars"]]
        assert len(bars) == 6
        for bar in bars:
            moments = [bar[f"{what}_at"] for what in ("planned", "started", "running", "writing", "ended")]
            assert moments == sorted(moments)
        await journal.close()

    asyncio.run(main())
