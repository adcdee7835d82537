"""TensorFlow crashes in one process with PyTorch, so what it is asked for stands in `tensorflow_checks` and is run apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = Path(__file__).with_name("tensorflow_checks.py")
NAMES = [line.split("(")[0].removeprefix("def ") for line in CHECKS.read_text().splitlines() if line.startswith("def test_")]


@pytest.fixture(scope="module")
def told() -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-W", "ignore", str(CHECKS)]
    done = subprocess.run(
        command,
        cwd=CHECKS.parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_in_a_process_of_its_own(name: str, told: str) -> None:
    lines = [line for line in told.splitlines() if f"::{name}" in line and line.startswith(("PASSED", "FAILED", "ERROR"))]
    assert lines and all(line.startswith("PASSED") for line in lines), told[-6000:]
