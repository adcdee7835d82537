"""`python -m fairway.train.beside.raynode HOST DOOR ARGUMENT...`: one Ray node by `ray start ARGUMENT...`, in a folder that goes with it.

DOOR is a port that is open when the node is a member of the cluster. The folder is one of its own because Ray keeps sockets there, whose
paths must be short, and a note of the newest cluster, which other programs on this machine would follow.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NoReturn

from fairway.step.freeports import free_ports
from fairway.step.processes import die_with_parent
from fairway.train.beside.doors import open_door

_STARTED = "Ray runtime started"


def main(host: str, door: int, argv: Sequence[str]) -> int:
    """Until the node ends, or somebody ends us; its exit status."""
    if find_spec("ray") is None:
        print('fairway: there is no ray in this environment; add it: packages=["ray"]', file=sys.stderr)
        return 1
    folder = tempfile.mkdtemp(prefix="fw-ray-")
    # Ray's head would take a port that is the same for every cluster, for clients of its older protocol.
    own = ("--temp-dir", folder, "--ray-client-server-port", str(free_ports(1)[0]), "--no-monitor") if "--head" in argv else ()
    me = os.getpid()
    node = subprocess.Popen(
        [sys.executable, "-u", "-m", "ray.scripts.scripts", "start", "--block", *argv, *own],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(me),  # noqa: PLW1509 - this process has one thread
    )

    def end(*_: Any) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    opened: socket.socket | None = None
    said: list[str] = []
    try:
        for line in node.stdout or ():
            said.append(line)
            if opened is None and _STARTED in line:
                opened, said = open_door(host, door), []
        status = node.wait()
        print("".join(said), end="", file=sys.stderr)  # of a node that did well nobody wants to read
        return status
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with contextlib.suppress(ProcessLookupError):  # at once: on SIGTERM Ray waits for its tasks up to half a minute
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()
        shutil.rmtree(folder, ignore_errors=True)
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
