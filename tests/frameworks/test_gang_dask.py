"""Dask: a cluster for the length of a step, and nothing of it left afterwards."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from tests.frameworks.gang_bench import train

import_module("distributed")

STEP = """
    import os
    import fairway as fw
    import parts

    @fw.step(gang=fw.gang(replicas=2, framework="dask"))
    def compute() -> dict:
        import dask.array as da
        from distributed import Client

        client = Client()
        numbers = da.arange(200_000, chunks=10_000)
        workers = client.scheduler_info()["workers"].values()
        import listening
        return {"wide": listening.wide(),
                "sum": int(numbers.sum().compute()), "parts": sorted(client.gather(client.map(parts.square, range(10)))),
                "names": sorted(worker["name"] for worker in workers), "pids": list(client.run(os.getpid).values()),
                "scheduler": client.run_on_scheduler(os.getpid), "hosts": sorted({worker["host"] for worker in workers})}

    @fw.pipeline
    def gang():
        return compute()
"""


def test_a_client_without_arguments_computes_with_a_worker_of_every_rank(tmp_path: Path) -> None:
    found = train(tmp_path, STEP, parts_py="def square(n): return n * n")
    assert found["sum"] == sum(range(200_000))
    assert found["parts"] == [n * n for n in range(10)]
    assert found["names"] == ["rank-0", "rank-1"]
    assert found["hosts"] == ["127.0.0.1"]
    assert len({*found["pids"], found["scheduler"]}) == 3
    assert found["wide"] == []
    assert not [pid for pid in (*found["pids"], found["scheduler"]) if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
