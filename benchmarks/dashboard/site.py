"""A local server of a home, asked as a browser asks it."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks.process import CommandError


class Site:
    """`pid` of the server, `base` its address; `cookie` of a session."""

    def __init__(self, fairway: Path, project: Path) -> None:
        self._fairway, self.project = fairway, project
        link = self.link()
        parts = urlsplit(link)
        self.base = f"http://{parts.netloc}"
        code = re.search(r"code=([\w-]+)", parts.fragment)
        if code is None:
            raise CommandError(f"no code in {link}")
        self.cookie = self._sign_in(code[1])
        self.pid = int(json.loads((project / ".fairway/server/server.json").read_text())["pid"])

    def link(self) -> str:
        """A new link that lets a browser in."""
        done = subprocess.run(
            [self._fairway, "-C", self.project, "ui", "--no-open"], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise CommandError(done.stderr.strip())
        return done.stdout.strip()

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[float, bytes]:
        """(seconds to the first byte of the body, the body as it was sent). Raises CommandError for anything but success."""
        connection = http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=60)
        given = {"cookie": self.cookie, "accept": "text/html", "accept-encoding": "gzip", **(headers or {})}
        began = time.perf_counter()
        connection.request("GET", path, headers=given)
        answer = connection.getresponse()
        first = answer.read(1)
        took = time.perf_counter() - began
        body = first + answer.read()
        connection.close()
        if answer.status != 200:
            raise CommandError(f"{path}: {answer.status}")
        return took, body

    def memory_bytes(self) -> int:
        """Resident memory of the server's process, the most there has been."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]

    def resident_bytes(self) -> int:
        """Resident memory now."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text)[1]) * 1024  # type: ignore[index]

    def _sign_in(self, code: str) -> str:
        connection = http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=60)
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json", "origin": self.base}
        connection.request("POST", "/session", urlencode({"code": code}), headers)
        answer = connection.getresponse()
        answer.read()
        cookie = answer.getheader("set-cookie")
        if answer.status != 200 or cookie is None:
            raise CommandError(f"cannot sign in: {answer.status}")
        return cookie.partition(";")[0]


@contextmanager
def serving(fairway: Path, project: Path) -> Iterator[Site]:
    """The local server of the project while the block lasts; a new one, so that its memory is its own."""
    subprocess.run([fairway, "-C", project, "down", "--on", "local", "--yes"], capture_output=True, check=False, timeout=60)
    site = Site(fairway, project)
    try:
        yield site
    finally:
        subprocess.run([fairway, "-C", project, "down", "--on", "local", "--yes"], capture_output=True, check=False, timeout=60)


def first_link(pattern: str, body: bytes) -> str:
    """The first address on a page that matches, "" if there is none. The page may be packed."""
    import gzip

    text = (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode("utf-8", "replace")
    found = re.search(pattern, text)
    return found[1].replace("&amp;", "&") if found else ""


def seeded(work: Path, runs: int) -> Path:
    """A project with so many runs; FAIRWAY_SEEDED/RUNS is taken if it is there, for making it takes minutes."""
    kept = os.environ.get("FAIRWAY_SEEDED", "")
    if kept and (Path(kept) / str(runs) / ".fairway").is_dir():
        return Path(kept) / str(runs)
    from benchmarks.seed import seed

    folder = (Path(kept) if kept else work) / str(runs)
    folder.mkdir(parents=True, exist_ok=True)
    seed(folder, runs)
    return folder
