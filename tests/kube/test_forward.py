"""Connections to pods through the API server, one by one and behind local ports that outlive the pods."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping

from fairway.errors import ForbiddenError, InfraError, NotFoundError
from fairway.kube.client import KubeClient
from fairway.kube.forward import Forward
from fairway.kube.portforward import PodStream
from tests.kube.emulator import Emulator
from tests.kube.emulator.rig import container, pod
from tests.kube.talk import settings, talk

# Answers "w" with its pod's name and "e…" with what follows. With a gate it first waits for a connection on that port.
PORT = 7431  # of which no other program of this machine makes use
SERVER = f"""
PORT = {PORT}
import os, socket, threading
address, name, gate = os.environ["POD_IP"], os.environ["POD_NAME"], int(os.environ.get("GATE", "0"))
if gate:
    socket.create_server((address, gate)).accept()
def serve(one):
    kind = one.recv(1)
    if kind == b"w":
        one.sendall(name.encode())
    while kind == b"e" and (data := one.recv(1 << 16)):
        one.sendall(data)
    one.close()
server = socket.create_server((address, PORT), backlog=64)
while True:
    threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()
"""


def server_pod(name: str, app: str, *, gate: int = 0, probe: bool = True) -> dict[str, Any]:
    fields = {"POD_IP": "status.podIP", "POD_NAME": "metadata.name"}
    variables = [{"name": key, "valueFrom": {"fieldRef": {"fieldPath": path}}} for key, path in fields.items()]
    variables.append({"name": "GATE", "value": str(gate)})
    more = {"readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1, "failureThreshold": 1000}} if probe else {}
    main = container("main", "python3", "-c", SERVER, env=variables, image="python:3.11-slim", **more)
    return pod(name, main, labels={"app": app}, terminationGracePeriodSeconds=0)


def service(app: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": app}, "spec": {"selector": {"app": app}, "ports": [{"port": PORT}]}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(Path(tmp_path_factory.mktemp("forward"))) as made:
        made.create(service("web"))
        made.create(server_pod("web-1", "web"))
        made.wait(lambda: is_ready(made, "web-1"))
        yield made


@pytest.fixture
def cluster(shared: Emulator) -> Iterator[Emulator]:
    yield shared
    shared.faults.clear()
    shared.authority.denied.clear()


def is_ready(cluster: Emulator, name: str) -> bool:
    conditions = ((cluster.find("Pod", name) or {}).get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def forward(cluster: Emulator, app: str = "web", *, patience_s: float = 60.0) -> Forward:
    return Forward(settings(cluster), app, [PORT], patience_s=patience_s)


def ask(made: Forward, said: bytes = b"w", port: int = PORT) -> bytes:
    """All that comes back on a new connection, or as much as was said after the first byte."""
    with socket.create_connection(("127.0.0.1", made.ports[port]), timeout=60) as one:
        one.sendall(said)
        answer = b""
        while (len(answer) < len(said) - 1 or len(said) == 1) and (data := one.recv(1 << 16)):
            answer += data
        return answer


def remove(cluster: Emulator, *names: str) -> None:
    async def work(client: KubeClient) -> None:
        for name in names:
            await client.delete("Pod", name, grace_s=0)

    talk(cluster, work)
    cluster.wait(lambda: not any(cluster.find("Pod", name) for name in names))


def test_bytes_are_carried_both_ways_on_many_connections_at_once(cluster: Emulator) -> None:
    with forward(cluster) as made, ThreadPoolExecutor(12) as threads:
        texts = [bytes([65 + number]) * (50_000 + number) for number in range(12)]
        assert list(threads.map(lambda text: ask(made, b"e" + text), texts)) == texts
        assert made.last_error is None


def test_a_large_body_arrives_as_it_was_sent(cluster: Emulator) -> None:
    body = bytes(range(256)) * 12_000  # three megabytes, larger than what is kept to be sent again
    with forward(cluster) as made:
        with socket.create_connection(("127.0.0.1", made.ports[PORT]), timeout=60) as one:
            sender = threading.Thread(target=one.sendall, args=(b"e" + body,))
            sender.start()
            got = bytearray()
            while len(got) < len(body):
                got += one.recv(1 << 20)
            sender.join()
        assert bytes(got) == body


def test_a_connection_that_breaks_ends_and_the_next_one_works(cluster: Emulator) -> None:
    with forward(cluster) as made:
        cluster.call(lambda: cluster.network.cut_after.update({PORT: 1000}))
        broken = ask(made, b"e" + b"x" * 200_000)
        assert len(broken) < 200_000
        assert ask(made) == b"web-1"


def test_when_the_pod_is_replaced_the_next_connection_finds_the_new_one(cluster: Emulator) -> None:
    cluster.create(service("swap"))
    cluster.create(server_pod("swap-1", "swap"))
    with forward(cluster, "swap") as made:
        assert ask(made) == b"swap-1"
        remove(cluster, "swap-1")
        cluster.create(server_pod("swap-2", "swap"))  # not ready yet: the connection waits for it
        assert ask(made) == b"swap-2"
    remove(cluster, "swap-2")


def test_a_pod_that_is_ready_but_does_not_listen_yet_is_tried_again_and_nothing_is_lost(cluster: Emulator) -> None:
    cluster.create(service("late"))
    cluster.create(server_pod("late-1", "late", gate=8090, probe=False))
    with forward(cluster, "late") as made, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(ask, made)
        while made.last_error is None:
            threading.Event().wait(0.005)
        assert "failed to connect" in made.last_error.message

        async def open_gate(client: KubeClient) -> None:
            async with client.dial("late-1", 8090) as stream:
                assert await stream.read() == b""

        while not answer.done():
            try:
                talk(cluster, open_gate)
            except InfraError:  # its interpreter has not come so far, or the gate was open already
                threading.Event().wait(0.005)
        assert answer.result() == b"late-1"
        assert made.last_error is None
    remove(cluster, "late-1")


def test_without_a_ready_pod_a_connection_is_closed_when_the_patience_is_over_and_said_why(cluster: Emulator) -> None:
    cluster.create(service("empty"))
    with forward(cluster, "empty", patience_s=0.1) as made:
        assert ask(made) == b""
        assert made.last_error is not None
        assert made.last_error.message == "no pod of the service empty is ready"


def forwarding() -> set[threading.Thread]:
    """The threads of forwards; other tests of this process may have some."""
    return {one for one in threading.enumerate() if one.name.startswith("forward")}


def test_a_service_that_is_not_there_or_may_not_be_read_is_told_at_once(cluster: Emulator) -> None:
    before = forwarding()
    with pytest.raises(NotFoundError):
        forward(cluster, "none")
    cluster.faults.deny("get", "services")
    with pytest.raises(ForbiddenError):
        forward(cluster)
    assert forwarding() <= before


def test_a_service_that_selects_no_pods_is_told_at_once(cluster: Emulator) -> None:
    plain = service("outside")
    del plain["spec"]["selector"]
    cluster.create(plain)
    with pytest.raises(NotFoundError, match="the service outside selects no pods"):
        forward(cluster, "outside")


def test_a_right_that_is_missing_ends_the_connection_and_is_kept_to_be_shown(cluster: Emulator) -> None:
    cluster.faults.deny("get", "pods/portforward")
    with forward(cluster) as made:
        assert ask(made) == b""
        assert isinstance(made.last_error, ForbiddenError)


def test_closing_breaks_what_is_open_and_leaves_no_thread(cluster: Emulator) -> None:
    before = forwarding()
    made = forward(cluster)
    with socket.create_connection(("127.0.0.1", made.ports[PORT]), timeout=60) as one:
        one.sendall(b"ehello")
        assert one.recv(5) == b"hello"
        made.close()
        assert one.recv(1) == b""
    made.close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", made.ports[PORT]), timeout=1)
    assert forwarding() <= before


def test_one_connection_can_be_had_without_a_local_port(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> bytes:
        async with client.dial("web-1", PORT) as stream:
            await stream.write(b"w")
            await stream.ping()
            return await stream.read() + await stream.read()

    assert talk(cluster, work) == b"web-1"


def test_a_port_on_which_nothing_listens_is_refused_in_the_kubelets_words(cluster: Emulator) -> None:
    async def work(client: KubeClient) -> bytes:
        async with client.dial("web-1", 9999) as stream:
            return await stream.read()

    with pytest.raises(InfraError, match=r"no connection to port 9999 of pod web-1: .*failed to connect to localhost:9999"):
        talk(cluster, work)


class _Pieces:
    """A network that brings bytes in pieces of given sizes, and keeps what is written to it."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, sizes
        self.written = b""

    async def read(self, most: int) -> bytes:
        size = self._sizes.pop(0) if self._sizes else len(self._data)
        piece, self._data = self._data[:size], self._data[size:]
        return piece

    async def write(self, data: bytes) -> None:
        self.written += data

    async def aclose(self) -> None:
        pass


