"""Commands in turns: order, warm-up, who drops out, and what their environment holds."""

import os
import select
import sys

import pytest

from benchmarks import process
from benchmarks.process import Command, CommandError, run, run_in_turns


def writer(folder, word: str, *more: str) -> Command:
    code = f"open('order', 'a').write('{word}'); " + "; ".join(more)
    return Command((sys.executable, "-S", "-c", code), folder, timeout_s=120)


def test_commands_take_turns_after_a_warm_up_that_is_not_counted(tmp_path):
    found = run_in_turns({"a": writer(tmp_path, "a"), "b": writer(tmp_path, "b")}, 3)
    assert (tmp_path / "order").read_text() == "ab" + "ababab"
    assert [len(series.walls) for series in found.values()] == [3, 3]
    assert all(wall > cpu > 0 for series in found.values() for wall, cpu in zip(series.walls, series.cpus, strict=True))


def test_one_that_fails_drops_out_and_says_why_while_the_others_go_on(tmp_path):
    found = run_in_turns({"a": writer(tmp_path, "a"), "bad": writer(tmp_path, "x", "raise SystemExit('no luck')")}, 2)
    assert (tmp_path / "order").read_text() == "axaa"
    assert found["bad"].walls == [None, None]
    assert found["bad"].error.endswith("exit status 1: no luck")


def test_a_slow_command_takes_part_in_three_rounds_and_a_very_slow_one_in_one(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "SLOW_S", 0.0)
    three = run_in_turns({"a": writer(tmp_path, "a")}, 4)["a"].walls
    monkeypatch.setattr(process, "VERY_SLOW_S", 0.0)
    one = run_in_turns({"a": writer(tmp_path, "a")}, 2)["a"].walls
    assert ([wall is None for wall in three], [wall is None for wall in one]) == ([False] * 3 + [True], [False, True])


def test_cpu_seconds_include_the_children_of_the_command(tmp_path):
    spin = "import time; e = time.process_time() + 0.15\nwhile time.process_time() < e: pass"
    command = Command(
        (sys.executable, "-S", "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {spin!r}])"), tmp_path
    )
    assert run(command)[0].cpu_s >= 0.15


def test_settings_of_this_shell_do_not_reach_a_command(tmp_path, monkeypatch):
    monkeypatch.setenv("FAIRWAY_DURABILITY", "power")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    command = Command((sys.executable, "-c", "import os; print(sorted(os.environ), os.environ['HOME'])"), tmp_path, {"EXTRA": "1"})
    _, output = run(command)
    assert "FAIRWAY_DURABILITY" not in output and "PYTHONPATH" not in output
    assert "'EXTRA'" in output and str(tmp_path) in output


def test_an_output_without_what_is_expected_is_a_failure(tmp_path):
    with pytest.raises(CommandError, match="its output has no 'result 2': result 3"):
        run(Command((sys.executable, "-S", "-c", "print('result 3')"), tmp_path, expect="result 2"))


def test_a_command_that_hangs_is_ended_with_all_of_its_group(tmp_path):
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    code = f"exec 3> '{held}'; printf . >&3; sleep 1000 & wait"
    with pytest.raises(CommandError, match=r"did not end within 1\.5 s"):
        run(Command(("sh", "-c", code), tmp_path, timeout_s=1.5))
    assert os.read(reader, 1) == b"."  # it came as far as that
    assert select.select([reader], [], [], 60)[0]
    assert os.read(reader, 1) == b""  # the end: neither of the two holds it open any more
    os.close(reader)
