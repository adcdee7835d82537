"""Parameters: defaults, and what becomes of a command line's text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fairway as fw
from fairway.errors import ConfigError, NotFoundError
from tests.semantics.rig import Rig, outputs

EVERY_TYPE = """
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Literal, Optional


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@fw.step
def spell(
    n: int, x: float, flag: bool, text: str, ns: list[int], words: list[str], both: tuple[int, str], table: dict[str, float],
    limit: Optional[int], mode: Literal["fast", "slow"], colour: Colour, day: date, at: datetime, path: Path, some: set[int], plain,
) -> dict:
    return {name: f"{type(value).__name__} {value!r}" for name, value in sorted(locals().items())}


@fw.step
def size(data: fw.File) -> int:
    return len(data.read_bytes())


@fw.pipeline
def every(
    data: fw.File,
    n: int = 1, x: float = 0.5, flag: bool = False, text: str = "t", ns: list[int] = [1], words: list[str] = [],
    both: tuple[int, str] = (1, "a"),
    table: dict[str, float] = {}, limit: Optional[int] = None, mode: Literal["fast", "slow"] = "fast",
    colour: Colour = Colour.RED,
    day: date = date(2026, 1, 31), at: datetime = datetime(2026, 1, 31, 12), path: Path = Path("a/b"), some: set[int] = {1}, plain=None,
):
    return {
        "spelled": spell(n, x, flag, text, ns, words, both, table, limit, mode, colour, day, at, path, some, plain),
        "size": size(data),
    }
"""


def test_a_command_lines_text_becomes_what_each_parameter_is_annotated_as(rig: Rig) -> None:
    (rig.root / "data.csv").write_text("12345")
    given = {
        "n": "3", "x": "2", "flag": "yes", "text": "2,4", "ns": "2,4,8", "words": "a,b", "both": "7,x", "table": '{"a": 1}',
        "limit": "5",
        "mode": "slow", "colour": "blue", "day": "2026-02-01", "at": "2026-02-01T08:30", "path": "c.txt",
        "some": "3,1,3", "plain": "[1, null]",
    }  # fmt: skip
    words = [word for name, text in given.items() for word in (f"--{name}", text)]
    done = rig.fairway("run", rig.write(EVERY_TYPE), "--data", "data.csv", *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["outputs"]
    assert json.loads(found["size"]["inline"]) == 5
    assert json.loads(found["spelled"]["inline"]) == {
        "n": "int 3", "x": "float 2.0", "flag": "bool True", "text": "str '2,4'", "ns": "list [2, 4, 8]", "words": "list ['a', 'b']",
        "both": "tuple (7, 'x')", "table": "dict {'a': 1.0}", "limit": "int 5", "mode": "str 'slow'",
        "colour": "Colour <Colour.BLUE: 'blue'>",
        "day": "date datetime.date(2026, 2, 1)", "at": "datetime datetime.datetime(2026, 2, 1, 8, 30)",
        "path": "PosixPath PosixPath('c.txt')",
        "some": "set {1, 3}", "plain": "list [1, None]",
    }  # fmt: skip


def test_defaults_arrive_as_they_are_written(rig: Rig) -> None:
    (rig.root / "data.csv").write_text("")
    found = outputs(rig.run(EVERY_TYPE, {"data": "data.csv"}))["spelled"]
    assert found == {
        "n": "int 1", "x": "float 0.5", "flag": "bool False", "text": "str 't'", "ns": "list [1]", "words": "list []",
        "both": "tuple (1, 'a')", "table": "dict {}", "limit": "NoneType None", "mode": "str 'fast'",
        "colour": "Colour <Colour.RED: 'red'>",
        "day": "date datetime.date(2026, 1, 31)", "at": "datetime datetime.datetime(2026, 1, 31, 12, 0)",
        "path": "PosixPath PosixPath('a/b')",
        "some": "set {1}", "plain": "NoneType None",
    }  # fmt: skip


WRONG = [
    ("n", "many", "a whole number (int)", "--n 3"),
    ("x", "1,5", "a number (float)", "--x 0.5"),
    ("flag", "maybe", "true or false (bool)", "--flag true"),
    ("ns", "2,x", "item 1 is 'x', not a whole number (int)", "--ns 2,4,8"),
    ("both", "7", "2 values (tuple[int, str])", "--both"),
    ("table", "a=1", "a JSON object", "--table"),
    ("limit", "x", "a whole number (int)", "--limit 3"),
    ("mode", "quick", "", "it is one of fast, slow"),
    ("colour", "green", "", "it is one of red, blue"),
    ("day", "tomorrow", "a date such as 2026-01-31", "--day 2026-01-31"),
    ("at", "noon", "a date and time such as", "--at 2026-01-31T12:30"),
]


@pytest.mark.parametrize(("name", "text", "expected", "hint"), WRONG, ids=[case[0] for case in WRONG])
def test_a_wrong_value_is_refused_with_what_was_expected(rig: Rig, name: str, text: str, expected: str, hint: str) -> None:
    (rig.root / "data.csv").write_text("")
    with pytest.raises(ConfigError) as caught:
        rig.run(EVERY_TYPE, {"data": "data.csv", name: text})
    assert f"`{name}` cannot be {text!r}" in caught.value.message
    assert expected in caught.value.message
    assert hint in caught.value.hint
    assert rig.count_runs() == 0, "nothing may have run"


def test_a_missing_and_an_unknown_parameter_are_refused_before_the_run(rig: Rig) -> None:
    pipeline = rig.load(EVERY_TYPE)
    with pytest.raises(ConfigError, match=r"'data'.*has no value"):
        fw.run(pipeline)
    with pytest.raises(ConfigError, match="no parameter 'dat'"):
        fw.run(pipeline, dat="x")
    with pytest.raises(NotFoundError, match=r"names a file that does not exist: nowhere.csv"):
        fw.run(pipeline, data="nowhere.csv")
    assert rig.count_runs() == 0


def test_options_and_help_come_from_the_signature_and_the_docstring(rig: Rig) -> None:
    path = rig.write('''
        @fw.step
        def add(n: int, ns: list[int]) -> int:
            return n + sum(ns)

        @fw.pipeline
        def sums(n: int, other_ns: list[int] = [2, 4]):
            """Add numbers up.

            Args:
                n: where to begin
                other_ns: what to add
            """
            return add(n, other_ns)
    ''')
    shown = rig.fairway("run", path, "--help").stdout
    assert "Add numbers up." in shown
    assert "where to begin" in shown
    assert "--other-ns" in shown
    assert "[default: 2,4]" in shown
    done = rig.fairway("run", path, "--n", "1", "--other-ns", "10,20", "-o", "json")
    assert json.loads(json.loads(done.stdout)["outputs"]["result"]["inline"]) == 31
    refused = rig.fairway("run", path)
    assert refused.returncode == 2
    assert "--n" in refused.stderr


FILES = """
import os

