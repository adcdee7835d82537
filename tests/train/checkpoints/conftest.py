"""A task's tries in this process: `be` makes it a rank of one, each with an `fw.checkpoint` of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairway.step import context
from fairway.train.checkpoints import Checkpoints
from tests.semantics.conftest import rig

__all__ = ["rig"]


class Ranks:
    """Processes of a task's tries, as far as checkpoints know them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._made: dict[tuple[int, int, int], Checkpoints] = {}
        self._began: dict[int, float] = {}

    def be(self, n: int = 1, rank: int = 0, world_size: int = 1) -> Checkpoints:
        """The checkpoints of this rank of the `n`th try; whatever is asked next is asked by it."""
        now = context.Context()
        now.run, now.task, now.n, now.rank, now.world_size, now.checkpoints = "r", "train", n, rank, world_size, str(self.home)
        now.began_at = self._began.setdefault(n, now.began_at)  # the leader's, for all ranks alike
        context.enter(now, None, trust=False)  # type: ignore[arg-type]
        return self._made.setdefault((n, rank, world_size), Checkpoints())

    def folders(self) -> list[Path]:
        """What is on the disk, the oldest first."""
        return sorted(self.home.glob("r/*/step-*"))


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[Ranks]:
    yield Ranks(tmp_path)
    context.leave()


@pytest.fixture
def be(ranks: Ranks) -> Callable[..., Checkpoints]:
    return ranks.be
