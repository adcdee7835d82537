"""The addresses of the emulator's pods."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.kube.emulator import Emulator


def test_addresses_on_which_pods_of_a_killed_cluster_still_listen_are_not_given_out_again(tmp_path: Path) -> None:
    with Emulator(tmp_path / "killed", nodes=()) as cluster:
        left = cluster.network.pod_address(3)
    with socket.create_server((left, 0)), Emulator(tmp_path / "next", nodes=()) as cluster:
        assert cluster.network.pod_address(3) != left
