"""How far ranks have come, as their leader sees it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fairway.step import pulse
from fairway.step.pulse import ALONE, COMING, DONE, RUNNING, TOGETHER, UNKNOWN, Pulses


def test_a_leader_sees_what_another_process_reports(tmp_path: Path) -> None:
    pulses = Pulses(str(tmp_path / "pulses"), 3)
    assert [pulses.phase(rank) for rank in range(3)] == [COMING] * 3
    before = time.monotonic()
    hears, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        pulse.enter(pulses.path, 1)
        pulse.set_phase(RUNNING)
        for _ in range(5):
            pulse.beat()
        with pulse.waiting("input"), pulse.waiting("checkpoint"):
            os.read(hears, 1)
        pulse.set_phase(DONE)
        os._exit(0)
    while pulses.counts(1)["input"] < 0.02:
        pass
    os.write(says, b".")
    os.waitpid(pid, 0)
    os.close(hears)
    os.close(says)
    assert [pulses.phase(rank) for rank in range(3)] == [COMING, DONE, COMING]
    assert before <= pulses.beat_at(1) <= time.monotonic()
    assert pulses.beat_at(0) == pulses.beat_at(2) == 0
    counts = pulses.counts(1)
    assert counts["steps"] == 5
    assert counts["input"] >= 0.02
    assert (counts["checkpoint"], counts["network"]) == (0, 0), "the outermost wait counts"


def test_a_wait_under_way_counts_already(tmp_path: Path) -> None:
    pulses = Pulses(str(tmp_path / "pulses"), 1)
    child, parent = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        pulse.enter(pulses.path, 0)
        with pulse.waiting("network"):
            os.write(child[1], b".")
            os.read(parent[0], 1)
        os._exit(0)
    os.read(child[0], 1)
    while not pulses.counts(0)["network"]:
        pass
    os.write(parent[1], b".")
    os.waitpid(pid, 0)
    assert pulses.counts(0)["network"] > 0
    for fd in (*child, *parent):
        os.close(fd)


@pytest.fixture
def pulses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pulses:
    """Of this process as rank 1 of two."""
    monkeypatch.setattr(pulse, "_cells", pulse._cells)
    made = Pulses(str(tmp_path / "pulses"), 2)
    pulse.enter(made.path, 1)
    return made


def test_a_collective_that_ends_is_progress_and_no_step(pulses: Pulses) -> None:
    before = time.monotonic()
    assert pulse.counting("network", lambda: "sum")() == "sum"
    seen = pulses.beat_at(1)
    assert before <= seen <= time.monotonic()
    pulse.go_on()
    assert seen <= pulses.beat_at(1) <= time.monotonic()
    assert (pulses.counts(1)["steps"], pulses.beat_at(0)) == (0, 0.0)


def test_a_collective_that_fails_is_none(pulses: Pulses) -> None:
    with pytest.raises(ZeroDivisionError):
        pulse.counting("network", lambda: 1 / 0)()
    assert pulses.beat_at(1) == 0
    waited = pulses.counts(1)["network"]
    assert pulses.counts(1)["network"] == waited, "the wait has ended"


@pytest.mark.parametrize("hear", [pulse.go_on, pulse.counting("network", lambda: None)])
def test_who_has_heard_of_others_once_is_not_alone(pulses: Pulses, hear: Callable[[], None]) -> None:
    assert pulses.company(1) == UNKNOWN
    pulse.look_for_company()
    pulse.beat()
    assert pulses.company(1) == ALONE
    hear()
    pulse.look_for_company()
    assert (pulses.company(0), pulses.company(1)) == (UNKNOWN, TOGETHER)


def test_outside_a_gang_the_same_calls_go_nowhere() -> None:
    with pulse.waiting("input"):
        pulse.beat()
    pulse.set_phase(DONE)
