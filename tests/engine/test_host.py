"""Many drivers in one loop: runs go on whoever watches, a driver's trouble is said and tried again, a new host goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.bus import RUNS, Bus
from fairway.engine.host import Host
from fairway.engine.services import Services
from fairway.errors import ConflictError, JournalConflict, NotFoundError, StoreUnavailable, UnschedulableError
from fairway.spec import event as ev
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptSpec
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome, outcome_key
from fairway.spec.ports import Inventory, Observation
from fairway.spec.record import to_plain
from fairway.spec.resources import Resources
from fairway.spec.summary import RunSummary
from fairway.store.live import LiveMark, live_runs, served_runs
from fairway.testing.memory import MemoryArtifactStore, MemoryJournal, MemoryStreamStore
from tests.engine.build import call, graph, mapped, out

CHAIN = graph(call("a", "one", x=1), call("b", "two", x=out("a")), outputs={"r": out("b")})


class Pods:
    """An executor for many drivers whose attempts run until `end` is called. `refuse`: errors that `submit` raises first."""

    def __init__(self, artifacts: MemoryArtifactStore) -> None:
        self.artifacts = artifacts
        self.live: dict[str, AttemptSpec] = {}
        self.began: list[str] = []
        self.refuse: list[Exception] = []
        self.views: dict[str, PodView] = {}
        self.news = asyncio.Event()

    def view(self, run: str, *, pipeline: str = "", user: str = "") -> PodView:
        self.views[run] = PodView(self)
        return self.views[run]

    def end(self, id: str, *, error: ErrorInfo | None = None) -> None:
        spec = self.live.pop(id)
        ref = ArtifactRef("ab" * 32, 1, "json", "int", inline="1")
        item = ItemOutcome("failed", error=error) if error else ItemOutcome("succeeded", {port.name: ref for port in spec.step.outputs})
        outcome = Outcome(id, "ended", tuple(item for _ in spec.items))
        self.artifacts.put(outcome_key(spec.run, id), json.dumps(to_plain(outcome)).encode())
        self.views[spec.run].tell(id)

    async def end_all(self, count: int) -> None:
        """End attempts as they come, so many of them."""
        for _ in range(count):
            while not self.live:
                self.news.clear()
                await asyncio.wait_for(self.news.wait(), 60)
            self.end(next(iter(self.live)))


class PodView:
    name, capabilities = "pods", frozenset[str]()

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._told: list[str] = []
        self._event = asyncio.Event()
        self.closed = False

    def tell(self, id: str) -> None:
        self._told.append(id)
        self._event.set()

    async def inventory(self) -> Inventory:
        return Inventory(Resources(), Resources(), Resources(), {})

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        if self._pods.refuse:
            raise self._pods.refuse.pop(0)
        for spec in attempts:
            if spec.id not in self._pods.live:
                self._pods.began.append(spec.id)
                self._pods.live[spec.id] = spec
        self._pods.news.set()

    async def observe(self, ids: Any) -> dict[str, Observation]:
        return {id: Observation("running") for id in ids if id in self._pods.live}

    async def wait(self, timeout_s: float | None) -> list[str]:
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            pass
        self._event.clear()
        told, self._told = self._told, []
        return told

    def wake(self) -> None:
        self._event.set()

    async def cancel(self, id: str, grace_s: float) -> None:
        self._pods.live.pop(id, None)
        self.tell(id)

    async def close(self) -> None:
        self.closed = True


class Place:
    """Stores that outlive any host."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.artifacts = MemoryArtifactStore()
        self.streams = MemoryStreamStore()
        self.pods = Pods(self.artifacts)
        self.said: list[str] = []

    def host(self, **more: Any) -> Host:
        services = Services("", self.journal, self.artifacts, self.streams, self.pods.view(""), inbox_every_s=30.0)
        return Host(services, self.pods.view, Bus(), **{"retry_first_s": 0.001, "say": self.said.append, **more})

    def kinds(self, run: str) -> list[str]:
        return [type(event).__name__ for _, event in asyncio.run(self.journal.read(run))]


def begin(run: str = "r1", of: Graph = CHAIN, **more: Any) -> ev.RunStarted:
    return ev.RunStarted(run, of, {}, "", 1.0, **more)


def play(scene: Callable[[Place], Awaitable[None]]) -> Place:
    async def run() -> Place:
        place = Place()
        await asyncio.wait_for(scene(place), 60)
        return place

    return asyncio.run(run())