@fw.step
def lines(data: fw.File) -> list[str]:
    return data.read_text().split()

@fw.step
def names(folder: fw.Directory) -> list[str]:
    return sorted(os.listdir(folder))

@fw.pipeline
def files(data: fw.File, folder: fw.Directory):
    return {"lines": lines(data), "names": names(folder)}
"""


def test_a_file_parameter_is_stored_by_digest_with_its_size_shown(rig: Rig, tmp_path: Path) -> None:
    import hashlib

    (tmp_path / "data.csv").write_bytes(b"a b c")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("1")
    path = rig.write(FILES)
    done = rig.fairway("run", path, "--data", "data.csv", "--folder", "in")
    assert done.returncode == 0, done.stderr
    (tmp_path / "data.csv").write_text("changed meanwhile")
    run = rig.last()
    data = run.params["data"]
    assert data.digest == hashlib.sha256(b"a b c").hexdigest()
    assert data.size_bytes == 5
    assert outputs(run) == {"lines": ["a", "b", "c"], "names": ["one.txt"]}
    shown = rig.fairway("params", run.id).stdout
    assert "fairway.File data.csv, 5 B" in shown


def test_an_edited_file_is_another_input_and_the_same_bytes_are_the_same(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pipeline = rig.load(FILES)
    (tmp_path / "data.csv").write_text("a")
    fw.run(pipeline, data="data.csv", folder="in")
    (tmp_path / "copy.csv").write_text("a")
    assert fw.run(pipeline, data="copy.csv", folder="in").tasks["lines"].status == "cached"
    (tmp_path / "data.csv").write_text("b")
    changed = fw.run(pipeline, data="data.csv", folder="in")
    assert changed.tasks["lines"].status == "succeeded"
    assert outputs(changed)["lines"] == ["b"]


def test_a_text_parameter_that_ends_in_a_file_input_is_stored_too(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a b")
    run = rig.run(
        """
        @fw.step
        def count(data: fw.File) -> int:
            return len(data.read_text().split())

        @fw.pipeline
        def main(path: str):
            return count(path)
        """,
        {"path": "data.csv"},
    )
    assert outputs(run) == {"result": 2}
    assert run.params["path"].size_bytes == 3


def test_a_folder_where_a_file_is_wanted_is_refused(rig: Rig, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "data.csv").write_text("")
    pipeline = rig.load(FILES)
    with pytest.raises(NotFoundError, match="in is a folder"):
        fw.run(pipeline, data="in", folder="in")
    with pytest.raises(NotFoundError, match=r"data\.csv is a file"):
        fw.run(pipeline, data="data.csv", folder="data.csv")


def test_lists_of_files_are_stored_by_digest_each(rig: Rig, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(name * 3)
    source = """
        @fw.step
        def size(data: fw.File) -> int:
            return len(data.read_bytes())

        @fw.step
        def join(parts: list[fw.File]) -> str:
            return "".join(part.read_text() for part in parts)

        @fw.pipeline
        def main(paths: list[fw.File]):
            written = join(["a.txt", "b.txt"])
            return {"sizes": size(fw.each(paths)), "joined": join(paths), "written": written, "each": size(fw.each(["a.txt"]))}
    """
    run = rig.run(source, {"paths": "a.txt,b.txt"})
    assert outputs(run) == {"sizes": [3, 3], "joined": "aaabbb", "written": "aaabbb", "each": [3]}
    with pytest.raises(NotFoundError, match=r"names a file that does not exist: c.txt"):
        rig.run(source, {"paths": ["a.txt", "c.txt"]})


def test_all_files_that_are_missing_are_named_at_once(rig: Rig) -> None:
    source = """
        @fw.step
        def read(a: fw.File, b: fw.File, c: fw.Directory, rest: list[fw.File]) -> int:
            return 1

        @fw.pipeline
        def main(a: fw.File, c: fw.Directory = "folder", rest: list[fw.File] = ["r.csv"]):
            return {"one": read(a, fw.artifact("b.csv"), c, rest), "two": read("e.csv", a, c, rest)}
    """
    (rig.root / "a.csv").write_text("a")
    (rig.root / "r.csv").write_text("r")
    with pytest.raises(NotFoundError) as caught:
        rig.run(source, {"a": "a.csv", "c": "a.csv"})
    assert caught.value.message.splitlines() == [
        "parameter 'c' must name a folder, and a.csv is a file",
        "  there is no b.csv",
        "  input 'a' of 'read-2' names a file that does not exist: e.csv",
    ]
    with pytest.raises(NotFoundError) as caught:
        rig.run(source, {"a": "z.csv", "rest": ["r.csv", "s.csv"]})
    assert caught.value.message.splitlines() == [
        "parameter 'a' names a file that does not exist: z.csv",
        "  parameter 'c' names a folder that does not exist: folder",
        "  nor is there what was asked for at s.csv, b.csv, e.csv",
    ]
    assert rig.count_runs() == 0


def test_choices_hold_in_lists_and_where_none_is_allowed(rig: Rig) -> None:
    source = """
        from enum import Enum
        from typing import Literal, Optional

        class Colour(Enum):
            RED = "red"
            BLUE = "blue"

        @fw.step
        def spell(colours: list[Colour], sizes: list[Literal[1, 2]], maybe: Optional[Colour]) -> str:
            return f"{colours} {sizes} {maybe}"

        @fw.pipeline
        def main(colours: list[Colour] = [Colour.RED], sizes: list[Literal[1, 2]] = [1], maybe: Optional[Colour] = None):
            return spell(colours, sizes, maybe)
    """
    pipeline = rig.load(source)
    default = fw.run(pipeline)
    assert outputs(default) == {"result": "[<Colour.RED: 'red'>] [1] None"}
    given = fw.run(pipeline, colours="blue,red", sizes="2,1", maybe="blue")
    assert outputs(given) == {"result": "[<Colour.BLUE: 'blue'>, <Colour.RED: 'red'>] [2, 1] Colour.BLUE"}
    for name, value in (("colours", "red,green"), ("sizes", "3"), ("maybe", "green")):
        with pytest.raises(ConfigError, match=f"`{name}` cannot be") as caught:
            fw.run(pipeline, {name: value})
        assert "it is one of" in caught.value.hint
