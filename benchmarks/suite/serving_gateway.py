"""What the gateway adds: the same load straight to a replica and through the gateway, in turns.

The gateway and the replica share core 0 and the client has core 1, as a small machine would have it. With one caller only one of them works
at a time, so the difference of the medians is the gateway's own; with 64 its CPU time is read from the system.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import OURS, Bar, difference_of_pairs
from benchmarks.serving.bench import Server, models, ours, rows, started
from benchmarks.serving.contenders import Contender, Setting, variables
from benchmarks.session import Benchmark, Session

CPU = Bar("serving-gateway-cpu", "the gateway's processes: CPU time for a request, 64 callers", 120, "µs")
P50 = Bar("serving-gateway-p50", "one caller: median through the gateway less straight to the replica", 300, "µs")
FAILED = Bar("serving-gateway-failed", "requests through it that were not answered with 200", 0, "errors")
_BY_PATH = "by a path"


def measure(session: Session) -> None:
    contender, python = ours(session)
    folder = models(session)
    seconds = 2.0 if session.quick else 5.0
    body = contender.body(rows(folder)[:1])
    found: dict[tuple[str, str], list[float]] = {}
    with started(session, contender, python, "identity") as straight, _on_path(session, contender, straight) as path:
        through = _gateway(OURS, f"127.0.0.1:{straight.setting.port}")
        with started(session, through, python, "identity") as by_port, started(
            session, _gateway(_BY_PATH, f"unix:{path}"), python, "identity"
        ) as by_path:  # fmt: skip
            servers = {"straight": straight, OURS: by_port, _BY_PATH: by_path}
            for _ in range(2 if session.quick else 7):
                for connections in (1, 64):
                    for name, server in servers.items():
                        session.talk(f"{name} {connections}")
                        _add(found, name, connections, server, body, seconds)
    _record(session, found)


def _add(found: dict[tuple[str, str], list[float]], name: str, connections: int, server: Server, body: bytes, seconds: float) -> None:
    load = server.load(body, connections, seconds)
    for figure, value in (("p50", load.p50_us), ("p99", load.p99_us), ("cpu", load.cpu_us), ("per_s", load.per_s)):
        found.setdefault((f"{connections}/{figure}", name), []).append(value)
    found.setdefault(("failed", name), []).append(float(load.failed))


def _record(session: Session, found: dict[tuple[str, str], list[float]]) -> None:
    for name in (OURS, _BY_PATH):
        session.record(CPU.name, name, "µs", list(found["64/cpu", name]))
        session.record(P50.name, name, "µs", difference_of_pairs(found["1/p50", name], found["1/p50", "straight"]))
        session.record(FAILED.name, name, "errors", [sum(found["failed", name])])
    for name in (OURS, _BY_PATH):
        session.record("gateway 1/cpu", name, "µs", list(found["1/cpu", name]))
    for figure, unit in (("1/p50", "µs"), ("1/p99", "µs"), ("64/p50", "µs"), ("64/p99", "µs"), ("64/per_s", "1/s")):
        for name in (OURS, _BY_PATH, "straight"):
            session.record(f"gateway {figure}", name, unit, list(found[figure, name]))


def _gateway(name: str, address: str) -> Contender:
    """Its program, with a table that names one replica."""

    def argv(setting: Setting) -> Sequence[str]:
        table = setting.work / "table.json"
        row = {"traffic": [[1, 100.0]], "replicas": {"1": [{"id": "one", "address": address}]}}
        table.write_text(json.dumps({"version": 1, "endpoints": {"m": row}}))
        return (
            str(setting.python), "-m", "fairway.serve.gateway", "--table", str(table), "--listen", f"127.0.0.1:{setting.port}",
            "--admin", f"unix:{setting.work}/admin.sock",
        )  # fmt: skip

    return Contender(name, argv, (), "/m/predict")


@contextmanager
def _on_path(session: Session, contender: Contender, straight: Server) -> Generator[Path]:
    """A second replica of the same model on a path, as the local server starts them."""
    path = session.work / "replica.sock"
    words = list(contender.argv(straight.setting))
    port = words.index("--port")
    words[port : port + 2] = ["--uds", str(path)]
    process = subprocess.Popen(
        ["taskset", "-c", "0", *words],
        env=variables(straight.setting),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield path
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


BENCHMARK = Benchmark("serving-gateway", "the gateway's own cost", (CPU, P50, FAILED), measure)
