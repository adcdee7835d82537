"""The emulator's kubelet: what a pod's processes see, and how their ends are shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube.emulator import Emulator
from tests.kube.emulator.rig import log_of, pod, run_pod


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(Path(tmp_path_factory.mktemp("cluster"))) as made:
        yield made


def test_a_pod_runs_its_command_and_succeeds(cluster: Emulator) -> None:
    found = run_pod(cluster, pod("greets", script="echo hello"))
    assert found["status"]["phase"] == "Succeeded"
    assert log_of(cluster, "greets") == "hello\n"


def test_an_exit_code_is_the_containers(cluster: Emulator) -> None:
    found = run_pod(cluster, pod("fails", script="exit 7"))
    assert found["status"]["phase"] == "Failed"
    ended = found["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (7, "Error")
