"""A gang on an emulated cluster, whose ranks note what they do and wait until they are let through."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import fairway as fw
from fairway.engine.client import Run
from tests.kube.semantics.rig import IMAGE, ClusterRig

SOURCE = """
import os, socket, time

LOG, GATE, BELL = {log!r}, {gate!r}, {bell!r}

def note(word):
    with open(LOG, "a") as file:
        file.write(word + "\\n")
    with open(BELL, "w") as bell:
        bell.write(".")

@fw.step(gang=fw.gang({gang}), cpu={cpu})
def fit(bad: int = -1) -> dict:
    place = fw.context().place
    me, world = place.rank, place.world_size
    note(f"begun {{me}}/{{world}}")
    print(f"rank {{me}} speaks")
    while not os.path.exists(GATE):
        time.sleep(0.02)
    if me == bad:
        raise ValueError("this rank is bad")
    if bad >= 0:
        time.sleep(60)
    total = meet(place)
    note(f"ended {{me}}")
    return {{"total": total, "world": world, "hosts": len(set(place.hosts))}}

def meet(place):
    # The sum of all ranks, by way of rank 0, at the address that each was told.
    if place.rank == 0:
        with socket.create_server((place.hosts[0], place.ports[0][0]), backlog=64) as server:
            peers = [server.accept()[0] for _ in range(place.world_size - 1)]
            total = sum(int(peer.recv(16)) for peer in peers)
            for peer in peers:
                peer.sendall(str(total).encode())
                peer.close()
            return total
    for _ in range(500):
        try:
            peer = socket.create_connection((place.hosts[0], place.ports[0][0]))
            break
        except OSError:
            time.sleep(0.02)
    peer.sendall(str(place.rank).encode())
    return int(peer.recv(16))

@fw.pipeline
def main(bad: int = -1) -> dict:
    return fit(bad)
"""


TRAINING = """
import os, time

LOG, GATE, BELL = {log!r}, {gate!r}, {bell!r}

def note(word):
    with open(LOG, "a") as file:
        file.write(word + "\\n")
    with open(BELL, "w") as bell:
        bell.write(".")

@fw.step(gang=fw.gang({gang}), cpu={cpu})
def fit() -> int:
    place = fw.context().place
    kept = fw.checkpoint.load()
    step = kept["step"] if kept else 0
    note(f"begun {{place.rank}}/{{place.world_size}} at {{step}}")
    while not os.path.exists(GATE):
        step += 1
        time.sleep(0.1)
        if place.rank == 0:
            fw.checkpoint.save(step, {{"step": step}})
            fw.checkpoint.wait()
            note(f"kept {{step}}")
    return place.world_size

@fw.pipeline
def main() -> int:
    return fit()
"""


class GangStory:
    """A project whose run has a gang, watched by a thread as by a person's terminal."""

    def __init__(self, rig: ClusterRig) -> None:
        self.rig, self.cluster = rig, rig.campus.cluster
        self.log, self.gate = rig.root / "log", rig.root / "gate"
        self.log.touch()
        self.bell = rig.bell("bell")
        self._kept = os.open(rig.root / "bell", os.O_WRONLY)  # else each ring would be followed by an end
        self._threads = ThreadPoolExecutor(4)

    def begin(self, gang: str = "replicas=3", *, cpu: float = 0.1, source: str = SOURCE, **params: Any) -> Future[Run]:
        """The run, begun; its end is the future's result."""
        text = source.format(log=str(self.log), gate=str(self.gate), bell=str(self.rig.root / "bell"), gang=gang, cpu=cpu)
        pipeline = self.rig.load(text)
        return self._threads.submit(lambda: fw.run(pipeline, params, check=False))

    def open_gate(self) -> None:
        self.gate.touch()

    @property
    def noted(self) -> list[str]:
        """What ranks have done, in order."""
        return self.log.read_text().splitlines()

    def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something is so in the cluster."""
        self.cluster.wait(holds, timeout_s=40)

    def hear(self, word: str, count: int) -> None:
        """Wait until ranks have noted a word so often in all."""
        while sum(line.startswith(word) for line in self.noted) < count:
            self.bell.wait()

    def sent(self, step: int) -> None:
        """Wait until the server has a whole checkpoint of that step or a later one. A training that goes on rings the bell."""
        while not any(int(path.parent.name[5:14]) >= step for path in (self.cluster.folder / "claims").rglob("step-*/manifest.json")):
            self.bell.wait()

    def begun(self, count: int) -> None:
        """Wait until so many ranks have begun in all."""
        self.hear("begun", count)

    def pods(self) -> list[Any]:
        """Of gangs."""
        return [each for each in self.cluster.list("Pod") if each["metadata"].get("labels", {}).get("fairway.dev/role") == "gang"]

    def pod(self, replica: int) -> str:
        """The live pod of a replica."""
        (only,) = [
            each["metadata"]["name"]
            for each in self.pods()
            if not each["metadata"].get("deletionTimestamp")
            and each["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == str(replica)
        ]
        return only

    def nodes(self) -> list[str]:
        """On which its pods are."""
        return [each["spec"]["nodeName"] for each in self.pods()]

    def server_node(self) -> str:
        return (self.cluster.find("Pod", self.server()) or {})["spec"]["nodeName"]

    def is_empty(self) -> bool:
        """Nothing of a gang is left."""
        return not self.pods() and not self.cluster.list("Job")

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
        self.open_gate()
        os.close(self._kept)
        self.cluster.faults.clear()
        self.start_server()
        self._threads.shutdown(wait=False, cancel_futures=True)


def result(run: Run) -> Any:
    """The one output of a run that succeeded."""
    assert run.status == "succeeded", {name: str(task.error) for name, task in run.tasks.items()}
    (output,) = run.outputs.values()
    return output.load()
