"""How far ranks have come, as their leader sees it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fairway.step import pulse
from fairway.step.pulse import COMING, DONE, RUNNING, Pulses


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


def test_outside_a_gang_the_same_calls_go_nowhere() -> None:
    with pulse.waiting("input"):
        pulse.beat()
    pulse.set_phase(DONE)
