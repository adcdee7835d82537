"""Pools of warm workers: as many as there is work for, each attempt with one of them, whatever dies, restarts or gets lost on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.executors.pools import RECOVER_S, SILENT_S, Pools
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.graph import StepDef
from fairway.spec.placement import Pool


class Rig:
    """Pools with a clock of their own. `wanted` are the workers asked for, `started` the attempts that were given out."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wanted: list[tuple[str, str]] = []
        self.started: list[str] = []
        self.stopped: list[str] = []
        self.pressed = False
        self._made = 0
        self.pools = self.fresh()

    def fresh(self) -> Pools:
        pools = Pools(lambda: self.now, self._name, lambda: self.pressed)
        pools.on_want = lambda name, run, pattern: self.wanted.append((name, run))
        pools.on_start = self.started.append
        pools.on_stop = self.stopped.append
        return pools

    def _name(self, key: str) -> str:
        self._made += 1
        return f"w{self._made}"

    def add(self, *ids: str, run: str = "r", size: int = 2, idle_s: float = 10.0) -> None:
        for id in ids:
            self.pools.add("k", spec_of(id, run, size, idle_s))

    def come(self, count: int = 9) -> None:
        """The pods of workers that were asked for are there."""
        wanted, self.wanted = self.wanted[:count], self.wanted[count:]
        for name, _ in wanted:
            self.pools.appear(name, "k")

    async def poll(self, name: str, *running: str, free: int = 1, wait_s: float = 0.0) -> dict[str, Any]:
        answer = await self.pools.poll("k", name, running, free, wait_s)
        return {**answer, "start": [spec.id for spec in answer["start"]]}

    async def starts(self, name: str, *running: str, free: int = 1) -> list[str]:
        return (await self.poll(name, *running, free=free))["start"]


def spec_of(id: str, run: str = "r", size: int = 2, idle_s: float = 10.0) -> AttemptSpec:
    return AttemptSpec(id, run, "n", 1, StepDef("n", pool=Pool(size, idle_s)), "b", (AttemptItem("n"),))


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def test_as_many_workers_are_asked_for_as_there_is_work_up_to_the_size() -> None:
    rig = Rig()
    rig.add("a1", size=3)
    assert len(rig.wanted) == 1
    rig.add("a2", "a3", "a4", "a5", size=3)
    assert len(rig.wanted) == 3


def test_each_attempt_has_one_worker_and_each_worker_one_attempt() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", "a2", "a3")
        rig.come()
        assert await rig.starts("w1") == ["a1"]
        assert await rig.starts("w2") == ["a2"]
        assert await rig.starts("w1", "a1", free=0) == []
        rig.pools.end("a1")
        assert await rig.starts("w1") == ["a3"]
        assert rig.started == ["a1", "a2", "a3"]

    play(story())


def test_a_question_that_waits_is_answered_as_soon_as_there_is_work() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", size=1)
        rig.come()
        assert await rig.starts("w1") == ["a1"]
        rig.pools.end("a1")
        asking = asyncio.create_task(rig.poll("w1", wait_s=25.0))
        await asyncio.sleep(0)
        rig.add("a2", size=1)
        assert (await asking)["start"] == ["a2"]

    play(story())


def test_a_newer_question_frees_the_older_one_and_gets_the_work() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", size=1)
        rig.come()
        assert await rig.starts("w1") == ["a1"]
        older = asyncio.create_task(rig.poll("w1", "a1", free=0, wait_s=25.0))
        await asyncio.sleep(0)
        rig.pools.end("a1")
        newer = asyncio.create_task(rig.poll("w1", wait_s=25.0))
        assert await older == {"start": [], "cancel": [], "leave": False}
        rig.add("a2", size=1)
        assert (await newer)["start"] == ["a2"]

    play(story())


def test_an_answer_that_got_lost_is_given_again() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", "a2")
        rig.come()
        assert await rig.starts("w1") == ["a1"]
        assert await rig.starts("w1") == ["a1"], "it does not run what it was given: it has not heard of it"
        assert await rig.starts("w1", "a1", free=0) == []
        assert await rig.starts("w2") == ["a2"]

    play(story())


def test_a_worker_that_dies_leaves_what_it_ran_and_another_one_is_asked_for() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", "a2", "a3")
        rig.come()
        await rig.starts("w1")
        await rig.starts("w2")
        assert [spec.id for spec in rig.pools.vanish("w1")] == ["a1"]
        rig.pools.end("a1")
        rig.pools.tend()
        assert len(rig.wanted) == 1, "a3 still waits"
        assert rig.pools.vanish("w1") == []

    play(story())


def test_workers_leave_when_they_have_been_idle_and_a_pool_shrinks_to_nothing() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", idle_s=10.0)
        rig.come()
        await rig.starts("w1")
        rig.pools.end("a1")
        assert not (await rig.poll("w1"))["leave"]
        rig.now += 9.0
        assert not (await rig.poll("w1"))["leave"]
        rig.now += 1.5
        assert (await rig.poll("w1"))["leave"]
        rig.add("a2", idle_s=10.0)
        assert len(rig.wanted) == 1, "one that leaves is given nothing any more"
        assert await rig.starts("w1") == []

    play(story())


