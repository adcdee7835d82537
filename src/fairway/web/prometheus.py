"""What the server does, in Prometheus' text format."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path

from fairway.web.identity import Identity
from fairway.web.ports import Site

_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Meter:
    """Counts requests by method, operation and status, and how long their answers took to make."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str, int], int] = {}
        self.seconds: dict[str, list[float]] = {}  # operation -> buckets, then the sum

    def count(self, method: str, path: str, status: int, took_s: float | None) -> None:
        """One request; `took_s` None where it says nothing."""
        key = method if method.isalpha() and len(method) < 10 else "OTHER", path, status
        self.requests[key] = self.requests.get(key, 0) + 1
        if took_s is None:
            return
        buckets = self.seconds.setdefault(path, [0.0] * (len(_BOUNDS_S) + 2))
        buckets[bisect_left(_BOUNDS_S, took_s)] += 1
        buckets[-1] += took_s


async def render_metrics(site: Site, meter: Meter, identity: Identity | None = None) -> str:
    """All metrics. Names of pipelines and users are not among the labels: whoever scrapes needs no token. To who has one (`identity`), the
    columns of the endpoints that may be seen are named."""
    lines: list[str] = []
    tally = await site.services.journal.tally()
    by_status: dict[str, int] = {}
    for row in tally:
        by_status[row.status] = by_status.get(row.status, 0) + row.runs
    lines += _family(
        "fairway_runs", "gauge", "Runs in the journal by status.", [(f'{{status="{s}"}}', n) for s, n in sorted(by_status.items())]
    )
    lines += _family("fairway_runs_driven", "gauge", "Runs that are driven now.", [("", len(site.host.driven))])
    tasks, live = _count_tasks(site)
    lines += _family(
        "fairway_tasks", "gauge", "Tasks of driven runs by status.", [(f'{{status="{s}"}}', n) for s, n in sorted(tasks.items())]
    )
    lines += _family("fairway_attempts_live", "gauge", "Attempts that have been planned and have not ended.", [("", live)])
    if site.settings.pods is not None:
        pods = [(f'{{role="{role}",phase="{phase}"}}', float(n)) for (role, phase), n in sorted(site.settings.pods().items())]
        lines += _family("fairway_pods", "gauge", "Pods that are there by role and phase.", pods)
    if site.settings.asked is not None:
        asked = [
            (f'{{verb="{what.partition(" ")[0]}",kind="{what.partition(" ")[2]}"}}', float(n))
            for what, n in sorted(site.settings.asked().items())
        ]
        lines += _family("fairway_kubernetes_requests_total", "counter", "Requests to the cluster's API, tries counted each.", asked)
    lines += _family(
        "fairway_http_requests_total",
        "counter",
        "Requests by method, operation and status.",
        [(f'{{method="{m}",operation="{p}",status="{s}"}}', n) for (m, p, s), n in sorted(meter.requests.items())],
    )
    lines += await _drift(site, identity)
    lines += _latency(meter)
    lines += _process()
    return "\n".join(lines) + "\n"


async def _drift(site: Site, identity: Identity | None) -> list[str]:
    views = await site.settings.endpoints.views() if site.settings.endpoints is not None else ()
    if not views:
        return []
    count = sum(len(one.active) for view in views for one in view.drift.revisions)
    lines = _family("fairway_drift_alarms", "gauge", "Alarms about the traffic of endpoints that have not been cleared.", [("", count)])
    if identity is None or not identity.may("view"):
        return lines
    from fairway.serve.control.driftnews import metrics_of

    for name, help, samples in metrics_of(view for view in views if identity.sees(view.endpoint.project)):
        lines += _family(name, "gauge", help, [(_labels(labels), value) for labels, value in samples])
    return lines


def _labels(labels: Mapping[str, str]) -> str:
    escaped = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels.items())
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped) + "}"


def _count_tasks(site: Site) -> tuple[dict[str, int], int]:
    """Tasks by status and live attempts, of the runs that are driven here."""
    tasks: dict[str, int] = {}
    live = 0
    for run in site.host.driven:
        found = site.host.find_state(run)
        if found is not None:
            live += len(found[1].live)
            for status, n in found[1].counts().items():
                tasks[status] = tasks.get(status, 0) + n
    return tasks, live


def _family(name: str, kind: str, help: str, rows: list[tuple[str, float]]) -> list[str]:
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}", *(f"{name}{labels} {value:.10g}" for labels, value in rows)]


def _latency(meter: Meter) -> list[str]:
    name = "fairway_http_request_duration_seconds"
    lines = [f"# HELP {name} Time to make an answer.", f"# TYPE {name} histogram"]
    for path, buckets in sorted(meter.seconds.items()):
        total = 0.0
        for bound, n in zip((*_BOUNDS_S, float("inf")), buckets, strict=False):
            total += n
            spelled = "+Inf" if bound == float("inf") else f"{bound:g}"
            lines.append(f'{name}_bucket{{operation="{path}",le="{spelled}"}} {total:g}')
        lines.append(f'{name}_sum{{operation="{path}"}} {buckets[-1]:.6g}')
        lines.append(f'{name}_count{{operation="{path}"}} {total:g}')
    return lines


def _process() -> list[str]:
    times = os.times()
    rows = _family("process_cpu_seconds_total", "counter", "CPU time of the server's process.", [("", times.user + times.system)])
    resident = _resident_bytes()
    if resident:
        rows += _family("process_resident_memory_bytes", "gauge", "Resident memory of the server's process.", [("", resident)])
    return rows + _family("process_time_seconds", "gauge", "The server's clock.", [("", time.time())])


def _resident_bytes() -> int:
    """0 where the kernel does not say."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
