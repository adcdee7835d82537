"""The size limits are held by a tool that really finds what breaks them."""

import runpy
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "check_sizes.py"


def check(path: Path) -> list[str]:
    return list(runpy.run_path(str(TOOL))["check_file"](path))


def test_our_own_code_keeps_to_the_limits() -> None:
    done = subprocess.run([sys.executable, str(TOOL)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_each_limit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "big.py"
    path.write_text("def long():\n" + "    x = 1\n" * 60 + "def many(a, b, c, d, e, f, g, h): ...\n" + "\n" * 600)
    file, long, many = check(path)
    assert f"{path}:601: the file has 662 lines" in file
    assert f"{path}:1: long has 61 lines" in long
    assert f"{path}:62: many takes 8 parameters" in many


def test_what_is_no_breach(tmp_path: Path) -> None:
    path = tmp_path / "fine.py"
    path.write_text(
        "class A:\n    def f(self, a, b, c, d, e, f, g): ...\n"
        "def options(a, *, b=1, c=1, d=1, e=1, f=1, g=1, h=1): ...\n"
        "@click.command()\ndef command(a, b, c, d, e, f, g, h): ...\n"
    )
    assert check(path) == []
