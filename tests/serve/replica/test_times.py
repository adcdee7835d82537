"""Logs of replicas say when: lines of the front, of the model's processes, and of what dies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fairway.cli.endpointlog import split_line
from fairway.serve.control.processes import spell_end, split_time
from tests.serve.replica.rig import replica

_SCRIPT = """
import os, signal, subprocess, sys, warnings

def init():
    print("the model is loaded")
    os.write(1, b"half a ")
    os.write(2, b"line\\n")
    subprocess.run(["echo", "a program of its own"])

def run(raw_data):
    if "die" in raw_data:
        print("last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if "fail" in raw_data:
        raise ValueError("this is no number")
    sys.stderr.write("no end")
    return 1
"""
_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z .*")


def test_every_line_has_its_time_whoever_wrote_it(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(_SCRIPT)
    with replica(script, "--times") as served:
        assert served.score("fail")[0] == 500
        assert served.score("die")[0] == 502
        assert served.score("fine")[0] == 200
    lines = served.log.read_text().splitlines()
    assert all(_LINE.fullmatch(line) for line in lines), lines
    said = [split_time(line)[1] for line in lines]
    for words in ("the model is loaded", "half a line", "a program of its own", "ValueError: this is no number", "last words", "no end"):
        assert words in said, (words, said)
    died = next(n for n, line in enumerate(said) if "was killed" in line)
    assert said.index("last words") < died, "what it said before stands before"
    assert sorted(line[:24] for line in lines) == [line[:24] for line in lines]


def test_one_that_does_not_start_says_why_with_the_time(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text("def init():\n    raise RuntimeError('no weights at hand')\n\ndef run(data):\n    return 1\n")
    with pytest.raises(AssertionError), replica(script, "--times"):
        pass
    log = tmp_path / "score.py.log"
    assert all(_LINE.fullmatch(line) for line in log.read_text().splitlines())
    assert spell_end(None, log) == "RuntimeError: no weights at hand"


def test_lines_are_taken_apart() -> None:
    assert split_line("risk-1-ab  2026-11-28T20:15:03.123Z it  is") == ("risk-1-ab", "2026-11-28T20:15:03.123Z", "it  is")
    assert split_line("risk-1-ab  without") == ("risk-1-ab", "", "without")
