"""Definitions of a notebook as a module: what its steps use, in an order in which it can run, and nothing else of the session."""

from __future__ import annotations

import itertools
import linecache
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fairway.dsl.notebook import synthesise, write_module
from fairway.errors import DefinitionError

_numbers = itertools.count(1)


class Session:
    """A notebook's session: cells run one after the other in one namespace, their text known to `linecache`, as IPython does it."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__", "In": [""]}
        self.files: list[str] = []

    def run(self, cell: str) -> None:
        text = textwrap.dedent(cell).lstrip("\n")
        file = f"<ipython-input-{next(_numbers)}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        self.files.append(file)
        self.names["In"].append(text)
        exec(compile(text, file, "exec", dont_inherit=True), self.names)

    def module(self, *steps: str) -> dict[str, Any]:
        """The names of the module that is made of the steps."""
        made: dict[str, Any] = {"__name__": "made"}
        exec(compile(synthesise(self.names, steps), "made.py", "exec", dont_inherit=True), made)
        return made


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    for file in made.files:
        linecache.cache.pop(file, None)


def test_a_step_brings_what_it_uses_and_nothing_else(session: Session) -> None:
    session.run("import math\nfrom json import dumps as write\nimport fairway as fw\nLIMIT = {'a': [1, 2.5, None]}\nSECRET = 'not used'")
    session.run("def helper(x):\n    return math.floor(x) + len(LIMIT)")
    session.run("@fw.step\ndef train(x: float) -> str:\n    return write(helper(x))")
    text = synthesise(session.names, ["train"])
    assert "SECRET" not in text
    assert session.module("train")["train"].function(2.5) == "3"


def test_a_cell_that_was_run_again_counts_as_it_is_now(session: Session) -> None:
    session.run("def f(x):\n    return x")
    session.run("def f(x):\n    return -x")
    assert session.module("f")["f"](1) == -1


def test_functions_that_call_each_other_are_written_once(session: Session) -> None:
    session.run("def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)")
    text = synthesise(session.names, ["even"])
    assert (text.count("def even"), text.count("def odd")) == (1, 1)
    assert session.module("even")["even"](10)


def test_classes_annotations_and_base_classes_come_along(session: Session) -> None:
    session.run("from typing import NamedTuple")
    session.run(
        "class Base:\n    def size(self):\n        return SIZE\nSIZE = 7\nclass Row(NamedTuple):\n    a: int\nclass Child(Base):\n    pass"
    )
    session.run("def f() -> Row:\n    return Row(Child().size())")
    assert session.module("f")["f"]().a == 7


def test_future_annotations_of_a_cell_are_kept(session: Session) -> None:
    session.run("from __future__ import annotations\ndef f(x: Unknown) -> Later:\n    return x")
    assert synthesise(session.names, ["f"]).startswith("from __future__ import annotations")
    assert session.module("f")["f"](1) == 1


def test_a_value_that_only_its_statement_can_make_is_made_again(session: Session) -> None:
    session.run(
        "import re\nimport fairway as fw\nWORD = re.compile('[a-z]+')\n@fw.step\ndef f(x: str) -> bool:\n    return bool(WORD.fullmatch(x))"
    )
    assert session.module("f")["f"].function("abc")


def test_another_name_for_a_function_works(session: Session) -> None:
    session.run("def f(x):\n    return x + 1\ng = f\ndef h(x):\n    return g(x)")
    assert session.module("h")["h"](1) == 2


class Stranger:
    """A class whose objects no source can make again."""


CASES: list[tuple[str, Callable[[Session], None], str]] = [
    ("an object", lambda s: s.names.update(model=Stranger()), "give `model` to the step"),
    ("a long list", lambda s: s.names.update(model=list(range(20_000))), "give `model` to the step"),
    ("not a number", lambda s: s.names.update(model=float("nan")), "give `model` to the step"),
]


@pytest.mark.parametrize(("what", "define", "hint"), CASES, ids=[case[0] for case in CASES])
def test_what_lives_only_in_the_session_is_refused_with_the_way_out(
    session: Session, what: str, define: Callable[[Session], None], hint: str
) -> None:
    define(session)
    session.run("def f(x):\n    return model")
    with pytest.raises(DefinitionError) as caught:
        synthesise(session.names, ["f"])
    assert hint in caught.value.hint


def test_a_function_whose_source_is_gone_is_refused(session: Session) -> None:
    exec("def f(x):\n    return x", session.names)
    with pytest.raises(DefinitionError, match="the source of `f` is not known"):
        synthesise(session.names, ["f"])


def test_the_same_definitions_are_the_same_file(session: Session, tmp_path: Any) -> None:
    session.run("def f(x):\n    return x")
    first = write_module(session.names, ["f"], str(tmp_path))
    session.run("other = 1")
    assert write_module(session.names, ["f"], str(tmp_path)) == first
    session.run("def f(x):\n    return -x")
    assert write_module(session.names, ["f"], str(tmp_path)) != first
