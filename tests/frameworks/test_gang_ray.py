"""Ray: a cluster for the length of a step, and nothing of it left afterwards."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from tests.frameworks.gang_bench import train

import_module("ray")

STEP = """
    import os
    import fairway as fw
    import parts

    @fw.step(gang=fw.gang(replicas=2, framework="ray"))
    def compute() -> dict:
        import ray

        context = ray.init()
        meet = ray.remote(parts.Meeting).remote()

        @ray.remote(num_cpus=1)
        def square(n):
            ray.get(meet.come.remote(os.getpid(), 2))  # both are there at once
            return n * n, os.getpid()

        done = ray.get([square.remote(n) for n in range(2)])
        import listening
        return {"wide": listening.wide(),
                "squares": [n for n, _ in done], "pids": [pid for _, pid in done], "cpus": ray.cluster_resources()["CPU"],
                "hosts": [node["NodeManagerAddress"] for node in ray.nodes()], "folder": context.address_info["session_dir"]}

    @fw.pipeline
    def gang():
        return compute()
"""
PARTS = """
    import asyncio

    class Meeting:
        def __init__(self):
            self.come_ones = set()
            self.all = asyncio.Event()

        async def come(self, who, count):
            self.come_ones.add(who)
            if len(self.come_ones) == count:
                self.all.set()
            await self.all.wait()
"""


def test_init_without_arguments_computes_with_the_cores_of_every_rank(tmp_path: Path) -> None:
    found = train(tmp_path, STEP, parts_py=PARTS)
    assert found["squares"] == [0, 1]
    assert len(set(found["pids"])) == 2
    assert found["cpus"] == 2
    assert found["wide"] == []
    assert found["hosts"] == ["127.0.0.1"]
    assert not [pid for pid in found["pids"] if _runs(pid)]
    assert not Path(found["folder"]).exists()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
