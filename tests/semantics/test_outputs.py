"""Several outputs of one step, outputs nobody uses, and outputs that are not what was promised."""

from __future__ import annotations

import pytest

from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, error_of, outputs

FORMS = {
    "namedtuple": ("class Both(NamedTuple):\n    low: int\n    high: int", "Both", "Both(1, 9)"),
    "dataclass": ("@dataclass\nclass Both:\n    low: int\n    high: int", "Both", "Both(1, 9)"),
    "dict": ("", '{"low": int, "high": int}', '{"high": 9, "low": 1, "more": 0}'),
    "typed dict": ("class Both(TypedDict):\n    low: int\n    high: int", "Both", "Both(low=1, high=9)"),
}


@pytest.mark.parametrize("form", FORMS)
def test_several_outputs_are_passed_on_one_by_one(rig: Rig, form: str) -> None:
    definition, annotation, value = FORMS[form]
    source = f"""
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

{definition}

@fw.step
def split() -> {annotation}:
    return {value}

@fw.step
def double(n: int) -> int:
    return 2 * n

@fw.pipeline
def main():
    both = split()
    return {{"high": double(both.high), "low": double(both["low"])}}
"""
    assert outputs(rig.run(source)) == {"high": 18, "low": 2}


def test_a_whole_several_outputs_value_returned_names_the_pipelines_outputs(rig: Rig) -> None:
    run = rig.run("""
        from typing import NamedTuple

        class Both(NamedTuple):
            low: int
            high: str

        @fw.step
        def split() -> Both:
            return Both(1, "x")

        @fw.pipeline
        def main():
            return split()
    """)
    assert outputs(run) == {"low": 1, "high": "x"}


def test_unused_outputs_are_stored_and_do_no_harm(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def split() -> {"used": int, "unused": list[int]}:
            return {"used": 1, "unused": [1, 2]}

        @fw.step
        def loose() -> int:
            return 5

        @fw.step
        def show(n: int) -> None:
            print("got", n)

        @fw.pipeline
        def main():
            loose()
            show(split().used)
    """)
    assert run.status == "succeeded"
    assert dict(run.outputs) == {}
    assert run.tasks["split"].outputs["unused"].load() == [1, 2]
    assert run.tasks["loose"].outputs["result"].load() == 5
    assert run.logs("show").strip().endswith("got 1")


WRONG = {
    "a dict without one": ('{"low": int, "high": int}', '{"low": 1}', "returned no 'high'"),
    "no dict": ('{"low": int}', "3", "did not return a dict but a int"),
    "another class": ("Both", "(1, 2)", "did not return what it is annotated to return but a tuple"),
}


@pytest.mark.parametrize("case", WRONG)
def test_outputs_that_were_promised_and_not_returned_fail_the_step(rig: Rig, case: str) -> None:
    annotation, value, message = WRONG[case]
    run = rig.run(f"""
from typing import NamedTuple

class Both(NamedTuple):
    low: int
    high: int

@fw.step
def split() -> {annotation}:
    return {value}

@fw.pipeline
def main():
    split()
""")
    assert run.status == "failed"
    assert message in error_of(run).message
    assert error_of(run).hint


def test_an_output_that_is_not_named_right_is_refused_with_the_names(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="has no output `hihg`") as caught:
        rig.run("""
            @fw.step
            def split() -> {"low": int, "high": int}:
                return {"low": 1, "high": 2}

            @fw.pipeline
            def main():
                return split().hihg
        """)
    assert "low, high" in caught.value.hint
    assert "Did you mean `high`" in caught.value.hint


def test_none_returned_is_a_value_and_a_step_annotated_none_has_no_output(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def nothing():
            return None

        @fw.step
        def is_none(x) -> bool:
            return x is None

        @fw.pipeline
        def main():
            return is_none(nothing())
    """)
    assert outputs(run) == {"result": True}
    with pytest.raises(DefinitionError, match="has no output to pass on"):
        rig.run("""
            @fw.step
            def silent() -> None: ...

            @fw.step
            def take(x): ...

            @fw.pipeline
            def main():
                take(silent())
        """)


def test_a_type_that_nothing_can_store_is_refused_at_definition_if_annotated_else_when_written(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="has no stored form") as caught:
        rig.run("""
            import threading

            @fw.step
            def lock() -> threading.Event:
                return threading.Event()

            @fw.pipeline
            def main():
                lock()
        """)
    assert caught.value.where.endswith(":5")
    run = rig.run("""
        import threading

        @fw.step
        def lock():
            return threading.Event()

        @fw.pipeline
        def main():
            lock()
    """)
    assert error_of(run).kind == "output"
    assert "Event" in error_of(run).message
