"""Whole runs with their journal in a real PostgreSQL, from the command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fairway.engine.localserver import exchange, find_server
from tests.waiting import find_files

PIPELINE = """
import os
import fairway as fw

@fw.step
def numbers(n: int) -> list[int]:
    return list(range(n))

@fw.step
def square(x: int) -> int:
    if x == 2 and not os.path.exists(MENDED):
        raise ValueError("two is broken")
    return x * x

@fw.step
def total(xs: list[int]) -> int:
    return sum(xs)

@fw.pipeline
def squares(n: int = 4):
    return total(square(fw.each(numbers(n))))
"""


class Shell:
    """The command line in a project whose journal is at `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {**os.environ, "FAIRWAY_JOURNAL": url, "FAIRWAY_HOME": str(folder / "home")}
        (folder / "squares.py").write_text(PIPELINE.replace("MENDED", repr(str(folder / "mended"))))

    def ask(self, *words: str, status: int = 0) -> Any:
        done = subprocess.run(
            [Path(sys.executable).with_name("fairway"), *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout) if "json" in words else done.stdout


def test_a_run_fails_is_resumed_cached_listed_and_collected(tmp_path: Path, postgres_url: str) -> None:
    shell = Shell(tmp_path, postgres_url)
    failed = shell.ask("run", "squares.py", "-o", "json", status=3)
    assert failed["status"] == "failed"
    assert failed["counts"]["failed"] == 1
    (tmp_path / "mended").touch()
    shell.ask("resume", failed["run"])
    again = shell.ask("run", "squares.py", "-o", "json")
    assert again["counts"] == {"cached": 6}
    assert [row["status"] for row in shell.ask("runs", "-o", "json")] == ["succeeded", "succeeded"]
    assert shell.ask("artifacts", "cat", again["run"], "total").strip() == "14"
    assert not (tmp_path / "home" / "fairway.db").exists(), "no second journal"
    shell.ask("gc", "--keep-last", "1", "--yes")
    assert [row["run"] for row in shell.ask("runs", "-o", "json")] == [again["run"]]


def test_the_password_of_the_journal_stands_nowhere(tmp_path: Path, postgres_url: str) -> None:
    shell = Shell(tmp_path, postgres_url.replace("fairway@", "fairway:hunter2@"))
    shell.ask("run", "squares.py", "--n", "1")
    assert "hunter2" not in shell.ask("doctor") + shell.ask("show", "last") + shell.ask("runs")
    shell.ask("ui", "--no-open")
    try:
        server = find_server(str(tmp_path / "home"))
        assert server is not None
        for page in ("/runs", "/system", "/api/v1/target"):
            status, body = exchange(server, "GET", page)
            assert (status, b"hunter2" in body) == (200, False)
        for file in find_files(tmp_path / "home", "*"):
            with contextlib.suppress(FileNotFoundError):
                assert b"hunter2" not in file.read_bytes()
    finally:
        shell.ask("down", "--on", "local", "--yes")
