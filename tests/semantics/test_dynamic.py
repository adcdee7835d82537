"""Dynamic steps: bodies that see real values and call steps; loops, recursion, what is recorded, what fails."""

from __future__ import annotations

import fairway as fw
from tests.semantics.rig import Rig, error_of, events, outputs, statuses

SEARCH = """
@fw.step
def score(x: float) -> float:
    return -((x - 3) ** 2)

@fw.step
def pick(xs: list[float], scores: list[float]) -> float:
    return xs[scores.index(max(scores))]

@fw.dynamic
def refine(centre: float, width: float) -> float:
    if width < 0.5:
        return centre
    xs = [centre - width, centre, centre + width]
    return refine(pick(xs, score(fw.each(xs))), width / 2)

@fw.pipeline
def main(start: float = 0.0):
    return refine(start, 2.0)
"""


def test_recursion_on_real_values(rig: Rig) -> None:
    run = rig.run(SEARCH)
    assert outputs(run) == {"result": 3.0}
    assert statuses(run)["refine/refine/refine/refine"] == "succeeded"
    assert statuses(run)["refine/refine/score[2]"] == "succeeded"


def test_what_a_body_made_is_recorded_as_an_event_with_its_graph(rig: Rig) -> None:
    run = rig.run(SEARCH)
    grown = events(run, "GraphGrown")
    assert len(grown) == 4
    assert [node.id for node in grown[0].graph.nodes] == ["score", "pick", "refine"]
    assert [event.outputs["result"].inline for event in events(run, "ScopeEnded")][-1] == "3.0"


LOOP = """
@fw.step
def add(total: int, n: int) -> int:
    return total + n

@fw.step
def big(n: int) -> bool:
    return n > 1

@fw.dynamic
def chain(ns: list[int]) -> int:
    total = 0
    for n in ns:
        if n % 2:
            total = add(total, n)
    return total

@fw.step
def numbers() -> list[int]:
    return [1, 2, 3, 5]

@fw.pipeline
def main():
    return chain(numbers())
"""


def test_loops_and_ifs_over_real_values_wire_steps(rig: Rig) -> None:
    run = rig.run(LOOP)
    assert outputs(run) == {"result": 9}
    assert [name for name in run.tasks if name.startswith("chain/")] == ["chain/add", "chain/add-2", "chain/add-3"]


def test_a_mapped_dynamic_step_grows_a_graph_for_each_item(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def square(n: int) -> int:
            return n * n

        @fw.step
        def total(ns: list[int]) -> int:
            return sum(ns)

        @fw.dynamic
        def sums(n: int) -> int:
            return total([square(i) for i in range(n)])

        @fw.pipeline
        def main():
            return sums(fw.each([0, 1, 3]))
    """)
    assert outputs(run) == {"result": [0, 0, 5]}
    assert statuses(run)["sums[2]/square-3"] == "succeeded"


def test_a_dynamic_body_may_return_a_plain_value_and_several_outputs(rig: Rig) -> None:
    run = rig.run("""
        import pandas as pd

        @fw.step
        def add(n: int) -> int:
            return n + 1

        @fw.dynamic
        def split(n: int) -> {"table": pd.DataFrame, "plus": int, "same": int}:
            return {"table": pd.DataFrame({"a": range(n)}), "plus": add(n), "same": n}

        @fw.pipeline
        def main():
            return split(3)
    """)
    found = outputs(run)
    assert (found["plus"], found["same"]) == (4, 3)
    assert list(found["table"]["a"]) == [0, 1, 2]


def test_conditions_and_nested_pipelines_work_in_a_body(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def add(n: int) -> int:
            return n + 1

        @fw.pipeline
        def twice(n: int):
            return add(add(n))

        @fw.dynamic
        def grow(n: int) -> int:
            made = twice(n)
            with fw.when(made > 100):
                much = add(made)
            with fw.otherwise():
                little = twice(made)
            return fw.either(much, little)

        @fw.pipeline
        def main():
            return grow(1)
    """)
    assert outputs(run) == {"result": 5}


