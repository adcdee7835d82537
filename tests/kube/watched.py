"""A project on an emulated cluster whose steps note what they do, and the cluster's own Fairway server, to be killed and started again."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from tests.kube.semantics.rig import IMAGE, ClusterRig

NOTING = """
def note(word):
    with open({log!r}, "a") as file:
        file.write(word + "\\n")
    with open({bell!r}, "w") as bell:
        bell.write(".")
"""
"""For the source of steps: a line of the log, and a ring of the bell."""


class Watched:
    """Its runs are watched by threads, as by people's terminals."""

    def __init__(self, rig: ClusterRig, threads: int) -> None:
        self.rig, self.cluster = rig, rig.campus.cluster
        self.log, self.gate = rig.root / "log", rig.root / "gate"
        self.log.touch()
        self.bell = rig.bell("bell")
        self._kept = os.open(rig.root / "bell", os.O_WRONLY)  # else each ring would be followed by an end
        self._threads = ThreadPoolExecutor(threads)

    def fill(self, source: str, **more: object) -> str:
        """The source of steps, with its places filled in."""
        return source.format(log=str(self.log), gate=str(self.gate), bell=str(self.rig.root / "bell"), **more)

    @property
    def noted(self) -> list[str]:
        """What the steps have done, in order."""
        return self.log.read_text().splitlines()

    def server(self) -> str:
        (only,) = [each for each in self.cluster.list("Pod") if each["metadata"]["name"].startswith("fairway-")]
        return only["metadata"]["name"]

    def server_is_ready(self) -> bool:
        found = self.cluster.find("Pod", self.server()) or {}
        return any(each["type"] == "Ready" and each["status"] == "True" for each in found["status"]["conditions"])

    def kill_server(self) -> None:
        """SIGKILL; the kubelet starts it again."""
        before = self._restarts()
        self.cluster.faults.kill_process(self.server())
        self.cluster.wait(lambda: self._restarts() > before and self.server_is_ready(), timeout_s=60)

    def stop_server(self) -> None:
        """Killed, and it cannot be started again before `start_server`."""
        self.cluster.images.refusals[IMAGE] = "the registry is away"
        self.cluster.faults.kill_process(self.server())
        self.cluster.wait(lambda: not self.server_is_ready())

    def start_server(self) -> None:
        self.cluster.images.refusals.clear()
        self.cluster.call(self.cluster.kubelet.wake_all)
        self.cluster.wait(self.server_is_ready, timeout_s=60)

    def _restarts(self) -> int:
        found = self.cluster.find("Pod", self.server()) or {}
        return found["status"]["containerStatuses"][0]["restartCount"]

    def close(self) -> None:
        """Leave the cluster as it was for the next."""
        os.close(self._kept)
        self.cluster.faults.clear()
        self.start_server()
        self._threads.shutdown(wait=False, cancel_futures=True)
