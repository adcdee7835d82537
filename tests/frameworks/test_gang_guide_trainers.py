"""The guide to trainers of others says what is true: its pipelines train on both ranks. (That they go on: test_gang_trainers.py.)"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.gang_bench import train

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "trainers.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (with_\w+)\.py\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
SAYS: dict[str, dict[str, Any]] = {
    "with_lightning": {"ranks": 2, "steps": 3 * 64 // (2 * 8)},
    "with_transformers": {"ranks": 2, "steps": 2 * 64 // (2 * 8)},
    "with_ignite": {"ranks": 2, "steps": 3 * 64 // 16},
    "with_fsdp": {"ranks": 2, "began_after": 0},
}


def test_every_trainer_of_the_guide_is_tried() -> None:
    assert set(BLOCKS) == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_the_example_trains(name: str, tmp_path: Path) -> None:
    assert train(tmp_path, BLOCKS[name], name) == SAYS[name]
