"""The runtime that travels into environments: complete, and in need of nothing but Python.

What reads and checks tables travels too, for environments that have its libraries.
"""

import os
import subprocess
import sys
from pathlib import Path

from fairway.envs.runtime import place_runtime

IMPORT_ALL = """
import importlib, pathlib, sys
root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root))
for file in sorted(root.rglob("*.py")):
    name = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    alone = not name.startswith("fairway.data.") or name in sys.argv[2:]
    if alone and not name.endswith("__main__") and name != "fairway.train.tune.storage":
        importlib.import_module(name)
strangers = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"fairway", "__main__"}
print(sorted(name for name in strangers if not name.startswith("_")))
"""


def test_every_module_imports_with_the_standard_library_alone(tmp_path: Path) -> None:
    """All but what computes on tables, and what stands in for a study of Optuna: of `data` only the reader of schemas."""
    runtime = place_runtime(tmp_path)
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(runtime), "fairway.data.schema.load", "fairway.data.schema.files"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_it_holds_what_attempts_need_and_no_more(tmp_path: Path) -> None:
    inside = {path.name for path in (place_runtime(tmp_path) / "fairway").iterdir() if path.name != "__pycache__"}
    assert inside == {"__init__.py", "errors.py", "spec", "dsl", "step", "data", "train"}


def test_it_is_placed_once(tmp_path: Path) -> None:
    first = place_runtime(tmp_path)
    before = os.stat(first).st_ino
    assert place_runtime(tmp_path) == first
    assert os.stat(first).st_ino == before
    assert not [path for path in (tmp_path / "runtime").iterdir() if path.is_dir() and path != first]
