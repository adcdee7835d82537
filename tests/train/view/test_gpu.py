"""Devices by NVML, against a library built here that answers as the driver's does."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from fairway.cli.gangrows import render_gang
from fairway.cli.style import spell_number
from fairway.engine.gangview import RankNow, judge, read_gang, spell_gang
from fairway.step import gpu
from fairway.step.gangsamples import Sampler
from fairway.step.gpu import Devices, sample_devices, visible
from fairway.step.pulse import Pulses
from fairway.testing.memory import MemoryStreamStore

GIB = 1 << 30
_TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    if shutil.which("cc") is None:
        subprocess.run([_TOOLS / "apt_install.sh", "gcc", "libc6-dev"], check=True)
    made = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(made), str(Path(__file__).with_name("fakenvml.c"))], check=True)
    return str(made)


@pytest.fixture(autouse=True)
def _look_anew() -> None:
    gpu.forget_devices()


def test_devices_tell_what_they_do(library: str) -> None:
    devices = Devices(library)
    assert (len(devices), devices.name(1), devices.uuid(0)) == (2, "Fake 1", "GPU-a")
    assert devices.sample() == [(0, 97, GIB, 80 * GIB), (1, -1, 2 * GIB, 80 * GIB)]
    assert devices.sample([1, 7]) == [(1, -1, 2 * GIB, 80 * GIB)]
    devices.close()


@pytest.mark.parametrize(
    ("said", "found"),
    [(None, [0, 1]), ("", []), ("1", [1]), ("1,0", [1, 0]), ("GPU-b", [1]), ("0,9,1", [0]), ("GPU-b,nonsense,0", [1])],
)
def test_a_process_sees_what_cuda_would_show_it(library: str, said: str | None, found: list[int]) -> None:
    environment = {} if said is None else {"CUDA_VISIBLE_DEVICES": said}
    assert visible(environment, Devices(library)) == found


def test_slices_stand_for_the_device_that_is_cut_into_them(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MORE", "1")
    devices = Devices(library)
    assert [devices.uuid(number) for number in range(len(devices))] == ["GPU-a", "GPU-b", "", "MIG-e", "MIG-f"]
    assert [one[0] for one in devices.sample()] == [0, 1, 3, 4]  # who may not use one has the others
    assert visible({"CUDA_VISIBLE_DEVICES": "MIG-f"}, devices) == [4]
    assert devices.sample([4]) == [(4, -1, 6 * GIB, 10 * GIB)]


def test_memory_of_a_process_where_the_driver_tells(library: str) -> None:
    devices = Devices(library)
    assert devices.sample(pid=os.getpid()) == [(0, 97, 3 << 28, 80 * GIB), (1, -1, 2 * GIB, 80 * GIB)]
    assert devices.sample([0], pid=4_000_000)[0][2] == GIB  # of another container's process nothing is known


def test_a_device_that_is_lost_in_the_middle_is_left_out(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = Devices(library)
    libc = ctypes.CDLL(None)
    libc.setenv(b"FAKE_LOST", b"1", 1)
    try:
        assert [one[0] for one in devices.sample()] == [1]
    finally:
        libc.unsetenv(b"FAKE_LOST")
    assert [one[0] for one in devices.sample()] == [0, 1]


def test_what_does_not_tell_its_load_is_not_idle() -> None:
    mig, whole = RankNow(0, gpus=((3, -1, GIB, 10 * GIB),), seen_at=1.0), RankNow(1, gpus=((0, 90, GIB, 80 * GIB),), seen_at=1.0)
    assert "GPU 90%" in spell_gang(judge([mig, whole]), 2, spell_number)
    assert "GPU" not in spell_gang(judge([mig]), 1, spell_number)
    assert [line.split()[-1] for line in render_gang(judge([mig, whole]))] == ["GPU", "GB", "90%"]


def test_samples_of_the_devices_of_a_rank(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LIBRARY", library)
    assert sample_devices({"CUDA_VISIBLE_DEVICES": "1"}) == [(1, -1, 2 * GIB, 80 * GIB)]


def test_without_a_driver_there_is_nothing_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "LIBRARY", str(tmp_path / "none.so"))
    assert sample_devices() == []


def test_samples_of_a_rank_have_its_devices(library: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "LIBRARY", library)
    streams = MemoryStreamStore()
    sampler = Sampler("r/a", streams, Pulses(str(tmp_path / "pulses"), 1), lambda rank: {"CUDA_VISIBLE_DEVICES": "1"})
    sampler.sample({0: os.getpid()})
    assert read_gang(streams, "r", "a", 1).ranks[0].gpus == ((1, -1, 2 * GIB, 80 * GIB),)
    (_, _, _, counts) = json.loads(streams.read("r/a/samples.0"))
    assert counts["input"] == 0
