"""Maps: zipped, products, nested; over no, one and many items; in batches; with failures kept or not."""

from __future__ import annotations

from typing import Any

import pytest

import fairway as fw
from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, error_of, events, outputs, statuses

STEPS = """
@fw.step
def numbers(n: int) -> list[int]:
    return list(range(n))

@fw.step
def square(n: int) -> int:
    return n * n

@fw.step
def add(a: int, b: int) -> int:
    return 10 * a + b

@fw.step
def keep(items: list[int]) -> list[int]:
    return items

@fw.step
def cube(items: list[list[list[int]]]) -> list[list[list[int]]]:
    return items

@fw.step
def deep(items: list[list[int]]) -> list[list[int]]:
    return items
"""


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_list_that_is_known_only_at_run_time_is_mapped_in_order(rig: Rig, count: int) -> None:
    source = STEPS + "\n@fw.pipeline\ndef main(n: int):\n    return keep(square(fw.each(numbers(n))))\n"
    run = rig.run(source, {"n": count})
    assert outputs(run) == {"result": [n * n for n in range(count)]}
    assert len([name for name in run.tasks if name.startswith("square")]) == count


def test_a_mapped_output_of_the_pipeline_is_a_list_in_order(rig: Rig) -> None:
    source = STEPS + "\n@fw.pipeline\ndef main():\n    return square(fw.each([3, 1, 2]))\n"
    assert rig.result(source) == [9, 1, 4]


CASES = {
    "two lists in one each are zipped": ("a, b = fw.each([1, 2, 3], [4, 5, 6])\n    return keep(add(a, b))", [14, 25, 36]),
    "two each are a product, the first outermost": ("return keep(add(fw.each([1, 2]), fw.each([3, 4])))", [13, 14, 23, 24]),
    "a mapped value maps on": ("return keep(add(square(fw.each([1, 2])), 5))", [15, 45]),
    "two values of one each stay together": ("n = fw.each([1, 2])\n    return keep(add(n, square(n)))", [11, 24]),
    "nested: a list of each item": ("return keep(square(fw.each(numbers(fw.each([0, 3, 2])))))", [0, 1, 4, 0, 1]),
    "nested lists keep their shape where asked": ("return deep(square(fw.each(numbers(fw.each([0, 3, 2])))))", [[], [0, 1, 4], [0, 1]]),
    "three levels": (
        "return cube(add(square(fw.each(numbers(fw.each([2, 1])))), fw.each([1, 2])))",
        [[[1, 2], [11, 12]], [[1, 2]]],
    ),
    "an outer product with a zip": (
        "a, b = fw.each([1, 2], [3, 4])\n    return keep(add(add(a, b), fw.each([5, 6])))",
        [135, 136, 245, 246],
    ),
    "fw.collect makes one list": ("return keep(fw.collect(square(fw.each([1, 2]))))", [1, 4]),
    "a list of values of steps": ("return keep([square(1), 5, square(3)])", [1, 5, 9]),
    "a list of values of steps is mapped over": ("return keep(square(fw.each([square(2), 3])))", [16, 9]),
    "the items' own list": ("return keep(fw.each([[1, 2], [3]]))", [[1, 2], [3]]),
    "a range": ("return keep(square(fw.each(range(3))))", [0, 1, 4]),
}


@pytest.mark.parametrize("case", CASES)
def test_maps(rig: Rig, case: str) -> None:
    body, wanted = CASES[case]
    assert rig.result(f"{STEPS}\n@fw.pipeline\ndef main():\n    {body}\n") == wanted


def test_lists_of_different_lengths_in_one_each_fail_saying_both_lengths(rig: Rig) -> None:
    run = rig.run(STEPS + "\n@fw.pipeline\ndef main():\n    a, b = fw.each(numbers(2), numbers(3))\n    return keep(add(a, b))\n")
    assert run.status == "failed"
    error = run.state().error
    assert "lists of 2 and 3 items" in error.message
    assert "one fw.each per list" in error.hint
    shown = rig.fairway("show", run.id).stdout
    assert "lists of 2 and 3 items" in shown
    assert "one fw.each per list" in shown


