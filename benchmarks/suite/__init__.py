"""The benchmarks, one module each, in the order in which they are shown."""

from __future__ import annotations

from benchmarks.session import Benchmark
from benchmarks.suite import (
    blobs,
    cached,
    chain,
    cluster_blobs,
    cluster_hollow,
    cluster_pools,
    cluster_restart,
    cluster_server,
    cluster_steps,
    dashboard_browser,
    dashboard_lighthouse,
    dashboard_pages,
    dashboard_start,
    edits,
    failing,
    fan,
    heavy,
    hello,
    images,
    install,
    large,
    points,
    restart,
    resume,
    serving_requests,
    serving_start,
    serving_tensors,
    table,
)

BENCHMARKS: tuple[Benchmark, ...] = tuple(
    module.BENCHMARK
    for module in (
        hello,
        chain,
        fan,
        heavy,
        large,
        table,
        cached,
        edits,
        failing,
        install,
        resume,
        restart,
        points,
        images,
        blobs,
        dashboard_start,
        dashboard_pages,
        dashboard_browser,
        dashboard_lighthouse,
        serving_requests,
        serving_tensors,
        serving_start,
        cluster_steps,
        cluster_pools,
        cluster_server,
        cluster_blobs,
        cluster_restart,
        cluster_hollow,
    )
)
