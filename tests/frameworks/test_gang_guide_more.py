"""The guide to more frameworks says what is true: its pipelines compute. (Ray's is much the same as its own test's, and takes long.)"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.gang_bench import train

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "distributed-training-more.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (with_\w+)\.py\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
SCRIPTS = dict(re.findall(r"^```r\n# (\w+\.R)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
SAYS: dict[str, Callable[[Any], bool]] = {
    "with_xgboost": lambda found: found == {"trees": 10},
    "with_lightgbm": lambda found: found == {"trees": 10},
    "with_sklearn": lambda found: found["C"] in (0.01, 0.1, 1.0) and found["score"] > 0.7,
    "with_dask": lambda found: found == sum(range(1_000_000)),
    "with_mpi": lambda found: found == {"sum": 3, "size": 2},
    "with_r": lambda found: found == sum(n * n for n in range(1, 101)),
}
ELSEWHERE = {"with_ray": "test_gang_ray.py", "with_mxnet": "it is not to be had here; tests/train/frameworks/test_plain_programs.py"}


def test_every_framework_of_the_guide_is_tried() -> None:
    assert set(BLOCKS) == {*SAYS, *ELSEWHERE}


@pytest.mark.parametrize("name", sorted(SAYS))
def test_the_example_computes(name: str, tmp_path: Path) -> None:
    assert SAYS[name](train(tmp_path, BLOCKS[name], name, **SCRIPTS))
