"""A gigabyte from pod to pod through the built-in store."""

from __future__ import annotations

import threading

from benchmarks.cluster.site import open_site
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

PUT = Bar("cluster-put", "1 GB from a pod into the store: from the end of the step to its outcome", 6.67, "s")
GET = Bar("cluster-get", "1 GB from the store into a pod: from the start of the attempt to the step's", 6.67, "s")
GROWTH = Bar("cluster-blob-memory", "growth of the server's pod meanwhile (anonymous memory)", 32, "MiB")


def measure(session: Session) -> None:
    puts: list[float | None] = []
    gets: list[float | None] = []
    growth: list[float | None] = []
    with open_site(session) as site:
        for _ in range(session.long_runs):
            stop, peaks = threading.Event(), [site.rss()]

            def sample(stop: threading.Event = stop, peaks: list[float] = peaks) -> None:
                while not stop.wait(2):
                    peaks.append(site.rss())

            sampler = threading.Thread(target=sample)
            sampler.start()
            ended = [event for event in site.finish(site.detach("gigabyte.py")) if type(event).__name__ == "AttemptEnded"]
            stop.set()
            sampler.join()
            made, taken = (event.outcome.usage for event in ended)
            puts.append(made.ended_at - made.writing_at)
            gets.append(taken.running_at - taken.started_at)
            growth.append(max(peaks) - peaks[0])
    session.record(PUT.name, OURS, "s", puts, _speeds(puts))
    session.record(GET.name, OURS, "s", gets, _speeds(gets))
    session.record(GROWTH.name, OURS, "MiB", growth)


def _speeds(times: list[float | None]) -> str:
    return ", ".join(f"{1048.576 / time:.0f} MB/s" for time in times if time)


BENCHMARK = Benchmark("cluster-blobs", "a gigabyte from pod to pod", (PUT, GET, GROWTH), measure)
