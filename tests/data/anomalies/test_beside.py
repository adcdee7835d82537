"""Looks beside the measuring: every batch, in order; errors come through."""

from __future__ import annotations

import pytest

from fairway.data.anomalies.beside import Beside
from fairway.data.batch import Batch


def test_every_look_sees_every_batch_in_order() -> None:
    seen: list[tuple[str, int]] = []
    looks = [lambda batch, name=name: seen.append((name, batch.first_row)) for name in "ab"]
    with Beside(looks) as beside:
        for first in range(20):
            beside.add(Batch.of({"x": [1]}, first))
    assert seen == [(name, first) for first in range(20) for name in "ab"]


@pytest.mark.parametrize("bad", [0, 19])
def test_what_a_look_raises_is_raised(bad: int) -> None:
    def look(batch: Batch) -> None:
        if batch.first_row == bad:
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"), Beside([look]) as beside:
        for first in range(20):
            beside.add(Batch.of({"x": [1]}, first))
