"""What it costs to read and check a row of 23 named numbers within bounds, beside libraries that do nothing else."""

from __future__ import annotations

import json
import subprocess

from benchmarks.figures import OURS, Bar
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.serving.bench import keep_fresh
from benchmarks.session import Benchmark, Session

CHECK = Bar("serving-check", "a row of 23 named numbers, from bytes to checked values", 12, "µs")
_PROGRAM = ROOT / "benchmarks/serving/checks.py"


def measure(session: Session) -> None:
    python = session.peers.environments / "serving-checks/bin/python"
    if not python.exists():
        raise CommandError("the libraries are not installed: python -m benchmarks peers install serving-checks")
    keep_fresh(session, python)
    session.talk("checks")
    rounds = "3" if session.quick else "15"
    done = subprocess.run(
        ["taskset", "-c", "0", python, _PROGRAM, rounds], cwd=session.work, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise CommandError(done.stderr.strip().rpartition("\n")[2])
    for name, found in json.loads(done.stdout).items():
        note = f"lets {found['missed']} of 4 wrong rows through" if found["missed"] else ""
        session.record(CHECK.name, name, "µs", found["us"] if name != OURS or not found["missed"] else [], note)


BENCHMARK = Benchmark("serving-check", "checking a row", (CHECK,), measure)
