"""Gangs whose ranks are in pods of their own: they add up what each has, over TCP, at the addresses that they were told."""

import os
import signal
import socket
import time

from gate import wait_at_gate

import fairway as fw

IMAGE = os.environ.get("FAIRWAY_TEST_BARE_IMAGE") or os.environ.get("FAIRWAY_TEST_IMAGE", "known-where-the-run-is-started")
NODE = os.environ.get("FAIRWAY_TEST_NODE", "known-where-the-run-is-started")


def add_up(value: int) -> int:
    """The sum of all ranks' values, by way of rank 0."""
    place = fw.context().place
    assert place is not None
    address = (place.hosts[0], place.ports[0][0])
    if place.rank == 0:
        with socket.create_server(address, backlog=64) as server:
            peers = [server.accept()[0] for _ in range(place.world_size - 1)]
        total = value + sum(int(peer.recv(16)) for peer in peers)
        for peer in peers:  # now that nobody listens: who is told may come again for the next sum
            peer.sendall(str(total).encode())
            peer.close()
        return total
    until = time.monotonic() + 30
    while True:
        try:
            peer = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
    peer.sendall(str(value).encode())
    return int(peer.recv(16))


@fw.step(cpu=0.05, gang=fw.gang(replicas=2, processes=2))
def meet() -> dict[str, int]:
    place = fw.context().place
    assert place is not None
    print(f"rank {place.rank} of {place.world_size} is in {os.environ['HOSTNAME']}")
    return {"sum": add_up(place.rank + 1), "pods": len(set(place.hosts))}


@fw.pipeline
def together():
    return meet()


@fw.step(cpu=0.05, gang=fw.gang(replicas=2))
def fail() -> None:
    add_up(1)
    if fw.context().rank == 1:
        raise ValueError("this rank is bad")
    wait_at_gate()  # for ever


@fw.pipeline
def failing():
    fail()


@fw.step(cpu=0.05, gang=fw.gang(replicas=2, restarts=1))
def train(killed: bool) -> list[int]:
    begun = fw.checkpoint.load(default=0)
    add_up(0)
    for epoch in range(begun, 3):
        fw.checkpoint.save(epoch, epoch + 1)
    fw.checkpoint.wait()
    add_up(0)
    if not begun:
        if killed and fw.context().rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        wait_at_gate()  # for ever
    return [begun, fw.context().n]


@fw.pipeline
def training(killed: bool = False):
    return train(killed)


@fw.step(cpu=0.05, gang=fw.gang(replicas=2, restarts=0, stall_timeout="3s"))
def hang() -> None:
    add_up(1)
    stand_still()


def stand_still() -> None:
    wait_at_gate()


@fw.pipeline
def hanging():
    hang()


@fw.step(cpu=0.05, gang=fw.gang(replicas=2))
def wait() -> None:
    wait_at_gate()


@fw.pipeline
def waiting():
    wait()


@fw.step(cpu=0.05, disk="1Gi", gang=fw.gang(replicas=2))
def large() -> int:
    return add_up(1)


@fw.pipeline
def held():
    return large()


@fw.step(cpu=0.05, disk="1Gi", gang=fw.gang(replicas=3, min_replicas=2))
def some() -> list[int]:
    return [add_up(1), fw.context().world_size]


@fw.pipeline
def fewer():
    return some()


APART = {
    "spec": {
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"team": "apart"}}}
                ]
            }
        },
    }
}


@fw.step(cpu=0.05, gang=fw.gang(replicas=2, start_timeout="5s"), place=fw.place(labels={"team": "apart"}, patch=APART))
def alone() -> None:
    add_up(1)


@fw.pipeline
def too_large():
    alone()


@fw.step(cpu=0.05, gang=fw.gang(framework="mxnet", roles={"worker": 1, "server": 1, "scheduler": 1}))
def serve() -> str:
    role = os.environ["DMLC_ROLE"]
    if role != "worker":
        wait_at_gate()  # for ever, as servers do
    return role


@fw.pipeline
def serving():
    return serve()


programs = fw.container(
    IMAGE,
    ["sh", "-c", "echo I am $RANK of $WORLD_SIZE: $FAIRWAY_ENDPOINTS; while read it; do echo $it; done < $FAIRWAY_HOSTFILE > {out:hosts}"],
    name="programs", cpu=0.05, gang=fw.gang(replicas=2),
)  # fmt: skip
ending = fw.container(
    IMAGE,
    ["sh", "-c", "if [ $RANK = 1 ]; then echo cannot go on; exit 7; fi; trap 'exit 0' TERM; sleep 300 & wait"],
    name="ending", cpu=0.05, gang=fw.gang(replicas=2, restarts=0),
)  # fmt: skip


@fw.step(cpu=0.05)
def read(hosts: fw.File) -> str:
    return hosts.read_text()


@fw.pipeline
def in_images():
    return read(programs())


@fw.pipeline
def in_images_badly():
    ending()
