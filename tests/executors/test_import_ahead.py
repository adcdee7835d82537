"""Libraries that a zygote imports before it is known which code it will serve: used if they are what the code would import, else not."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from fairway.executors import local
from fairway.spec.environment import Environment
from tests.executors.rig import Bench, result_of
from tests.waiting import await_true

HEAVY = """
import os, sys
with open({log!r}, "a") as file:
    file.write(f"{{os.getpid()}} {{sys.argv}}\\n")
print("heavy says so")
answer = 42
"""

SOURCE = """
import os
import {name}

def where(x):
    return [os.getpid(), os.getppid(), {name}.answer, os.environ.get("COLOUR", "")]
"""


class Shelf:
    """A library `heavy` that an interpreter finds by itself, and who has imported it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.write(HEAVY.format(log=str(self.log)))

    def write(self, text: str, name: str = "heavy") -> None:
        (self.folder / f"{name}.py").write_text(textwrap.dedent(text))

    @property
    def importers(self) -> list[int]:
        return [int(line.split()[0]) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def await_import(self) -> int:
        await_true(lambda: bool(self.importers), "nobody has imported it")
        return self.importers[0]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setattr(local, "count_cores", lambda: 2)
    return Shelf(folder)


def test_the_zygote_that_has_imported_ahead_serves_the_attempts(bench: Bench, shelf: Shelf, capfd: pytest.CaptureFixture[str]) -> None:
    bench.executor.import_ahead("work", [("heavy", ["answer"])])
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name="heavy"))
    (bench.home / "bundles" / bench.bundle / "heavy.csv").touch()
    first, second = bench.value("where", 1, name="a"), bench.value("where", 2, name="b")
    assert first[1] == second[1] == zygote and first[2] == 42
    assert shelf.importers == [zygote], "once, by nobody else"
    assert "['-c']" in shelf.log.read_text(), "what the worker was told on its command line is not for libraries"
    assert capfd.readouterr() == ("", "")


def test_attempts_that_come_while_it_imports_wait_for_it(bench: Bench, shelf: Shelf, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    shelf.write(HEAVY.format(log=str(shelf.log)) + f"open({str(gate)!r}).close()\n")
    bench.executor.import_ahead("work", [("heavy", [])])
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name="heavy"))
    spec = bench.spec("where", 1)
    bench.submit(spec)
    gate.open("w").close()
    assert result_of(bench.wait(spec).items[0])[1] == zygote
    assert shelf.importers == [zygote]


@pytest.mark.parametrize("theirs", ["heavy", "under"])
def test_a_module_of_the_bundle_is_never_taken_for_the_library(bench: Bench, shelf: Shelf, theirs: str) -> None:
    """Neither where it has the library's name nor where it has that of one that the library imports."""
    shelf.write(HEAVY.format(log=str(shelf.log)) + "import under\n")
    shelf.write("answer = 1\n", "under")
    bench.executor.import_ahead("work", [("heavy", [])])
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name=theirs))
    (bench.home / "bundles" / bench.bundle / f"{theirs}.py").write_text("answer = 'mine'\n")
    first, second = bench.value("where", 1, name="a"), bench.value("where", 2, name="b")
    assert first[2] == second[2] == "mine"
    assert first[1] == second[1] != zygote, "another zygote, which is forked as ever"


@pytest.mark.parametrize("failure", ["import none_of_this_name", "sys.exit('not today')", "raise RuntimeError"])
def test_where_a_library_fails_the_code_is_imported_by_a_zygote_that_has_not_tried(bench: Bench, shelf: Shelf, failure: str) -> None:
    """A second try in the same process may end otherwise: here what the library imported first remembers the first one."""
    shelf.write("tries = 0\n", "under")
    count = "import under\nunder.tries += 1\nanswer = under.tries\n"
    shelf.write(f"{HEAVY.format(log=str(shelf.log))}{count}if len(open({str(shelf.log)!r}).readlines()) == 1:\n    {failure}\n")
    bench.executor.import_ahead("work", [("heavy", [])])
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name="heavy"))
    first, second = bench.value("where", 1, name="a"), bench.value("where", 2, name="b")
    assert first[1] == second[1] != zygote and first[2] == 1


