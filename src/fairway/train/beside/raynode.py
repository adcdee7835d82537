"""`python -m fairway.train.beside.raynode ARGUMENT...`: one Ray node by `ray start`, with a temporary folder of its own that goes with it.

Ray keeps sockets there, whose paths must be short, and a note of the newest cluster, which other programs on this machine would follow.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NoReturn

_PATIENCE_S = 3.0


def main(argv: Sequence[str]) -> int:
    """Until the node ends, or somebody ends us; its exit status."""
    if find_spec("ray") is None:
        print('fairway: there is no ray in this environment; add it: packages=["ray"]', file=sys.stderr)
        return 1
    folder = tempfile.mkdtemp(prefix="fw-ray-")
    temporary = ("--temp-dir", folder) if "--head" in argv else ()
    node = subprocess.Popen([sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *argv, *temporary])

    def end(*_: Any) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    try:
        return node.wait()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        node.terminate()
        try:
            node.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.kill(node.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
