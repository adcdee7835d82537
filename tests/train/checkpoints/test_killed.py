"""SIGKILL at every call of a save that touches the disk: the next try finds the newest one that was finished, whole, and tidies up."""

from __future__ import annotations

import os
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from fairway.step.saved import find_saved
from tests.train.checkpoints.conftest import Ranks

CALLS = ("open", "write", "rename", "mkdir", "unlink", "rmdir")
STEPS = 5
SAY = os.write


@contextmanager
def bomb(number: int, after: bool) -> Iterator[list[int]]:
    """The `number`th call goes off, before it is made or after. Gives a list whose length is the number of calls so far."""
    seen: list[int] = []
    real = {name: getattr(os, name) for name in CALLS}

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def passing(*args: Any, **options: Any) -> Any:
            seen.append(1)
            mine = len(seen) == number
            if mine and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return call(*args, **options)
            finally:
                if mine:
                    os.kill(os.getpid(), signal.SIGKILL)

        return passing

    for name in CALLS:
        setattr(os, name, watched(real[name]))
    try:
        yield seen
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def train(ranks: Ranks, sharded: bool, said: int, number: int = 0, after: bool = False) -> int:
    """Save some steps, each of them a large state and a small one; say which are finished. How many calls that took."""
    world = 2 if sharded else 1
    with bomb(number, after) as seen:
        for step in range(STEPS):
            for rank in range(world):
                kept = ranks.be(1, rank, world)
                kept.keep(last=2)
                size = 150_000 if step % 2 else 10
                kept.save(step, {"step": step, "x": np.full(size, step), "text": ["a"] * step}, sharded=sharded)
                kept.wait()
            SAY(said, bytes([step]))
        return len(seen)


def killed_at(ranks: Ranks, sharded: bool, number: int, after: bool) -> int:
    """The last step that was finished when the process was killed; -1 for none."""
    hears, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            train(ranks, sharded, says, number, after)
        finally:
            os._exit(0)
    os.close(says)
    finished = os.read(hears, 100)
    while more := os.read(hears, 100):
        finished += more
    os.close(hears)
    assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "it was not killed"
    return max(finished, default=-1)


@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "parts"])
def test_a_kill_at_any_point_loses_nothing_that_was_finished(ranks: Ranks, sharded: bool) -> None:
    hears, says = os.pipe()
    points = train(ranks, sharded, says)
    os.close(hears)
    os.close(says)
    assert points > 40
    world = 2 if sharded else 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a kill leaves nothing that looks damaged
        for number in range(1, points + 1):
            for after in (False, True):
                shutil.rmtree(ranks.home)
                ranks.home.mkdir()
                again = Ranks(ranks.home)
                finished = killed_at(again, sharded, number, after)
                for rank in range(world):
                    kept = again.be(2, rank, world)
                    kept.keep(last=2)
                    state = kept.load({"step": -1})
                    assert finished <= state["step"] <= finished + 1, (number, after)
                    if state["step"] >= 0:
                        assert (state["x"] == state["step"]).all() and len(state["x"]) in (10, 150_000)
                for step in (90, 91):
                    for rank in range(world):
                        kept = again.be(2, rank, world)
                        kept.save(step, {"step": step}, sharded=sharded)
                        kept.wait()
                    assert kept.load()["step"] == step
                if not sharded:
                    assert [one.step for one in find_saved(os.fspath(kept.dir))] == [90, 91], "what was torn is gone"
                left = [path.name for path in again.home.rglob("*") if path.is_file() and "step-" not in path.parent.name]
                assert left == []
