"""The server of a target: API, drivers and executor in one event loop over one journal, and the blob process beside it.

It may be killed at any moment. What runs goes on where it runs; the next server takes the runs up where their journal says they are.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from fairway.engine.bus import Bus
from fairway.engine.host import Host
from fairway.engine.outside import Outside
from fairway.engine.services import Services
from fairway.errors import InfraError
from fairway.spec.layout import BLOBS, DATABASE, LOCKS, STREAMS
from fairway.spec.ports import ArtifactStore, Journal
from fairway.spec.record import Record, record, replace, to_plain
from fairway.spec.summary import RunSummary
from fairway.spec.tokens import GATEWAYS, derive_key
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store import open_journal
from fairway.web.ahead import Ahead
from fairway.web.app import build_app
from fairway.web.auth import TokenAuth
from fairway.web.crew import Crew, open_crew
from fairway.web.guard import service_names
from fairway.web.keeping import LateEndpoints, MakeFleet, local_fleet, open_store
from fairway.web.oidc import OidcLogin
from fairway.web.options import ServerOptions, python_of
from fairway.web.own import Attendance, Closing, OwnFolder
from fairway.web.ports import ServerSettings

if TYPE_CHECKING:
    from fairway.web.podside import PodSide

_WINDOW = 2_048
_INBOX_EVERY_S = 30.0  # every command comes through this process, which wakes the driver: looking is for the lost only
_GOODBYE_S = 5
_FIRST = ("base.html", "runs.html")


def serve(options: ServerOptions) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. Says on stdout where it listens once it does."""
    try:
        return asyncio.run(_serve(options))
    except KeyboardInterrupt:
        return 130


async def _serve(options: ServerOptions) -> int:
    folder = OwnFolder(options.home) if options.own else None
    async with AsyncExitStack() as stack:
        sock = _listen_where_last(options, folder) if folder is not None else _listen(options.host, options.port)
        opened = await open_server(options, stack)
        attendance = Attendance(opened.app)
        config = uvicorn.Config(
            attendance,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_GOODBYE_S,
            server_header=False,
            proxy_headers=False,  # anybody on this machine, or behind a port-forward, could write them
            date_header=not options.own,
        )
        server = _Server(config)
        server.goodbye.append(opened.bus.close)  # what would go on for as long as somebody listens ends now
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
        host, port = sock.getsockname()[:2]
        url = f"http://{'[' + host + ']' if ':' in host else host}:{port}"
        outside = Outside(options.home, opened.host.journal, opened.bus, opened.host)
        stack.callback(outside.close)
        if options.local:  # what commands and attempts of this machine write comes past us
            asyncio.get_running_loop().call_soon(outside.start)
        if folder is not None:
            folder.introduce(url, options.settings)
            server.goodbye.append(folder.hide)
            closing = Closing(folder, attendance, options.idle_s, is_busy=lambda: opened.is_busy, stop=server.stop)
            closing.look()
            stack.callback(closing.close)
            for path in (folder.lock_path, folder.lock_path.parent):
                asyncio.get_running_loop().call_soon(outside.call_at, str(path), closing.look)
        gc.freeze()
        gc.enable()
        _say_listening(url, own=folder is not None)
        if folder is not None:
            asyncio.get_running_loop().run_in_executor(None, _load_first_page, folder.templates)  # while its starter still opens a browser
        await server.serve([sock])
    return 0


def _say_listening(url: str, *, own: bool) -> None:
    """Tell who has started us. The starter of a local server goes away, maybe before it has heard this."""
    with suppress(BrokenPipeError):
        print(f"listening on {url}", flush=True)
    if own:
        os.dup2(2, 1)


def _load_first_page(folder: Path) -> None:
    from fairway.web.pages.compiled import keep_compiled
    from fairway.web.pages.shell import environment

    templates = environment()
    keep_compiled(templates, folder)
    for name in _FIRST:
        templates.get_template(name)


def _listen_where_last(options: ServerOptions, folder: OwnFolder) -> socket.socket:
    """At the port that was asked for; else where the last server of this home was, so that bookmarks hold; else at any that is free."""
    if not options.port and folder.last_port:
        with suppress(InfraError):
            return _listen(options.host, folder.last_port)
    return _listen(options.host, options.port)


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again when it has ended, before anything of ours could be put in order."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.goodbye: list[Callable[[], None]] = []
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopped.set()
        for call in self.goodbye:
            call()

    async def main_loop(self) -> None:
        """Until `stop`. uvicorn's own wakes ten times a second to see whether it is time, and to write the date into its headers."""
        if self.config.date_header:
            await super().main_loop()
        else:
            await self._stopped.wait()

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


