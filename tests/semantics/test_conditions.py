"""`when`, `otherwise` and `either`: nested, merged, mapped; and what is refused because the value does not exist yet."""

from __future__ import annotations

import pytest

from fairway.errors import DefinitionError
from tests.semantics.rig import Rig, error_of, outputs, statuses

STEPS = """
import json

@fw.step
def same(x: float) -> float:
    return x

@fw.step
def numbers(n: int) -> list[int]:
    return list(range(n))

@fw.step
def say(word: str) -> str:
    return word

@fw.step
def keep(words: list[str]) -> list[str]:
    return words
"""

GRADES = (
    STEPS
    + """
@fw.pipeline
def main(x: float):
    value = same(x)
    with fw.when(value > 1):
        with fw.when(value > 10):
            high = say("high")
        with fw.otherwise():
            middle = say("middle")
        upper = fw.either(high, middle)
    with fw.otherwise():
        low = say("low")
    return fw.either(upper, low)
"""
)


@pytest.mark.parametrize(("x", "word"), [(100, "high"), (5, "middle"), (0, "low")])
def test_branches_nest_and_merge(rig: Rig, x: float, word: str) -> None:
    run = rig.run(GRADES, {"x": x})
    assert outputs(run) == {"result": word}
    assert [status for name, status in statuses(run).items() if name.startswith("say")].count("skipped") == 2