async def ended(host: Host, run: str) -> RunSummary:
    """Wait, without polling, until nobody drives the run any more."""
    with host.bus.listen(run) as bell:
        while run in host.driven:
            assert await bell.wait(10), "the run does not end"
    found = await host.journal.find_summary(run)
    assert found is not None
    return found


def test_a_run_goes_to_its_end_though_nobody_watches() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        assert await host.start(begin())
        assert await place.journal.head("r1") > 0, "the start is durable when `start` returns"
        await place.pods.end_all(2)
        assert (await ended(host, "r1")).status == "succeeded"
        assert place.pods.views["r1"].closed

    play(scene)


def test_the_same_run_is_started_once() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        first, second = await asyncio.gather(host.start(begin()), host.start(begin()))
        assert (first, second) == (True, False)
        await place.pods.end_all(2)
        await ended(host, "r1")
        assert not await host.start(begin())
        assert len(place.pods.began) == 2

    place = play(scene)
    assert place.kinds("r1").count("RunStarted") == 1


def test_a_start_that_cannot_be_recorded_is_refused_and_leaves_nothing() -> None:
    class Full(MemoryJournal):
        async def append(self, *_: Any, **__: Any) -> int:
            raise StoreUnavailable("the disk is full")

    async def scene(place: Place) -> None:
        place.journal = Full()
        host = place.host()
        with pytest.raises(StoreUnavailable, match="disk is full"):
            await host.start(begin())
        assert host.driven == frozenset()

    play(scene)


def test_a_drivers_trouble_is_said_kept_with_the_run_and_tried_again() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        place.pods.refuse = [StoreUnavailable("the volume is full", hint="make room"), ValueError("a defect")]
        await host.start(begin())
        await place.pods.end_all(2)
        assert (await ended(host, "r1")).status == "succeeded"
        assert host.find_problem("r1") is None

    place = play(scene)
    kept = place.streams.read("r1/driver/log").decode()
    assert "the driver stopped (the volume is full) and is started again" in kept
    assert "a defect of Fairway: ValueError: a defect" in kept
    assert any("Traceback" in line for line in place.said), "a defect is said with its whole story"
    assert len(place.pods.began) == 2, "nothing ran twice"


def test_what_the_executor_can_never_run_fails_and_the_rest_goes_on() -> None:
    class Small(Pods):
        def view(self, run: str, *, pipeline: str = "", user: str = "") -> PodView:
            pods = self

            class SmallView(PodView):
                async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
                    if any(spec.n and spec.items[0].task == "each[1]" for spec in attempts):
                        raise UnschedulableError("step 'work' asks for 4000 cores", hint="ask for less")
                    await super().submit(attempts)

            pods.views[run] = SmallView(pods)
            return pods.views[run]

    async def scene(place: Place) -> None:
        place.pods = Small(place.artifacts)
        host = place.host()
        await host.start(begin(of=mapped(3)))
        await place.pods.end_all(2)
        summary = await ended(host, "r1")
        assert (summary.status, summary.counts) == ("failed", {"succeeded": 2, "failed": 1})
        assert "asks for 4000 cores" in summary.error
        assert len(place.pods.began) == 2

    play(scene)


def test_what_is_wrong_can_be_asked_while_the_driver_waits_and_a_command_ends_the_wait() -> None:
    async def scene(place: Place) -> None:
        host = place.host(retry_first_s=3600.0)
        place.pods.refuse = [StoreUnavailable("the volume is full", hint="make room")]
        with host.bus.listen("r1") as bell:
            await host.start(begin())
            while (problem := host.find_problem("r1")) is None:
                assert await bell.wait(5)
        assert (problem.message, problem.hint, problem.tries) == ("the volume is full", "make room", 1)
        assert "r1" in host.driven
        await host.cancel("r1", by="ann")
        assert (await ended(host, "r1")).status == "cancelled"

    play(scene)


def test_waits_between_tries_grow_while_nothing_gets_on() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        place.pods.refuse = [StoreUnavailable("away")] * 4
        await host.start(begin())
        await place.pods.end_all(2)
        await ended(host, "r1")

    place = play(scene)
    assert [line.rpartition("again in ")[2] for line in place.said] == ["0.001 s", "0.002 s", "0.004 s", "0.008 s"]


