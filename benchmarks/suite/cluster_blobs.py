"""A gigabyte from pod to pod through the built-in store."""

from __future__ import annotations

import threading
import time

from benchmarks.cluster.site import Site, open_site
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

MEGABYTES = 1000
PUT = Bar("cluster-put", "1,000 MiB from a pod into the store: end of the step to its outcome, over 1 MiB (150 MB/s)", 6.99, "s")
GET = Bar("cluster-get", "1,000 MiB from the store into a pod: a step that takes them over one that takes 1 MiB (150 MB/s)", 6.99, "s")
GROWTH = Bar("cluster-blob-memory", "growth of the server's pod meanwhile (anonymous memory)", 32, "MiB")


def times(site: Site, megabytes: int) -> tuple[float, float]:
    """Seconds from the end of the first step's own code to its recorded outcome; and of the second step as a whole."""
    planned: dict[str, float] = {}
    ended = []
    for event in site.finish(site.detach("gigabyte.py", "--megabytes", str(megabytes))):
        if type(event).__name__ == "AttemptPlanned":
            planned[event.attempt] = event.at
        elif type(event).__name__ == "AttemptEnded":
            ended.append(event)
    made, taken = ended
    return made.at - made.outcome.usage.writing_at, taken.at - planned[taken.attempt]


def measure(session: Session) -> None:
    puts: list[float | None] = []
    gets: list[float | None] = []
    growth: list[float | None] = []
    with open_site(session) as site:
        for _ in range(session.long_runs):
            put, get = times(site, 1)
            site.usage_after(time.time())
            stop, peaks = threading.Event(), [site.rss()]
            sampler = threading.Thread(target=_sample, args=(site, stop, peaks))
            sampler.start()
            more_put, more_get = times(site, MEGABYTES)
            stop.set()
            sampler.join()
            puts.append(more_put - put)
            gets.append(more_get - get)
            growth.append(max(peaks) - peaks[0])
    session.record(PUT.name, OURS, "s", puts, _speeds(puts))
    session.record(GET.name, OURS, "s", gets, _speeds(gets))
    session.record(GROWTH.name, OURS, "MiB", growth)


def _sample(site: Site, stop: threading.Event, peaks: list[float]) -> None:
    while not stop.wait(2):
        peaks.append(site.rss())


def _speeds(times: list[float | None]) -> str:
    return ", ".join(f"{(MEGABYTES - 1) * 1.048576 / time:.0f} MB/s" for time in times if time)


BENCHMARK = Benchmark("cluster-blobs", "a gigabyte from pod to pod", (PUT, GET, GROWTH), measure)
