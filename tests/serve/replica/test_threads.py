"""Threads of numeric libraries in model processes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairway.serve.replica.threads import NAMES, count_cores, limit_threads, share_cores


def test_one_core_is_left_to_what_is_not_the_model() -> None:
    assert [share_cores(cores, 1) for cores in (1, 2, 3, 8)] == [1, 1, 2, 7]
    assert [share_cores(8, workers) for workers in (0, 2, 4, 16)] == [7, 3, 1, 1]


def test_a_container_has_as_many_cores_as_it_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert count_cores(tmp_path) == 64
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert count_cores(tmp_path) == 64
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert count_cores(tmp_path) == 3
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert count_cores(tmp_path) == 1
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("400000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert count_cores(tmp_path) == 4
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    assert count_cores(tmp_path) == 64


def test_threads_sleep_while_they_wait_and_what_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, "OMP_WAIT_POLICY", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "x")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MKL_NUM_THREADS", "5")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)))
    limit_threads(1)
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    assert os.environ["MKL_NUM_THREADS"] == "5"
    assert os.environ["OMP_NUM_THREADS"] == str(share_cores(count_cores(), 1))
