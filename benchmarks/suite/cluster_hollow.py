"""Five thousand pods on a thousand nodes that are not there. Needs the right to make nodes, and a scheduler that keeps pace."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable

from benchmarks.cluster.hollow import HollowKubelet, make_nodes, remove_nodes
from benchmarks.cluster.site import Site, open_site
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

PACE = Bar("cluster-hollow-pod", "one-pod items on 1,000 hollow nodes: time for each pod created (100/s)", 10, "ms")
REQUESTS = Bar("cluster-hollow-requests", "API requests of the server for each of them", 4, "requests")
MEMORY = Bar("cluster-hollow-memory", "the server's resident memory at most", 256, "MB")
OBJECT = Bar("cluster-hollow-object", "the largest object", 100, "kB")
NODES, ITEMS, FEWER = 1000, 5000, 500


def measure(session: Session) -> None:
    items = FEWER if session.quick else ITEMS
    with open_site(session, **{"requests-per-second": 1000}) as site:
        site.wait(remove_nodes(site.kube))
        try:
            site.wait(make_nodes(site.kube, NODES))
            _measure(session, site, items)
        finally:
            site.wait(remove_nodes(site.kube))


def _measure(session: Session, site: Site, items: int) -> None:
    kubelet = site.wait(_start(site, items))
    before, peaks = _asked(site), [_metric(site, "process_resident_memory_bytes")]
    cpu_s = [_metric(site, "process_cpu_seconds_total")]
    run = site.detach("hollow.py", "--xs", json.dumps(list(range(items))))
    with _Sampler(lambda: peaks.append(_metric(site, "process_resident_memory_bytes"))):
        site.wait(kubelet.all_there.wait())
        cpu_s.append(_metric(site, "process_cpu_seconds_total"))
        times = sorted(kubelet.created.values())
        site.call(kubelet.go.set)
        began = time.perf_counter()
        site.finish(run)
        took_s = time.perf_counter() - began
    while site.pods("fairway.dev/run"):
        time.sleep(1)
    asked = _asked(site) - before
    cpu_s.append(_metric(site, "process_cpu_seconds_total"))
    others = [len(json.dumps(one)) for kind in ("ConfigMap", "Secret") for one in site.wait(site.kube.list(kind))]
    site.wait(kubelet.close())
    pace_ms = (times[-1] - times[0]) / (len(times) - 1) * 1000
    note = f"{items:,} items, {1000 / pace_ms:.0f} pods/s; then {items / took_s:.0f} outcomes/s"
    session.record(PACE.name, OURS, "ms", [pace_ms], note)
    session.record(REQUESTS.name, OURS, "requests", [asked / items])
    created_ms, all_ms = ((cpu_s[n] - cpu_s[0]) / items * 1000 for n in (1, 2))
    session.record(
        "cluster-hollow-cpu", OURS, "ms", [all_ms], f"CPU of the server for each item, {created_ms:.1f} ms until its pod was there"
    )
    session.record(MEMORY.name, OURS, "MB", [max(peaks) / 1e6], f"{peaks[0] / 1e6:.0f} MB before")
    session.record(OBJECT.name, OURS, "kB", [max(kubelet.largest, *others) / 1000])


async def _start(site: Site, items: int) -> HollowKubelet:
    kubelet = HollowKubelet(site)
    kubelet.start(items)
    return kubelet


class _Sampler:
    """Calls something every second, beside what is measured."""

    def __init__(self, sample: Callable[[], None]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(sample,), daemon=True)

    def _run(self, sample: Callable[[], None]) -> None:
        while not self._stop.wait(1):
            sample()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _lines(site: Site) -> list[str]:
    root = site.connection.api.url.removesuffix("/api/v1")
    with urllib.request.urlopen(f"{root}/metrics", timeout=60) as answer:
        return answer.read().decode().splitlines()


def _metric(site: Site, name: str) -> float:
    return next(float(line.split()[1]) for line in _lines(site) if line.startswith(f"{name} "))


def _asked(site: Site) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in _lines(site) if line.startswith("fairway_kubernetes_requests_total{"))


BENCHMARK = Benchmark("cluster-hollow", "5,000 pods on 1,000 hollow nodes", (PACE, REQUESTS, MEMORY, OBJECT), measure)
