"""`fw.context()`: what a step may know of the task that it is."""

from __future__ import annotations

import fairway as fw
from tests.semantics.rig import Rig, outputs

SOURCE = """
import os
import random

@fw.step(retry=fw.retry(2, backoff=0))
def tell(n: int) -> dict:
    now = fw.context()
    if n == 1 and now.n == 1:
        raise ValueError("again")
    return {
        "run": now.run, "task": now.task, "n": now.n, "pipeline": now.pipeline, "params": now.params, "project": now.project,
        "here": os.path.realpath(now.scratch) == os.getcwd(), "seed": now.seed, "drawn": random.random(),
    }

@fw.pipeline
def told(ns: list[int] = [0, 1], batch: int = 1):
    return tell(fw.each(ns))
"""


def test_a_step_knows_its_run_its_task_and_its_try(rig: Rig) -> None:
    run = rig.run(SOURCE)
    first, second = outputs(run)["result"]
    assert first["run"] == second["run"] == run.id
    assert (first["task"], second["task"]) == ("tell[0]", "tell[1]")
    assert (first["n"], second["n"]) == (1, 2)
    assert first["pipeline"] == "told"
    assert first["params"] == {"ns": [0, 1], "batch": 1}
    assert first["project"] == rig.root.name
    assert first["here"] is True


def test_random_numbers_depend_on_the_task_and_not_on_the_run_the_batch_or_the_try(rig: Rig) -> None:
    one = outputs(rig.run(SOURCE, cache=False))["result"]
    other = outputs(rig.run(SOURCE.replace("fw.each(ns)", "fw.each(ns, batch=2)"), cache=False))["result"]
    assert [item["drawn"] for item in one] == [item["drawn"] for item in other]
    assert one[0]["drawn"] != one[1]["drawn"]
    assert [item["seed"] for item in one] == [item["seed"] for item in other]


def test_libraries_imported_before_and_after_are_seeded_alike(rig: Rig) -> None:
    run = """
        {above}

        @fw.step
        def draw() -> float:
            import numpy as np
            return float(np.random.random())

        @fw.pipeline
        def main():
            return draw()
    """
    late = outputs(rig.run(run.format(above=""), cache=False))
    early = outputs(rig.run(run.format(above="import numpy as np"), cache=False))
    assert late == early


def test_outside_a_run_it_is_empty() -> None:
    now = fw.context()
    assert (now.run, now.task, now.n, now.params) == ("", "", 1, {})
    assert "outside a run" in repr(now)


def test_a_step_cannot_start_a_run(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def one() -> int:
            return 1

        @fw.pipeline(name="inner")
        def inner():
            return one()

        @fw.step
        def start() -> int:
            return fw.run(inner).outputs["result"].load()

        @fw.pipeline
        def main():
            return start()
    """)
    assert run.status == "failed"
    error = run.tasks["start"].error
    assert error.message == "start is a step, and a step cannot start a run"
    assert "@fw.dynamic" in error.hint