@record
class Opened(Record):
    """A server that is ready: its application, what drives its runs, and who is told of news."""

    app: Any
    host: Host
    bus: Bus
    endpoints: LateEndpoints

    @property
    def is_busy(self) -> bool:
        """Does it drive a run, or keep an endpoint?"""
        return bool(self.host.driven) or self.endpoints.is_busy


async def open_server(options: ServerOptions, stack: AsyncExitStack) -> Opened:
    """The application, with its runs taken up. What it opens is closed with `stack`, the drivers first."""
    home = Path(options.home)
    home.mkdir(parents=True, exist_ok=True)
    journal = open_journal(options.journal or home / DATABASE, exclusive=not options.local, quiet=True)
    stack.push_async_callback(journal.close)
    await journal.head("")  # refuse now what cannot be opened
    artifacts = _open_artifacts(options)
    streams = FolderStreamStore(home / STREAMS)
    auth = TokenAuth(options.secrets)
    bus = Bus()
    pods = _open_pod_side(options, artifacts, auth)
    crew = await stack.enter_async_context(open_crew(options, artifacts, streams, auth, pods.runtime[1] if pods is not None else ""))
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
        from fairway.engine.ending import run_server_hooks

        return await asyncio.to_thread(run_server_hooks, summary, environment, {**os.environ, **await crew.secret_values()})

    marks = str(home / LOCKS) if options.local else ""  # on a laptop commands drive runs of the same home
    host = Host(services, crew.view, bus, on_end=on_end, marks=marks)
    stack.push_async_callback(host.close)
    routes = await pods.open(stack, crew, host, bus, streams) if pods is not None else []
    cluster_fleet = pods.serving.make_fleet(*crew.cluster) if pods is not None and crew.cluster is not None else None
    endpoints = await _open_endpoints(options, derive_key(auth.signing_key, GATEWAYS), journal, artifacts, bus, cluster_fleet, stack)
    settings = replace(_describe(options, crew, services.python, pods, auth), endpoints=endpoints.port)
    app = build_app(services, host, settings, auth, more=routes)
    await host.take_up()
    await endpoints.start()
    ahead = Ahead(journal, app.state.overviews, bus)
    ahead.start()
    stack.push_async_callback(ahead.close)
    return Opened(app, host, bus, endpoints)


async def _open_endpoints(
    options: ServerOptions,
    key: str,
    journal: Journal,
    artifacts: ArtifactStore,
    bus: Bus,
    cluster_fleet: MakeFleet | None,
    stack: AsyncExitStack,
) -> LateEndpoints:
    """What keeps the endpoints. It lets go of them, and they go on."""
    store, beside = open_store(journal, options.home, own=options.own)
    if beside is not None:
        stack.push_async_callback(beside.close)
    make_fleet = cluster_fleet or local_fleet(options.home, artifacts, options.serving)
    endpoints = LateEndpoints(store, artifacts, options.home, bus, make_fleet, key=key)
    stack.push_async_callback(endpoints.close)
    return endpoints


def _open_pod_side(options: ServerOptions, artifacts: ArtifactStore, auth: TokenAuth) -> PodSide | None:
    """None for the local server of a home: nobody but its owner talks to it, and it is to start at once."""
    if options.own:
        return None
    from fairway.web.podside import PodSide

    return PodSide(options, artifacts, auth)


def _describe(options: ServerOptions, crew: Crew, python: str, pods: PodSide | None, auth: TokenAuth) -> ServerSettings:
    """What the API may tell of this server."""

    async def secrets() -> Sequence[str]:
        return sorted(await crew.secret_values())

    target, login = options.target, options.target.oidc
    own_name = urlsplit(target.address).hostname
    shown = {name: value for name, value in to_plain(target).items() if name != "oidc"}
    return ServerSettings(
        target={**shown, "name": target.name, "project": options.project, "python": python, **crew.facts},
        secrets=secrets,
        cluster=crew.survey,
        pods=crew.pods,
        asked=crew.asked,
        signer=pods.signer if pods is not None else None,
        blobs_port=pods.blobs_port if pods is not None else 0,
        hosts=tuple(name for name in (*service_names(target.app, options.namespace), own_name, options.pod) if name),
        address=target.address,
        oidc=OidcLogin(login, address=target.address, secret=options.oidc_secret, signing_key=auth.signing_key) if login.issuer else None,
    )


def _open_artifacts(options: ServerOptions) -> ArtifactStore:
    """In a bucket what is named by its content; the rest, and without one all of it, in the home."""
    folder = Path(options.home) / BLOBS
    if not options.store:
        return FolderArtifactStore(folder, durability=options.durability)
    from fairway.store.bucket import BucketArtifactStore

    return BucketArtifactStore(options.store, folder)
