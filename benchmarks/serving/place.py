"""A project that serves a model from the command line, and the processes behind it: found, killed, stopped, waited for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from fairway.engine.localserver import find_server, stop_server
from fairway.engine.processes import is_process
from fairway.step.processes import find_children

FAIRWAY = (sys.executable, "-c", "import sys; from fairway.cli import main; sys.exit(main())")
LIMIT_S = 90.0


class Place:
    """A folder with a `fairway.toml`; `name`: of its endpoint."""

    def __init__(self, folder: Path, name: str = "risk", fairway: Sequence[str] = FAIRWAY) -> None:
        self.folder, self.name, self._fairway = folder, name, tuple(fairway)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fairway.toml").touch()
        self.variables = {key: value for key, value in os.environ.items() if not key.startswith("FAIRWAY_")}

    @property
    def home(self) -> str:
        return str(self.folder / ".fairway")

    @property
    def serve_folder(self) -> Path:
        return self.folder / ".fairway" / "serve"

    # the command line

    def run(self, *words: str, status: int = 0) -> str:
        """`fairway WORDS`: what it writes to stdout. Raises AssertionError for another exit status."""
        done = subprocess.run(
            [*self._fairway, *words], cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S * 2, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"fairway {' '.join(words)}: {done.returncode}: {done.stderr}"
        return done.stdout

    def view(self) -> dict[str, Any]:
        """The endpoint as `fairway endpoints NAME -o json` tells it."""
        return json.loads(self.run("endpoints", self.name, "-o", "json"))

    @property
    def port(self) -> int:
        """The gateway's."""
        return int((self.serve_folder / "gateway" / "port").read_text())

    # processes

    def server_pid(self) -> int:
        """The local server's; 0 for none."""
        found = find_server(self.home)
        return found.pid if found is not None else 0

    def gateway_pids(self) -> tuple[int, int]:
        """Of the process that holds the sockets, and of its child that works. (0, 0) where none answers."""
        with suppress(OSError, ValueError, KeyError):
            state = self._state()
            return int(state["holder"]), int(state["pid"])
        return 0, 0

    def table(self) -> dict[str, Any]:
        """The endpoint's row of the table that the gateway goes by, as it lies on disk."""
        path = self.serve_folder / "gateway" / "table.json"
        with suppress(OSError, ValueError):
            return json.loads(path.read_text())["endpoints"].get(self.name, {})
        return {}

    def replicas(self, revision: int = 0) -> list[dict[str, Any]]:
        """Those that live, the oldest first: id, pid, revision, ready_at, warm."""
        found: list[dict[str, Any]] = []
        for path in (self.serve_folder / "replicas").glob("*.json"):
            with suppress(OSError, ValueError):
                kept = json.loads(path.read_text())
                if revision in (0, kept["revision"]) and is_process(kept["pid"], kept["process"]):
                    found.append(kept)
        return sorted(found, key=lambda kept: kept["began_at"])

    def serving(self, revision: int = 0) -> list[dict[str, Any]]:
        """Those of them that the gateway's table names, and that get requests."""
        rows = self.table().get("replicas", {}).values()
        named = {row["id"] for one in rows for row in one if not row["draining"]}
        return [kept for kept in self.replicas(revision) if kept["id"] in named]

    def workers(self, replica: dict[str, Any]) -> list[int]:
        """Its model processes, which its model parent has forked."""
        return [worker for parent in find_children(replica["pid"]) for worker in find_children(parent)]

    def left(self) -> list[int]:
        """Processes of this home that are still there."""
        holder, child = self.gateway_pids()
        zygotes = [json.loads(path.read_text()) for path in (self.serve_folder / "zygotes").glob("*.json")]
        warm = [kept["pid"] for kept in zygotes if is_process(kept["pid"], kept["process"])]
        return [pid for pid in (self.server_pid(), holder, child, *warm, *(kept["pid"] for kept in self.replicas())) if pid]

    def close(self) -> None:
        """End everything, as a user does. Raises TimeoutError if something stays."""
        if not self.folder.exists():
            return
        with suppress(AssertionError, subprocess.TimeoutExpired):
            for one in json.loads(self.run("endpoints", "-o", "json")):
                self.run("endpoints", one["endpoint"]["name"], "--delete", "--yes")
        await_true(lambda: not self.replicas() and self.gateway_pids() == (0, 0), "an end of gateway and replicas")
        stop_server(self.home)

    def _state(self) -> dict[str, Any]:
        return ask_unix(self.admin_path(), "GET", "/state")

    def admin_path(self) -> str:
        """The socket of the gateway's own address."""
        from fairway.serve.control.processes import open_socket_folder

        return str(open_socket_folder(self.serve_folder / "sockets", self.home, 60) / "gateway.sock")


def ask_unix(path: str, method: str, target: str) -> dict[str, Any]:
    """Raises OSError, ValueError."""
    import socket

    link = HTTPConnection("localhost", timeout=5)
    link.sock = socket.socket(socket.AF_UNIX)
    try:
        link.sock.settimeout(5)
        link.sock.connect(path)
        link.request(method, target)
        return json.loads(link.getresponse().read())
    finally:
        link.close()


def await_true(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> None:
    """Raises TimeoutError, which names what was waited for."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit_s:g} s for {what}")
        time.sleep(0.01)


def kill(pid: int) -> None:
    """SIGKILL, and no zombie is left if it was ours."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
