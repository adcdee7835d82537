"""What other processes do in a home is heard at once by who listens, and costs nothing where nobody does."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fairway.engine.bus import RUNS, Bus
from fairway.engine.host import Host
from fairway.engine.outside import Outside
from fairway.engine.services import Services
from fairway.spec.event import ClockAdvanced
from fairway.spec.layout import DATABASE, LOCKS, STREAMS
from fairway.spec.ports import run_now
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store.sqlite import SqliteJournal
from fairway.testing.memory import MemoryJournal
from fairway.testing.scripted import ScriptedExecutor
from tests.waiting import until

WAIT_S = 60
QUIET_S = 0.1


class Home:
    """A server's bus and journal, and the stores as another process has them open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal, self.theirs = SqliteJournal(folder / DATABASE), SqliteJournal(folder / DATABASE)
        self.streams = FolderStreamStore(folder / STREAMS)
        self.bus = Bus()
        artifacts = FolderArtifactStore(folder / "blobs")
        services = Services(str(folder), self.journal, artifacts, self.streams, ScriptedExecutor(artifacts, lambda call: None))
        self.host = Host(services, lambda run, **about: services.executor, self.bus)
        self.outside = Outside(str(folder), self.journal, self.bus, self.host)

    def record(self, run: str) -> None:
        """As another process does it."""
        head = run_now(self.theirs.head(run))
        run_now(self.theirs.append(run, head, [ClockAdvanced(1.0)], f"b{head}"))


def play(folder: Path, scene: Callable[[Home], Awaitable[None]]) -> None:
    async def run() -> None:
        home = Home(folder)
        home.outside.start()
        try:
            await scene(home)
        finally:
            home.outside.close()

    asyncio.run(run())


def test_a_commit_of_another_process_rings_for_its_run_and_for_all_runs(tmp_path: Path) -> None:
    async def scene(home: Home) -> None:
        home.record("r1")
        with home.bus.listen("r1") as one, home.bus.listen("r2") as other, home.bus.listen(RUNS) as every:
            for _ in range(5):
                home.record("r1")
                assert await one.wait(WAIT_S)
                assert await every.wait(WAIT_S)
            assert not await other.wait(QUIET_S)
            home.record("r2")
            assert await other.wait(WAIT_S)
            run_now(home.theirs.delete_run("r2"))
            assert await other.wait(WAIT_S), "that a run is gone is news"
        with home.bus.listen("r1") as again:
            home.record("r1")
            assert await again.wait(WAIT_S), "after nobody listened"

    play(tmp_path, scene)


def test_each_commit_rings(tmp_path: Path) -> None:
    async def scene(home: Home) -> None:
        with home.bus.listen("r1") as bell:
            for _ in range(40):
                home.record("r1")
                assert await bell.wait(WAIT_S)

    play(tmp_path, scene)


def test_a_commit_that_becomes_visible_after_its_last_write_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(home: Home) -> None:
        with home.bus.listen("r1") as bell:
            version = home.journal.inbox_version
            await asyncio.sleep(0)
            before, asked = await version(), 0

            async def late() -> int:
                nonlocal asked
                asked += 1
                return before if asked < 5 else await version()

            monkeypatch.setattr(home.journal, "inbox_version", late)  # the disk takes its time
            home.record("r1")
            assert await bell.wait(WAIT_S)
            assert asked >= 5

    play(tmp_path, scene)


def test_the_journal_is_asked_a_few_times_after_a_commit_and_then_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.engine.outside._ASK_LAST_S", 0.004)

    async def scene(home: Home) -> None:
        asked = 0
        version = home.journal.inbox_version

        async def count() -> int:
            nonlocal asked
            asked += 1
            return await version()

        monkeypatch.setattr(home.journal, "inbox_version", count)
        home.record("r1")
        await asyncio.sleep(QUIET_S)
        assert asked == 0, "nobody listens"
        with home.bus.listen(RUNS) as bell:
            home.record("r1")
            assert await bell.wait(WAIT_S)
            await until(lambda: home.outside._timer is None, "it goes on asking")
            known = asked
            assert 1 <= known < 30
            await asyncio.sleep(QUIET_S)
            assert asked == known

    play(tmp_path, scene)


def test_a_stream_rings_for_its_own_listeners_while_they_listen(tmp_path: Path) -> None:
    async def scene(home: Home) -> None:
        theirs = FolderStreamStore(home.folder / STREAMS)
        with home.bus.listen("r1/a1/log") as log, home.bus.listen("r1/a1/metrics") as metrics:
            theirs.append("r1/a1/log", b"first\n")  # its folder did not exist
            assert await log.wait(WAIT_S)
            theirs.append("r1/a1/log", b"second\n")
            assert await log.wait(WAIT_S)
            await metrics.wait(0.0)  # that its folder has come may be news of it
            theirs.append("r1/a2/log", b"another's\n")
            assert not await metrics.wait(QUIET_S)
            theirs.append("r1/a1/metrics", b"{}\n")
            assert await metrics.wait(WAIT_S)
            assert not await log.wait(QUIET_S)

    play(tmp_path, scene)


def test_that_a_driver_has_come_or_was_killed_is_heard(tmp_path: Path) -> None:
    code = "import sys; from fairway.store.live import *; mark = LiveMark(sys.argv[1], 'r1'); print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", code, str(tmp_path / LOCKS)]

    async def scene(home: Home) -> None:
        with home.bus.listen("r1") as bell, home.bus.listen(RUNS) as every:
            driver = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert driver.stdout is not None
            assert driver.stdout.readline() == b"held\n"
            assert await bell.wait(WAIT_S)
            driver.kill()
            driver.communicate()
            assert await every.wait(WAIT_S)
            while home.host.is_driven("r1"):
                assert await bell.wait(WAIT_S), "nobody says that it is over"

    play(tmp_path, scene)


class TellingJournal(MemoryJournal):
    """A journal in a database that tells of its commits."""

    def open_news(self, tell: Callable[[str], None], loop: asyncio.AbstractEventLoop) -> TellingJournal:
        self.tell = tell
        return self

    def close(self) -> None:  # type: ignore[override]
        del self.tell


def test_a_database_tells_of_its_commits_by_itself(tmp_path: Path) -> None:
    async def run() -> None:
        home, journal = Home(tmp_path), TellingJournal()
        outside = Outside(str(tmp_path), journal, home.bus, home.host)
        outside.start()
        with home.bus.listen("r1") as one, home.bus.listen("r2") as other, home.bus.listen(RUNS) as every:
            journal.tell("r1")
            assert [await bell.wait(0.0) for bell in (one, other, every)] == [True, False, True]
            journal.tell("")
            assert [await bell.wait(0.0) for bell in (one, other, every)] == [True, True, True], "it may have missed some"
        outside.close()
        assert not hasattr(journal, "tell")

    asyncio.run(run())
