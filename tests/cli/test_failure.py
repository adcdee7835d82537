"""Errors as the command line prints them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fairway.cli.failure import guard, render_error
from fairway.cli.report import Failure, render_failure
from fairway.errors import ConfigError, ConflictError, FairwayError
from fairway.spec.outcome import ErrorInfo


def fail(error: BaseException) -> int:
    raise error


def test_what_where_and_what_to_do() -> None:
    assert render_error(ConfigError("no such key", hint="did you mean 'name'?", where="fairway.toml:3")) == [
        "error: no such key",
        "  at fairway.toml:3",
        "  did you mean 'name'?",
    ]


def test_at_most_five_lines_even_of_a_long_message() -> None:
    assert len(render_error(FairwayError("\n".join("abcdefgh"), hint="a\nb", where="x:1"))) == 5


def test_an_error_is_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert guard(fail, ConflictError("somebody else", hint="look")) == 5
    assert capsys.readouterr() == ("", "error: somebody else\n  look\n")


def test_a_defect_of_ours_says_so_without_a_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAIRWAY_DEBUG", raising=False)
    assert guard(fail, KeyError("x")) == 70
    err = capsys.readouterr().err
    assert err.startswith("error: a defect of Fairway: KeyError: 'x'\n  at ")
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 5


def test_debugging_lets_the_traceback_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_DEBUG", "1")
    with pytest.raises(KeyError):
        guard(fail, KeyError("x"))


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert guard(fail, KeyboardInterrupt()) == 130


def test_paths_below_the_current_folder_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert render_error(ConfigError("x", where=f"{tmp_path}/a/b.py:3"))[1] == "  at a/b.py:3"


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys\nfrom fairway.cli.failure import guard\ndef f():\n for _ in range(100000): print('x' * 100)\nsys.exit(guard(f))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 141
    process.stderr.close()


def test_of_a_program_that_failed_its_last_words_are_shown() -> None:
    said = "rank 1 of 2 printed last:\n" + "".join(f"  {word}\n" for word in ("loading", "no data", "in folder", "halted"))
    error = ErrorInfo("exit:1", "FW-TASK-FAILED", "rank 1 of 2 failed first: Rscript fit.R ended with exit code 1", traceback=said)
    assert render_failure(Failure("fit", error, 1)) == [
        "✗ fit  rank 1 of 2 failed first: Rscript fit.R ended with exit code 1",
        "    no data",
        "    in folder",
        "    halted",
    ]
