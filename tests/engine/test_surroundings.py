"""What code runs in here, and which variables it reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fairway.engine.parity import Side, Variable
from fairway.engine.surroundings import describe_here, find_variables, side_of


def test_this_process_is_described() -> None:
    side = side_of(describe_here())
    assert side.python == f"3.{sys.version_info[1]}"
    assert side.machine in ("x86_64", "aarch64")
    assert side.packages is not None and "pytest" in side.packages
    assert (side.cpu_level > 0) == (os.uname().machine == "x86_64")
    assert side.libc.startswith(("glibc 2.", "musl ")) or sys.platform != "linux"


def test_what_an_older_server_does_not_say_is_not_known() -> None:
    assert side_of({}) == Side("", "")
    assert side_of({"python": "3.12", "new": 1}) == Side("", "3.12")


def test_variables_are_found_by_how_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "a.py").write_text(
        "import os\nfrom os import environ, getenv\n\n"
        "one = os.environ['ONE']\ntwo = os.getenv('TWO')\nthree = environ.get('THREE', '')\nfour = environ['FOUR']\n"
        "five = os.environ.get(name)\nos.environ['SET'] = '1'\nsix = getenv('SIX')\nseven = settings['SEVEN']\neight = {}.get('EIGHT')\n"
    )
    (tmp_path / "b.py").write_text("import os\nos.environ['TWO']\n")
    (tmp_path / "broken.py").write_text("os.environ['NINE'\n")
    (tmp_path / "notes.txt").write_text("os.environ['TEN']\n")
    assert find_variables(str(tmp_path)) == [
        Variable("FOUR", "pkg/a.py:7", True),
        Variable("ONE", "pkg/a.py:4", True),
        Variable("TWO", "b.py:2", True),
        Variable("SIX", "pkg/a.py:10", False),
        Variable("THREE", "pkg/a.py:6", False),
    ]
