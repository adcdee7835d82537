"""A few inputs for each parser on every run of the tests; `make fuzz` gives each minutes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.data.fuzz.mutate import mutated
from tests.data.fuzz.targets import Target, all_targets

_KEPT = Path(__file__).with_name("findings")


@pytest.mark.parametrize("target", all_targets(), ids=lambda one: one.name)
def test_parser_reads_or_refuses_whatever_it_gets(target: Target) -> None:
    rng = random.Random(target.name)
    for seed in target.seeds:
        target.run(seed)
    for _ in range(15):
        target.run(mutated(rng, target.seeds))


@pytest.mark.parametrize("path", sorted(_KEPT.glob("*")) if _KEPT.is_dir() else [], ids=lambda one: one.name)
def test_what_fuzzing_found_stays_found(path: Path) -> None:
    name = path.name.partition("-")[0]
    next(one for one in all_targets() if one.name == name).run(path.read_bytes())
