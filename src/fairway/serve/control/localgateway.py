"""The gateway of this machine: a process of its own that outlives the server, always at the same port.

`HOME/serve/gateway/`: `table.json` (it reads it when it starts), `port` (where it was last), `settings.json`, `log`.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.engine.processes import identify_process
from fairway.errors import InfraError
from fairway.serve.control.gatewaylink import GatewayLink, Tell
from fairway.serve.control.processes import is_running, open_socket_folder, read_last_lines, signal_group, start_detached
from fairway.serve.httpclient import Upstream
from fairway.spec.endpoint import Endpoint
from fairway.spec.record import Record, record, to_plain
from fairway.step.freeports import free_ports

_HOST = "127.0.0.1"
_START_S, _STOP_S = 20.0, 45.0
_LOOK_S = 0.01
_SPOOL = "spool"


@record
class GatewaySettings(Record):
    """Where it answers. `port` 0: where it was last, else any that is free; `grpc_port` 0: no gRPC."""

    host: str = _HOST
    port: int = 0
    grpc_port: int = 0
    tls_cert: str = ""
    tls_key: str = ""

    @classmethod
    def of(cls, serving: Mapping[str, Any]) -> GatewaySettings:
        """Those of the settings file's table."""
        return cls(**{key.replace("-", "_"): value for key, value in serving.items()})


class LocalGateways:
    """See `serve.control.gatewaylink.Gateways`: the one of the home. One that was started with other settings is replaced."""

    def __init__(self, home: str, *, settings: GatewaySettings | None = None) -> None:
        self._settings = settings or GatewaySettings()
        self._home, self._host, self._asked_port = home, self._settings.host, self._settings.port
        self._folder = Path(home).absolute() / "serve" / "gateway"
        self.spool = self._folder.parent / _SPOOL
        self._link: GatewayLink | None = None
        self._tell: Tell = lambda name, news: None
        self._table = b""
        self._port = 0
        self._starting = asyncio.Lock()

    @property
    def table_path(self) -> Path:
        """Where the table is kept."""
        return self._folder / "table.json"

    def url(self, endpoint: Endpoint) -> str:
        """Where callers find it."""
        return f"http{'s' if self._settings.tls_cert else ''}://{self.inner}/{endpoint.name}" if self._port else ""

    def grpc(self, endpoint: Endpoint) -> str:
        """The address for gRPC, "" if there is none; the model's name there is the endpoint's."""
        return f"{self._host}:{self._settings.grpc_port}" if self._port and self._settings.grpc_port else ""

    def unexposed(self, endpoint: Endpoint) -> str:
        """Nothing is asked for on one's own machine."""
        return ""

    def explain(self) -> str:
        """Why it does not answer."""
        return "" if self._link is not None and self._link.is_heard else "the gateway is starting"

    @property
    def is_local(self) -> bool:
        return self._host == _HOST

    def _told(self) -> bytes:
        """What it is started with, to tell one from another."""
        return json.dumps(to_plain(self._settings), sort_keys=True).encode()

    @property
    def inner(self) -> str:
        return f"{self._host}:{self._port}" if self._port else ""

    async def start(self, tell: Tell) -> None:
        """Find the one that runs, or start one."""
        self._tell = tell
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._find_admin()
        await self.look()

    async def publish(self, endpoints: Sequence[Endpoint], table: bytes) -> None:
        """Into the file, then to the process."""
        self._table = table
        await asyncio.to_thread(_write_whole, self.table_path, table)
        if self._link is not None:
            await self._link.put(table)

    async def look(self) -> None:
        """Start it unless it answers."""
        async with self._starting:
            if self._link is not None and self._link.is_heard:
                return
            answers = await self._answers()
            if answers and self._settings_differ():
                await self._end()
                answers = False
            if not answers:
                await self._start()
            self._port = self._last_port()
            if self._link is None:
                self._link = GatewayLink("local", f"unix:{self._admin}", self._tell)
                if self._table:
                    await self._link.put(self._table)

    async def stop(self) -> None:
        """End it: what it has in hand is answered first."""
        async with self._starting:
            await self._find_admin()
            await self._end()

    async def _end(self) -> None:
        await self._close_link()
        link = GatewayLink("local", f"unix:{self._admin}", lambda name, news: None)
        state = await link.state() if self._admin.exists() else None
        await link.close()
        if state is None:
            return
        pid = int(state["holder"])
        identity = identify_process(pid)
        signal_group(pid, identity, "TERM")
        end = time.monotonic() + _STOP_S
        while is_running(pid, identity) and time.monotonic() < end:
            await asyncio.sleep(_LOOK_S)
            _reap(pid)
        signal_group(pid, identity, "KILL")
        _reap(pid)

    def _settings_differ(self) -> bool:
        """Was the one that answers started with other settings?"""
        try:
            return (self._folder / "settings.json").read_bytes() != self._told()
        except OSError:
            return True

    async def close(self) -> None:
        """Let go of it; it goes on."""
        await self._close_link()

    async def _find_admin(self) -> Path:
        sockets = await asyncio.to_thread(open_socket_folder, self._folder.parent / "sockets", self._home, 60)
        self._admin = sockets / "gateway.sock"
        return self._admin

    async def _close_link(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _answers(self) -> bool:
        if not self._admin.exists():
            return False
        upstream = Upstream(f"unix:{self._admin}")
        try:
            answer = await upstream.ask("GET", "/health", timeout_s=5.0)
            return answer.status == 200
        finally:
            upstream.abort()

    async def _start(self) -> None:
        port = self._asked_port or self._last_port()
        if not port or not _is_free(self._host, port):
            if self._asked_port:
                raise InfraError(
                    f"the gateway cannot listen at {self._host}:{port}: another program does", hint="give it another port, or end the other"
                )
            (port,) = free_ports(1)  # no connection is given it before the gateway listens, or while there is none
        log = self._folder / "log"
        words = ["--table", str(self.table_path), "--listen", f"{self._host}:{port}", "--admin", f"unix:{self._admin}"]
        words += ["--grpc", f"{self._host}:{self._settings.grpc_port}"] if self._settings.grpc_port else []
        if self._settings.tls_cert:
            words += ["--tls-cert", self._settings.tls_cert, "--tls-key", self._settings.tls_key]
        argv = [sys.executable, "-P", "-m", "fairway.serve.gateway", *words, "--spool", str(self.spool)]
        pid = start_detached(argv, log, os.environ)
        identity = identify_process(pid)
        end = time.monotonic() + _START_S
        while not await self._answers():
            if not is_running(pid, identity) or time.monotonic() > end:
                _reap(pid)
                said = [line for line in read_last_lines(log, 5) if line.strip()]
                raise InfraError(f"the gateway does not start: {(said or ['it said nothing'])[-1]}", hint=f"what it says is in {log}")
            await asyncio.sleep(_LOOK_S)
        await asyncio.to_thread(_write_whole, self._folder / "port", str(port).encode())
        await asyncio.to_thread(_write_whole, self._folder / "settings.json", self._told())

    def _last_port(self) -> int:
        try:
            text = (self._folder / "port").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return 0
        return int(text) if text.isdigit() and 0 < int(text[:6]) < 65536 else 0


def _write_whole(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    part.replace(path)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