def test_a_question_that_waits_is_answered_when_the_worker_may_leave() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", idle_s=10.0)
        rig.come()
        await rig.starts("w1")
        rig.pools.end("a1")
        asking = asyncio.create_task(rig.poll("w1", wait_s=25.0))
        await asyncio.sleep(0)
        rig.now += 11.0
        rig.pools.tend()
        assert (await asking)["leave"]

    play(story())


def test_idle_workers_leave_at_once_where_others_wait_for_their_room() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", idle_s=600.0)
        rig.come()
        await rig.starts("w1")
        rig.pools.end("a1")
        assert not (await rig.poll("w1"))["leave"]
        rig.pressed = True
        assert (await rig.poll("w1"))["leave"]

    play(story())


def test_runs_share_a_pool_in_turn() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add(*[f"a{n}" for n in range(6)], run="a", size=2)
        rig.add(*[f"b{n}" for n in range(6)], run="b", size=2)
        rig.come()
        order: list[str] = []
        for n in range(6):
            name = ("w1", "w2")[n % 2]
            (id,) = await rig.starts(name)
            order.append(id)
            if n:
                rig.pools.end(order[n - 1])
        assert sorted(order) == ["a0", "a1", "a2", "b0", "b1", "b2"]

    play(story())


def test_a_cancelled_attempt_is_told_to_its_worker_with_its_grace() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", size=1)
        rig.come()
        await rig.starts("w1")
        asking = asyncio.create_task(rig.poll("w1", "a1", free=0, wait_s=25.0))
        await asyncio.sleep(0)
        assert rig.pools.cancel("a1", 3.0)
        assert (await asking)["cancel"] == [["a1", 3.0]]
        await rig.starts("w1")
        assert rig.stopped == ["a1"], "it does not run it any more, and is not given it again"

    play(story())


def test_a_worker_that_may_not_have_heard_of_a_cancel_is_told_again() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", size=1)
        rig.come()
        await rig.starts("w1")
        assert rig.pools.cancel("a1", 3.0)
        assert (await rig.poll("w1", "a1", free=0, wait_s=0.0))["cancel"] == [["a1", 3.0]]
        assert (await rig.poll("w1", "a1", free=0, wait_s=0.0))["cancel"] == [], "it ends the attempt"
        rig.now += 2.0
        assert (await rig.poll("w1", "a1", free=0, wait_s=0.0))["cancel"] == [["a1", 3.0]]

    play(story())


def test_one_that_no_worker_has_is_not_the_pools_to_cancel() -> None:
    rig = Rig()
    rig.add("a1")
    assert not rig.pools.cancel("a1", 1.0)
    assert not rig.pools.cancel("unknown", 1.0)
    rig.pools.end("a1")
    assert "a1" not in rig.pools


def test_after_a_restart_nothing_is_given_out_before_known_workers_have_spoken() -> None:
    async def story() -> None:
        rig = Rig()
        rig.pools.recover([("w1", "k"), ("w2", "k")])
        rig.add("a1", "a2", "a3", size=2)
        assert rig.wanted == []
        assert await rig.starts("w1", "a1", free=0) == []
        assert rig.pools.holder_of("a1") is not None
        asking = asyncio.create_task(rig.poll("w3", wait_s=25.0))
        await asyncio.sleep(0)
        assert not asking.done(), "w2 may run any of them"
        assert await rig.starts("w2", "a2", free=0) == []
        assert (await asking)["start"] == ["a3"], "now both have spoken"

    play(story())


def test_after_a_restart_a_worker_that_never_speaks_is_not_waited_for() -> None:
    async def story() -> None:
        rig = Rig()
        rig.pools.recover([("w1", "k"), ("w2", "k")])
        rig.add("a1", size=2)
        await rig.poll("w1")
        rig.now += RECOVER_S
        rig.pools.tend()
        assert await rig.starts("w1") == ["a1"]

    play(story())


def test_what_a_worker_runs_is_that_when_its_driver_asks_for_it_later() -> None:
    async def story() -> None:
        rig = Rig()
        rig.pools.recover([("w1", "k")])
        await rig.poll("w1", "a1", free=0)
        rig.add("a1")
        assert rig.started == ["a1"]
        assert rig.wanted == []
        assert rig.pools.holder_of("a1") is not None

    play(story())


def test_of_two_workers_that_run_the_same_the_second_has_to_stop() -> None:
    async def story() -> None:
        rig = Rig()
        rig.pools.recover([("w1", "k"), ("w2", "k")])
        rig.add("a1")
        await rig.poll("w1", "a1", free=0)
        assert (await rig.poll("w2", "a1", free=0))["cancel"] == [["a1", 0.0]]

    play(story())


def test_one_that_was_given_up_while_the_server_was_away_is_stopped() -> None:
    async def story() -> None:
        rig = Rig()
        rig.pools.recover([("w1", "k")])
        await rig.poll("w1", "a1", free=0)
        assert rig.pools.cancel("a1", 2.0), "no driver has asked for it, and yet somebody runs it"
        assert (await rig.poll("w1", "a1", free=0))["cancel"] == [["a1", 2.0]]

    play(story())


