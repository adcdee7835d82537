"""The bundle: which files travel with a run, which must not, and how they are kept."""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.dsl import bundle
from fairway.dsl.bundle import DENIED_FILES, DENIED_FOLDERS, Bundle, collect, denied, of_source, write
from fairway.errors import ConfigError, NotFoundError, StoreUnavailable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project: a pipeline, a package it imports, a module nobody imports, a query, a script, data and secrets."""
    files = {
        "flow.py": "import helpers\nfrom pkg import deep\n",
        "helpers.py": "",
        "unused.py": "",
        "pkg/__init__.py": "",
        "pkg/deep.py": "def f():\n    from pkg import late\n    return late\n",
        "pkg/late.py": "",
        "sql/one.sql": "select 1",
        "sql/data.csv": "a,b",
        "sql/.env": "TOKEN=1",
        "scripts/train.R": "1",
        ".env": "TOKEN=1",
        "id_rsa": "key",
        ".git/config": "x",
    }
    folder = tmp_path / "project"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def paths(made: Bundle) -> dict[str, str]:
    return {file.path: file.why for file in made.files}


MODULES = {"flow.py": "module", "helpers.py": "module", "pkg/__init__.py": "module", "pkg/deep.py": "module", "pkg/late.py": "module"}


def test_modules_that_are_imported_travel_and_others_stay(root: Path) -> None:
    assert paths(collect(root / "flow.py", root)) == MODULES


def test_includes_travel_by_glob_without_data_and_secrets(root: Path) -> None:
    assert paths(collect(root / "flow.py", root, ["sql/*"])) == {**MODULES, "sql/one.sql": "include"}
    assert paths(collect(root / "flow.py", root, ["sql"])) == {**MODULES, "sql/one.sql": "include"}
    assert "sql/data.csv" in paths(collect(root / "flow.py", root, ["sql/*.csv"]))
    assert paths(collect(root / "flow.py", root, ["**/*"])).keys().isdisjoint({".env", "id_rsa", ".git/config", "sql/.env"})


def test_a_secret_that_is_included_by_name_is_refused(root: Path) -> None:
    for name in (".env", "id_rsa", "sql/.env"):
        with pytest.raises(ConfigError, match="cannot be included"):
            collect(root / "flow.py", root, [name])


def test_an_include_that_is_not_there_or_leads_out_is_refused(root: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        collect(root / "flow.py", root, ["sql/two.sql"])
    (root.parent / "outside.txt").write_text("x")
    with pytest.raises(ConfigError, match="leads out of the project"):
        collect(root / "flow.py", root, ["../outside.txt"])
    os.symlink(root.parent / "outside.txt", root / "link.txt")
    with pytest.raises(ConfigError, match="leads out of the project"):
        collect(root / "flow.py", root, ["link.txt"])


def test_files_that_a_command_names_travel(root: Path) -> None:
    made = collect(
        root / "flow.py", root, commands=[["Rscript", "scripts/train.R", "--depth", "{param:depth}", "missing.R", "/etc/passwd"]]
    )
    assert paths(made) == {**MODULES, "scripts/train.R": "command"}
    assert made.includes() == {"scripts/train.R": str(root / "scripts/train.R")}


def test_a_module_that_a_function_imports_travels_however_many_names_one_statement_above_it_brings(root: Path) -> None:
    (root / "many.py").write_text("from typing import Any, Callable, Final\n\ndef later():\n    import late\n")
    (root / "late.py").write_text("")
    assert paths(collect(root / "many.py", root)) == {"many.py": "module", "late.py": "module"}


def test_what_a_named_python_script_imports_of_the_project_travels_with_it(root: Path) -> None:
    (root / "scripts" / "fit-it.py").write_text("import json, near\nfrom far import more\n\ndef later():\n    import late\n")
    for name in ("scripts/near.py", "far.py", "scripts/late.py", "scripts/unasked.py"):
        (root / name).write_text("more = 1\n")
    made = collect(root / "flow.py", root, commands=[["python", "scripts/fit-it.py"]])
    brought = ("far.py", "scripts/late.py", "scripts/near.py")
    assert paths(made) == {**MODULES, **dict.fromkeys(("scripts/fit-it.py", *brought), "command")}
    assert made.scripts == {"scripts/fit-it.py": brought}
    (root / "scripts" / "fit-it.py").write_text("print 'Python 2'\n")
    assert collect(root / "flow.py", root, commands=[["python2", "scripts/fit-it.py"]]).scripts == {"scripts/fit-it.py": ()}


def test_too_much_is_refused_naming_the_largest(root: Path) -> None:
    (root / "sql" / "large.sql").write_bytes(b"x" * 3_000_000)
    with pytest.raises(ConfigError, match=r"2\.9 MB, more than 1\.0 MB: sql/large\.sql"):
        collect(root / "flow.py", root, ["sql/*.sql"], limit_bytes=1 << 20)


def test_the_digest_is_that_of_paths_and_contents(root: Path, tmp_path: Path) -> None:
    before = collect(root / "flow.py", root).digest
    copy = tmp_path / "elsewhere"
    shutil.copytree(root, copy)
    assert collect(copy / "flow.py", copy).digest == before
    (copy / "helpers.py").write_text("x = 1")
    assert collect(copy / "flow.py", copy).digest != before


def test_a_package_is_laid_out_from_its_import_folder(root: Path) -> None:
    made = collect(root / "pkg" / "deep.py", root, modules=["pkg.deep"])
    assert set(paths(made)) == {"pkg/__init__.py", "pkg/deep.py", "pkg/late.py"}


def test_a_bundle_is_written_once_and_runs_from_its_folder(root: Path, tmp_path: Path) -> None:
    made = collect(root / "flow.py", root, ["sql/*"])
    folder = write(made, tmp_path / "home")
    assert (Path(folder) / "sql" / "one.sql").read_text() == "select 1"
    stamp = os.stat(f"{folder}/flow.py").st_mtime_ns
    assert stamp == os.stat(root / "flow.py").st_mtime_ns  # so that compiled forms stay good
    assert write(made, tmp_path / "home") == folder
    done = subprocess.run(
        [sys.executable, "-c", "import flow, sys; print(flow.__file__)"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{os.path.realpath(folder)}/flow.py"


def test_many_write_the_same_bundle_at_once(root: Path, tmp_path: Path) -> None:
    made = collect(root / "flow.py", root)
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(write(made, tmp_path / "home"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert [entry.name for entry in (tmp_path / "home" / "bundles").iterdir()] == [made.digest]


def test_a_bundle_that_cannot_be_written_leaves_nothing(root: Path, tmp_path: Path) -> None:
    made = collect(root / "flow.py", root)
    home = tmp_path / "home"
    home.write_text("a file in the way")
    with pytest.raises(StoreUnavailable, match="cannot write the bundle"):
        write(made, home)


def test_a_module_without_a_file_is_a_bundle_too(tmp_path: Path) -> None:
    made = of_source("cells", "x = 1\n")
    assert Path(write(made, tmp_path), "cells.py").read_text() == "x = 1\n"


def test_an_unreadable_file_says_so(root: Path) -> None:
    os.symlink(root / "nowhere", root / "sql" / "dangling.sql")
    with pytest.raises(ConfigError, match="cannot read"):
        collect(root / "flow.py", root, ["sql/*.sql"])


NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)


@given(st.lists(NAMES, max_size=3), st.sampled_from(sorted(DENIED_FILES)), NAMES)
@settings(max_examples=60, deadline=None)
def test_no_path_whose_name_meets_the_deny_list_travels(folders: list[str], pattern: str, filler: str) -> None:
    assert denied("/".join([*folders, pattern.replace("*", filler)]))


@given(st.lists(NAMES, max_size=3), st.sampled_from(sorted(DENIED_FOLDERS)), NAMES)
@settings(max_examples=60, deadline=None)
def test_nothing_below_a_denied_folder_travels(folders: list[str], folder: str, name: str) -> None:
    assert denied("/".join([*folders, folder, name]))
    assert bundle.denied(f"{name}.py") == ""


def test_a_compiled_form_that_is_older_than_its_source_stays_behind(root: Path, tmp_path: Path) -> None:
    source = root / "helpers.py"
    source.write_text("x = 1\n")
    os.utime(source, ns=(10**18 + 100, 10**18 + 100))
    compiled = Path(py_compile.compile(str(source), doraise=True) or "")
    source.write_text("x = 2\n")  # as long, and within the same second: Python takes the compiled form for this source's
    os.utime(source, ns=(10**18 + 900, 10**18 + 900))
    os.utime(compiled, ns=(10**18 + 500, 10**18 + 500))
    folder = write(collect(root / "flow.py", root), tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", "import helpers; print(helpers.x)"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "2\n"