def test_a_new_host_takes_up_what_goes_on_and_runs_nothing_twice() -> None:
    async def scene(place: Place) -> None:
        first = place.host()
        for n in range(5):
            await first.start(begin(f"r{n}", mapped(3)))
        while len(place.pods.live) < 15:
            place.pods.news.clear()
            await place.pods.news.wait()
        await first.close()
        assert (first.driven, len(place.pods.live)) == (frozenset(), 15), "what runs goes on"
        place.pods.end(next(iter(place.pods.live)))  # one ends while nobody is there

        second = place.host()
        assert (second.taken_up, second.settled) == (False, False)
        assert sorted(await second.take_up()) == [f"r{n}" for n in range(5)]
        await place.pods.end_all(14)
        for n in range(5):
            assert (await ended(second, f"r{n}")).status == "succeeded"
        assert second.settled
        assert len(place.pods.began) == len(set(place.pods.began)) == 15

    play(scene)


def test_runs_that_other_processes_drive_are_theirs(tmp_path: Path) -> None:
    marks = str(tmp_path)

    async def scene(place: Place) -> None:
        first = place.host(marks=marks)
        await first.start(begin("r1"))
        await first.start(begin("r2"))
        assert live_runs(marks) == {"r1", "r2"}, "commands see that they are driven"
        await first.close()
        assert live_runs(marks) == set()
        theirs = LiveMark(marks, "r1")
        second = place.host(marks=marks)
        assert await second.take_up() == ["r2"]
        with pytest.raises(ConflictError, match="r1 is running"):
            await second.resume("r1")
        theirs.close()
        await second.resume("r1")
        assert second.driven == {"r1", "r2"}
        await second.close()

    play(scene)


def test_of_many_runs_a_host_takes_up_those_that_a_host_had(tmp_path: Path) -> None:
    marks = str(tmp_path)

    async def scene(place: Place) -> None:
        first = place.host(marks=marks)
        await first.start(begin("ours"))
        await first.start(begin("over"))
        await first.close()
        place.pods.live = {id: spec for id, spec in place.pods.live.items() if spec.run != "over"}
        other = place.host()  # as a command does: it bears no mark of a server
        await other.start(begin("theirs"))
        await other.close()
        await place.journal.delete_run("over")
        second = place.host(marks=marks)
        assert await second.take_up() == ["ours"]
        assert served_runs(marks) == {"ours"}, "what is no more is forgotten"
        await second.resume("theirs")
        assert served_runs(marks) == {"ours", "theirs"}, "who resumes a run has it"
        await place.pods.end_all(4)
        for run in ("ours", "theirs"):
            assert (await ended(second, run)).status == "succeeded"
        assert served_runs(marks) == set(), "what has ended need not be taken up"
        await second.close()

    play(scene)


def test_what_others_drive_is_asked_to_end_and_labelled_through_its_inbox(tmp_path: Path) -> None:
    marks = str(tmp_path)

    async def scene(place: Place) -> None:
        other = place.host()
        await other.start(begin("theirs"))
        await other.close()
        theirs = LiveMark(marks, "theirs")
        host = place.host(marks=marks)
        assert host.is_driven("theirs")
        assert host.list_driven() == {"theirs"}
        await host.cancel("theirs", by="ann")
        await host.label("theirs", ev.RunLabelled(1.0, "ann", ("best",)))
        assert [command.kind for command in await place.journal.inbox("theirs")] == ["cancel", "label"]
        theirs.close()
        assert not host.is_driven("theirs")
        with pytest.raises(ConflictError, match="nobody drives theirs any more"):
            await host.cancel("theirs")
        head = await place.journal.head("theirs")
        await host.label("theirs", ev.RunLabelled(1.0, "ann", ("late",)))
        assert await place.journal.head("theirs") == head + 1, "nobody drives it: the label is put on at once"

    play(scene)


def test_a_wish_that_others_wrote_into_the_journal_is_seen_when_it_is_told() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        await host.start(begin())
        await place.journal.send("r1", "cancel", {"at": 1.0, "by": "ann", "reason": ""})
        host.look_again()
        assert (await ended(host, "r1")).status == "cancelled"

    play(scene)


def test_a_host_that_goes_down_takes_on_no_new_runs() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        await host.close()
        with pytest.raises(ConflictError, match="going down"):
            await host.start(begin())
        assert await place.journal.head("r1") == 0

    play(scene)


def test_a_cancel_is_seen_at_once_though_the_inbox_is_hardly_ever_looked_into() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        await host.start(begin())
        await host.cancel("r1", by="ann", reason="too slow")
        summary = await ended(host, "r1")
        assert summary.status == "cancelled"
        with pytest.raises(NotFoundError):
            await host.cancel("nobody")

    play(scene)


