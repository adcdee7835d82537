"""Bars of a real cluster, where there is none: they are not measured, and say what they lack."""

import pytest

from benchmarks.__main__ import measure_one
from benchmarks.session import Session
from benchmarks.suite import BENCHMARKS

CLUSTER = [benchmark for benchmark in BENCHMARKS if benchmark.name.startswith("cluster-")]


@pytest.mark.parametrize("benchmark", CLUSTER, ids=lambda benchmark: benchmark.name)
@pytest.mark.parametrize("lacking", ["FAIRWAY_TEST_IMAGE", "KUBECONFIG"])
def test_without_a_cluster_or_an_image_nothing_is_measured_and_that_is_said(tmp_path, monkeypatch, benchmark, lacking):
    for name in ("FAIRWAY_TEST_IMAGE", "KUBECONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "nothing") if name == "KUBECONFIG" else "python:3.11-slim")
    monkeypatch.setenv(lacking, "" if lacking == "FAIRWAY_TEST_IMAGE" else str(tmp_path / "nowhere"))
    session = Session(tmp_path)
    measure_one(session, benchmark)
    assert set(session.verdicts(benchmark).values()) == {"not measured"}
    assert session.rows[0].note == "not measured: set KUBECONFIG and FAIRWAY_TEST_IMAGE"
