"""What attempts import while they run is loaded once in the process that the next ones are forked from; and what must not be is not."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.executors.rig import Bench, result_of

LIBRARY = """
import os
with open({log!r}, "a") as file:
    file.write(f"{{__name__}} {{os.getpid()}}\\n")
print("it says so")
answer = 42
"""

STEP = """
import os, sys, threading

def use(x):
    {first}
    import {name}
    return [os.getpid(), os.getppid(), {name}.answer]

def idle(x):
    return [os.getpid(), os.getppid(), 0]

def again(x):
    import {name}
    return [os.getpid(), os.getppid(), {name}.answer]
"""


class Shelf:
    """Libraries that an interpreter finds by itself, and which processes have imported them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self._log = folder, folder / "log"

    def add(self, name: str, more: str = "") -> None:
        path = self.folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(LIBRARY.format(log=str(self._log))) + textwrap.dedent(more))

    def importers(self, name: str = "seaborn") -> list[int]:
        """Who has imported it, in order."""
        lines = [line.split() for line in self._log.read_text().splitlines()] if self._log.exists() else []
        return [int(pid) for module, pid in lines if module == name]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(made.folder), prepend=os.pathsep)
    made.add("seaborn")
    return made


def run_three(bench: Bench, *, name: str = "seaborn", first: str = "pass", **more: Any) -> list[list[int]]:
    """What three attempts of the same step gave: [pid, zygote's pid, answer]."""
    if not bench.module:
        bench.write(STEP.format(name=name, first=first))
    return [bench.value("use", n, name=f"use{n}", **more) for n in range(3)]


