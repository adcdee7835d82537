"""A real S3 server (SeaweedFS) on this machine, with a bucket `tests`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairway.step.freeports import free_ports

ACCESS_KEY, SECRET_KEY = "AK", "SK"
_PORTS = (
    *(f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")),
    "s3.port.iceberg",
    "s3.port.lance",
)


@contextmanager
def serve_s3(folder: Path) -> Iterator[str]:
    """The server's URL, once it answers; it keeps its files in `folder`."""
    keys = [
        {"name": "t", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": ["Admin", "Read", "Write", "List"]}
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": keys}))
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    words = [f"-{name}={port}" for name, port in ports.items()]
    process = subprocess.Popen(
        [Path(sys.executable).with_name("weed"), "server", f"-dir={folder}", "-s3", "-s3.config=s3.json", "-ip=127.0.0.1", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        make = urllib.request.Request(f"http://127.0.0.1:{ports['filer.port']}/buckets/tests/", method="POST")
        for url in (make, f"http://127.0.0.1:{ports['s3.port']}/healthz"):
            answer(url, process)
        yield f"http://127.0.0.1:{ports['s3.port']}"
    finally:
        process.kill()
        process.wait(60)


def answer(url: str | urllib.request.Request, process: subprocess.Popen[bytes]) -> None:
    """Ask until the server answers."""
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=60).close()
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        else:
            return
        assert process.poll() is None, "the S3 server has ended"
        assert time.monotonic() < until, f"no answer from {url}"
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
