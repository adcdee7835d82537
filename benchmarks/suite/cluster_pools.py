"""Small tasks on warm workers: a chain of them, and a thousand in batches."""

from __future__ import annotations

from benchmarks.cluster.site import Site, open_site
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

CHAIN = Bar("cluster-chain", "a chain of 20 steps in a pool that starts from nothing, less a bare Job beside it", 2, "s")
STEP = Bar("cluster-chain-step", "each further step of the chain", 100, "ms")
MANY = Bar("cluster-map", "1,000 items, batch=25, on a pool of 8 that starts from nothing", 15, "s")


def took_s(site: Site, run: str) -> tuple[float, list[float]]:
    """Seconds that the run took on the server's clock, and when its attempts ended, from its start."""
    events = site.finish(run)
    return events[-1].at - events[0].at, [event.at - events[0].at for event in events if type(event).__name__ == "AttemptEnded"]


def measure(session: Session) -> None:
    jobs: list[float | None] = []
    chains: list[float | None] = []
    steps: list[float | None] = []
    maps: list[float | None] = []
    for _ in range(session.long_runs):
        with open_site(session) as site:  # a new one each time: its pools are empty
            site.job_s()
            job = site.job_s()
            whole, ended = took_s(site, site.detach("small.py:chain"))
            jobs.append(job)
            chains.append(whole - job)
            steps.append((ended[-1] - ended[0]) / (len(ended) - 1) * 1000)
        with open_site(session) as site:
            maps.append(took_s(site, site.detach("small.py:many"))[0])
    session.record("cluster-chain-job", "bare Job", "s", jobs)
    session.record(CHAIN.name, OURS, "s", chains)
    session.record(STEP.name, OURS, "ms", steps)
    session.record(MANY.name, OURS, "s", maps)


BENCHMARK = Benchmark("cluster-pools", "warm workers on a cluster", (CHAIN, STEP, MANY), measure)
