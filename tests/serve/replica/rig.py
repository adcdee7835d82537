"""A real inference server in a process of its own, and a client that says what came."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 60.0
SCHEMA = {
    "inputs": {"type": "array", "items": {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}},
    "outputs": {"type": "array", "items": {"type": "number"}},
}


class Replica:
    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any], log: Path) -> None:
        self.process, self.ready, self.log = process, ready, log
        self.port = int(ready["url"].rpartition(":")[2])

    def call(self, path: str, body: Any = None, *, method: str = "POST", **headers: str) -> tuple[int, Any]:
        """(status, JSON or text)."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        data = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        link.request(method, path, data, {"content-type": "application/json", **{name.replace("_", "-"): v for name, v in headers.items()}})
        answer = link.getresponse()
        text = answer.read().decode()
        link.close()
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" and text else text

    def score(self, body: Any, **headers: str) -> tuple[int, Any]:
        return self.call("/score", body, **headers)

    @property
    def in_flight(self) -> int:
        """How many requests it is answering, besides the one that asks."""
        lines = self.call("/metrics", method="GET")[1].splitlines()
        return int(float(next(line for line in lines if line.startswith("fairway_serve_in_flight")).split()[-1])) - 1

    @property
    def children(self) -> list[int]:
        """The model parent."""
        return _children(self.process.pid)

    @property
    def workers(self) -> list[int]:
        return [pid for parent in self.children for pid in _children(parent)]


@contextmanager
def replica(folder: Path, *arguments: str, **environment: str) -> Iterator[Replica]:
    """`python -m fairway.serve.replica FOLDER`, until it has said that it is ready."""
    log = folder.parent / f"{folder.name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fairway.serve.replica", str(folder), "--port", "0", *arguments],
            stdout=subprocess.PIPE, stderr=file, text=True, env={**os.environ, **environment},
        )  # fmt: skip
    assert process.stdout is not None
    try:
        ready = json.loads(process.stdout.readline() or "{}")
        assert ready.get("ready"), f"{ready} {log.read_text()}"
        yield Replica(process, ready, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            process.kill()
            process.stdout.close()


def at_once(ask: Callable[[int], Any], count: int) -> list[Any]:
    """What each of so many callers got, all of whom asked at once."""
    with ThreadPoolExecutor(count) as callers:
        return list(callers.map(ask, range(count)))


def script(folder: Path, text: str, *, schema: Any = None) -> Path:
    """A folder with score.py in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "score.py").write_text(text)
    if schema is not None:
        (folder / "schema.json").write_text(json.dumps(schema))
    return folder


def _children(pid: int) -> list[int]:
    try:
        return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
