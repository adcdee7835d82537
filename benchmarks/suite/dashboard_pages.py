"""Every page's time to its first byte over a store of 100,000 runs, and the server's memory after all of them."""

from __future__ import annotations

from statistics import quantiles

from benchmarks.dashboard.site import Site, first_link, seeded, serving
from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

FIRST_BYTE = Bar("page-first-byte", "the slowest page's first byte with 100,000 runs, 1M tasks, 10M points, p95", 100, "ms")
MEMORY = Bar("page-memory", "the server's memory after all pages, the most there was", 150, "MB")
ROUNDS = 40


def measure(session: Session) -> None:
    try:
        with serving(session.fairway, seeded(session.work, 1_000 if session.quick else 100_000)) as site:
            slowest: tuple[float, str] = (0.0, "")
            for name, path in list_pages(site).items():
                session.talk(name)
                values = [site.get(path)[0] * 1000 for _ in range(ROUNDS)]
                session.record(f"page-{name}", OURS, "ms", [*values], f"first {values[0]:.1f} ms, p95 {p95(values):.1f} ms")
                slowest = max(slowest, (p95(values), name))
            session.record(FIRST_BYTE.name, OURS, "ms", [slowest[0]], f"the slowest page: {slowest[1]}")
            session.record(MEMORY.name, OURS, "MB", [site.memory_bytes() / 1e6], f"{site.resident_bytes() / 1e6:.0f} MB at the end")
    except CommandError as error:
        session.record(FIRST_BYTE.name, OURS, "ms", [], str(error))


def list_pages(site: Site) -> dict[str, str]:
    """Pages by name, with the addresses of things that are there."""
    _, runs = site.get("/runs")
    run = first_link(r'href="/runs/(\d{8}-\d{6}-\w{5})"', runs)
    _, failed = site.get("/runs?q=failed")
    broken = first_link(r'href="/runs/(\d{8}-\d{6}-\w{5})"', failed)
    _, artifacts = site.get("/artifacts")
    artifact = first_link(r'href="(/artifacts/[0-9a-f]{64}[^"]*)"', artifacts)
    _, pipelines = site.get("/pipelines")
    pipeline = first_link(r'href="(/pipelines/[^"?]+)"', pipelines)
    task = first_link(r'task=([^"&]+)', site.get(f"/runs/{run}?view=steps")[1])
    found = {
        "runs": "/runs",
        "runs-failed": "/runs?q=failed",
        "runs-metric": "/runs?q=auc%3E0.8",
        "runs-none": "/runs?q=auc%3E1e9",
        "runs-word": "/runs?q=nowhere",
        "runs-sorted": "/runs?sort=metric.auc",
        "run": f"/runs/{run}",
        "run-graph": f"/runs/{run}/graph.json",
        "run-timeline": f"/runs/{run}/timeline.json",
        "run-failed": f"/runs/{broken}",
        "compare": f"/compare?run={run}&run={broken}",
        "artifacts": "/artifacts",
        "pipelines": "/pipelines",
        "pipeline": pipeline,
        "pipeline-versions": f"{pipeline}?tab=versions",
        "pipeline-start": f"{pipeline}?tab=start",
        "pipeline-steps": f"{pipeline}/steps",
        "system": "/system",
    }
    if artifact:
        found["artifact"] = artifact
    if task:
        found["task"] = f"/runs/{run}/task?task={task}"
    return found


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return quantiles(values, n=20)[-1]


BENCHMARK = Benchmark("dashboard-pages", "pages over a store of 100,000 runs", (FIRST_BYTE, MEMORY), measure)
