"""Two ranks at work in one folder: whatever one does between any two calls of the other's save, neither fails and nothing of it is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fairway.errors import DefinitionError
from fairway.step.saved import Manifest, Policy
from fairway.train.checkpoints.writing import clear
from tests.train.checkpoints.conftest import Ranks

CALLS = ("open", "write", "rename", "mkdir", "unlink", "rmdir", "listdir", "stat", "scandir", "link")


@contextmanager
def at_call(number: int, act: Callable[[], None]) -> Iterator[list[int]]:
    """`act` happens before the `number`th call. Gives a list whose length is the number of calls so far."""
    seen: list[int] = []
    real = {name: getattr(os, name) for name in CALLS}
    acting = False

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        def passing(*args: Any, **options: Any) -> Any:
            nonlocal acting
            if not acting:
                seen.append(1)
                if len(seen) == number:
                    acting = True
                    act()
                    acting = False
            return call(*args, **options)

        return passing

    for name in CALLS:
        setattr(os, name, watched(real[name]))
    try:
        yield seen
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


def save(ranks: Ranks, rank: int, step: int, size: int = 10) -> None:
    kept = ranks.be(1, rank, 2)
    kept.keep(last=2)
    kept.save(step, {"step": step, "x": np.full(size, step), "table": pa.table({"step": [step]})}, sharded=True)
    kept.wait()


def every_point(ranks: Ranks, rank: int, before: Callable[[Ranks], None], other: Callable[[Ranks], None]) -> Iterator[Ranks]:
    """The rank saves step 3; before each of its calls once, the other rank does what `other` does."""
    number, points = 0, 0
    while number <= points:
        shutil.rmtree(ranks.home)
        ranks.home.mkdir()
        again = Ranks(ranks.home)
        before(again)

        def act(ranks: Ranks = again) -> None:
            other(ranks)
            ranks.be(1, rank, 2)

        with at_call(number, act) as seen:
            save(again, rank, 3, 200_000)  # so large that a thread writes it
        points = points or len(seen)
        if number:
            yield again
        number += 1
    assert points > 30


def test_ranks_that_drop_the_same_checkpoint_at_the_same_time_both_go_on(ranks: Ranks) -> None:
    def before(ranks: Ranks) -> None:
        for step in (1, 2, 3):
            for rank in (0, 1) if step < 3 else (1,):
                save(ranks, rank, step)

    def clears(ranks: Ranks) -> None:
        """As the end of rank 1's save does, which was slow to begin with it."""
        clear(os.fspath(ranks.be(1, 1, 2).dir), Policy(last=2), Manifest(3, 1, 3, rank=1, world_size=2, sharded=True))

    for again in every_point(ranks, 0, before, clears):
        clears(again)
        assert [one.name.split("-")[1] for one in again.folders()] == ["000000002", "000000003"]
        assert all(again.be(2, rank, 2).load()["step"] == 3 for rank in (0, 1))


def test_a_part_that_is_refused_does_not_take_the_folder_from_another_ranks_part(ranks: Ranks) -> None:
    def is_refused(ranks: Ranks) -> None:
        with pytest.raises(DefinitionError):
            ranks.be(1, 1, 2).save(3, {"x": np.ones(10), "cannot be kept": lambda: None}, sharded=True)

    for again in every_point(ranks, 0, lambda ranks: None, is_refused):
        (folder,) = again.folders()
        assert (folder / "manifest.00000-of-00002.json").exists()
        assert not list(folder.glob("00001*")) and not list(folder.glob("*writing"))


def test_what_the_first_rank_saves_alone_does_not_take_a_part_that_another_is_writing(ranks: Ranks) -> None:
    def saves_alone(ranks: Ranks) -> None:
        kept = ranks.be(1, 0, 2)
        with pytest.raises(DefinitionError):
            kept.save(3, lambda: None, sharded=True)
        kept.save(4, "whole")

    for again in every_point(ranks, 1, lambda ranks: None, saves_alone):
        assert (again.folders()[0] / "manifest.00001-of-00002.json").exists()
        assert again.be(2, 1, 2).load() == "whole"


def test_a_slow_rank_finds_the_checkpoint_that_the_first_has_gone_on_from(ranks: Ranks) -> None:
    ranks.be(1, 0, 2).keep(last=1)
    ranks.be(1, 0, 2).save(1, "old")
    ranks.be(2, 1, 2)
    first = ranks.be(2, 0, 2)
    first.keep(last=1)
    assert first.load() == "old"
    for step in (2, 3):
        first.save(step, "new")
    assert ranks.be(2, 1, 2).load() == "old"
    last = ranks.be(3, 0, 2)
    last.keep(last=1)
    last.save(4, "newest")
    assert [one.name.split("-")[1] for one in ranks.folders()] == ["000000003", "000000004"], "one more than is kept, not more"
