"""A gang on an emulated cluster, whose ranks note what they do and wait until they are let through."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from fairway.engine.client import Run
from fairway.kube.client import KubeClient
from tests.kube.emulator.kinds import ROLE
from tests.kube.semantics.rig import ClusterRig
from tests.kube.talk import talk
from tests.kube.watched import NOTING, Watched
from tests.semantics.rig import outputs
from tests.waiting import PATIENCE_S, Gate, find_files

SOURCE = (
    NOTING
    + """
import fcntl, socket, threading

@fw.step(gang=fw.gang({gang}), cpu={cpu})
def fit(bad: int = -1) -> dict:
    place = fw.context().place
    me, world = place.rank, place.world_size
    note(f"begun {{me}}/{{world}}")
    print(f"rank {{me}} speaks")
    with open({gate!r}) as gate:
        fcntl.flock(gate, fcntl.LOCK_SH)
    if me == bad:
        raise ValueError("this rank is bad")
    if bad >= 0:
        threading.Event().wait()
    total = meet(place)
    note(f"ended {{me}}")
    return {{"total": total, "world": world, "hosts": len(set(place.hosts))}}

def meet(place):
    # The sum of all ranks, by way of rank 0, at the address that each was told.
    if place.rank == 0:
        with socket.create_server((place.hosts[0], place.ports[0][0]), backlog=64) as server, open({listens!r}, "r+b", buffering=0):
            peers = [server.accept()[0] for _ in range(place.world_size - 1)]
            total = sum(int(peer.recv(16)) for peer in peers)
            for peer in peers:
                peer.sendall(str(total).encode())
                peer.close()
            return total
    open({listens!r}).close()  # a FIFO that rank 0 holds once it listens
    peer = socket.create_connection((place.hosts[0], place.ports[0][0]))
    peer.sendall(str(place.rank).encode())
    return int(peer.recv(16))

@fw.pipeline
def main(bad: int = -1) -> dict:
    return fit(bad)
"""
)


TRAINING = (
    NOTING
    + """
import fcntl, time

def is_open():
    with open({gate!r}) as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True

@fw.step(gang=fw.gang({gang}), cpu={cpu})
def fit() -> int:
    place = fw.context().place
    kept = fw.checkpoint.load()
    step = kept["step"] if kept else 0
    note(f"begun {{place.rank}}/{{place.world_size}} at {{step}}")
    while not is_open():
        step += 1
        time.sleep(0.1)  # a training that takes a while
        if place.rank == 0:
            fw.checkpoint.save(step, {{"step": step}})
            fw.checkpoint.wait()
            note(f"kept {{step}}")
    return place.world_size

@fw.pipeline
def main() -> int:
    return fit()
"""
)


STANDING = (
    NOTING
    + """
import threading, time

@fw.step(gang=fw.gang({gang}), cpu={cpu})
def fit() -> None:
    rank = fw.context().rank
    for step in range(40) if rank == 0 else ():
        fw.log(loss=1.0, step=step)
        time.sleep(0.1)  # a training that takes a while
    note(f"still {{rank}}")
    stand_still()

def stand_still():
    threading.Event().wait()

@fw.pipeline
def main() -> None:
    fit()
"""
)


class GangStory(Watched):
    """A run with a gang."""

    def __init__(self, rig: ClusterRig) -> None:
        super().__init__(rig, 4)
        self._gate = Gate(self.gate)
        os.mkfifo(rig.root / "listens")

    def begin(self, gang: str = "replicas=3", *, cpu: float = 0.1, source: str = SOURCE, **params: Any) -> Future[Run]:
        """The run, begun; its end is the future's result."""
        pipeline = self.rig.load(self.fill(source, listens=str(self.rig.root / "listens"), gang=gang, cpu=cpu))
        return self.watch(pipeline, params)

    def open_gate(self) -> None:
        self._gate.open()

    def until(self, holds: Callable[[], Any]) -> None:
        """Wait until something is so in the cluster."""
        self.cluster.wait(holds, timeout_s=PATIENCE_S)

    def hear(self, word: str, count: int) -> None:
        """Wait until ranks have noted a word so often in all."""
        while sum(line.startswith(word) for line in self.noted) < count:
            self.bell.wait()

    def sent(self, step: int) -> None:
        """Wait until the server has a whole checkpoint of that step or a later one. A training that goes on rings the bell."""
        claims = self.cluster.folder / "claims"
        while not any(int(path.parent.name[5:14]) >= step for path in find_files(claims, "step-*/manifest.json")):
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
        return not self.pods() and not self.cluster.list("Job") and not self.fences()

    @contextmanager
    def without(self, resource: str) -> Generator[None]:
        """The server's role lacks the right to a resource."""
        role = self.cluster.find("Role", "fairway") or {}
        rights = [rule for rule in role["rules"] if resource not in rule["resources"]]
        assert len(rights) < len(role["rules"]), "`fairway up` has given it"
        self._allow(rights)
        try:
            yield
        finally:
            self._allow(role["rules"])

    def _allow(self, rules: list[Any]) -> None:
        cluster = self.cluster
        cluster.call(lambda: cluster.memory.change(ROLE, cluster.namespace, "fairway", lambda role: role.update(rules=rules)))

    def hear_server(self, words: str) -> None:
        """Wait until the server's log says something."""

        async def listen(client: KubeClient) -> None:
            said = b""
            async for piece in client.logs(self.server(), follow=True):
                said += piece
                if words.encode() in said:
                    return
            raise AssertionError(said.decode())

        talk(self.cluster, listen)

    def fences(self) -> list[Any]:
        """What keeps strangers off the ports of gangs."""
        return self.cluster.list("NetworkPolicy")

    def close(self) -> None:
        """Leave the cluster as it was for the next."""
        self.open_gate()
        super().close()


def result(run: Run) -> Any:
    """The one output of a run that succeeded."""
    (output,) = outputs(run).values()
    return output
