"""Pipelines in pipelines, and steps that wait without taking anything."""

from __future__ import annotations

import pytest

import fairway as fw
from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, events, outputs, statuses

NESTED = """
@fw.step
def load(n: int) -> list[int]:
    return list(range(n))

@fw.step
def square(n: int) -> int:
    return n * n

@fw.step
def total(ns: list[int]) -> int:
    return sum(ns)

@fw.pipeline
def squares(n: int, more: int = 0):
    return total(square(fw.each(load(n))))

@fw.pipeline
def both(n: int = 3):
    one = squares(n)
    with fw.when(one > 100):
        squares(5)
    return {"one": one, "two": squares(4)}
"""


def test_a_pipeline_in_a_pipeline_puts_its_steps_there_under_its_name(rig: Rig) -> None:
    run = rig.run(NESTED)
    assert outputs(run) == {"one": 5, "two": 14}
    ended = statuses(run)
    assert ended["squares.load"] == "succeeded"
    assert ended["squares-2.load"] == "skipped", "the condition around it holds for all its steps"
    assert ended["squares-3.square[3]"] == "succeeded"


def test_the_same_step_is_cached_between_a_nested_and_an_outer_call(rig: Rig) -> None:
    source = rig.write(NESTED)
    fw.run(fw.load_pipeline(f"{source}:squares"), n=3)
    run = fw.run(fw.load_pipeline(f"{source}:both"))
    assert statuses(run)["squares.load"] == "cached"


def test_a_nested_pipeline_is_mapped_as_a_whole(rig: Rig) -> None:
    run = rig.run(
        NESTED.replace("def both(n: int = 3):", "def both(ns: list[int] = [2, 3]):").replace(
            """    one = squares(n)
    with fw.when(one > 100):
        squares(5)
    return {"one": one, "two": squares(4)}
""",
            """    return total(squares(fw.each(ns)))
""",
        )
    )
    assert outputs(run) == {"result": 1 + 5}, "inside, a list is one item's: it is not gathered over the outer map"
    assert statuses(run)["squares.square[1,2]"] == "succeeded"


def test_several_outputs_of_a_nested_pipeline_are_passed_on_by_name(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def add(a: int, b: int) -> int:
            return a + b

        @fw.pipeline
        def part(n: int):
            return {"low": add(n, 0), "high": add(n, 100)}

        @fw.pipeline
        def whole():
            made = part(1)
            return add(made.low, made["high"])
    """)
    assert outputs(run) == {"result": 102}


def test_a_pipeline_that_calls_itself_is_refused_with_the_way_out(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="calls itself without end") as caught:
        rig.run("@fw.pipeline\ndef again(n: int = 1):\n    return again(n)\n")
    assert "@fw.dynamic" in caught.value.hint


AFTER = """
@fw.step
def write(path: str) -> None:
    open(path, "w").write("written")

@fw.step
def read(path: str) -> str:
    return open(path).read()

@fw.step
def slow(n: int) -> int:
    return sum(range(300_000)) * 0 + n

@fw.pipeline
def main(path: str):
    made = write(path)
    %s
"""


@pytest.mark.parametrize("line", ["return read(path).after(made)", "with fw.after(made):\n        found = read(path)\n    return found"])
def test_after_makes_a_step_wait_for_one_it_takes_nothing_from(rig: Rig, line: str) -> None:
    assert rig.result(AFTER % line, {"path": str(rig.root / "file")}) == "written"


def test_after_a_mapped_step_waits_for_all_its_items(rig: Rig) -> None:
    run = rig.run(AFTER % "return read(path).after(slow(fw.each(range(5))), made)", {"path": str(rig.root / "file")})
    order = [(type(event).__name__, getattr(event, "node", "")) for event in events(run)]
    ended = [at for at, (kind, _) in enumerate(order) if kind == "AttemptEnded"]
    assert order.index(("AttemptPlanned", "read")) > ended[5], "write and five times slow have ended"


def test_after_a_skipped_step_runs_and_after_a_failed_one_does_not(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def fail() -> None:
            raise ValueError("no")

        @fw.step
        def quiet() -> None:
            fw.skip("nothing to do")

        @fw.step
        def one() -> int:
            return 1

        @fw.pipeline
        def main():
            return {"a": one().after(quiet()), "b": one().after(fail())}
    """)
    assert run.status == "failed"
    assert outputs(run, status="failed") == {"a": 1}
    assert statuses(run)["one-2"] == "skipped"


def test_a_circle_of_after_is_refused_naming_it(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="in a circle: `one` → `two` → `one`"):
        rig.run("""
            @fw.step
            def one(): ...

            @fw.step
            def two(): ...

            @fw.pipeline
            def main():
                a = one()
                b = two().after(a)
                a.after(b)
        """)
