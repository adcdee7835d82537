"""What cannot work is refused with file, line and the right spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.errors import DefinitionError

CASES = [
    ("if n > 3:\n        pass", "used in an `if`", "with fw.when(n > 3):"),
    ("while n:\n        pass", "used in a `while`", "@fw.dynamic"),
    ("assert n", "used in an `assert`", "inside a step"),
    ("n > 1 and n < 3", "`and`, `or` or `not`", "&"),
    ("not n", "`and`, `or` or `not`", "~a"),
    ("1 < n < 3", "compared twice", "(a < x) & (x < b)"),
    ("bool(n)", "truth value", "fw.when"),
    ("for x in numbers(n):\n        pass", "looped over", "fw.each(numbers(n))"),
    ("[square(x) for x in ns]", "looped over", "fw.each(ns)"),
    ("a, b = numbers(n)", "unpacked", "NamedTuple"),
    ("f'{n}'", "f-string", "inside a step"),
    ("str(n)", "made into text", "inside a step"),
    ("ns[0]", "indexed", "index it inside a step"),
    ("len(ns)", "len()", "fw.length"),
    ("3 in ns", "with `in`", "fw.contains"),
    ("int(n)", "made an int", "inside a step"),
    ("float(n)", "made a float", "inside a step"),
    ("range(n)", "whole number", "fw.each"),
    ("n()", "called", "inside a step"),
    ("ns[0] = 1", "changed", "in a step"),
    ("with n:\n        pass", "used in `with`", "fw.when"),
    ("n.real", "cannot be read", "NamedTuple"),
    ("evaluate(n).acc", "has no output `acc`", "auc"),
    ("square(evaluate(n))", "several outputs", ".auc"),
    ("square(publish(n))", "no output", ".after"),
    ("square(fw.each(3))", "takes lists", "range"),
    ("square(fw.each(n))", "is a `int`", "list"),
    ("square(fw.each(square(fw.each(ns))))", "is a `int`", "mapped already"),
    ("square(fw.each())", "needs a list", "fw.each(depths)"),
    ("square(fw.each(ns, batch=0))", "batch", "100"),
    ("square(fw.each(ns, max_parallel=-1))", "max_parallel", "no limit"),
    ("square(fw.each(ns, on_error='skip'))", "on_error", "keep"),
    ("fw.collect(n)", "not mapped", "fw.each"),
    ("fw.either(n)", "at least two", "fw.either(a, b)"),
    ("fw.otherwise()", "before it", "after the `when`"),
    ("fw.secret('K') + 'x'", "secret", "as it is"),
    ("fw.when(fw.secret('K'))", "secret", "inside a step"),
    ("fw.secret('a b')", "not a secret's name", "API_KEY"),
    ("square(y=1)", "no parameter `y`", "square(x)"),
    ("square()", "without `x`", "square(x)"),
    ("square(1, 2)", "takes 1 arguments", "square(x)"),
    ("square(1, x=2)", "twice", "square(x)"),
    ("square(object())", "only numbers", "inside a step"),
    ("square(float('nan'))", "JSON", "None"),
    ("anything({1: 2})", "not text", "strings"),
    ("anything({'a': n})", "dict with values", "separate"),
    ("anything(square)", "itself", "call it"),
    ("n.after(square(1))", "cannot wait", "step"),
    ("square(1).after(3)", "takes results", "after"),
    ("fw.artifact('')", "path or URL", "data.csv"),
    ("fw.artifact('a', digest='12')", "SHA-256", "64"),
    ("square.options(cpus=2)", "no setting `cpus`", "cpu"),
    ("square.options(cpu=0)", "cores", "cpu=2"),
    ("square.options(memory='lots')", "memory", "512Mi"),
    ("square.options(timeout='soon')", "duration", "90s"),
    ("square.options(retries=-1)", "retries", "three"),
    ("square.options(accelerator='gpu:x')", "accelerator", "nvidia.com/gpu:2"),
    ("square.options(cache='no')", "True or False", "cache=False"),
    ("square.options(env=3)", "environment", "fw.env"),
    ("fw.retry(0)", "attempts", "3"),
    ("fw.retry(jitter=2)", "jitter", "half"),
    ("fw.retry(on=[3])", "kind of error", "timeout"),
    ("fw.env(packages=['a'], project='uv.lock')", "not from both", "own file"),
    ("fw.env(python='new')", "Python version", "3.12"),
    ("fw.command('ls -l')", "list of words", "sh"),
    ("fw.command(['a', fw.In('x'), fw.Out('x')])", "both an input and an output", "two names"),
    ("fw.command(['a'], exit_codes={3: 'maybe'})", "exit_codes", "skip"),
    ("fw.container('', ['a'])", "container image", "rocker"),
    ("fw.Out('a b')", "cannot be called", "plain word"),
]


@pytest.mark.parametrize("line, message, hint", CASES, ids=[case[0].splitlines()[0] for case in CASES])
def test_refused_with_line_and_way_out(trace, line, message, hint):
    source = f"""