def test_each_over_what_turns_out_to_be_no_list_fails_saying_so(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def table():
            return {"a": 1}

        @fw.step
        def take(x): ...

        @fw.pipeline
        def main():
            take(fw.each(table()))
    """)
    assert run.status == "failed"
    assert "fw.each needs a list, not a dict" in run.state().error.message


def test_batches_put_so_many_items_into_one_attempt(rig: Rig) -> None:
    run = rig.run(STEPS + "\n@fw.pipeline\ndef main():\n    return keep(square(fw.each(range(10), batch=4)))\n")
    assert outputs(run) == {"result": [n * n for n in range(10)]}
    planned = [event for event in events(run, "AttemptPlanned") if event.node == "square"]
    assert [len(event.items) for event in planned] == [4, 4, 2]
    assert len([name for name in run.tasks if name.startswith("square")]) == 10, "each item is a task all the same"


FLAKY = """
@fw.step(retry=fw.retry(2, backoff=0))
def flaky(n: int) -> int:
    if n in (1, 3) and fw.context().n == 1:
        raise ConnectionError(f"item {n}")
    return n

@fw.step
def keep(items: list[int]) -> list[int]:
    return items

@fw.pipeline
def main():
    return keep(flaky(fw.each(range(5), batch=5)))
"""


def test_a_retry_of_a_batch_carries_only_the_items_that_failed(rig: Rig) -> None:
    run = rig.run(FLAKY)
    assert outputs(run) == {"result": [0, 1, 2, 3, 4]}
    planned = [event for event in events(run, "AttemptPlanned") if event.node == "flaky"]
    assert [event.items for event in planned] == [((0,), (1,), (2,), (3,), (4,)), ((1,), (3,))]
    assert [len(run.tasks[f"flaky[{n}]"].attempts) for n in range(5)] == [1, 2, 1, 2, 1]


def test_each_item_of_a_batch_has_its_own_cache_entry(rig: Rig) -> None:
    source = STEPS + "\n@fw.pipeline\ndef main(ns: list[int]):\n    return keep(square(fw.each(ns, batch=10)))\n"
    pipeline = rig.load(source)
    fw.run(pipeline, ns=[1, 2])
    again = fw.run(pipeline, ns=[2, 3, 1])
    assert [again.tasks[f"square[{n}]"].status for n in range(3)] == ["cached", "succeeded", "cached"]
    assert outputs(again) == {"result": [4, 9, 1]}


def test_an_item_cannot_change_what_the_next_item_of_its_batch_is_given(rig: Rig) -> None:
    run = rig.run("""
        import random

        @fw.step
        def spoil(n: int, shared: list[int]) -> list[int]:
            shared.append(n)
            return [*shared, random.randrange(10**6)]

        @fw.pipeline
        def main(batch: int = 3):
            return spoil(fw.each([1, 2, 3], batch=3), [0])
    """)
    assert [item[:2] for item in outputs(run)["result"]] == [[0, 1], [0, 2], [0, 3]]
    assert all(len(item) == 3 for item in outputs(run)["result"])


PARALLEL = """
import os
import time

@fw.step(cpu=0.1)
def span(n: int, folder: str) -> list[float]:
    begun = time.monotonic()
    open(f"{folder}/{n}", "w").close()
    sum(range(200_000))
    return [begun, time.monotonic()]

@fw.pipeline
def main(folder: str):
    return span(fw.each(range(8), max_parallel=2), folder)
"""


def most_at_once(spans: list[list[float]]) -> int:
    edges = sorted([(begun, 1) for begun, _ in spans] + [(ended, -1) for _, ended in spans])
    running = most = 0
    for _, change in edges:
        running += change
        most = max(most, running)
    return most


def test_max_parallel_limits_how_many_run_at_once(rig: Rig) -> None:
    run = rig.run(PARALLEL, {"folder": str(rig.root)})
    assert most_at_once(outputs(run)["result"]) <= 2
    live = peak = 0
    for event in events(run):
        live += {"AttemptPlanned": 1, "AttemptEnded": -1}.get(type(event).__name__, 0)
        peak = max(peak, live)
    assert peak == 2


def test_a_runs_max_parallel_limits_all_of_it(rig: Rig) -> None:
    run = rig.run(PARALLEL.replace(", max_parallel=2", ""), {"folder": str(rig.root)}, max_parallel=1)
    assert most_at_once(outputs(run)["result"]) == 1


PARTIAL = """
@fw.step
def half(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2

@fw.step
def add_one(n: int) -> int:
    return n + 1

@fw.step
def keep(items: list[int]) -> list[int]:
    return items

@fw.pipeline
def main():
    return keep(add_one(half(fw.each([0, 1, 2, 3, 4], on_error="keep"))))
"""


def test_kept_failures_are_left_out_and_the_run_succeeds(rig: Rig) -> None:
    run = rig.run(PARTIAL)
    assert run.status == "succeeded"
    assert outputs(run) == {"result": [1, 2, 3]}
    ended = statuses(run)
    assert [ended[f"half[{n}]"] for n in range(5)] == ["succeeded", "failed", "succeeded", "failed", "succeeded"]
    assert [ended[f"add_one[{n}]"] for n in range(5)] == ["succeeded", "skipped", "succeeded", "skipped", "succeeded"]
    assert "1 is odd" in run.tasks["half[1]"].error.message


def test_without_keep_one_failure_fails_the_run_and_what_gathers_does_not_run(rig: Rig) -> None:
    run = rig.run(PARTIAL.replace(', on_error="keep"', ""))
    assert run.status == "failed"
    assert error_of(run).message in ("1 is odd", "3 is odd"), "they run side by side: whichever failed first"
    assert statuses(run)["keep"] == "skipped"
    assert statuses(run)["add_one[2]"] == "succeeded", "what does not need the failed item goes on"


def test_a_list_within_a_map_that_could_not_be_made_is_not_passed_over_in_silence(rig: Rig) -> None:
    run = rig.run(
        STEPS
        + """
@fw.step
def some(n: int) -> list[int]:
    if n == 2:
        raise ValueError("no list")
    return list(range(n))

@fw.pipeline
def main():
    return keep(square(fw.each(some(fw.each([1, 2, 3])))))
"""
    )
    assert run.status == "failed"
    assert statuses(run)["keep"] == "skipped", "it would get the items of two lists out of three"


def test_every_item_failing_leaves_an_empty_list(rig: Rig) -> None:
    assert rig.result(PARTIAL.replace("[0, 1, 2, 3, 4]", "[1, 3]")) == []


def test_ten_thousand_items_in_batches_stay_in_order(rig: Rig) -> None:
    source = STEPS + "\n@fw.pipeline\ndef main(n: int):\n    return keep(square(fw.each(numbers(n), batch=1000)))\n"
    run = rig.run(source, {"n": 10_000})
    assert outputs(run) == {"result": [n * n for n in range(10_000)]}
    assert len([event for event in events(run, "AttemptPlanned") if event.node == "square"]) == 10


WRONG: dict[str, tuple[str, str, str]] = {
    "a number": ("square(fw.each(3))", "fw.each takes lists, not 3", "fw.each(range(n))"),
    "no list": ("square(fw.each())", "fw.each needs a list", "fw.each(depths)"),
    "a value that is no list": ("square(fw.each(square(2)))", "is a `int`", "-> list[...]"),
    "a mapped value again": ("square(fw.each(square(fw.each([1]))))", "is a `int`", "mapped already"),
    "batch=0": ("square(fw.each([1], batch=0))", "batch must be", "batch=100"),
    "max_parallel=-1": ("square(fw.each([1], max_parallel=-1))", "max_parallel must be", "no limit"),
    "on_error": ('square(fw.each([1], on_error="ignore"))', "on_error must be", "keep"),
    "a list into a step that takes one": ("square(numbers(3))", "takes `int`, not `list[int]`", "fw.each(value)"),
    "one into a step that takes a list": ("keep(square(3))", "takes `list[int]`, not `int`", "[value]"),
    "a for loop": ("[square(n) for n in numbers(3)]", "cannot be looped over", "fw.each(numbers(3))"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_maps_are_refused_with_the_line_and_the_way_out(rig: Rig, case: str) -> None:
    line, message, hint = WRONG[case]
    path: Any = rig.write(f"{STEPS}\n@fw.pipeline\ndef main():\n    {line}\n")
    with pytest.raises(DefinitionError) as caught:
        fw.run(fw.load_pipeline(path))
    assert message in caught.value.message
    assert hint in caught.value.hint
    file, _, number = caught.value.where.rpartition(":")
    assert (rig.root / file).read_text().splitlines()[int(number) - 1].strip() == line
