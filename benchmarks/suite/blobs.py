"""A gigabyte into the blob process and out of it, as attempts in a cluster do it: checked against its digest on both sides."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session
from fairway.spec.artifact import blob_key
from fairway.spec.tokens import blob_url, sign_url
from fairway.step.link import Link

IN = Bar("blob-in", "1 GB from an attempt into the store (150 MB/s)", 6.67, "s")
OUT = Bar("blob-out", "1 GB from the store to an attempt (150 MB/s)", 6.67, "s")
IDLE = Bar("blob-idle", "resident memory of the idle process", 32, "MB")
GROWTH = Bar("blob-growth", "its peak above that while gigabytes pass through", 4, "MB")
SIZE = 10**9
_KEY = "5e" * 32
_PIECE_BYTES = 1 << 20


def measure(session: Session) -> None:
    home = session.work / "blobs-home"
    home.mkdir(parents=True, exist_ok=True)
    (home / "key").write_text(_KEY)
    source, target = session.work / "source", session.work / "target"
    key = make_blob(source)
    command = [sys.executable, "-m", "fairway.web.blobs", "--home", home, "--port", "0", "--key-file", home / "key"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        port = re.search(r":(\d+)$", process.stderr.readline().strip())
        assert port is not None
        idle = read_memory(process.pid, "VmRSS")
        ins, outs = pass_through(session, f"http://127.0.0.1:{port[1]}", key, source, target, home)
        session.record(IN.name, OURS, "s", ins)
        session.record(OUT.name, OURS, "s", outs)
        session.record(IDLE.name, OURS, "MB", [idle])
        session.record(GROWTH.name, OURS, "MB", [max(0.0, read_memory(process.pid, "VmHWM") - idle)])
    finally:
        process.kill()
        process.wait()


def pass_through(
    session: Session, url: str, key: str, source: Path, target: Path, home: Path
) -> tuple[list[float | None], list[float | None]]:
    """Seconds for each way, as often as the session says."""
    ins: list[float | None] = []
    outs: list[float | None] = []
    link = Link(patience_s=1.0)
    for number in range(session.long_runs):
        session.talk(f"blobs {number + 1}")
        (home / "blobs" / key).unlink(missing_ok=True)
        began = time.monotonic()
        with source.open("rb") as file:
            link.upload(lambda: sign(url, "PUT", key), file, doing="storing")
        ins.append(time.monotonic() - began)
        began = time.monotonic()
        with target.open("w+b") as file:
            link.download(lambda: sign(url, "GET", key), file, digest=key.removeprefix("sha256/").replace("/", ""), doing="fetching")
        outs.append(time.monotonic() - began)
    link.close()
    return ins, outs


def make_blob(path: Path) -> str:
    """Bytes that do not compress, and their key."""
    piece, digest, left = os.urandom(_PIECE_BYTES), hashlib.sha256(), SIZE
    with path.open("wb") as file:
        while left:
            part = piece[: min(left, len(piece))]
            file.write(part)
            digest.update(part)
            left -= len(part)
    return blob_key(digest.hexdigest())


def sign(url: str, method: str, key: str) -> str:
    """An address that is good for a while."""
    return url + blob_url(key, sign_url(_KEY, method, key, time.time() + 600))


def read_memory(pid: int, name: str) -> float:
    """A line of the process's status, in MB."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / 1e6


BENCHMARK = Benchmark("blobs", "bulk bytes through the server's blob process", (IN, OUT, IDLE, GROWTH), measure)
