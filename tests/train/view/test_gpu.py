"""Devices by NVML, against a library built here that answers as the driver's does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fairway.engine.gangview import read_gang
from fairway.step import gpu
from fairway.step.gangsamples import Sampler
from fairway.step.gpu import Devices, sample_devices, visible
from fairway.step.pulse import Pulses
from fairway.testing.memory import MemoryStreamStore

GIB = 1 << 30


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to build the library with")
    made = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(made), str(Path(__file__).with_name("fakenvml.c"))], check=True)
    return str(made)


@pytest.fixture(autouse=True)
def _look_anew() -> None:
    gpu.forget_devices()


def test_devices_tell_what_they_do(library: str) -> None:
    devices = Devices(library)
    assert (len(devices), devices.name(1), devices.uuid(0)) == (2, "Fake 1", "GPU-a")
    assert devices.sample() == [(0, 97, GIB, 80 * GIB), (1, 0, 2 * GIB, 80 * GIB)]
    assert devices.sample([1, 7]) == [(1, 0, 2 * GIB, 80 * GIB)]
    devices.close()


@pytest.mark.parametrize(
    ("said", "found"),
    [(None, [0, 1]), ("", []), ("1", [1]), ("1,0", [1, 0]), ("GPU-b", [1]), ("0,9,1", [0]), ("GPU-b,nonsense,0", [1])],
)
def test_a_process_sees_what_cuda_would_show_it(library: str, said: str | None, found: list[int]) -> None:
    environment = {} if said is None else {"CUDA_VISIBLE_DEVICES": said}
    assert visible(environment, Devices(library)) == found


def test_samples_of_the_devices_of_a_rank(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LIBRARY", library)
    assert sample_devices({"CUDA_VISIBLE_DEVICES": "1"}) == [(1, 0, 2 * GIB, 80 * GIB)]


def test_without_a_driver_there_is_nothing_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LIBRARY", str(tmp_path / "none.so"))
    assert sample_devices() == []


def test_samples_of_a_rank_have_its_devices(library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "LIBRARY", library)
    streams = MemoryStreamStore()
    sampler = Sampler("r/a", streams, Pulses(str(tmp_path / "pulses"), 1), lambda rank: {"CUDA_VISIBLE_DEVICES": "1"})
    sampler.sample({0: os.getpid()})
    assert read_gang(streams, "r", "a", 1).ranks[0].gpus == ((1, 0, 2 * GIB, 80 * GIB),)
    (_, _, _, counts) = json.loads(streams.read("r/a/samples.0"))
    assert counts["input"] == 0
