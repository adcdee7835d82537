"""Pipelines of the laptop, unchanged, on the cluster."""

from __future__ import annotations

import pytest

from tests.cluster.rig import Rig

pytestmark = pytest.mark.cluster


def test_a_pipeline_gives_the_artifacts_of_the_laptop_and_then_comes_from_the_cache(rig: Rig):
    there = rig.run("churn.py")
    here = rig.json("run", "churn.py")
    assert there["status"] == here["status"] == "succeeded"
    assert digests(there) == digests(here)
    listed = [rig.json("artifacts", "ls", run["run"], "--on", target) for run, target in ((there, "test"), (here, "local"))]
    assert [one["digest"] for one in listed[0]] == [one["digest"] for one in listed[1]]
    assert len(rig.pods_of(there["run"])) == sum(rig.attempts(there["run"]).values()) == 6  # a pod for each task, and none besides

    again = rig.run("churn.py")
    assert (digests(again), again["counts"]) == (digests(there), {"cached": 6})
    assert rig.pods_of(again["run"]) == []


def test_batches_run_on_warm_workers_and_a_chain_on_the_same(rig: Rig):
    done = rig.run("pooled.py:batches")
    assert done["outputs"]["result"]["inline"].startswith('{"sum":70210,"workers":')
    assert done["counts"] == {"succeeded": 62}
    assert rig.attempts(done["run"]) == {"numbers": 1, "square": 6, "summary": 1}
    workers = pool_pods(rig)
    assert 1 <= len(workers) <= 2
    assert rig.pods_of(done["run"]) == []

    chained = rig.run("pooled.py:chain")
    assert chained["outputs"]["result"]["inline"] == "20"
    assert chained["counts"] == {"succeeded": 20}
    assert len(pool_pods(rig)) <= 2, "workers are kept, not made anew for each task"


def test_a_hundred_megabytes_go_from_pod_to_pod_and_to_the_laptop(rig: Rig):
    done = rig.run("large.py")
    assert done["outputs"]["size"]["inline"] == str(160 << 20)
    rig.fairway("artifacts", "get", done["run"], "heap", "--to", "heap.bin", "--on", "test")
    assert (rig.folder / "heap.bin").stat().st_size == 160 << 20
    assert rig.json("run", "large.py", "--param", "megabytes=160")["outputs"]["heap"]["digest"] == done["outputs"]["heap"]["digest"]


def digests(run) -> dict[str, str]:
    return {name: ref["digest"] for name, ref in run["outputs"].items()}


def pool_pods(rig: Rig) -> list[str]:
    """Every worker that pools have had; other tests have pods in their dress."""
    return [name for name in rig.pods if name.startswith("pool-")]
