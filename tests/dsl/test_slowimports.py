"""Which imports of a pipeline's file may be made ahead of it, elsewhere."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

import pytest

from fairway.dsl.slowimports import find_slow_imports
from fairway.step.forks import BEARS_FORK, UNSAFE_TO_FORK

NAMES = ("heavy", "heavier")


def found(tmp_path: Path, text: str) -> list[tuple[str, list[str]]]:
    path = tmp_path / "flow.py"
    path.write_text(textwrap.dedent(text))
    return find_slow_imports(str(path), NAMES)


def test_imports_at_the_top_are_found_in_their_order_with_what_is_taken_from_them(tmp_path: Path) -> None:
    text = '''
    """What it does."""
    from __future__ import annotations
    import os, heavier.trees as trees
    # a remark
    import fairway as fw
    from fairway import step
    from heavy import (
        one,
        two as second,
    )
    '''
    assert found(tmp_path, text) == [("heavier.trees", []), ("heavy", ["one", "two"])]


@pytest.mark.parametrize(
    "above",
    [
        "import os\nos.environ['HEAVY_THREADS'] = '1'",
        "import settings",
        "from . import settings",
        "import unknown",
        "try:\n    import faster\nexcept ImportError:\n    pass",
        "if True:\n    pass",
        "X = 1",
    ],
)
def test_nothing_is_found_below_what_could_change_what_it_does(tmp_path: Path, above: str) -> None:
    (tmp_path / "settings.py").touch()
    assert found(tmp_path, f"import heavier\n{above}\nimport heavy\n") == [("heavier", [])]


@pytest.mark.parametrize("near", ["heavy.py", "heavy", "heavy.cpython-311-x86_64-linux-gnu.so", "queue.py"])
def test_a_module_of_the_users_with_such_a_name_is_theirs(tmp_path: Path, near: str) -> None:
    (tmp_path / near).mkdir() if "." not in near else (tmp_path / near).touch()
    assert found(tmp_path, "import queue\nimport heavy\n") == []


@pytest.mark.parametrize("near", ["fairway.toml", "heavy.csv", "queue.txt"])
def test_a_file_that_is_no_module_is_nobodys_library(tmp_path: Path, near: str) -> None:
    (tmp_path / near).touch()
    assert found(tmp_path, "import queue\nimport fairway as fw\nimport heavy\n") == [("heavy", [])]


@pytest.mark.parametrize("text", ["", "x = 1\n", "def f():\n    import heavy\n", "import heavy\nthis is no Python\n", "# heavy\n\0"])
def test_nothing_is_found_where_there_is_nothing(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


@pytest.mark.parametrize(
    ("text", "names"), [("", ["heavy"]), ("import heavier\n", ["heavier", "heavy"]), ("X = 1\n", []), ("import near\n", [])]
)
def test_files_of_packages_come_before_that_of_their_module(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "near.py").touch()
    folder = tmp_path / "package" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").write_text(text)
    (folder / "flow.py").write_text("import heavy\n")
    assert [name for name, _ in find_slow_imports(str(folder / "flow.py"), NAMES, str(tmp_path))] == names


def test_nothing_is_found_where_there_is_no_file(tmp_path: Path) -> None:
    assert find_slow_imports(str(tmp_path / "none.py"), NAMES) == []


@pytest.mark.parametrize("library", UNSAFE_TO_FORK)
def test_a_file_whose_attempts_cannot_be_forks_has_nothing_imported_ahead(tmp_path: Path, library: str) -> None:
    assert library not in BEARS_FORK
    assert found(tmp_path, f"import heavy\nX = 1\nfrom {library} import y\n") == []


def test_what_is_imported_here_already_need_not_be_made_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "heavy", object())
    assert found(tmp_path, "import heavy\n") == []
    assert found(tmp_path, "import heavy, heavier\n") == [("heavy", []), ("heavier", [])]


def test_what_the_parser_warns_of_is_left_to_the_import(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(tmp_path, 'import heavy\nX = "\\d"\nassert (1, "always")\n') == [("heavy", [])]
