"""The server is killed while two hundred tasks run."""

from __future__ import annotations

import time
import urllib.error
import urllib.request

from benchmarks.cluster.site import Site, open_site
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

BACK = Bar("cluster-restart", "server killed with 200 tasks running: from its next start to all runs going on", 5, "s")
TWICE = Bar("cluster-restart-twice", "attempts that the kill made necessary, over those that there would have been", 0, "re-runs")
RUNS, TASKS, BATCH = 4, 50, 5
_ATTEMPTS = 1 + TASKS // BATCH + 1
_STARTING_S = 90.0


def measure(session: Session) -> None:
    backs: list[float | None] = []
    twice: list[float | None] = []
    with open_site(session) as site:
        for _ in range(session.long_runs):
            until = time.time() + _STARTING_S
            runs = [site.detach("crowd.py", "--until_s", str(until), "--count", str(TASKS)) for _ in range(RUNS)]
            while _running(site) < RUNS * TASKS // BATCH:
                time.sleep(1)
            started = site.kill_server()
            while not _all_driven(site, runs):
                time.sleep(0.05)
            backs.append(time.time() - started)
            planned = sum(type(event).__name__ == "AttemptPlanned" for run in runs for event in site.finish(run))
            twice.append(planned - RUNS * _ATTEMPTS)
    session.record(BACK.name, OURS, "s", backs, f"{RUNS} runs, {RUNS * TASKS // BATCH} pods of {BATCH} tasks each")
    session.record(TWICE.name, OURS, "re-runs", twice)


def _running(site: Site) -> int:
    return sum(
        pod["status"]["phase"] == "Running" and "linger" in pod["metadata"]["annotations"].get("fairway.dev/step", "")
        for pod in site.pods("fairway.dev/role=attempt")
    )


def _all_driven(site: Site, runs: list[str]) -> bool:
    """The server knows every attempt of its runs again, and drives them."""
    root = site.connection.api.url.removesuffix("/api/v1")
    try:
        with urllib.request.urlopen(f"{root}/readyz", timeout=10) as answer:
            ready = answer.status == 200
    except (OSError, urllib.error.URLError):
        return False
    return ready and all(site.connection.is_driven(run) for run in runs)


BENCHMARK = Benchmark("cluster-restart", "the server of a cluster is killed", (BACK, TWICE), measure)
