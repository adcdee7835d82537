"""The cluster's network: addresses of pods and services on the loopback device, and who answers on them."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from tests.kube.emulator.failure import ApiError, invalid
from tests.kube.emulator.kinds import ENDPOINT_SLICE, POD, SERVICE, Kind
from tests.kube.emulator.memory import Change, Object
from tests.kube.emulator.probes import port_number
from tests.kube.emulator.selectors import matches_labels

if TYPE_CHECKING:
    from tests.kube.emulator.cluster import Cluster

PROTOCOLS = ("v4.channel.k8s.io",)
Address = tuple[str, int]


class Network:
    """Services are 127.1.x.y and pods 127.2.x.y (and on, when there are many). x is this cluster's own: several can stand side by side."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lock, self._block = _take_block()
        self._next_service = 0
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._turn = 0
        self._pumps: set[asyncio.Task[None]] = set()
        self.cut_after: dict[int, int] = {}  # bytes after which a port-forward to a port breaks

    def pod_address(self, number: int) -> str:
        return f"127.{2 + number // 250}.{self._block}.{1 + number % 250}"

    def admit(self, kind: Kind, new: Object, old: Object | None, subresource: str) -> None:
        """Give a new service its address."""
        if kind is not SERVICE:
            return
        spec = new.setdefault("spec", {})
        if old is not None:
            spec.setdefault("clusterIP", old["spec"].get("clusterIP"))
            if spec["clusterIP"] != old["spec"].get("clusterIP"):
                raise invalid(
                    "Service",
                    new["metadata"]["name"],
                    "spec.clusterIPs[0]",
                    f'Invalid value: ["{spec["clusterIP"]}"]: may not change once set',
                )
        elif not spec.get("clusterIP"):
            self._next_service += 1
            spec["clusterIP"] = f"127.1.{self._block}.{self._next_service}"
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port["port"])

    def see(self, change: Change) -> None:
        if change.kind is SERVICE:
            self._sync(change.new, gone=change.type == "DELETED")
        elif change.kind is POD and _address_of(change.old) != _address_of(change.new if change.type != "DELETED" else None):
            for service in self._cluster.memory.list(SERVICE, change.new["metadata"]["namespace"]):
                if _selects(service, change.new):
                    self._sync(service)

    def endpoints(self, service: Object) -> list[Object]:
        """The ready pods behind a service."""
        pods = self._cluster.memory.list(POD, service["metadata"]["namespace"])
        return [pod for pod in pods if _selects(service, pod) and _address_of(pod)]

    def _sync(self, service: Object, *, gone: bool = False) -> None:
        """Listen on a service's ports while a pod behind it is ready, so that a connection is refused when none is."""
        address = service["spec"].get("clusterIP", "None")
        ready = [] if gone else self.endpoints(service)
        self._publish(service, ready, gone=gone)
        if address == "None":
            return
        ports = {port["port"] for port in service["spec"].get("ports") or ()}
        for key in [key for key in self._servers if key[0] == address and (not ready or key[1] not in ports)]:
            self._servers.pop(key).close()
        for port in ports if ready else ():
            if (address, port) not in self._servers:
                self._listen(service["metadata"]["namespace"], service["metadata"]["name"], address, port)

    def _publish(self, service: Object, ready: list[Object], *, gone: bool) -> None:
        meta = service["metadata"]
        name = f"{meta['name']}-slice"
        if gone or not service["spec"].get("selector"):
            return
        ends = [{"addresses": [_address_of(pod)], "conditions": {"ready": True}, "nodeName": pod["spec"].get("nodeName")} for pod in ready]
        found = self._cluster.memory.find(ENDPOINT_SLICE, meta["namespace"], name)
        if found is None:
            owner = {
                "apiVersion": "v1",
                "kind": "Service",
                "name": meta["name"],
                "uid": meta["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
            labels = {"kubernetes.io/service-name": meta["name"]}
            body = {"metadata": {"name": name, "labels": labels, "ownerReferences": [owner]}, "addressType": "IPv4", "endpoints": ends}
            with suppress(ApiError):
                self._cluster.memory.create(ENDPOINT_SLICE, meta["namespace"], body)
        else:
            self._cluster.memory.change(ENDPOINT_SLICE, meta["namespace"], name, lambda it: it.update(endpoints=ends))

    def _listen(self, namespace: str, name: str, address: str, port: int) -> None:
        listening = socket.create_server((address, port), backlog=1024)

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            target = self._choose(namespace, name, port)
            if target is None:
                writer.transport.abort()
                return
            await _pump_both(reader, writer, target)

        async def serve() -> None:
            server = await asyncio.start_server(accept, sock=listening)
            if (address, port) in waiting:
                self._servers[address, port] = server
            else:
                server.close()

        waiting = {(address, port)}
        self._servers[address, port] = _Opening(waiting, listening)  # type: ignore[assignment]
        task = asyncio.ensure_future(serve())
        self._pumps.add(task)
        task.add_done_callback(self._pumps.discard)

    def _choose(self, namespace: str, name: str, port: int) -> Address | None:
        service = self._cluster.memory.find(SERVICE, namespace, name)
        ready = self.endpoints(service) if service else []
        if not ready or service is None:
            return None
        self._turn += 1
        pod = ready[self._turn % len(ready)]
        spec = next(each for each in service["spec"]["ports"] if each["port"] == port)
        return _address_of(pod), _target_port(pod, spec["targetPort"])

    async def port_forward(self, raw: web.BaseRequest, pod: Object) -> web.WebSocketResponse:
        """As a kubelet does it: two channels for each port, data and error; the first message on each is the port's number."""
        text = [part for value in raw.query.getall("ports", []) + raw.query.getall("port", []) for part in value.split(",")]
        ports = [int(part) for part in text]
        if not ports:
            raise ApiError(400, 'query parameter "port" is required')
        if (pod.get("status") or {}).get("phase") != "Running":
            raise ApiError(
                400,
                f"unable to forward port because pod is not running. Current status={(pod.get('status') or {}).get('phase', 'Pending')}",
            )
        if "websocket" not in raw.headers.get("Upgrade", "").lower():
            raise ApiError(400, "Upgrade request required")
        socket_ = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0)
        await socket_.prepare(raw)
        writers: dict[int, asyncio.StreamWriter] = {}
        tasks: list[asyncio.Task[None]] = []
        for index, port in enumerate(ports):
            await socket_.send_bytes(bytes([2 * index]) + port.to_bytes(2, "little"))
            await socket_.send_bytes(bytes([2 * index + 1]) + port.to_bytes(2, "little"))
            try:
                reader, writers[2 * index] = await asyncio.open_connection(_address_of(pod, ready=False), port)
            except OSError as error:
                words = (
                    f"an error occurred forwarding {port} -> {port}: error forwarding port {port} to pod {pod['metadata']['uid']}, uid : "
                )
                words += "failed to execute portforward in network namespace: "
                words += f"failed to connect to localhost:{port} inside namespace: {error.strerror}"
                await socket_.send_bytes(bytes([2 * index + 1]) + words.encode())
                continue
            tasks.append(asyncio.create_task(self._from_pod(reader, socket_, 2 * index, port)))
        receiving = asyncio.create_task(_from_client(socket_, writers))
        try:
            waiting = set(tasks)
            while waiting and not receiving.done():
                _, rest = await asyncio.wait({receiving, *waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting &= rest
        finally:
            for task in (*tasks, receiving):
                task.cancel()
            await asyncio.gather(*tasks, receiving, return_exceptions=True)
            for writer in writers.values():
                writer.close()
            if not socket_.closed:
                await socket_.close()
        return socket_

    async def _from_pod(self, reader: asyncio.StreamReader, socket_: web.WebSocketResponse, channel: int, port: int) -> None:
        sent = 0
        with suppress(ConnectionError):
            while data := await reader.read(1 << 15):
                await socket_.send_bytes(bytes([channel]) + data)
                sent += len(data)
                if sent >= self.cut_after.get(port, sent + 1):
                    del self.cut_after[port]
                    return

    async def close(self) -> None:
        for server in self._servers.values():
            server.close()
        for task in self._pumps:
            task.cancel()
        self._lock.close()


class _Opening:
    """A listener whose server is being made."""

    def __init__(self, waiting: set[tuple[str, int]], listening: socket.socket) -> None:
        self._waiting, self._listening = waiting, listening

    def close(self) -> None:
        self._waiting.clear()


def _take_block() -> tuple[socket.socket, int]:
    """A number that no other cluster on this machine has: a listener holds it. One whose addresses still have listeners, left behind by
    the pods of a cluster that was killed, is passed over."""
    for block in range(1, 255):
        if _has_listeners(block):
            continue
        try:
            return socket.create_server((f"127.1.{block}.255", 61999)), block
        except OSError:
            continue
    raise RuntimeError("all blocks of addresses are taken")


def _has_listeners(block: int) -> bool:
    """Whether a process listens on an address of a pod of that block, 127.2.BLOCK.x and on."""
    try:
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    except OSError:  # not Linux
        return False
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    return any(address[6:8] == "7F" and address[4:6] >= "02" and address[2:4] == f"{block:02X}" for address in listening)


def _address_of(pod: Object | None, *, ready: bool = True) -> str:
    """Of a pod that is ready, "" for any other."""
    status = (pod or {}).get("status") or {}
    holds = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    if pod is None or (ready and (not holds or pod["metadata"].get("deletionTimestamp"))):
        return ""
    return status.get("podIP", "")


def _selects(service: Object, pod: Object) -> bool:
    selector = service["spec"].get("selector")
    return bool(selector) and matches_labels(pod["metadata"].get("labels") or {}, {"matchLabels": selector})


def _target_port(pod: Object, port: int | str) -> int:
    if isinstance(port, int):
        return port
    for container in pod["spec"]["containers"]:
        with suppress(StopIteration):
            return port_number(container, port)
    raise ApiError(500, f"no port {port}")


async def _pump_both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: Address) -> None:
    try:
        inner_reader, inner_writer = await asyncio.open_connection(*target, limit=1 << 20)
    except OSError:
        writer.transport.abort()
        return
    try:
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))
    finally:
        writer.close()
        inner_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy to the end, and pass the end on."""
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


async def _from_client(socket_: web.WebSocketResponse, writers: dict[int, asyncio.StreamWriter]) -> None:
    async for message in socket_:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        writer = writers.get(message.data[0])
        if writer:
            with suppress(ConnectionError):
                writer.write(message.data[1:])
                await writer.drain()
