"""Slots: nobody gets what is not there, no device twice, and nobody waits for ever."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fairway.executors.slots import Slots, times
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.gang import Gang
from fairway.spec.graph import StepDef
from fairway.spec.resources import Resources

GPU = "nvidia.com/gpu"
GIB = 1 << 30


def attempt(name: str, cpu: float = 1.0, memory: int = 0, gpus: int = 0) -> AttemptSpec:
    return AttemptSpec(name, "r", name, 1, StepDef(name), "", (), resources=Resources(cpu, memory, 0, {GPU: gpus} if gpus else {}))


def machine(cpu: float = 4.0, memory: int = 8 * GIB, gpus: int = 2) -> Slots:
    return Slots(Resources(cpu, memory, 0, {GPU: gpus}))


def started(slots: Slots) -> list[str]:
    return [one.id for one, _ in slots.take()]


def test_as_many_start_as_there_are_cores_in_the_order_they_came() -> None:
    slots = machine()
    for n in range(6):
        slots.add(attempt(f"a{n}"))
    assert started(slots) == ["a0", "a1", "a2", "a3"]
    assert started(slots) == []
    slots.give_back("a2")
    assert started(slots) == ["a4"]
    assert len(slots) == 1


def test_parts_of_a_core_share_one() -> None:
    slots = machine(cpu=1.0)
    for n in range(5):
        slots.add(attempt(f"a{n}", cpu=0.25))
    assert started(slots) == ["a0", "a1", "a2", "a3"]


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=20))
def test_parts_of_a_core_add_up_to_all_of_it_again(parts: list[float]) -> None:
    slots = machine(cpu=1.0)
    for n, part in enumerate(parts):
        slots.add(attempt(f"a{n}", cpu=part))
    while names := started(slots):
        for name in names:
            slots.give_back(name)
    slots.add(attempt("whole", cpu=1.0))
    assert started(slots) == ["whole"]


def test_memory_limits_what_starts() -> None:
    slots = machine()
    slots.add(attempt("big", memory=6 * GIB))
    slots.add(attempt("other", memory=6 * GIB))
    slots.add(attempt("small", memory=GIB))
    assert started(slots) == ["big"]  # "small" would take from what "other" waits for
    slots.give_back("big")
    assert started(slots) == ["other", "small"]


def test_devices_are_handed_out_by_number_and_never_shared() -> None:
    slots = machine()
    for name in ("a", "b", "c"):
        slots.add(attempt(name, gpus=1))
    assert {one.id: devices for one, devices in slots.take()} == {"a": {GPU: [0]}, "b": {GPU: [1]}}
    slots.give_back("a")
    assert [(one.id, devices) for one, devices in slots.take()] == [("c", {GPU: [0]})]


def test_a_big_attempt_is_not_starved_by_small_ones() -> None:
    slots = machine()
    slots.add(attempt("running"))
    slots.take()
    slots.add(attempt("big", cpu=4.0))
    for n in range(100):
        slots.add(attempt(f"small{n}"))
        assert started(slots) == []
    slots.give_back("running")
    assert started(slots) == ["big"]


def test_one_that_waits_for_a_device_leaves_the_cores_it_does_not_need() -> None:
    slots = machine(cpu=4.0, gpus=1)
    slots.add(attempt("first", gpus=1))
    slots.add(attempt("second", gpus=1))
    slots.add(attempt("plain"))
    assert started(slots) == ["first", "plain"]


def test_what_is_dropped_does_not_start() -> None:
    slots = machine()
    one = attempt("a")
    slots.add(one)
    assert slots.drop(one)
    assert not slots.drop(one)
    assert started(slots) == []


def test_more_than_the_machine_has_is_named_with_what_it_has() -> None:
    slots, other = machine(), attempt("tpu")
    other.resources.accelerators = {"tpu": 1}
    assert slots.find_excess(attempt("all", 4.0, 8 * GIB, 2)) == ""
    assert slots.find_excess(attempt("cpu", 5.0)) == "asks for 5 cores, and this machine has 4"
    assert slots.find_excess(attempt("memory", 1.0, 9 * GIB)) == "asks for 9.0 GiB of memory, and this machine has 8.0 GiB"
    assert slots.find_excess(attempt("gpu", 1.0, 0, 3)) == "asks for 3 of nvidia.com/gpu, and this machine has 2"
    assert slots.find_excess(other) == "asks for 1 of tpu, and this machine has 0"


def gang(name: str, replicas: int, cpu: float = 1.0, memory: int = 0, gpus: int = 0, fewest: int = 0) -> AttemptSpec:
    made = attempt(name, cpu, memory, gpus)
    made.step = StepDef(name, gang=Gang(replicas, min_replicas=fewest))
    return made


def test_a_gang_holds_all_its_replicas_want_or_nothing() -> None:
    slots = machine()
    slots.add(attempt("plain"))
    slots.add(gang("pair", 2, 2.0, GIB, 1))
    assert started(slots) == ["plain"]
    assert slots.free() == Resources(3.0, 8 * GIB, 0, {GPU: 2}), "what waits holds nothing"
    slots.give_back("plain")
    ((taken, devices),) = slots.take()
    assert (taken.id, devices) == ("pair", {GPU: [0, 1]})
    assert slots.free() == Resources(0.0, 6 * GIB, 0, {GPU: 0})
    slots.give_back("pair")
    assert slots.free() == slots.total


def test_two_gangs_for_the_same_cores_run_one_after_the_other() -> None:
    slots = machine()
    for name in ("one", "two"):
        slots.add(gang(name, 3))
    slots.add(attempt("small"))
    assert started(slots) == ["one"], "the small one would take from what the second waits for"
    slots.give_back("one")
    assert started(slots) == ["two", "small"]


def test_a_gang_that_starts_again_keeps_its_room_until_it_is_late() -> None:
    slots = machine()
    one, again, two = gang("one-1", 4), gang("one-2", 4), gang("two", 4)
    for made, task in ((one, "one"), (again, "one"), (two, "two")):
        made.items = (AttemptItem(task),)
    slots.add(one)
    slots.add(two)
    assert started(slots) == ["one-1"]
    slots.keep(one, 5.0)
    assert slots.release(4.9) == 5.0
    assert started(slots) == []
    slots.add(again)
    assert started(slots) == ["one-2"], "before the other, which has waited for longer"
    slots.keep(again, 5.0)
    assert slots.release(5.0) == 0.0
    assert started(slots) == ["two"]
    slots.give_back("two")
    assert slots.free() == slots.total


def test_a_gang_that_can_never_fit_is_named_with_what_each_replica_asks_for() -> None:
    slots = machine()
    assert slots.find_excess(gang("whole", 4)) == ""
    assert slots.find_excess(gang("cpu", 3, 1.5)) == "asks for 4.5 cores (3 replicas of 1.5), and this machine has 4"
    assert slots.find_excess(gang("memory", 2, 1.0, 5 * GIB)) == (
        "asks for 10.0 GiB of memory (2 replicas of 5.0), and this machine has 8.0 GiB"
    )
    assert slots.find_excess(gang("gpu", 3, 1.0, 0, 1)) == "asks for 3 of nvidia.com/gpu (3 replicas of 1), and this machine has 2"
    assert slots.find_excess(gang("shared", 40, 0.1)) == "", "tenths of cores add up to whole ones"


def test_where_fewer_will_do_the_largest_world_that_can_ever_fit_starts() -> None:
    slots = machine()
    limited = [gang("g", 8, fewest=2), gang("g", 8, 1.3, fewest=2), gang("g", 8, 1.0, 3 * GIB, fewest=2), gang("g", 8, gpus=1, fewest=2)]
    assert [slots.count_replicas(one) for one in limited] == [4, 3, 2, 2]
    assert slots.find_excess(gang("g", 8, fewest=2)) == ""
    assert slots.find_excess(gang("g", 8, fewest=5)) == "asks for 5 cores (5 replicas of 1), and this machine has 4"
    slots.add(attempt("plain"))
    slots.add(gang("g", 8, fewest=2))
    assert started(slots) == ["plain"], "it waits for the world that it is to have"
    assert slots.count_replicas(attempt("plain")) == 1


asked = st.tuples(
    st.sampled_from([0.1, 0.25, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]), st.integers(0, 8).map(lambda n: n * GIB), st.integers(0, 2)
)


@given(st.lists(asked, max_size=40), st.lists(st.tuples(st.integers(1, 9), asked), max_size=10), st.randoms(use_true_random=False))
def test_all_start_once_within_the_machine_and_in_the_end_all_is_free(
    wanted: list[tuple[float, int, int]], gangs: list[tuple[int, tuple[float, int, int]]], random: random.Random
) -> None:
    slots = machine()
    some = [attempt(f"a{n}", *one) for n, one in enumerate(wanted)]
    some += [gang(f"g{n}", replicas, *one, fewest=1 + n % replicas) for n, (replicas, one) in enumerate(gangs)]
    random.shuffle(some)
    waiting = {one.id: one for one in some if not slots.find_excess(one)}
    every = sorted(waiting)
    for one in waiting.values():
        slots.add(one)
    running: dict[str, tuple[Resources, list[int]]] = {}
    seen: list[str] = []
    while waiting or running:
        for one, devices in slots.take():
            seen.append(one.id)
            whole = times(waiting.pop(one.id).resources, slots.count_replicas(one))
            assert len(devices.get(GPU, [])) == whole.accelerators.get(GPU, 0), "as many devices as all its replicas want"
            running[one.id] = (whole, devices.get(GPU, []))
        assert running, "nothing runs, and something waits"
        assert sum(resources.cpu for resources, _ in running.values()) <= 4.0 + 1e-6
        assert sum(resources.memory_bytes for resources, _ in running.values()) <= 8 * GIB
        held = [device for _, devices in running.values() for device in devices]
        assert len(held) == len(set(held)) and set(held) <= {0, 1}
        name = random.choice(sorted(running))
        slots.give_back(name)
        slots.give_back(name)
        del running[name]
    assert sorted(seen) == every
    free = slots.free()
    assert (round(free.cpu, 6), free.memory_bytes, free.accelerators) == (4.0, 8 * GIB, {GPU: 2})
