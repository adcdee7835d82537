"""Starting servers on one core, asking them from the other, and reading what came: the parts that all serving benchmarks share."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import OURS
from benchmarks.peers import FILES, ROOT
from benchmarks.process import CommandError
from benchmarks.serving.contenders import CONTENDERS, Contender, Setting, find_python, refresh, variables
from benchmarks.session import Session

DATA = ROOT.parent / "shared/data/credit_default.csv"
SERVING = FILES.parent / "serving/peers"
WRK = Path(__file__).parent / "post.lua"
_PATIENCE_S = 90.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What a client saw: requests a second, latencies in microseconds, how many were not answered with 2xx; `cpu_us`: of the server's
    processes for each request; `seconds`: how long it lasted."""

    per_s: float
    p50_us: float
    p99_us: float
    failed: int
    cpu_us: float
    seconds: float


def models(session: Session, what: str = "") -> Path:
    """The folder of models, made when first asked for; with `what` "heavy", that one too. Raises CommandError without the data."""
    folder = session.work / "models"
    if not folder.exists():
        _make_models(folder)
    if what and not (folder / f"{what}.joblib").exists():
        _make_models(folder, what)
    return folder


def _make_models(folder: Path, *what: str) -> None:
    if not DATA.exists():
        raise CommandError(f"the data set {DATA.name} is not beside the checkout")
    words = [sys.executable, "-m", "benchmarks.serving.models", str(DATA), str(folder), *what]
    made = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if made.returncode:
        raise CommandError(made.stderr.strip().splitlines()[-1])


def contenders(session: Session) -> Iterator[tuple[Contender, Path]]:
    """Those that are installed and wanted, ours first, with their interpreters."""
    wanted = session.peers.wanted
    for contender in CONTENDERS:
        python = find_python(session.peers.environments, contender)
        if python is None or not (contender.name == OURS or wanted is None or contender.name in wanted):
            continue
        if contender.name == OURS:
            keep_fresh(session, python)
        yield contender, python


def ours(session: Session) -> tuple[Contender, Path]:
    """Raises CommandError if our own environment is not installed."""
    for contender, python in contenders(session):
        if contender.name == OURS:
            return contender, python
    raise CommandError(f"our own environment is not installed: python -m benchmarks peers install serving-{OURS}")


def keep_fresh(session: Session, python: Path) -> None:
    """Once in a session: the environment gets the code of this checkout. Raises CommandError if that fails."""
    mark = session.work / f"fresh-{python.parts[-3]}"
    if mark.exists():
        return
    session.talk(f"installing this checkout into {python.parts[-3]}")
    if not refresh(python):
        raise CommandError(f"this checkout could not be installed into {python.parts[-3]}")
    mark.touch()


def rows(folder: Path) -> list[list[float]]:
    import numpy as np

    return np.load(folder / "rows.npy").tolist()


def expected(folder: Path, model: str) -> float:
    """The last column of the first answer."""
    import numpy as np

    if model == "identity":
        return float(np.load(folder / "rows.npy")[0, -1])
    return float(np.load(folder / ("expected.npy" if model == "hgb" else f"expected-{model}.npy"))[0])


@dataclass
class Server:
    contender: Contender
    setting: Setting
    process: subprocess.Popen[bytes]
    first_answer_s: float

    @property
    def family(self) -> list[int]:
        """Its processes."""
        return _family(self.process.pid)

    @property
    def memory_mb(self) -> float:
        """Of all of them, shared pages counted once."""
        return sum(_rollup(pid, "Pss") for pid in self.family) / 1e6

    def cpu_s(self) -> float:
        return sum(_cpu_s(pid) for pid in self.family)

    def ask(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        link = http.client.HTTPConnection("127.0.0.1", self.setting.port, timeout=30)
        link.request("POST", self.contender.path, body, {"Content-Type": "application/json", **(headers or {})})
        answer = link.getresponse()
        data = answer.read()
        link.close()
        return answer.status, data

    def load(self, body: bytes, connections: int, seconds: float, *, core: str = "1") -> Load:
        """What wrk says after so many seconds with so many connections, each with one request under way."""
        file = self.setting.work / "body.json"
        file.write_bytes(body)
        before = self.cpu_s()
        done = subprocess.run(
            ["taskset", "-c", core, "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(WRK),
             f"http://127.0.0.1:{self.setting.port}{self.contender.path}"],
            env={**os.environ, "BODY_FILE": str(file)}, capture_output=True, text=True, timeout=seconds + 60, check=False,
        )  # fmt: skip
        if "RESULT " not in done.stdout:
            raise CommandError(f"wrk says nothing: {done.stderr.strip()[:200]}")
        said = json.loads(done.stdout.partition("RESULT ")[2].splitlines()[0])
        count = max(1, said["requests"])
        bad = said["bad_status"] + said["connect"] + said["read"] + said["write"] + said["timeout"]
        return Load(count / said["seconds"], said["p50_us"], said["p99_us"], bad, (self.cpu_s() - before) / count * 1e6, said["seconds"])


@contextmanager
def started(
    session: Session, contender: Contender, python: Path, model: str, *, workers: int = 1, batching: bool = True, core: str = "0"
) -> Generator[Server]:
    """The contender at work, once it has answered rightly. Raises CommandError if it does not."""
    folder = models(session)
    work = session.work / f"{contender.name}-{model}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    body, right = contender.body(rows(folder)[:1]), expected(folder, model)
    setting = Setting(model, free_port(), workers, batching and contender.batches, python, SERVING, folder, work)
    began = time.perf_counter()
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", core, *contender.argv(setting)],
            cwd=work,
            env=variables(setting),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        server = Server(contender, setting, process, 0.0)
        while True:
            try:
                status, data = server.ask(body)
                if status == 200 and abs(contender.first(json.loads(data)) - right) < 1e-4:
                    break
                said = f"{status}: {data[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                said = str(error)
            if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
                raise CommandError(f"{contender.name} does not answer rightly: {said}; {(work / 'log').read_text()[-300:]}")
            time.sleep(0.005)
        server.first_answer_s = time.perf_counter() - began
        yield server
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(8)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


@contextmanager
def on_core(core: int) -> Generator[None]:
    """This process asks from there; a server that is started meanwhile says itself where it runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _family(pid: int) -> list[int]:
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").glob("*"):  # a process is the child of the thread that began it
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += _family(int(child))
    return found


def _rollup(pid: int, key: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS
