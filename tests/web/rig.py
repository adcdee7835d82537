"""A server's API over real stores, in this process, and an executor whose attempts wait until the test ends them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from fairway.engine.bus import Bus
from fairway.engine.host import Host
from fairway.engine.services import Services
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptSpec
from fairway.spec.event import RunStarted
from fairway.spec.graph import Graph, Node, StepDef
from fairway.spec.layout import BLOBS, DATABASE, STREAMS
from fairway.spec.outcome import ItemOutcome, Outcome, outcome_key
from fairway.spec.ports import Inventory, Observation
from fairway.spec.record import to_plain
from fairway.spec.resources import Resources
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store import open_journal
from fairway.testing.memory import json_text
from fairway.web.app import build_app
from fairway.web.blobs import BlobServer
from fairway.web.identity import Account, Identity
from fairway.web.ports import ServerSettings

TOKEN = "u1.ann.secret"
API = "/api/v1"


class Users:
    """`web.ports.Auth` for users by their tokens; ann may do everything."""

    signing_key = "5a" * 32

    def __init__(self, **more: Identity) -> None:
        self.by_token = {TOKEN: Identity("ann", "admin"), **more}

    async def find_identity(self, header: str) -> Identity | None:
        return self.by_token.get(header)

    def find_account(self, user: str) -> Account | None:
        for token, identity in self.by_token.items():
            if identity.user == user:
                return Account(identity, token)
        return None


class HeldExecutor:
    """See `spec.ports.Executor`: attempts run until `end` is called; with `free`, they succeed at once."""

    name = "held"
    capabilities = frozenset({"CONTAINER", "IMAGE", "POOL", "VOLUME"})

    def __init__(self, artifacts: FolderArtifactStore) -> None:
        self.artifacts = artifacts
        self.free = False
        self.specs: dict[str, AttemptSpec] = {}
        self.views: list[View] = []
        self._news = asyncio.Event()

    def take(self, spec: AttemptSpec) -> None:
        self.specs.setdefault(spec.id, spec)
        self._news.set()
        if self.free:
            self.end(spec.id)

    async def submitted(self) -> list[str]:
        """Ids of attempts that run, once there are any."""
        while not self.specs:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 60)
        return list(self.specs)

    def view(self, run: str, **about: str) -> View:
        self.views.append(View(self))
        return self.views[-1]

    def end(self, id: str, value: Any = 1) -> None:
        """The attempt's items succeed with `value`."""
        spec = self.specs.pop(id)
        text = json_text(value)
        ref = ArtifactRef(_sha(text), len(text), "json", type(value).__name__, inline=text)
        outputs = {port.name: ref for port in spec.step.outputs}
        outcome = Outcome(id, "ended", tuple(ItemOutcome("succeeded", outputs) for _ in spec.items))
        self.artifacts.put(outcome_key(spec.run, id), json.dumps(to_plain(outcome)).encode())
        for view in self.views:
            view.note(id)

    async def inventory(self) -> Inventory:
        some = Resources(cpu=8.0, memory_bytes=1 << 34)
        return Inventory(some, some, some, {"nodes": 2})


class View:
    """The executor as one driver sees it."""

    name, capabilities = HeldExecutor.name, HeldExecutor.capabilities

    def __init__(self, shared: HeldExecutor) -> None:
        self._shared = shared
        self._ended: list[str] = []
        self._event = asyncio.Event()
        self.inventory = shared.inventory

    def note(self, id: str) -> None:
        self._ended.append(id)
        self._event.set()

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        for spec in attempts:
            self._shared.take(spec)

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        return {id: Observation("running") for id in ids if id in self._shared.specs}

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        try:
            await asyncio.wait_for(self._event.wait(), timeout_s)
        except TimeoutError:
            pass
        self._event.clear()
        ended, self._ended = self._ended, []
        return ended

    def wake(self) -> None:
        self._event.set()

    async def cancel(self, id: str, grace_s: float) -> None:
        self._shared.specs.pop(id, None)
        self.note(id)

    async def close(self) -> None:
        return None


class Server:
    """Services in a folder, a host, and the application over them. Unless `journal` says where else, the journal is in the folder too."""

    KEY = Users.signing_key

    def __init__(self, home: Path, journal: str = "", **settings: Any) -> None:
        self.home = home
        artifacts = FolderArtifactStore(home / BLOBS)
        self.executor = HeldExecutor(artifacts)
        self.users = Users()
        self.services = Services(
            str(home),
            open_journal(journal or home / DATABASE, quiet=True),
            artifacts,
            FolderStreamStore(home / STREAMS),
            self.executor,  # type: ignore[arg-type]
            inbox_every_s=30.0,
        )
        self.host = Host(self.services, self.executor.view, Bus())  # type: ignore[arg-type]
        self.app = build_app(
            self.services, self.host, ServerSettings(**{"target": {"name": "campus"}, "hosts": ("server",), **settings}), self.users
        )

    @contextmanager
    def client(self, token: str = TOKEN) -> Iterator[TestClient]:
        """A client of the application; the runs that the journal says go on have been taken up."""
        headers = {"Fairway-Token": token} if token else {}
        with TestClient(self.app, base_url=f"http://server{API}", headers=headers, raise_server_exceptions=False) as client:
            client.portal.call(self.host.take_up)  # type: ignore[union-attr]
            try:
                yield client
            finally:
                client.portal.call(self.host.close)  # type: ignore[union-attr]
                client.portal.call(self.services.journal.close)  # type: ignore[union-attr]


def graph(name: str = "flow", steps: Sequence[str] = ("load", "train")) -> Graph:
    """A chain of steps without inputs."""
    definitions = {step: StepDef(step, module="flow", qualname=step, code="c0de") for step in steps}
    nodes = [Node(step, step, after=tuple(steps[:n][-1:])) for n, step in enumerate(steps)]
    return Graph(name, steps=definitions, nodes=tuple(nodes))


def started(run: str, **changes: Any) -> dict[str, Any]:
    """The body that starts a run of `graph()`."""
    return {"started": to_plain(RunStarted(run, changes.pop("graph", graph()), {}, "", 1.0, **changes))}


def _sha(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


class Live:
    """A real HTTP server (and one for blobs) in threads of this process, whose application can be changed between tests."""

    def __init__(self) -> None:
        self.app: Any = None
        self.loop: asyncio.AbstractEventLoop | None = None
        config = uvicorn.Config(
            self._serve,
            port=0,
            interface="asgi3",
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(60), "the server did not start"

    def _run(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            config = self._server.config
            config.load()
            self._server.lifespan = config.lifespan_class(config)
            await self._server.startup()
            self._ready.set()
            await self._server.main_loop()
            await self._server.shutdown()

        asyncio.run(main())

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)

    @property
    def port(self) -> int:
        return self._server.servers[0].sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def call(self, coroutine: Any) -> Any:
        """Run it in the server's loop."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    @contextmanager
    def serving(self, server: Server) -> Iterator[Server]:
        """Serve this application while the block lasts."""
        self.app = server.app
        self.call(server.host.take_up())
        try:
            yield server
        finally:
            self.call(server.host.close())
            self.call(server.services.journal.close())

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(60)


@contextmanager
def blob_port(home: Path, key: str) -> Iterator[str]:
    """The URL of the blobs below `home`."""
    blobs = BlobServer(("127.0.0.1", 0), str(home), key)
    thread = threading.Thread(target=blobs.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{blobs.server_port}"
    finally:
        blobs.stop()
        thread.join(60)
