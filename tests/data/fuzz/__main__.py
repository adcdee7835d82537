"""`python -m tests.data.fuzz [TARGET …]`: each target for FUZZ_SECONDS (default 60), in a process that may die; findings are kept.

A worker of its own runs the inputs, and writes each to a file before it does: what killed it is that file.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests.data.fuzz.mutate import mutated
from tests.data.fuzz.targets import Target, all_targets

FINDINGS = Path(os.environ.get("FUZZ_FINDINGS", "build/fuzz"))
_INPUT_S = 30
_MEMORY_BYTES = 4 << 30


def work(target: Target, until: float, seed: int) -> int:
    """Run inputs until the time is over; returns 1 as soon as one is a finding."""
    rng = random.Random(seed)
    trial = FINDINGS / f"{target.name}.trial"
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    count = 0
    while time.monotonic() < until:
        data = mutated(rng, target.seeds)
        trial.write_bytes(data)
        signal.alarm(_INPUT_S)
        try:
            target.run(data)
        except Exception:
            traceback.print_exc()
            return 1
        signal.alarm(0)
        count += 1
    trial.unlink(missing_ok=True)
    print(f"{target.name}: {count} inputs, nothing found", flush=True)
    return 0


def main(names: list[str]) -> int:
    """Each target in a process of its own; one that ends badly leaves its input and is begun again."""
    FINDINGS.mkdir(parents=True, exist_ok=True)
    seconds = float(os.environ.get("FUZZ_SECONDS", "60"))
    found = 0
    for target in all_targets():
        if names and target.name not in names:
            continue
        until = time.monotonic() + seconds
        seed = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(1 << 30)
        while time.monotonic() < until:
            words = [sys.executable, "-m", "tests.data.fuzz", "--work", target.name, str(until), str(seed)]
            done = subprocess.run(words, stderr=subprocess.PIPE, check=False)
            if done.returncode == 0:
                break
            found += 1
            seed += 1
            trial = FINDINGS / f"{target.name}.trial"
            data = trial.read_bytes() if trial.exists() else b""
            kept = FINDINGS / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
            kept.write_bytes(data)
            kept.with_suffix(".log").write_bytes(done.stderr[-8000:])
            print(
                f"{target.name}: FOUND (exit {done.returncode}) {kept}\n  {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}",
                flush=True,
            )
    return 1 if found else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        chosen = next(one for one in all_targets() if one.name == sys.argv[2])
        sys.exit(work(chosen, float(sys.argv[3]), int(sys.argv[4])))
    sys.exit(main(sys.argv[1:]))
