"""Following artifacts costs little, however large they are."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.engine.overview import Overview
from fairway.engine.sketch import Sketch
from fairway.spec.artifact import ArtifactRef
from fairway.testing.memory import MemoryJournal
from fairway.web.lineage import Lineage

ITEM = ArtifactRef("cd" * 32, 1, "json", "int", inline="1")


class Splitting:
    """A library that notes what is taken apart."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def split(self, ref: ArtifactRef) -> list[ArtifactRef]:
        self.asked.append(ref.digest)
        return [ITEM]


@pytest.mark.parametrize(
    ("ref", "is_split"),
    [
        (ArtifactRef("ab" * 32, 5, "json", "list", inline="[1]"), True),
        (ArtifactRef("ab" * 32, 5, "json", "tuple", inline="[1]"), True),
        (ArtifactRef("ab" * 32, 100_000, "json", "list"), True),
        (ArtifactRef("ab" * 32, 10_000_000, "list", "list[fairway.Model]"), True),
        (ArtifactRef("ab" * 32, 10_000_000, "json", "list"), False),
        (ArtifactRef("ab" * 32, 10_000_000, "json", "dict"), False),
        (ArtifactRef("ab" * 32, 5, "json", "dict", inline="{}"), False),
        (ArtifactRef("ab" * 32, 5, "arrow", "pandas.DataFrame"), False),
    ],
)
def test_only_lists_that_are_not_large_are_taken_apart(ref: ArtifactRef, is_split: bool) -> None:
    library: Any = Splitting()
    assert Lineage(Sketch(MemoryJournal(), Overview()), library).members(ref) == [ref.digest, *([ITEM.digest] if is_split else [])]
    assert bool(library.asked) is is_split