@pytest.mark.parametrize(
    ("module", "environment"), [("other", Environment()), ("work", Environment(variables={"COLOUR": "blue"}))], ids=["module", "variables"]
)
def test_attempts_that_would_not_import_it_or_not_so_get_another_zygote_and_it_ends(
    bench: Bench, shelf: Shelf, module: str, environment: Environment
) -> None:
    bench.executor.import_ahead("work", [("heavy", [])])
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name="json").replace("json.answer", "'none'"), module=module)
    value = bench.value("where", 1, environment=environment)
    assert value[1] != zygote
    assert value[3] == environment.variables.get("COLOUR", "")
    assert zygote not in bench.left()


def test_the_projects_own_variables_are_there_when_it_imports(bench: Bench, shelf: Shelf) -> None:
    shelf.write("import os\nanswer = os.environ['COLOUR']\n" + HEAVY.format(log=str(shelf.log)).replace("answer = 42", ""))
    bench.executor.import_ahead("work", [("heavy", [])], {"COLOUR": "blue"})
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name="heavy"))
    assert bench.value("where", 1, environment=Environment(variables={"COLOUR": "blue"}))[1:3] == [zygote, "blue"]


def test_nothing_is_imported_ahead_on_a_machine_of_one_core(bench: Bench, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "count_cores", lambda: 1)
    bench.executor.import_ahead("work", [("heavy", [])])
    assert len(bench.executor.descriptors()) == 1, "there is no worker yet"


def test_one_that_is_killed_while_attempts_wait_for_it_is_replaced_and_the_others_are_forks_as_ever(
    bench: Bench, shelf: Shelf, tmp_path: Path
) -> None:
    """It may have died of anything, before it knew their code: that does not say that this code bears no fork."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = f"if not os.path.exists({str(gate) + '.open'!r}):\n    open({str(gate)!r}).close()\n"
    shelf.write(HEAVY.format(log=str(shelf.log)) + held)
    bench.executor.import_ahead("work", [("heavy", [])])
    zygote = shelf.await_import()
    bench.write(SOURCE.format(name="heavy"))
    first, second = bench.spec("where", 1), bench.spec("where", 2, name="next")
    bench.submit(first)
    bench.write("def same(x): return x", module="other")
    assert bench.value("same", 3) == 3, "the worker hears of one after the other: the first waits by now"
    (tmp_path / "gate.open").touch()
    os.kill(zygote, signal.SIGKILL)
    assert result_of(bench.wait(first).items[0])[2] == 42
    bench.submit(second)
    assert result_of(bench.wait(second).items[0])[2] == 42
    assert len(shelf.importers) == 2


@pytest.mark.parametrize("end", ["closed", "killed worker", "killed zygote"])
def test_killed_while_it_imports_it_leaves_nothing_and_breaks_nothing(bench: Bench, shelf: Shelf, tmp_path: Path, end: str) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = f"if not os.path.exists({str(gate) + '.open'!r}):\n    open({str(gate)!r}).close()\n"
    shelf.write(HEAVY.format(log=str(shelf.log)) + held)
    bench.executor.import_ahead("work", [("heavy", [])])
    zygote = shelf.await_import()
    (tmp_path / "gate.open").touch()
    if end == "closed":
        bench.close()
    else:
        os.kill(zygote if end == "killed zygote" else parent_of(zygote), signal.SIGKILL)
    await_true(lambda: zygote not in bench.left(), "it goes on")
    bench.write(SOURCE.format(name="heavy"))
    if end == "killed worker":
        error = bench.run("where", 1, name="first").error
        assert error is None or error.code == "FW-LOST"
    assert bench.value("where", 1)[2] == bench.value("where", 2, name="next")[2] == 42
    assert len(shelf.importers) <= (3 if end == "killed worker" else 2), "attempts are forks as ever"


def parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])
