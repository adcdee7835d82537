"""The guide to distributed training, and the README, say what is true: their pipelines train."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.frameworks.gang_bench import train

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "distributed-training.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (with_\w+)\.py\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
SAYS = {
    "with_torch": lambda found: 0 < found["loss"] < 1,
    "with_accelerate": lambda found: found == {"sum": 3.0, "processes": 2},
    "with_tensorflow": lambda found: found["replicas"] == 2 and abs(found["weight"] - 2 * (1 - 0.9**50)) < 1e-3,
    "with_keras": lambda found: 0 < found["loss"] < 10,
    "with_jax": lambda found: found == {"sum": 3.0, "devices": 2},
}


def test_every_framework_of_the_guide_is_tried() -> None:
    assert set(BLOCKS) == set(SAYS)


@pytest.mark.parametrize("name", sorted(SAYS))
def test_the_example_trains(name: str, tmp_path: Path) -> None:
    assert SAYS[name](train(tmp_path, BLOCKS[name], name))


def test_the_training_of_the_readme_trains(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n# train\.py\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert 0 < train(tmp_path, code, "train")["loss"] < 1
