"""The gateway's working process: serves on sockets that its parent holds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fairway.serve.gateway.admin import Admin
from fairway.serve.gateway.gateway import Gateway
from fairway.serve.gateway.news import tick
from fairway.serve.gateway.options import Options
from fairway.serve.gateway.tablefile import TableFile

BACKLOG = 4096


class Sockets:
    """What is listened on: by `callers`, by the keeper (`admin`), by callers with `grpc`."""

    def __init__(self, callers: socket.socket, admin: socket.socket, grpc: socket.socket | None) -> None:
        self.callers, self.admin, self.grpc = callers, admin, grpc

    @property
    def all(self) -> tuple[socket.socket, ...]:
        return (self.callers, self.admin) if self.grpc is None else (self.callers, self.admin, self.grpc)


def run_child(options: Options, sockets: Sockets, parent: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, then answer what is asked still. `parent`: a pipe that ends with the parent; `ready`: called when it serves."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(options, sockets, parent, ready))


async def _serve(options: Options, sockets: Sockets, parent: int, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    certificate = Certificate(options.tls_cert, options.tls_key, "http/1.1") if options.tls_cert else None
    spool = None
    if options.spool:
        from fairway.serve.feedback.remote import open_spool

        spool = open_spool(options.spool)
    gateway = Gateway(is_local=options.is_local, spool=spool, key=options.admin_token)
    table = TableFile(options.table, gateway.apply_table)
    table.look()
    admin = Admin(gateway, table, token="" if options.admin.startswith("unix:") else options.admin_token)
    await admin.server.listen(sockets.admin, backlog=BACKLOG)
    await gateway.server.listen(sockets.callers, ssl=certificate and certificate.context, backlog=BACKLOG)
    looks = [gateway.report, table.look]
    if certificate is not None:
        looks.append(certificate.look)
    gate = None
    if sockets.grpc is not None:
        from fairway.serve.gateway.grpc import GrpcGate

        own = Certificate(options.tls_cert, options.tls_key, "h2") if options.tls_cert else None
        gate = GrpcGate(gateway)
        gate.listen(sockets.grpc, own and own.context)
        if own is not None:
            looks.append(own.look)
    ticks = [loop.create_task(tick(1.0, look)) for look in looks]

    def orphaned() -> None:
        loop.remove_reader(parent)
        adopt_sockets(sys.argv[1:], sockets)

    loop.add_reader(parent, orphaned)
    ready()
    await stop.wait()
    loop.remove_reader(parent)
    await asyncio.gather(gateway.server.drain(options.drain_s), *([gate.drain(options.drain_s)] if gate is not None else []))
    gateway.report()
    for task in ticks:
        task.cancel()
    gateway.news.close()
    await admin.server.drain(1.0, linger_s=0.0)
    if spool is not None:
        await spool.close()


def adopt_sockets(arguments: Sequence[str], sockets: Sockets) -> None:
    """The parent is gone: start another one, which takes the sockets over from us."""
    command = [*own_command(), *without_handed(arguments), *handed(sockets, os.getpid())]
    subprocess.Popen(command, pass_fds=[sock.fileno() for sock in sockets.all], start_new_session=True, stdin=subprocess.DEVNULL)


def own_command() -> list[str]:
    """How this program is started."""
    return [sys.executable, *(("-P",) if sys.flags.safe_path else ()), "-m", "fairway.serve.gateway"]


def handed(sockets: Sockets, replaces: int) -> list[str]:
    """The part of a command line that hands sockets down."""
    names = ("--fd", "--admin-fd", "--grpc-fd")
    return [*(f"{name}={sock.fileno()}" for name, sock in zip(names, sockets.all, strict=False)), f"--replaces={replaces}"]


def without_handed(arguments: Sequence[str]) -> list[str]:
    """A command line without that part."""
    return [item for item in arguments if not item.startswith(("--fd=", "--admin-fd=", "--grpc-fd=", "--replaces="))]


class Certificate:
    """A certificate for TLS, read again when its file changes: connections from then on get the new one."""

    def __init__(self, cert: str, key: str, protocol: str) -> None:
        self._cert, self._key = Path(cert), Path(key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols([protocol])
        self.context.load_cert_chain(cert, key)
        self._seen = self._stamp()

    def look(self) -> None:
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return
        try:
            self.context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as error:  # half written, perhaps: it is tried again
            print(f"fairway gateway: the certificate {self._cert} is not used yet: {error}", file=sys.stderr, flush=True)
            return
        self._seen = stamp

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            found = [path.stat() for path in (self._cert, self._key)]
        except OSError:
            return None
        return tuple(number for item in found for number in (item.st_mtime_ns, item.st_ino, item.st_size))
