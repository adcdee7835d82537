"""A gang in earnest on this machine: what its ranks find in their environment."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairway as fw
from fairway.dsl.load import load_pipeline

PIPELINE = """
import fairway as fw

@fw.step(gang=fw.gang(framework="{framework}", {options}), cpu=0.5, env=fw.env(variables={variables}))
def fit() -> dict:
    import os
    return {{name: os.environ.get(name, "") for name in {names}}}

@fw.pipeline
def told():
    return fit()
"""


def told(folder: Path, *names: str, framework: str = "torch", options: str = "replicas=2", variables: str = "{}") -> dict[str, str]:
    (folder / "fairway.toml").touch()
    (folder / "told.py").write_text(PIPELINE.format(framework=framework, options=options, variables=variables, names=names))
    run = fw.run(load_pipeline(folder / "told.py"))
    return run.outputs["result"].load()


def test_what_the_step_sets_beats_what_the_row_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = ("RANK", "WORLD_SIZE", "NCCL_SOCKET_IFNAME", "OMP_NUM_THREADS")
    found = told(tmp_path, *names, variables='{"NCCL_SOCKET_IFNAME": "eth3"}')
    assert found == {"RANK": "0", "WORLD_SIZE": "2", "NCCL_SOCKET_IFNAME": "eth3", "OMP_NUM_THREADS": "1"}


def test_threads_that_were_set_around_the_run_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert told(tmp_path, "OMP_NUM_THREADS") == {"OMP_NUM_THREADS": "3"}
