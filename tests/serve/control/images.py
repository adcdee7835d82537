"""Images of the emulated cluster whose `python3` is a program of the test."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.kube.emulator import Image


def make_image(folder: Path, name: str, program: str) -> Image:
    (folder / "program.py").write_text(program)
    python = folder / "python3"
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -S {folder}/program.py\n")
    python.chmod(0o755)
    return Image(name, python=str(python))