def test_labels_go_through_the_driver_while_there_is_one_and_are_recorded_at_once_after() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        await host.start(begin())
        during = await host.label("r1", ev.RunLabelled(2.0, "ann", add_tags=("hot",)))
        assert during.tags == ("hot",)
        await place.pods.end_all(2)
        assert (await ended(host, "r1")).tags == ("hot",)
        after = await host.label("r1", ev.RunLabelled(3.0, "ann", note="good", archived=True))
        found = await place.journal.find_summary("r1")
        assert found == after
        assert (after.note, after.archived, after.tags) == ("good", True, ("hot",))
        with pytest.raises(NotFoundError):
            await host.label("nobody", ev.RunLabelled(3.0))

    place = play(scene)
    assert place.kinds("r1")[-2:] == ["RunEnded", "RunLabelled"]


def test_a_label_that_comes_after_the_drivers_last_look_is_not_lost() -> None:
    class Late(MemoryJournal):
        async def append(self, run: str, after: int, events: Sequence[Any], batch: str, **more: Any) -> int:
            head = await super().append(run, after, events, batch, **more)
            if any(isinstance(event, ev.RunEnded) for event in events):
                await self.send(run, "label", {"by": "ann", "add_tags": ["late"]})
            return head

    async def scene(place: Place) -> None:
        place.journal = Late()
        host = place.host()
        await host.start(begin())
        await place.pods.end_all(2)
        assert (await ended(host, "r1")).tags == ("late",)
        assert await place.journal.inbox("r1") == []

    play(scene)


def test_a_run_that_failed_is_resumed_and_one_that_goes_on_is_not() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        await host.start(begin())
        with pytest.raises(ConflictError, match="is running"):
            await host.resume("r1")
        with pytest.raises(NotFoundError):
            await host.resume("nobody")
        while not place.pods.live:
            await place.pods.news.wait()
        place.pods.end(next(iter(place.pods.live)), error=ErrorInfo("ValueError", "FW-TASK-FAILED", "no"))
        assert (await ended(host, "r1")).status == "failed"
        await host.resume("r1", ev.RunResumed(5.0, "ann"))
        await place.pods.end_all(2)
        assert (await ended(host, "r1")).status == "succeeded"

    play(scene)


def test_a_driver_that_lost_its_journal_stops_and_the_next_one_goes_on_from_the_record() -> None:
    class Stolen(MemoryJournal):
        stolen = False

        async def append(self, run: str, after: int, events: Sequence[Any], batch: str, **more: Any) -> int:
            if any(isinstance(event, ev.AttemptEnded) for event in events) and not self.stolen:
                self.stolen = True
                await super().append(run, after, [ev.ClockAdvanced(9.0)], "somebody else")
                raise JournalConflict("another process drives it")
            return await super().append(run, after, events, batch, **more)

    async def scene(place: Place) -> None:
        place.journal = Stolen()
        host = place.host()
        await host.start(begin())
        await place.pods.end_all(2)
        assert (await ended(host, "r1")).status == "succeeded"
        assert len(place.pods.began) == 2

    play(scene)


def test_what_is_to_be_done_at_a_runs_end_is_done_once_and_what_went_wrong_is_kept() -> None:
    calls: list[tuple[str, Any]] = []

    async def on_end(summary: RunSummary, environment: Any) -> list[str]:
        calls.append((summary.status, environment.get("hooks")))
        return ["the webhook hook failed: no route"]

    async def scene(place: Place) -> None:
        host = place.host(on_end=on_end)
        await host.start(begin(environment={"hooks": [1]}))
        await place.pods.end_all(2)
        await ended(host, "r1")

    place = play(scene)
    assert calls == [("succeeded", [1])]
    assert "the webhook hook failed: no route" in place.streams.read("r1/driver/log").decode()


def test_listeners_hear_of_every_record_and_of_runs_as_a_whole() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        with host.bus.listen(RUNS) as everything, host.bus.listen("r1") as mine, host.bus.listen("r2") as others:
            await host.start(begin())
            assert await everything.wait(60)
            assert await mine.wait(60)
            assert not await others.wait(0)
            assert not await mine.wait(0), "the same news does not ring twice"
        await host.close()

    play(scene)


def test_hundreds_of_runs_go_on_side_by_side() -> None:
    async def scene(place: Place) -> None:
        host = place.host()
        await asyncio.gather(*(host.start(begin(f"r{n:03}")) for n in range(200)))
        await place.pods.end_all(400)
        for n in range(200):
            assert (await ended(host, f"r{n:03}")).status == "succeeded"

    play(scene)
