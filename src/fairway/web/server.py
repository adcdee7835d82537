"""The server of a target: API, drivers and executor in one event loop over one journal, and the blob process beside it.

It may be killed at any moment. What runs goes on where it runs; the next server takes the runs up where their journal says they are.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from fairway.engine.bus import Bus
from fairway.engine.ending import run_server_hooks
from fairway.engine.host import Host
from fairway.engine.services import Services
from fairway.envs.runtime import build_runtime_zip
from fairway.errors import InfraError
from fairway.spec.artifact import blob_key
from fairway.spec.layout import BLOBS, DATABASE, LOCKS, STREAMS
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import to_plain
from fairway.spec.summary import RunSummary
from fairway.spec.tokens import HEADER
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store import open_journal
from fairway.store.bucket import BucketArtifactStore, BucketSigner
from fairway.web.app import build_app
from fairway.web.auth import TokenAuth
from fairway.web.blobserver import BlobProcess
from fairway.web.crew import Crew, open_crew
from fairway.web.options import ServerOptions, python_of
from fairway.web.ports import BlobSigner, KeySigner, ServerSettings
from fairway.web.work import Channel, work_routes

_WINDOW = 2_048
_INBOX_EVERY_S = 30.0  # every command comes through this process, which wakes the driver: looking is for the lost only
_GOODBYE_S = 5
_TOKEN_HEADER = HEADER.lower().encode()


def serve(options: ServerOptions) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Says on stdout where it listens once it does."""
    try:
        return asyncio.run(_serve(options))
    except KeyboardInterrupt:
        return 130


async def _serve(options: ServerOptions) -> int:
    async with AsyncExitStack() as stack:
        listening = [_listen(options.host, options.port)]
        app = await open_server(options, stack)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=_GOODBYE_S, server_header=False
        )
        server = _Server(config)
        server.goodbye = app.goodbye
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        host, port = listening[0].getsockname()[:2]
        print(f"listening on http://{'[' + host + ']' if ':' in host else host}:{port}", flush=True)
        await server.serve(listening)
    return 0


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again when it has ended, before anything of ours could be put in order."""

    goodbye: Callable[[], None]

    def stop(self) -> None:
        self.should_exit = True
        self.goodbye()  # what would go on for as long as somebody listens ends now

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens from now on: who calls before the server is ready waits, and is not refused."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, so that asyncio sends small answers without delay
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise InfraError(f"cannot listen on {host}:{port}: {error.strerror}", hint="is another server running there?") from error
    sock.setblocking(False)
    return sock


async def open_server(options: ServerOptions, stack: AsyncExitStack) -> Any:
    """The application, with its runs taken up. What it opens is closed with `stack`, the drivers first."""
    home = Path(options.home)
    home.mkdir(parents=True, exist_ok=True)
    journal = open_journal(options.journal or home / DATABASE, exclusive=not options.local)
    stack.push_async_callback(journal.close)
    await journal.head("")  # refuse now what cannot be opened
    artifacts = _open_artifacts(options)
    streams = FolderStreamStore(home / STREAMS)
    auth = TokenAuth(options.secrets)
    signer = BucketSigner(artifacts) if isinstance(artifacts, BucketArtifactStore) else KeySigner(auth.signing_key)
    bus = Bus()
    runtime = build_runtime_zip()
    crew = await stack.enter_async_context(open_crew(options, artifacts, streams, auth, runtime[1]))
    auth.find_secret = crew.find_secret
    services = Services(
        home=options.home,
        journal=journal,
        artifacts=artifacts,
        streams=streams,
        executor=crew.whole,
        window=_WINDOW,
        grace_s=options.target.grace_s,
        python=python_of(options.target),
        inbox_every_s=_INBOX_EVERY_S,
    )

    async def on_end(summary: RunSummary, environment: Mapping[str, Any]) -> Sequence[str]:
        return await asyncio.to_thread(run_server_hooks, summary, environment, {**os.environ, **await crew.secret_values()})

    marks = str(home / LOCKS) if options.local else ""  # on a laptop commands drive runs of the same home
    host = Host(services, crew.view, bus, on_end=on_end, marks=marks)
    stack.push_async_callback(host.close)
    blobs = BlobProcess(options)
    blobs_port = await blobs.start()
    stack.push_async_callback(blobs.close)
    channel = Channel(
        workers=crew.workers,
        artifacts=artifacts,
        streams=streams,
        signer=signer,
        auth=auth,
        bus=bus,
        home=options.home,
        ready=lambda: host.settled,
        lock_text=lambda digest: artifacts.get(blob_key(digest)).decode(),
        runtime=runtime,
        clock=time.time,
        grace_s=options.target.grace_s,
    )
    settings = _describe(options, crew, services.python, signer, blobs_port)
    app = build_app(services, host, settings, auth, more=work_routes(channel))
    await host.take_up()
    return _Introduced(app, auth, bus)


def _describe(options: ServerOptions, crew: Crew, python: str, signer: BlobSigner, blobs_port: int) -> ServerSettings:
    """What the API may tell of this server."""

    async def secrets() -> Sequence[str]:
        return sorted(await crew.secret_values())

    return ServerSettings(
        target={**to_plain(options.target), "name": options.target.name, "python": python, **crew.facts},
        secrets=secrets,
        cluster=crew.survey,
        pods=crew.pods,
        asked=crew.asked,
        signer=signer,
        blobs_port=blobs_port,
    )


class _Introduced:
    """Before the application looks at a user's token, one that is new here is looked up."""

    def __init__(self, app: Any, auth: TokenAuth, bus: Bus) -> None:
        self._app, self._auth, self.goodbye = app, auth, bus.close

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._auth.find_user(next((value.decode("latin-1") for name, value in scope["headers"] if name == _TOKEN_HEADER), ""))
        await self._app(scope, receive, send)


def _open_artifacts(options: ServerOptions) -> ArtifactStore:
    """In a bucket what is named by its content; the rest, and without one all of it, in the home."""
    folder = Path(options.home) / BLOBS
    return BucketArtifactStore(options.store, folder) if options.store else FolderArtifactStore(folder)