@fw.pipeline
def main(n: int, ns: list[int]):
    {line}
"""
    with pytest.raises(DefinitionError) as caught:
        trace(source)
    error = caught.value
    assert message in error.message
    assert hint in error.hint
    file, _, number = error.where.rpartition(":")
    assert Path(file).read_text().splitlines()[int(number) - 1].strip() == line.splitlines()[0]


DECORATED = [
    ("@fw.step\ndef a(*xs): ...", "*args"),
    ("@fw.step\ndef a(x, /): ...", "positional-only"),
    ("@fw.step\ndef a(x):\n    yield 1", "generator"),
    ("@fw.step\nasync def a(x): ...", "async"),
    ("@fw.step\nclass A: ...", "not `A`"),
    ("a = fw.step(lambda x: x)", "lambda"),
    ("@fw.step\n@fw.step\ndef a(x): ...", "takes a function"),
    ("@fw.step(memry='1Gi')\ndef a(x): ...", "no setting `memry`"),
    ("@fw.pipeline(timout=3)\ndef a(): ...", "no setting `timout`"),
    ("@fw.pipeline(on_exit=print)\ndef a(): ...", "on_exit takes a step"),
    ("@fw.pipeline(max_parallel=-1)\ndef a(): ...", "max_parallel"),
    ("@fw.pipeline(timeout=0)\ndef a(): ...", "duration"),
    ("@fw.step\ndef a() -> {'after': int}: ...\n@fw.pipeline\ndef main():\n    a()", "cannot be called 'after'"),
    ("@fw.step\ndef a(s): ...\n@fw.pipeline(on_exit=a)\ndef main():\n    pass", "which nothing gives it"),
    ("@fw.pipeline\ndef main():\n    return [square(1), square(2)]", "without names"),
    ("@fw.pipeline\ndef main(x=object()):\n    square(x)", "default of `x`"),
]


@pytest.mark.parametrize("source, message", DECORATED, ids=[case[1] for case in DECORATED])
def test_definitions_that_cannot_run(trace, source, message):
    with pytest.raises(DefinitionError) as caught:
        trace(source)
    assert message in caught.value.message
    assert caught.value.hint
    assert ".py:" in caught.value.where or "without names" in message


def test_values_of_another_trace_are_refused(trace):
    with pytest.raises(DefinitionError, match="of another pipeline or of an earlier trace"):
        trace("""
        kept = []

        @fw.pipeline
        def inner(n: int = 1):
            kept.append(square(n))

        inner.trace()

        @fw.pipeline
        def flow(n: int):
            square(kept[0])

        flow.trace()
        """)


@pytest.mark.parametrize("name", ["each", "collect", "when", "otherwise", "either", "artifact", "after"])
def test_control_flow_outside_of_pipelines_is_refused(name):
    import fairway as fw

    arguments = {"each": ([1],), "otherwise": (), "either": (1, 2), "artifact": ("a",)}.get(name, (1,))
    with pytest.raises(DefinitionError, match="only inside a pipeline"):
        getattr(fw, name)(*arguments)


def test_a_command_is_not_called_outside_of_pipelines():
    import fairway as fw

    with pytest.raises(DefinitionError, match="runs only in a pipeline"):
        fw.command(["ls"])()