CONDITIONS = {
    "value > 1": True,
    "(value > 1) & (value < 2)": False,
    "(value < 1) | (value == 3)": True,
    "~(value > 1)": False,
    "value + 1 == 4": True,
    "-value < 0": True,
    "value % 2 == 1": True,
    "value // 2 != 1": False,
    "fw.length(numbers(3)) == 3": True,
    "fw.contains(numbers(3), value)": False,
    "fw.contains(numbers(4), value)": True,
    "limit": False,
    "True": True,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_conditions_compare_and_compute_with_values(rig: Rig, condition: str) -> None:
    source = f"""{STEPS}
@fw.pipeline
def main(limit: int = 0):
    value = same(3)
    with fw.when({condition}):
        yes = say("yes")
    with fw.otherwise():
        no = say("no")
    return fw.either(yes, no)
"""
    assert rig.result(source) == ("yes" if CONDITIONS[condition] else "no")


def test_what_takes_a_skipped_value_is_skipped_and_says_so(rig: Rig) -> None:
    run = rig.run(
        STEPS
        + """
@fw.pipeline
def main():
    with fw.when(same(1) > 2):
        word = say("never")
    return keep([say(word), "x"])
"""
    )
    assert run.status == "succeeded"
    assert dict(run.outputs) == {}
    tasks = run.state().scopes[""].nodes
    assert [(tasks[name].items[()].status, tasks[name].items[()].reason) for name in ("say", "say-2", "keep")] == [
        ("skipped", "condition"),
        ("skipped", "upstream"),
        ("skipped", "upstream"),
    ]
    shown = rig.fairway("show", run.id).stdout
    assert "condition" in shown
    assert "upstream" in shown


def test_a_condition_on_a_mapped_value_is_decided_for_each_item(rig: Rig) -> None:
    run = rig.run(
        STEPS
        + """
@fw.step
def name(x: float) -> str:
    return f"big {x:g}"

@fw.step
def small(x: float) -> str:
    return f"small {x:g}"

@fw.pipeline
def main():
    value = same(fw.each([1, 20, 3]))
    with fw.when(value > 2):
        big = name(value)
    with fw.otherwise():
        little = small(value)
    return {"big": keep(big), "all": keep(fw.either(big, little))}
"""
    )
    assert outputs(run) == {"big": ["big 20", "big 3"], "all": ["small 1", "big 20", "big 3"]}


def test_either_takes_the_first_that_is_there(rig: Rig) -> None:
    source = STEPS + '\n@fw.pipeline\ndef main():\n    return fw.either(say("a"), say("b"))\n'
    assert rig.result(source) == "a"


def test_either_of_a_failed_and_a_skipped_branch_does_not_hide_the_failure(rig: Rig) -> None:
    run = rig.run(
        STEPS
        + """
@fw.step
def fail(x: float) -> str:
    raise ValueError("broken")

@fw.pipeline
def main():
    value = same(1)
    with fw.when(value > 0):
        a = fail(value)
    with fw.otherwise():
        b = say("b")
    return say(fw.either(a, b))
"""
    )
    assert run.status == "failed"
    assert error_of(run).message == "broken"
    assert statuses(run)["say-2"] == "skipped"


def test_a_condition_that_cannot_be_computed_fails_saying_with_what(rig: Rig) -> None:
    run = rig.run(
        STEPS
        + """
@fw.step
def anything():
    return "text"

@fw.pipeline
def main():
    with fw.when(anything() > 3):
        say("x")
"""
    )
    assert run.status == "failed"
    assert '`>` cannot be computed for "text", 3' in error_of(run).message
    assert error_of(run).hint == "compute it in a step"


REFUSED = {
    "if value > 1: pass": ("used in an `if`", "with fw.when(value > 1):"),
    "while value: pass": ("used in a `while`", "@fw.dynamic"),
    "for one in value: pass": ("looped over", "fw.each(value)"),
    "bool(value)": ("used as a truth value", "fw.when(condition)"),
    'f"{value}"': ("put into an f-string", "inside a step"),
    "str(value)": ("made into text", "inside a step"),
    "value[0]": ("indexed", "inside a step"),
    "len(value)": ("measured with len()", "fw.length(value)"),
    "3 in value": ("searched with `in`", "fw.contains(values, item)"),
    "1 < value < 3": ("compared twice in one go", "(a < x) & (x < b)"),
    "value > 1 and value < 3": ("`and`, `or` or `not`", "`(a > 1) & (b < 2)`"),
    "not value": ("`and`, `or` or `not`", "`~a`"),
    "int(value)": ("made an int", "inside a step"),
    "range(value)": ("used as a whole number", "fw.each(...)"),
    "json.dumps(value)": ("value that does not exist yet", "inside a step"),
    'json.dumps({"a": value})': ("value that does not exist yet", "inside a step"),
    '"".join([value])': ("value that does not exist yet", "inside a step"),
    "open(value)": ("value that does not exist yet", "inside a step"),
    'json.loads("{")': ("JSONDecodeError", "the body of `main`"),
    "value.score": ("`.score` of the result of `same` cannot be read", "NamedTuple"),
    "value()": ("called", "inside a step"),
    "with value: pass": ("used in `with`", "fw.when(condition)"),
    "assert value": ("used in an `assert`", "inside a step"),
    "a, b = value": ("unpacked", "NamedTuple"),
    "sum(value)": ("unpacked", "fw.each(...)"),
    '"%s" % value': ("", ""),
    "{**value}": ("", ""),
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_needs_a_value_that_does_not_exist_yet_is_refused_with_the_line_and_the_right_spelling(rig: Rig, line: str) -> None:
    message, hint = REFUSED[line]
    path = rig.write(f"{STEPS}\n@fw.pipeline\ndef main(x: float = 1):\n    value = same(x)\n    {line}\n    return value\n")
    with pytest.raises(DefinitionError) as caught:
        rig.load(path.read_text()).trace()
    assert message in caught.value.message
    assert hint in caught.value.hint
    file, _, number = caught.value.where.rpartition(":")
    assert (rig.root / file).read_text().splitlines()[int(number) - 1].strip() == line


def test_otherwise_without_when_is_refused(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match=r"no `with fw\.when"):
        rig.run(STEPS + '\n@fw.pipeline\ndef main():\n    with fw.otherwise():\n        say("x")\n')


def test_calling_a_step_outside_a_pipeline_just_calls_the_function(rig: Rig) -> None:
    path = rig.write(STEPS + '\nprint(same(3) * 2, say("x"), keep(words=["a"]), [same(n) for n in range(2)])\n')
    done = rig.python(path)
    assert done.stdout == "6 x ['a'] [0, 1]\n", done.stderr
    assert rig.count_runs() == 0


def test_control_flow_outside_a_pipeline_is_refused(rig: Rig) -> None:
    done = rig.python(rig.write(STEPS + "\nsame(fw.each([1, 2]))\n"))
    assert done.returncode == 1
    assert "fw.each has a meaning only inside a pipeline" in done.stderr