def test_a_failure_in_a_body_and_in_a_step_that_it_called_are_the_tasks_failures(rig: Rig) -> None:
    body = rig.run(LOOP.replace("total = 0\n", "total = 1 // 0\n"))
    assert body.status == "failed"
    assert (error_of(body).kind, error_of(body).frames[-1].function) == ("ZeroDivisionError", "chain")
    inner = rig.run(LOOP.replace("return total + n", "return total // 0"))
    assert inner.status == "failed"
    assert error_of(inner).message.startswith("chain/add: ")
    assert statuses(inner)["chain/add-2"] == "skipped"


def test_the_same_rules_hold_in_a_body_for_what_its_steps_will_return(rig: Rig) -> None:
    run = rig.run(LOOP.replace("if n % 2:", "if big(n):"))
    assert error_of(run).kind == "DefinitionError"
    assert "cannot be used in an `if` here" in error_of(run).message
    assert error_of(run).hint.startswith("write `with fw.when(big(n)):")


def test_a_body_that_ended_is_not_run_again_by_a_resume(rig: Rig) -> None:
    mark = rig.root / "mark"
    source = f"""
        from pathlib import Path

        @fw.step
        def check(n: int) -> int:
            if not Path({str(mark)!r}).exists():
                raise RuntimeError("not yet")
            return n

        @fw.dynamic
        def grow() -> int:
            with open({str(rig.root / "bodies")!r}, "a") as file:
                file.write("x")
            return check(3)

        @fw.pipeline
        def main():
            return grow()
    """
    run = rig.run(source)
    assert run.status == "failed"
    mark.touch()
    assert run.resume().status == "succeeded"
    assert outputs(run) == {"result": 3}


def test_a_dynamic_step_called_outside_a_pipeline_just_runs(rig: Rig) -> None:
    done = rig.python(rig.write(SEARCH.replace("score(fw.each(xs))", "[score(x) for x in xs]") + "\nprint(refine(0.0, 2.0))\n"))
    assert done.stdout == "3.0\n", done.stderr


def test_a_dynamic_step_is_cached_with_what_it_grew(rig: Rig) -> None:
    pipeline = rig.load(LOOP)
    fw.run(pipeline)
    again = fw.run(pipeline)
    assert events(again, "AttemptPlanned") == [], "neither the body nor its steps ran"
    assert outputs(again) == {"result": 9}


def test_an_edited_step_that_only_a_body_calls_is_run_again(rig: Rig) -> None:
    path = rig.write(LOOP)
    assert rig.fairway("run", path).returncode == 0
    path.write_text(path.read_text().replace("return total + n", "return total + 10 * n"))
    assert rig.fairway("run", path).returncode == 0
    assert outputs(rig.last()) == {"result": 90}


FILES = """
@fw.step
def size(data: fw.File) -> int:
    return len(data.read_bytes())

@fw.dynamic
def grow(given: fw.File, place: str) -> list[int]:
    with open("own.txt", "w") as file:
        file.write("12")
    return [size(given), size("own.txt"), size(fw.artifact(place)), size(place)]

@fw.pipeline
def main(given: fw.File, place: str):
    return grow(given, place)
"""


def test_files_are_passed_on_and_stored_while_the_run_goes_on(rig: Rig) -> None:
    (rig.root / "data.csv").write_text("1")
    run = rig.run(FILES, {"given": "data.csv", "place": str(rig.root / "data.csv")})
    assert outputs(run) == {"result": [1, 2, 1, 1]}


def test_a_path_that_does_not_exist_there_is_refused_with_the_reason(rig: Rig) -> None:
    (rig.root / "data.csv").write_text("1")
    run = rig.run(FILES, {"given": "data.csv", "place": "data.csv"})
    assert error_of(run).message == "there is no data.csv"
    assert "working folder of its own" in error_of(run).hint
    run = rig.run(FILES, {"given": "data.csv", "place": "https://example.org/data.csv"})
    assert "fetched before a run" in error_of(run).message
