"""The server: how soon it is there, what it takes when nothing happens, what it refuses, how soon a log line is seen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cluster.site import Site, in_turns, open_site
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

UP = Bar("cluster-up", "`fairway up` into an empty namespace, the image present, to ready", 10, "s")
IDLE = Bar("cluster-idle", "the idle server's pod, resident", 128, "MiB")
CPU = Bar("cluster-idle-cpu", "the idle server's pod, of a core", 20, "m")
HISTORY = Bar("cluster-history", "the same with 100 runs in its history and somebody who follows events", 200, "MiB")
REFUSAL = Bar("cluster-refusal", "`fairway run` of what cannot run, to its exit", 1, "s")
LOG = Bar("cluster-log", "from `print` in a pod to the line in `fairway logs -f`", 0.5, "s")
RUNS = 100
_REST_S = 30.0
_LINES = 20


def up_s(site: Site) -> float:
    """The command as a whole, its Python's start included."""
    began = time.perf_counter()
    site.fairway("up", "--on", "bench")
    return time.perf_counter() - began


def idle(site: Site) -> tuple[float, float]:
    """MiB, and thousandths of a core over half a minute in which nothing happens."""
    before = site.usage_after(time.time())
    now = site.usage_after(before[2] + _REST_S)
    return now[0], (now[1] - before[1]) / (now[2] - before[2]) * 1000


@contextmanager
def follower(site: Site) -> Iterator[None]:
    """Somebody who follows a run's events, as a page does that is open."""
    run = site.connection.api.get("/runs", limit=1)["items"][0]["run"]
    stop = threading.Event()

    def follow() -> None:
        for _ in site.connection.api.follow(f"/runs/{run}/events"):
            if stop.is_set():
                return

    threading.Thread(target=follow, daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def refusal_s(site: Site) -> float:
    began = time.perf_counter()
    site.fairway("run", "refused.py", "--on", "bench", statuses=(2, 4))
    return time.perf_counter() - began


def log_delays(site: Site) -> list[float | None]:
    """Seconds from each line's own time (the pod's clock: one node, one clock) to its arrival here."""
    run = site.detach("chatty.py", "--lines", str(_LINES))
    process = site.start("logs", "-f", run, "--on", "bench")
    delays: list[float | None] = []
    assert process.stdout is not None
    for line in process.stdout:
        now = time.time()
        if "said at" in line:
            delays.append(now - float(line.rsplit(" ", 1)[1]))
    process.wait()
    if len(delays) != _LINES:
        raise CommandError(f"{len(delays)} of {_LINES} lines came")
    return delays[1:]  # the first waits for the follower to start


def measure(session: Session) -> None:
    ups: list[float | None] = []
    for _ in range(session.long_runs):
        with open_site(session, up=False) as site:
            ups.append(up_s(site))
    session.record(UP.name, OURS, "s", ups)
    with open_site(session) as site:
        memory, cpu = idle(site)
        session.record(IDLE.name, OURS, "MiB", [memory])
        session.record(CPU.name, OURS, "m", [cpu], f"over {_REST_S:.0f} s")
        refusal_s(site)
        (refusals,) = in_turns(session.runs, lambda: refusal_s(site))
        session.record(REFUSAL.name, OURS, "s", list(refusals))
        session.record(LOG.name, OURS, "s", log_delays(site))
        runs = [site.detach("small.py:chain") for _ in range(RUNS)]
        for run in runs:
            site.finish(run)
        with follower(site):
            session.record(HISTORY.name, OURS, "MiB", [idle(site)[0]], f"{RUNS} runs of 20 steps")


BENCHMARK = Benchmark("cluster-server", "the server of a cluster", (UP, IDLE, CPU, HISTORY, REFUSAL, LOG), measure)
