"""A project on an emulated cluster whose steps note what they do, and the cluster's own Fairway server, to be killed and started again."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import fairway as fw
from fairway.engine.client import Run
from tests.kube.semantics.rig import IMAGE, ClusterRig
from tests.waiting import PATIENCE_S, await_true

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
        self._threads = ThreadPoolExecutor(threads)
        self._begun: list[Future[Run]] = []

    def watch(self, pipeline: Any, params: dict[str, Any] | None = None) -> Future[Run]:
        """A run, begun; its end is the future's result."""
        self._begun.append(self._threads.submit(lambda: fw.run(pipeline, params or {}, check=False)))
        return self._begun[-1]

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
        self.cluster.wait(lambda: self._restarts() > before and self.server_is_ready(), timeout_s=PATIENCE_S)

    def stop_server(self) -> None:
        """Killed, and it cannot be started again before `start_server`."""
        self.cluster.images.refusals[IMAGE] = "the registry is away"
        self.cluster.faults.kill_process(self.server())
        self.cluster.wait(lambda: not self.server_is_ready())

    def start_server(self) -> None:
        self.cluster.images.refusals.clear()
        self.cluster.call(self.cluster.kubelet.wake_all)
        self.cluster.wait(self.server_is_ready, timeout_s=PATIENCE_S)

    def _restarts(self) -> int:
        found = self.cluster.find("Pod", self.server()) or {}
        return found["status"]["containerStatuses"][0]["restartCount"]

    def close(self) -> None:
        """Leave the cluster as it was for the next: after a test that failed, too."""
        self.cluster.faults.clear()
        self.cluster.scheduler.paused = False
        self.cluster.call(self.cluster.scheduler.try_all)
        self.start_server()
        self._end_runs()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _end_runs(self) -> None:
        """What a test has left running would take the room of the next one's pods, and be counted among them."""
        cancelled: set[str] = set()

        def are_done() -> bool:
            if all(each.done() for each in self._begun):
                return True
            for each in self.rig.workspace.all_summaries():
                if each.project == self.rig.root.name and each.status == "running" and each.run not in cancelled:
                    cancelled.add(each.run)
                    Run(self.rig.workspace, each.run).cancel()
            return False

        await_true(are_done, "a run that a test has left does not end")
        if cancelled:
            self.cluster.wait(lambda: not any(map(_is_of_a_run, self.cluster.list("Pod"))), timeout_s=PATIENCE_S)


def _is_of_a_run(pod: Any) -> bool:
    labels = pod["metadata"].get("labels", {})
    return "fairway.dev/attempt" in labels or labels.get("fairway.dev/role") == "gang"