def said_by_kubelet(*messages: bytes) -> bytes:
    server = Connection(ConnectionType.SERVER)
    said = [server.send(BytesMessage(data=data)) for data in messages]
    return b"".join([*said[:1], server.send(Ping(b"?")), *said[1:], server.send(CloseConnection(code=1000))])


async def read_all(stream: PodStream) -> bytes:
    got = b""
    while data := await stream.read():
        got += data
    return got


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(1, 40), max_size=200))
def test_however_the_network_cuts_it_the_same_bytes_come_out(parts: list[bytes], sizes: list[int]) -> None:
    number = PORT.to_bytes(2, "little")
    network = _Pieces(said_by_kubelet(b"\x00" + number, b"\x01" + number, *(b"\x00" + part for part in parts)), sizes)
    stream = PodStream(network, "p", PORT)
    assert asyncio.run(read_all(stream)) == b"".join(parts)
    assert network.written[0] == 0x8A  # a pong
    assert not stream.refused


@given(st.lists(st.integers(1, 9), max_size=60))
def test_a_refusal_is_told_as_one_only_while_nothing_has_come(sizes: list[int]) -> None:
    number = PORT.to_bytes(2, "little")
    for data, refused in ((b"", True), (b"x", False)):
        network = _Pieces(said_by_kubelet(b"\x00" + number, b"\x01" + number, b"\x00" + data, b"\x01connection refused"), list(sizes))
        stream = PodStream(network, "p", PORT)
        with pytest.raises(InfraError, match="connection refused"):
            asyncio.run(read_all(stream))
        assert stream.refused is refused
