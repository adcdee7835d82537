"""A target's limits hold attempts back: never more than allowed, in order within a run, fairly between runs, and nobody for ever."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.executors.fair import Ask, FairQueue
from fairway.spec.target import Limits

GPU = "nvidia.com/gpu"


def queue_of(limits: Limits | None = None, per_run: Limits | None = None) -> FairQueue:
    return FairQueue(limits or Limits(), per_run or Limits())


def test_without_limits_all_start_in_order() -> None:
    queue = queue_of()
    for n in range(1000):
        queue.add(f"a{n}", "r", Ask())
    assert queue.take() == [f"a{n}" for n in range(1000)]
    assert len(queue) == 0


def test_no_more_pods_than_allowed_and_the_next_when_one_has_gone() -> None:
    queue = queue_of(Limits(max_pods=2))
    for n in range(4):
        queue.add(f"a{n}", "r", Ask())
    assert queue.take() == ["a0", "a1"]
    assert queue.take() == []
    assert queue.reason("a2") == "waits for room: the target may have 2 pods at once"
    queue.give_back("a0")
    assert queue.take() == ["a2"]
    assert queue.reason("a2") == ""


@pytest.mark.parametrize(
    ("limits", "ask", "words"),
    [
        (Limits(cpu=1.0), Ask(cpu=0.4), "1 cores"),
        (Limits(memory_bytes=1 << 30), Ask(memory_bytes=400 << 20), "1 GiB of memory"),
        (Limits(accelerators={GPU: 2}), Ask(accelerators={GPU: 1}), f"2 {GPU}"),
    ],
)
def test_cores_memory_and_accelerators_are_limited_too(limits: Limits, ask: Ask, words: str) -> None:
    queue = queue_of(limits)
    for n in range(3):
        queue.add(f"a{n}", "r", ask)
    assert queue.take() == ["a0", "a1"]
    assert queue.reason("a2") == f"waits for room: the target may have {words} at once"


def test_a_run_has_limits_of_its_own() -> None:
    queue = queue_of(Limits(max_pods=10), Limits(max_pods=2))
    for run in "ab":
        for n in range(4):
            queue.add(f"{run}{n}", run, Ask())
    assert sorted(queue.take()) == ["a0", "a1", "b0", "b1"]
    assert queue.reason("a2") == "waits for room: a run may have 2 pods at once"
    queue.give_back("b0")
    assert queue.take() == ["b2"]


def test_what_can_never_start_is_known_at_once() -> None:
    queue = queue_of(Limits(cpu=8.0, accelerators={GPU: 1}), Limits(memory_bytes=1 << 30))
    assert queue.find_excess(Ask(cpu=8.0, memory_bytes=1 << 30)) == ""
    assert queue.find_excess(Ask(cpu=9.0)) == "asks for 9 cores, and the target may have 8 cores"
    assert queue.find_excess(Ask(memory_bytes=2 << 30)) == "asks for 2 GiB of memory, and one run may have 1 GiB of memory"
    assert queue.find_excess(Ask(accelerators={GPU: 2})) == f"asks for 2 {GPU}, and the target may have 1 {GPU}"


def test_runs_take_turns() -> None:
    queue = queue_of(Limits(max_pods=1))
    for n in range(3):
        queue.add(f"a{n}", "a", Ask())
    order: list[str] = queue.take()
    for n in range(3):
        queue.add(f"b{n}", "b", Ask())
    for _ in range(5):
        queue.give_back(order[-1])
        order += queue.take()
    assert [name[1] for name in order if name[0] == "a"] == ["0", "1", "2"]
    assert [name[1] for name in order if name[0] == "b"] == ["0", "1", "2"]
    assert abs(order.index("a1") - order.index("b0")) == 1, "the run that came later does not wait for the other's end"


def test_a_run_that_holds_less_of_what_is_scarce_comes_first() -> None:
    queue = queue_of(Limits(cpu=10.0))
    queue.hold("big", "a", Ask(cpu=6.0))
    queue.hold("small", "b", Ask(cpu=1.0))
    queue.add("a1", "a", Ask(cpu=2.0))
    queue.add("b1", "b", Ask(cpu=2.0))
    assert queue.take() == ["b1"]


def test_a_big_attempt_is_not_starved_by_small_ones() -> None:
    queue = queue_of(Limits(cpu=4.0))
    for n in range(4):
        queue.add(f"s{n}", "small", Ask(cpu=1.0))
    assert len(queue.take()) == 4
    queue.add("big", "big", Ask(cpu=4.0))
    for n in range(4, 40):
        queue.add(f"s{n}", "small", Ask(cpu=1.0))
    running = [f"s{n}" for n in range(4)]
    for _ in range(4):
        queue.give_back(running.pop(0))
        running += queue.take()
        if "big" in running:
            break
    assert running == ["big"]


def test_what_waits_for_a_device_lets_others_of_its_run_pass() -> None:
    queue = queue_of(Limits(cpu=100.0, accelerators={GPU: 1}))
    for n in range(3):
        queue.add(f"gpu{n}", "r", Ask(cpu=1.0, accelerators={GPU: 1}))
    for n in range(3):
        queue.add(f"cpu{n}", "r", Ask(cpu=1.0))
    assert queue.take() == ["gpu0", "cpu0", "cpu1", "cpu2"]


def test_one_that_is_dropped_waits_no_longer() -> None:
    queue = queue_of(Limits(max_pods=1))
    for n in range(3):
        queue.add(f"a{n}", "r", Ask())
    queue.take()
    assert queue.drop("a1")
    assert not queue.drop("a1")
    assert not queue.drop("a0")
    queue.give_back("a0")
    assert queue.take() == ["a2"]


def test_what_is_there_already_counts() -> None:
    queue = queue_of(Limits(max_pods=2))
    queue.hold("old", "a", Ask())
    queue.hold("old", "a", Ask())
    queue.add("old", "a", Ask())
    queue.add("a1", "a", Ask())
    queue.add("a2", "a", Ask())
    assert queue.take() == ["a1"]
    queue.give_back("unknown")
    assert queue.take() == []


def test_what_did_not_get_its_pod_after_all_waits_where_it_was() -> None:
    queue = queue_of(Limits(max_pods=3))
    for n in range(6):
        queue.add(f"a{n}", "r", Ask())
    assert queue.take() == ["a0", "a1", "a2"]
    for id in ("a1", "a0", "a2"):
        queue.put_back(id)
    queue.put_back("unknown")
    assert queue.take() == ["a0", "a1", "a2"]


asks = st.builds(
    Ask,
    st.just(1),
    st.sampled_from([0.0, 0.1, 0.3, 1.0, 2.5]),
    st.sampled_from([0, 100, 1000]),
    st.one_of(st.just({}), st.just({GPU: 1}), st.just({GPU: 2})),
)
limits = st.builds(
    Limits, st.integers(0, 4), st.sampled_from([0.0, 2.5, 3.0]), st.sampled_from([0, 1000, 2500]), st.sampled_from([{}, {GPU: 2}])
)
steps = st.lists(st.tuples(st.sampled_from("abc"), asks, st.integers(0, 3)), max_size=40)


def used(held: dict[str, tuple[str, Ask]], run: str = "") -> Counter[str]:
    total: Counter[str] = Counter()
    for whose, ask in held.values():
        if run in ("", whose):
            amounts = {"pods": 1, "cpu": round(ask.cpu * 10), "memory": ask.memory_bytes, GPU: ask.accelerators.get(GPU, 0)}
            total.update(amounts)
    return total


def within(total: Counter[str], most: Limits) -> bool:
    bounds = {"pods": most.max_pods, "cpu": round(most.cpu * 10), "memory": most.memory_bytes, GPU: most.accelerators.get(GPU, 0)}
    return all(total[name] <= bound for name, bound in bounds.items() if bound)


@given(limits, limits, steps)
def test_whatever_comes_and_goes_limits_hold_and_all_get_their_turn(
    total: Limits, per_run: Limits, came: list[tuple[str, Ask, int]]
) -> None:
    queue = queue_of(total, per_run)
    held: dict[str, tuple[str, Ask]] = {}
    waiting: dict[str, tuple[str, Ask]] = {}
    started: list[str] = []

    def take() -> None:
        for id in queue.take():
            held[id] = waiting.pop(id)
            started.append(id)
            assert within(used(held), total)
            assert all(within(used(held, run), per_run) for run in "abc")

    for n, (run, ask, leave) in enumerate(came):
        if queue.find_excess(ask):
            continue
        waiting[f"{run}{n}"] = (run, ask)
        queue.add(f"{run}{n}", run, ask)
        take()
        for id in list(held)[:leave]:
            del held[id]
            queue.give_back(id)
        take()
        assert len(queue) == len(waiting)
    rounds = 0
    while waiting or held:
        rounds += 1
        assert rounds < 200, f"{sorted(waiting)} wait for ever"
        for id in list(held)[:1]:
            del held[id]
            queue.give_back(id)
        take()
    for run in "abc":
        equal = [id for id in started if id[0] == run]
        same_ask: dict[str, list[int]] = {}
        for id in equal:
            n = int(id[1:])
            same_ask.setdefault(repr(came[n][1]), []).append(n)
        assert all(order == sorted(order) for order in same_ask.values()), "equal attempts of a run start in the order in which they came"


def test_a_hundred_thousand_that_wait_cost_little_each_time() -> None:
    queue = queue_of(Limits(max_pods=10))
    for n in range(100_000):
        queue.add(f"a{n}", "r", Ask(cpu=1.0))
    order = queue.take()
    for _ in range(5_000):
        queue.give_back(order[-10])
        order += queue.take()
    assert order == [f"a{n}" for n in range(5_010)]
