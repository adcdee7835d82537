"""`fw.skip()`: a step that finds that there is nothing to do."""

from __future__ import annotations

import pytest

from tests.semantics.rig import Rig, events, outputs, statuses

SKIPPING = """
@fw.step
def rows(month: int) -> list[int]:
    if month == 2:
        fw.skip("no rows for this month")
    return [month]

@fw.step
def count(rows: list[int]) -> int:
    return len(rows)

@fw.step
def total(counts: list[int]) -> int:
    return sum(counts)

@fw.step
def instead() -> int:
    return -1

@fw.pipeline
def one(month: int = 2):
    return fw.either(count(rows(month)), instead())

@fw.pipeline
def many():
    return total(count(rows(fw.each([1, 2, 3]))))
"""


def test_a_skipped_step_is_no_failure_and_what_needs_it_is_skipped_too(rig: Rig) -> None:
    path = rig.write(SKIPPING)
    done = rig.fairway("run", f"{path}:one")
    assert done.returncode == 0, done.stderr
    assert "skipped" in done.stderr
    run = rig.last()
    assert run.status == "succeeded"
    assert statuses(run) == {"rows": "skipped", "count": "skipped", "instead": "succeeded"}
    assert outputs(run) == {"result": -1}


def test_the_reason_is_kept_and_shown(rig: Rig) -> None:
    path = rig.write(SKIPPING)
    rig.fairway("run", f"{path}:one")
    (ended,) = [event for event in events(rig.last(), "AttemptEnded") if event.outcome.items[0].status == "skipped"]
    assert ended.outcome.items[0].reason == "no rows for this month"
    assert "no rows for this month" in rig.fairway("show", "last", "rows").stdout


def test_a_reason_may_be_anything_that_has_a_text(rig: Rig) -> None:
    run = rig.run(SKIPPING.replace('"no rows for this month"', "404").replace("@fw.pipeline\ndef many", "def many"))
    assert run.tasks["rows"].reason == "404"


def test_skipped_items_are_left_out_of_what_gathers(rig: Rig) -> None:
    path = rig.write(SKIPPING)
    rig.fairway("run", f"{path}:many")
    run = rig.last()
    assert outputs(run) == {"result": 2}
    assert statuses(run)["count[1]"] == "skipped"


def test_a_skip_is_not_cached_but_asked_again(rig: Rig) -> None:
    path = rig.write(SKIPPING)
    rig.fairway("run", f"{path}:one")
    rig.fairway("run", f"{path}:one")
    assert statuses(rig.last())["rows"] == "skipped"
    assert [event.node for event in events(rig.last(), "AttemptPlanned")] == ["rows"]


def test_a_whole_pipeline_whose_end_was_skipped_has_no_output(rig: Rig) -> None:
    run = rig.run(SKIPPING.replace("@fw.pipeline\ndef one", "def one").replace("total(count(rows(fw.each([1, 2, 3]))))", "count(rows(2))"))
    assert run.status == "succeeded"
    assert dict(run.outputs) == {}


def test_outside_a_run_it_raises_and_says_why(rig: Rig) -> None:
    from fairway.step.context import Skipped

    namespace: dict = {}
    exec("import fairway as fw\ndef step():\n    fw.skip('why')", namespace)
    with pytest.raises(Skipped, match="why"):
        namespace["step"]()
