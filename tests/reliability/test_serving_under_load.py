"""Requests go on while everything behind them changes: a real gateway, real replicas, real keepers that follow each other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fairway.serve.control.desk import EndpointDesk
from fairway.serve.control.keeper import Keeper
from fairway.serve.control.localfleet import LocalFleet
from fairway.serve.control.localgateway import LocalGateways
from fairway.serve.control.view import EndpointView
from fairway.serve.control.zygote import Zygotes
from fairway.serve.httpclient import Upstream
from fairway.spec.endpoint import Scaling, ServeSpec
from fairway.spec.ports import run_now
from fairway.spec.record import replace, to_plain
from fairway.step.artifacts import import_path
from fairway.step.folder import FolderArtifactStore
from fairway.store import open_endpoints, open_journal
from tests.waiting import until

CALLERS = 8
DEADLINE_S = 60.0


class Place:
    """A home, and whoever keeps its endpoints now."""

    def __init__(self, home: Path) -> None:
        self.home, self.blobs = home, FolderArtifactStore(home / "blobs")
        self.journal = open_journal(home / "fairway.db")

    def spec(self, factor: int) -> ServeSpec:
        folder = self.home.parent / f"model-{factor}"
        folder.mkdir()
        script = "import json\ndef init(): pass\ndef run(raw_data):\n    return FACTOR * json.loads(raw_data)['x']\n"
        (folder / "score.py").write_text(script.replace("FACTOR", str(factor)))
        package = import_path(folder, self.blobs, scratch=self.home / "scratch")
        return ServeSpec(folder.name, to_plain(package), framework="script")

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[tuple[Keeper, EndpointDesk]]:
        """As a server does, until it ends."""
        fleet = LocalFleet(str(self.home), self.blobs, zygotes=Zygotes(str(self.home)))
        await fleet.start()
        gateways = LocalGateways(str(self.home))
        keeper = Keeper(open_endpoints(self.journal), fleet, gateways, table=str(gateways.table_path))
        await keeper.start()
        try:
            yield keeper, EndpointDesk(keeper, self.blobs, str(self.home))
        finally:
            await keeper.close()


class Callers:
    """Ask without a pause, each on a connection of its own."""

    def __init__(self, address: str) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[object] = []
        self._stopped = False
        self._tasks = [asyncio.ensure_future(self._call(address)) for _ in range(CALLERS)]

    async def _call(self, address: str) -> None:
        upstream = Upstream(address)
        while not self._stopped:
            answer = await upstream.ask("POST", "/risk/score", [(b"content-type", b"application/json")], b'{"x": 2}', DEADLINE_S)
            if answer.status != 200:
                self.wrong.append((answer.status, answer.why, bytes(answer.body)))
            self.counts[bytes(answer.body).decode() if answer.status == 200 else f"{answer.status}"] += 1
        upstream.abort()

    async def more(self, answer: str, number: int = 50) -> None:
        """Until so many more came."""
        goal = self.counts[answer] + number
        await until(lambda: self.counts[answer] >= goal, f"too few {answer!r}: {self.counts}")

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)


async def view_when(desk: EndpointDesk, wanted: object) -> EndpointView:
    seen: list[EndpointView | None] = []

    async def is_so() -> bool:
        seen[:] = [await desk.view("risk")]
        return seen[0] is not None and wanted(seen[0])  # type: ignore[operator]

    try:
        await until(is_so)
    except AssertionError:
        raise AssertionError(f"in vain; the last was {seen}") from None
    assert seen[0] is not None
    return seen[0]


def test_no_request_fails_through_updates_new_servers_and_dead_replicas(tmp_path: Path) -> None:
    place = Place(tmp_path / "home")

    async def main() -> Callers:
        async with place.kept() as (keeper, desk):
            scaling = Scaling(2, 3, target=1000.0)
            await desk.deploy("risk", place.spec(10), lambda one, doing: replace(one, scaling=scaling), by="ann")
            await view_when(desk, lambda view: view.replicas == 2)
            inner = keeper.gateways.inner
            callers = Callers(inner)
            await callers.more("20")
            done = await desk.deploy("risk", place.spec(30), lambda one, doing: one, by="ann")
            await desk.promote("risk", done.number, by="ann")
            await callers.more("60")
            await view_when(desk, lambda view: {one.revision for one in view.running} == {2})
            assert "40" not in callers.counts
        await callers.more("60")  # nobody keeps it now
        async with place.kept() as (keeper, desk):
            assert keeper.gateways.inner == inner
            before = await view_when(desk, lambda view: view.replicas == 2)
            asked = callers.counts.total()
            os.kill(int(before.running[0].where.removeprefix("process ")), signal.SIGKILL)
            await view_when(desk, lambda view: view.replicas == 2 and view.running != before.running)
            await callers.more("60")
            await callers.stop()
            assert callers.counts.total() > asked
            await desk.delete("risk", by="ann")
            assert not (await keeper.fleet.observe()) or all(one.state == "draining" for one in await keeper.fleet.observe())
        return callers

    callers = asyncio.run(main())
    run_now(place.journal.close())
    assert set(callers.counts) <= {"20", "60", "502", "503"}, callers.counts
    assert len(callers.wrong) <= CALLERS, "only what the killed replica had in hand may fail"
    for path in (tmp_path / "home" / "serve").glob("replicas/*.json"):
        assert json.loads(path.read_text())


def test_a_burst_at_an_endpoint_that_sleeps_loses_none(tmp_path: Path) -> None:
    place = Place(tmp_path / "home")

    async def main() -> None:
        async with place.kept() as (keeper, desk):
            scaling = Scaling(0, 2, idle_s=1.0)
            await desk.deploy("risk", place.spec(10), lambda one, doing: replace(one, scaling=scaling), by="ann")
            await view_when(desk, lambda view: view.state == "idle" and not view.running and view.zygote_bytes)
            upstream = Upstream(keeper.gateways.inner)
            headers = [(b"content-type", b"application/json")]
            answers = await asyncio.gather(*(upstream.ask("POST", "/risk/score", headers, b'{"x": 2}', DEADLINE_S) for _ in range(100)))
            upstream.abort()
            assert Counter(bytes(one.body) for one in answers) == {b"20": 100}
            view = await view_when(desk, lambda view: view.cold_starts)
            assert view.cold_starts[0].warm and view.cold_starts[0].held > 0
            await desk.delete("risk", by="ann")

    asyncio.run(main())
    run_now(place.journal.close())
