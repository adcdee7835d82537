"""From the command to the first page that is answered, with 10,000 runs in the store, beside others' servers; and what the server takes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from benchmarks.dashboard.site import seeded
from benchmarks.figures import OURS, Bar
from benchmarks.memory import MARK, Sampler, parse_kb
from benchmarks.process import Command, CommandError
from benchmarks.session import Benchmark, Session

START = Bar("dashboard-start", "from `fairway ui` to the first page answered, 10,000 runs", 0.5, "s")
AGAIN = Bar("dashboard-again", "the same while its server runs already", 0.25, "s")
MEMORY = Bar("dashboard-memory", "memory of the server after its first page", 60, "MB")
IDLE = Bar("dashboard-idle", "CPU that the idle server takes in ten seconds", 0.01, "s")
_PATIENCE_S = 90.0
_IDLE_S = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(session: Session) -> None:
    try:
        _measure_ours(session)
    except CommandError as error:
        session.record(START.name, OURS, "s", [], str(error))
    for peer in session.peers.present():
        python = session.peers.find_python(peer)
        if python is not None and peer.environment in _SERVERS:
            _measure_peer(session, peer.name, python)


def _measure_ours(session: Session) -> None:
    project = seeded(session.work, 1_000 if session.quick else 10_000)
    starts: list[float | None] = []
    agains: list[float | None] = []
    sizes: list[float | None] = []
    idle = 0.0
    for number in range(session.runs):
        session.talk(f"ui {number + 1}")
        _fairway(session, project, "down", "--on", "local", "--yes")
        starts.append(_open(session, project))
        server = json.loads((project / ".fairway/server/server.json").read_text())
        sizes.append(_resident(server["pid"]) / 1e6)
        agains.append(_open(session, project))
        if not number:
            before = _cpu_s(server["pid"])
            time.sleep(_IDLE_S)
            idle = _cpu_s(server["pid"]) - before
    _fairway(session, project, "down", "--on", "local", "--yes")
    session.record(START.name, OURS, "s", starts)
    session.record(AGAIN.name, OURS, "s", agains)
    session.record(MEMORY.name, OURS, "MB", sizes)
    session.record(IDLE.name, OURS, "s", [idle])


def _fairway(session: Session, project: Path, *words: str) -> str:
    command = session.ours(project, *words)
    done = subprocess.run(
        command.argv, cwd=project, env=command.environ(), capture_output=True, text=True, timeout=_PATIENCE_S, check=False
    )
    if done.returncode:
        raise CommandError((done.stderr or done.stdout).strip().splitlines()[0])
    return done.stdout.strip()


def _open(session: Session, project: Path) -> float:
    """Seconds from the command to the list of runs, as a browser gets it that follows the link."""
    began = time.perf_counter()
    link = urlsplit(_fairway(session, project, "ui", "--no-open"))
    browser = http.client.HTTPConnection(link.netloc, timeout=_PATIENCE_S)
    code = link.fragment.removeprefix("code=")
    form = {"content-type": "application/x-www-form-urlencoded", "origin": f"http://{link.netloc}"}
    browser.request("POST", "/session", f"code={code}", form)
    answer = browser.getresponse()
    answer.read()
    browser.request("GET", "/runs", headers={"cookie": (answer.getheader("set-cookie") or "").partition(";")[0]})
    page = browser.getresponse()
    page.read()
    took = time.perf_counter() - began
    browser.close()
    if page.status != 200:
        raise CommandError(f"/runs: {page.status}")
    return took


def _measure_peer(session: Session, name: str, python: Path) -> None:
    """Its server over an empty store: the best that it can do."""
    starts: list[float | None] = []
    sizes: list[float | None] = []
    try:
        for number in range(session.long_runs):
            session.talk(f"{name} {number + 1}")
            with _serving(python, name, session.work / f"dashboard-{name}") as (took, size):
                starts.append(took)
                sizes.append(size / 1e6)
    except CommandError as error:
        session.record(START.name, name, "s", starts, str(error))
        return
    session.record(START.name, name, "s", starts, "with nothing in its store")
    session.record(MEMORY.name, name, "MB", sizes, "all its processes")


_SERVERS = {
    "luigi": ("luigid", "--address", "127.0.0.1", "--port", "{port}", "--state-path", "state", "--logdir", "logs"),
    "prefect": ("prefect", "server", "start", "--host", "127.0.0.1", "--port", "{port}"),
    "dagster": ("dagster-webserver", "--empty-workspace", "--host", "127.0.0.1", "--port", "{port}"),
}
"""How each is started, as its documentation says."""


@contextmanager
def _serving(python: Path, name: str, folder: Path) -> Generator[tuple[float, int]]:
    """(seconds to its first page, bytes that it takes) of a peer's server, which is ended after the block."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    port = _free_port()
    program, *words = (word.format(port=port) for word in _SERVERS[name])
    mark = f"{name}-{port}"
    variables = {MARK: mark, "PREFECT_HOME": str(folder), "DAGSTER_HOME": str(folder)}
    command = Command((str(python.with_name(program)), *words), folder, variables)
    began = time.perf_counter()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command.argv, cwd=folder, env=command.environ(), stdout=said, stderr=said, start_new_session=True)
    try:
        while not _answers(port):
            if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
                raise CommandError(f"{program} does not answer")
            time.sleep(0.005)
        took = time.perf_counter() - began
        sampler = Sampler(process.pid, f"{MARK}={mark}".encode())
        sampler.sample()
        yield took, sampler.peak.tree
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    """Is there a page at the root, or where that leads?"""
    path = "/"
    for _ in range(3):
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            answer.read()
        except OSError:
            return False
        finally:
            link.close()
        if answer.status == 200:
            return True
        path = urljoin(path, urlsplit(answer.getheader("location") or "/").path)
    return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _resident(pid: int) -> int:
    """Bytes of the server's one process, with what it shares with others."""
    return parse_kb(Path(f"/proc/{pid}/status").read_text(), "VmRSS:")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


BENCHMARK = Benchmark("dashboard-start", "the dashboard from the command to its first page", (START, AGAIN, MEMORY, IDLE), measure)
