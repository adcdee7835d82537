"""A local port for each port of a Service: connections are carried to a ready pod of it, and go on working when the pod is replaced."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, InfraError, NotFoundError

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient
    from fairway.kube.config import ClientSettings
    from fairway.kube.portforward import PodStream

_CHUNK = 256 * 1024
_PING_S = 20.0
_REDIAL_S = 0.1
_KEPT_BYTES = 1024 * 1024  # of what a connection sent before a pod answered: enough for any request without an upload
_PATIENCE_S = 60.0  # for how long a new connection waits for a pod that is ready


class Forward:
    """Listens on 127.0.0.1 in a thread of its own. A connection lives as long as its pod, and ends when the local side has sent all (there
    is no half-closing over the API server); the next one finds the new pod by itself, waiting for it if need be. Use as a context manager,
    or `close` it. Raises NotFoundError, ForbiddenError … at once if the Service cannot be read."""

    def __init__(self, settings: ClientSettings, service: str, ports: Sequence[int], *, patience_s: float = _PATIENCE_S) -> None:
        self.ports: dict[int, int] = {}
        self.last_error: FairwayError | None = None  # why the newest failed connection failed; None again after one that worked
        self._settings, self._service, self._wanted, self._patience_s = settings, service, tuple(ports), patience_s
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name=f"forward {service}", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def __enter__(self) -> Forward:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and break what is open. Idempotent."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """As `close`, without waiting for the end: may be called from any thread, also while garbage is collected."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked for the forward
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        from fairway.kube.client import KubeClient

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        client = KubeClient.from_settings(self._settings)
        pods = _Pods(client, self._service, self._patience_s)
        connections: set[asyncio.Task[None]] = set()
        servers: list[asyncio.Server] = []
        try:
            await pods.load_selector()
            for port in self._wanted:

                def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port) -> None:
                    task = asyncio.create_task(self._carry(client, pods, port, reader, writer))
                    connections.add(task)
                    task.add_done_callback(connections.discard)

                server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_CHUNK)
                servers.append(server)
                self.ports[port] = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()
        finally:
            for server in servers:
                server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
            await client.close()

    async def _carry(self, client: KubeClient, pods: _Pods, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its start to its end. While no pod has got anything of it, it is carried to the next one that is ready."""
        local = _Local(reader, writer)
        clock = asyncio.get_running_loop().time
        give_up_at = clock() + self._patience_s
        try:
            while True:
                pod = await pods.get_ready()
                try:
                    async with client.dial(pod, port) as stream:
                        await _pump(stream, local)
                    self.last_error = None
                    return
                except (InfraError, NotFoundError) as error:
                    pods.forget(pod)
                    if not local.untouched or clock() > give_up_at:
                        raise
                    self.last_error = error
                await asyncio.sleep(_REDIAL_S)
        except FairwayError as error:
            self.last_error = error
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


class _Pods:
    """The pods behind a Service, by its selector. One that has worked is used again until it fails."""

    def __init__(self, client: KubeClient, service: str, patience_s: float) -> None:
        self._client, self._service, self._patience_s = client, service, patience_s
        self._labels = ""
        self._known = ""
        self._lock = asyncio.Lock()

    async def load_selector(self) -> None:
        service = await self._client.get("Service", self._service)
        self._labels = ",".join(f"{key}={value}" for key, value in (service["spec"].get("selector") or {}).items())
        if not self._labels:
            raise NotFoundError(f"the service {self._service} selects no pods")

    def forget(self, pod: str) -> None:
        if pod == self._known:
            self._known = ""

    async def get_ready(self) -> str:
        """The name of a pod that is ready, waiting for one if there is none. Raises InfraError when that takes too long."""
        if self._known:
            return self._known
        async with self._lock:
            if not self._known:
                try:
                    self._known = await asyncio.wait_for(self._find_ready(), self._patience_s)
                except TimeoutError as error:
                    raise InfraError(f"no pod of the service {self._service} is ready", hint="fairway doctor --on TARGET") from error
            return self._known

    async def _find_ready(self) -> str:
        ready: dict[str, str] = {}
        watch = self._client.watch("Pod", labels=self._labels)
        try:
            async for change in watch:
                if change.kind == "synced":
                    pass
                elif change.kind != "deleted" and is_ready(change.obj):
                    ready[change.name] = change.obj["metadata"].get("creationTimestamp", "")
                else:
                    ready.pop(change.name, None)
                if ready and change.kind != "deleted":
                    return max(ready, key=lambda name: (ready[name], name))
        finally:
            await watch.aclose()
        raise AssertionError("a watch does not end")


def is_ready(pod: dict[str, Any]) -> bool:
    """Whether a pod takes connections, and is not about to go."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod.get("status", {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


class _Local:
    """The local end of a connection, with what it sent, for as long as that may be sent again. `untouched`: no pod has seen any of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.sent = b""
        self.untouched = True

    def note(self, data: bytes) -> None:
        self.sent += data
        if len(self.sent) > _KEPT_BYTES:
            self.untouched, self.sent = False, b""


async def _pump(stream: PodStream, local: _Local) -> None:
    """Carry bytes both ways until one side ends."""

    async def up() -> None:
        if local.sent:
            await stream.write(local.sent)
        while data := await local.reader.read(_CHUNK):
            if local.untouched:
                local.note(data)
            await stream.write(data)

    async def down() -> None:
        while data := await stream.read():
            local.untouched, local.sent = False, b""
            local.writer.write(data)
            await local.writer.drain()

    async def ping() -> None:
        while True:
            await asyncio.sleep(_PING_S)
            await stream.ping()

    tasks = [asyncio.create_task(work()) for work in (up, down, ping)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except OSError:
        return  # the local side has gone
    except InfraError:
        local.untouched = local.untouched and (stream.refused or not local.sent)
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
