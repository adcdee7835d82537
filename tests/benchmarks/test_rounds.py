"""Rounds of a benchmark survive a contender that fails to start now and then, and say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.process import CommandError
from benchmarks.training.rounds import MOST_FAILED, take_rounds


def counting(log: list[str], name: str, bad: set[int]) -> Callable[[], float]:
    """Its values count its runs; runs numbered in `bad` fail."""
    runs = [0]

    def way() -> float:
        runs[0] += 1
        log.append(name)
        if runs[0] in bad:
            raise CommandError(f"{name}: exit status 1: no port")
        return float(runs[0])

    return way


def test_a_round_of_which_one_fails_is_taken_again_whole_and_told() -> None:
    log: list[str] = []
    taken = take_rounds({"ours": counting(log, "ours", {4}), "theirs": counting(log, "theirs", {2})}, 4, lambda _: None)
    assert {len(values) for values in taken.found.values()} == {4}
    assert taken.failed == ["theirs: theirs: exit status 1: no port", "ours: ours: exit status 1: no port"]
    assert taken.note == "2 rounds taken again: theirs: theirs: exit status 1: no port; ours: ours: exit status 1: no port"
    assert taken.found == {"ours": [1.0, 3.0, 5.0, 6.0], "theirs": [1.0, 3.0, 5.0, 6.0]}
    assert log[:2] == ["theirs", "ours"], "who is first"
    assert log[-2:] != log[:2], "changes"


def test_without_failures_nothing_is_told() -> None:
    taken = take_rounds({"ours": lambda: 1.0, "theirs": lambda: 2.0}, 3, lambda _: None)
    assert taken.found == {"ours": [1.0] * 3, "theirs": [2.0] * 3} and taken.note == ""


def test_a_contender_that_fails_again_and_again_ends_the_measurement() -> None:
    log: list[str] = []
    with pytest.raises(CommandError, match=f"{MOST_FAILED + 1} rounds taken again"):
        take_rounds({"ours": counting(log, "ours", set()), "theirs": counting(log, "theirs", set(range(99)))}, 5, lambda _: None)
    assert log.count("theirs") == MOST_FAILED + 1