def test_workers_of_a_pool_that_nobody_asks_for_any_more_leave() -> None:
    async def story() -> None:
        rig = Rig()
        rig.pools.recover([("w1", "k")])
        assert not (await rig.poll("w1"))["leave"], "its drivers may still come"
        rig.now += RECOVER_S + 1.0
        assert (await rig.poll("w1"))["leave"]

    play(story())


def test_a_worker_that_is_silent_is_named() -> None:
    async def story() -> None:
        rig = Rig()
        rig.add("a1", "a2")
        rig.come()
        await rig.poll("w1")
        assert rig.pools.tend() == []
        rig.now += SILENT_S + 1.0
        await rig.poll("w2")
        assert rig.pools.tend() == ["w1"]

    play(story())


def test_a_pool_whose_workers_die_before_they_work_asks_for_new_ones_slowly() -> None:
    rig = Rig()
    rig.add("a1", size=1)
    rig.come()
    rig.pools.vanish("w1")
    rig.pools.tend()
    assert rig.wanted == []
    rig.now += 10.0
    rig.pools.tend()
    assert len(rig.wanted) == 1


def test_a_worker_that_may_not_be_is_not_asked_for_again_at_once() -> None:
    rig = Rig()
    rig.add("a1", size=1)
    (name, _), *_ = rig.wanted
    rig.pools.refuse(name, 5.0)
    rig.pools.tend()
    assert len(rig.wanted) == 1
    rig.now += 6.0
    rig.pools.tend()
    assert len(rig.wanted) == 2


moves = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("ab"), st.integers(1, 3)),
        st.tuples(st.just("come"), st.just(""), st.integers(1, 2)),
        st.tuples(st.just("poll"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("lose answer"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("end"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("die"), st.just(""), st.integers(0, 3)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
        st.tuples(st.just("time"), st.just(""), st.integers(1, 8)),
    ),
    max_size=40,
)


class World:
    """Workers that really hold what they were given, and a driver that asks again after a restart. `runs`: worker -> what it runs."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.runs: dict[str, set[str]] = {}
        self.live: dict[str, str] = {}
        self.began: dict[str, str] = {}
        self.done: set[str] = set()
        self.made = 0

    async def move(self, what: str, run: str, n: int) -> None:
        rig = self.rig
        names = sorted(self.runs)
        name = names[n % len(names)] if names else ""
        if what == "add":
            for _ in range(n):
                self.made += 1
                self.live[f"{run}{self.made}"] = run
                rig.add(f"{run}{self.made}", run=run)
        elif what == "come":
            for wanted, _ in rig.wanted[:n]:
                self.runs[wanted] = set()
            rig.come(n)
        elif what in ("poll", "lose answer") and name:
            await self.ask(name, heard=what == "poll")
        elif what == "end" and name:
            for id in list(self.runs[name])[:1]:
                self.finish(name, id)
        elif what == "die" and name:
            del self.runs[name]
            for spec in rig.pools.vanish(name):
                self.live.pop(spec.id, None)  # its driver tries it again under another number
                rig.pools.end(spec.id)
        elif what == "restart":
            rig.pools = rig.fresh()
            rig.wanted.clear()
            rig.pools.recover([(name, "k") for name in self.runs])
            for id, whose in self.live.items():
                rig.add(id, run=whose)
        elif what == "time":
            rig.now += n
            rig.pools.tend()

    async def ask(self, name: str, *, heard: bool) -> None:
        running = sorted(self.runs[name])
        answer = await self.rig.poll(name, *running, free=max(0, 1 - len(running)))
        if not heard:
            return
        for id, _ in answer["cancel"]:
            self.runs[name].discard(id)
        for id in answer["start"]:
            others = [other for other, held in self.runs.items() if id in held and other != name]
            assert not others, f"{id} runs on {others} and is given to {name}"
            assert id not in self.done, f"{id} has ended and is given out again"
            self.runs[name].add(id)
        if answer["leave"]:
            assert not self.runs[name], "a worker that works was told to leave"
            del self.runs[name]
            self.rig.pools.vanish(name)

    def finish(self, name: str, id: str) -> None:
        self.runs[name].discard(id)
        self.done.add(id)
        self.live.pop(id, None)
        self.rig.pools.end(id)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves)
def test_whatever_happens_no_attempt_runs_twice_and_all_are_done_in_the_end(story: list[tuple[str, str, int]]) -> None:
    async def tell() -> None:
        world = World()
        for what, run, n in story:
            await world.move(what, run, n)
            busy = sum(1 for held in world.runs.values() if held)
            assert busy <= 2, "no more workers than the pool's size"
        for _ in range(200):
            if not world.live:
                break
            world.rig.now += 4.0
            world.rig.pools.tend()
            await world.move("come", "", 9)
            for name in list(world.runs):
                if name in world.runs:
                    await world.ask(name, heard=True)
                for id in list(world.runs.get(name, ())):
                    world.finish(name, id)
        assert not world.live, f"{sorted(world.live)} wait for ever"

    asyncio.run(tell())