def test_what_one_attempt_has_imported_its_zygote_loads_when_the_next_one_comes(
    bench: Bench, shelf: Shelf, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two, three = run_three(bench)
    assert one[1] == two[1] == three[1], "three forks of one zygote"
    assert shelf.importers() == [one[0], one[1]], "the first attempt, then the zygote, and nobody after it"
    assert [each[2] for each in (one, two, three)] == [42, 42, 42]
    assert capfd.readouterr() == ("", ""), "what it prints belongs to the attempt that imports it"


def test_submodules_come_in_the_order_in_which_they_were_imported(bench: Bench, shelf: Shelf) -> None:
    shelf.add("statsmodels.__init__")
    shelf.add("statsmodels.later", "assert __import__('sys').modules['statsmodels.sooner'].answer == 42")
    shelf.add("statsmodels.sooner")
    bench.write(STEP.format(name="statsmodels", first="import statsmodels.sooner, statsmodels.later"))
    one, *_ = run_three(bench)
    for name in ("statsmodels", "statsmodels.sooner", "statsmodels.later"):
        assert shelf.importers(name) == [one[0], one[1]]


def test_only_the_same_step_makes_the_zygote_load_it(bench: Bench, shelf: Shelf) -> None:
    bench.write(STEP.format(name="seaborn", first="pass"))
    one = bench.value("use", 1, name="one")
    other = bench.value("idle", 1, name="two")
    assert one[1] == other[1] and shelf.importers() == [one[0]], "a step that may never come again must not keep another waiting"
    another = bench.value("again", 1, name="three")
    assert shelf.importers() == [one[0], another[0]]
    bench.value("use", 1, name="four")
    assert shelf.importers() == [one[0], another[0], one[1]]


CHANGES = {
    "a variable": "os.environ['COLOUR'] = 'blue'",
    "the module path": "sys.path.append('/nowhere')",
}


@pytest.mark.parametrize("first", CHANGES.values(), ids=CHANGES)
def test_a_step_that_changes_what_an_import_may_depend_on_imports_for_itself(bench: Bench, shelf: Shelf, first: str) -> None:
    made = run_three(bench, first=first)
    assert shelf.importers() == [each[0] for each in made]


def test_variables_that_scikit_learn_sets_are_no_such_change(bench: Bench, shelf: Shelf) -> None:
    one, *_ = run_three(bench, first="os.environ['KMP_INIT_AT_FORK'] = 'FALSE'")
    assert shelf.importers() == [one[0], one[1]]


def test_a_secret_that_is_hidden_from_a_step_is_no_such_change(bench: Bench, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "of another step")
    bench.settings["secrets"] = ["TOKEN"]
    one, *_ = run_three(bench, first="assert 'TOKEN' not in os.environ")
    assert shelf.importers() == [one[0], one[1]]


def test_a_variable_that_the_module_of_the_step_sets_is_no_such_change(bench: Bench, shelf: Shelf) -> None:
    bench.write("import os\nos.environ['COLOUR'] = 'blue'\n" + STEP.format(name="seaborn", first="pass"))
    one, *_ = run_three(bench)
    assert shelf.importers() == [one[0], one[1]]


KINDS = {
    "draws a random number": "import random\nrandom.random()",
    "starts a thread": "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
    "brings what must not be forked": "import polars",
    "brings a module of the user's": "import mine",
}


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_what_would_spoil_the_zygote_is_left_to_the_attempts(bench: Bench, shelf: Shelf, more: str) -> None:
    shelf.add("seaborn", more)
    shelf.add("polars")
    bench.write(STEP.format(name="seaborn", first="pass"))
    (bench.home / "bundles" / bench.bundle / "mine.py").write_text("answer = 1\n")
    made = run_three(bench)
    assert shelf.importers() == [each[0] for each in made]
    assert len({each[1] for each in made}) == 1, "and all are forks, as ever"


def test_what_another_thread_imports_is_left_to_the_attempts(bench: Bench, shelf: Shelf) -> None:
    first = "one = threading.Thread(target=__import__, args=('seaborn',)); one.start(); one.join()"
    made = run_three(bench, first=first)
    assert shelf.importers() == [each[0] for each in made]


@pytest.mark.parametrize("name", ["seaborn", "helper"], ids=["a library's name", "a name of its own"])
def test_a_module_of_the_users_is_never_loaded_by_the_zygote(bench: Bench, shelf: Shelf, name: str) -> None:
    bench.write(STEP.format(name=name, first="pass"))
    text = LIBRARY.format(log=str(shelf.folder / "log"))
    (bench.home / "bundles" / bench.bundle / f"{name}.py").write_text(text)
    made = run_three(bench)
    assert shelf.importers(name) == [each[0] for each in made]


def test_a_library_that_nobody_knows_is_left_to_the_attempts(bench: Bench, shelf: Shelf) -> None:
    shelf.add("unheard_of")
    made = run_three(bench, name="unheard_of")
    assert shelf.importers("unheard_of") == [each[0] for each in made]


REFUSES_ZYGOTE = """
import sys
frame = sys._getframe(0)
while frame is not None and frame.f_code.co_name != "use":
    frame = frame.f_back
if frame is None:
    sys.exit("only in a step")
"""


def test_a_library_that_the_zygote_cannot_import_does_no_harm_and_is_not_tried_again(bench: Bench, shelf: Shelf) -> None:
    shelf.add("seaborn", REFUSES_ZYGOTE)
    one, two, three = run_three(bench)
    assert shelf.importers() == [one[0], one[1], two[0], three[0]]


def test_a_generator_that_an_import_only_brings_has_not_drawn(bench: Bench, shelf: Shelf) -> None:
    shelf.add("seaborn", "import random, numpy.random\nrandom.Random(3).random()")
    one, *_ = run_three(bench)
    assert shelf.importers() == [one[0], one[1]]


def test_a_failed_attempt_tells_it_too(bench: Bench, shelf: Shelf) -> None:
    bench.write("def use(x):\n    import os, seaborn\n    assert x, os.getpid()\n    return [os.getpid(), os.getppid(), 1]\n")
    assert bench.run("use", 0, name="zero").items[0].status == "failed"
    one, two = (result_of(bench.run("use", n, name=f"n{n}").items[0]) for n in (1, 2))
    assert shelf.importers()[1:] == [one[1]] and one[1] == two[1]
