"""A pipeline written as a user would, run by the real executor, for tests that train in earnest."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import fairway as fw
from fairway.dsl.load import load_pipeline


def train(folder: Path, text: str, name: str = "gang", **files: str) -> Any:
    """What the pipeline in `text` returns: its only output. `files` lie beside it, NAME_py as NAME.py."""
    for file, content in {f"{name}_py": text, **files}.items():
        (folder / file.replace("_py", ".py")).write_text(textwrap.dedent(content))
    (folder / "fairway.toml").touch()  # a project of its own
    # the programs of this environment, as for a person who has activated it
    os.environ["PATH"] = os.pathsep.join(dict.fromkeys([str(Path(sys.executable).parent), *os.environ["PATH"].split(os.pathsep)]))
    run = fw.run(load_pipeline(folder / f"{name}.py"))
    (output,) = run.outputs.values()
    return output.load()
