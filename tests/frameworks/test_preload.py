"""What a zygote imports for its attempts leaves it a process that may be forked."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import matplotlib, numpy, pandas, pyarrow, sklearn.tree
from fairway.step.serializers.preload import NEEDS, preload
from fairway.step.zygote import bears_fork

assert preload([part for part, _, _ in NEEDS])
assert not preload([part for part, _, _ in NEEDS])
print("skops.io" in sys.modules, "torch" in sys.modules, bears_fork())
"""


def test_all_that_is_imported_ahead_bears_a_fork_also_with_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]
