"""Pods without a cluster: a server (the control channel and the server of blobs, over real sockets) and processes that boot from it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from fairway.engine.bus import Bus
from fairway.spec.attempt import AttemptItem, AttemptSpec, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.layout import BLOBS, BUNDLES, STREAMS
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.record import from_plain
from fairway.spec.tokens import sign_token
from fairway.step.boot import BOOT
from fairway.step.bundles import bundle_key, pack_bundle
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.step.freeports import free_ports
from fairway.step.processes import find_marked
from fairway.testing.contracts.executor import json_input
from fairway.web.auth import TokenAuth
from fairway.web.blobs import BlobServer
from fairway.web.ports import KeySigner
from fairway.web.work import Channel, work_routes
from tests.waiting import await_true

KEY = "5e" * 32
RUN = "20261124-000000-aaaaa"
DEADLINE_S = 60


class Crew:
    """The executor's side of the channel. `work`: attempts for whoever polls; `cancelled`: (id, grace) until its id runs no more."""

    def __init__(self) -> None:
        self.live: dict[str, AttemptSpec] = {}
        self.work: list[AttemptSpec] = []
        self.handed: dict[str, AttemptSpec] = {}
        self.cancelled: dict[str, float] = {}
        self.leave = False
        self.polls: list[tuple[str, tuple[str, ...], int]] = []
        self.outputs: dict[str, Any] = {}
        self.outcomes: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._latest: dict[str, int] = {}

    def find_attempt(self, id: str) -> AttemptSpec | None:
        return self.live.get(id)

    def find_queued_at(self, id: str) -> float:
        return 0.0

    async def poll(self, pool: str, worker: str, running: Sequence[str], free: int, wait_s: float) -> Mapping[str, Any]:
        self._loop, until = asyncio.get_running_loop(), time.monotonic() + wait_s
        mine = self._latest[worker] = self._latest.get(worker, 0) + 1
        self.polls.append((worker, tuple(running), free))
        self._news and self._news.set()  # an older poll of the same worker returns
        while True:
            self._news = news = self._news if self._news is not None and not self._news.is_set() else asyncio.Event()
            starts: list[AttemptSpec] = []
            while len(starts) < free and self.work and mine == self._latest[worker]:
                starts.append(self.work.pop(0))
            cancel = [[id, grace] for id, grace in self.cancelled.items() if id in running]
            left = until - time.monotonic()
            if starts or cancel or self.leave or left <= 0 or mine != self._latest[worker]:
                return {"start": starts, "cancel": cancel, "leave": self.leave}
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), left)

    def note_outcome(self, run: str, id: str) -> None:
        self.outcomes.append(id)

    def note_outputs(self, id: str, outputs: Mapping[str, Any], missing: Sequence[str], *more: Any) -> None:
        self.outputs[id] = (dict(outputs), list(missing), *more)

    def tell(self) -> None:
        """Something has changed (from any thread)."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(lambda: self._news and self._news.set())


class Server:
    """The server's side, at ports that stay the same when it is stopped and started again."""

    def __init__(self, home: Path, runtime: tuple[bytes, str]) -> None:
        self.home = home
        secrets = home / "secrets"
        secrets.mkdir(parents=True)
        (secrets / "signing-key").write_text(KEY)
        self.store = FolderArtifactStore(home / BLOBS)
        self.streams = FolderStreamStore(home / STREAMS)
        self.runtime, self.runtimes = runtime, home / "runtimes"
        zipfile.ZipFile(io.BytesIO(runtime[0])).extractall(self.runtimes / runtime[1])
        self.reset()
        self.port, self.blobs_port = free_ports(2)
        self._threads: list[threading.Thread] = []
        self._uvicorn: uvicorn.Server | None = None
        self._blobs: BlobServer | None = None
        self.start()

    def reset(self) -> None:
        """As if new, but for what is in its store."""
        self.crew = Crew()
        self.ready = True
        self.locks: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.on_request: Callable[[int], None] = lambda number: None
        self.channel = Channel(
            workers=self.crew,
            artifacts=self.store,
            streams=self.streams,
            signer=KeySigner(KEY),
            auth=TokenAuth(str(self.home / "secrets")),
            bus=Bus(),
            home=str(self.home),
            ready=lambda: self.ready,
            lock_text=lambda digest: self.locks[digest],
            runtime=self.runtime,
            clock=time.time,
            grace_s=2.0,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def blobs_url(self) -> str:
        return f"http://127.0.0.1:{self.blobs_port}"

    def start(self) -> None:
        """Does nothing if it runs."""
        if self._uvicorn is not None:
            return
        apps: dict[int, Starlette] = {}

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            channel = self.channel
            app = apps.get(id(channel)) or apps.setdefault(id(channel), Starlette(routes=work_routes(channel)))
            if scope["type"] == "http":
                self.requests.append((scope["method"], scope["path"]))
                self.on_request(len(self.requests))
            await app(scope, receive, send)

        config = uvicorn.Config(
            counted, host="127.0.0.1", port=self.port, log_level="critical", lifespan="off", timeout_graceful_shutdown=0
        )
        self._uvicorn = uvicorn.Server(config)
        self._blobs = BlobServer(("127.0.0.1", self.blobs_port), str(self.home), KEY)
        works: tuple[Callable[[], None], ...] = (self._uvicorn.run, lambda blobs=self._blobs: blobs.serve_forever(poll_interval=0.02))
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()
        await_true(lambda: self._uvicorn is not None and self._uvicorn.started, "the server did not start")

    def stop(self) -> None:
        if self._uvicorn is None or self._blobs is None:
            return
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        self._blobs.stop()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        self._uvicorn = self._blobs = None

    def token(self, id: str) -> str:
        return sign_token(KEY, id, time.time() + 3600)

    def outcome(self, spec: AttemptSpec) -> Outcome:
        return from_plain(Outcome, json.loads(self.store.get(outcome_key(spec.run, spec.id))))

    def log(self, spec: AttemptSpec) -> str:
        lines = self.streams.read(f"{spec.run}/{spec.id}/log").decode().splitlines()
        return "\n".join(line.partition(" ")[2] for line in lines)


class Yard:
    """A server, a bundle of the user's code on it, and pods that were started here."""

    def __init__(self, folder: Path, server: Server, *, shared: bool = False) -> None:
        """`shared` by several tests: each attempt has a name of its own."""
        self.folder, self.server = folder, server
        self.mark = os.urandom(8).hex()
        self.bundle = ""
        self.pods: list[subprocess.Popen[bytes]] = []
        self.names = iter(()) if not shared else (f"-{n}" for n in itertools.count())

    def write(self, source: str, module: str = "work") -> None:
        """The user's module, as one bundle on the server."""
        data = textwrap.dedent(source).encode()
        listing = f"{module}.py\0{hashlib.sha256(data).hexdigest()}\n"
        self.bundle = hashlib.sha256(listing.encode()).hexdigest()
        packed = self.folder / "packed"
        place = packed / BUNDLES / self.bundle
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{module}.py").write_bytes(data)
        self.server.store.put(bundle_key(self.bundle), pack_bundle(self.bundle, str(packed)))

    def spec(self, function: str, *values: Any, n: int = 1, name: str = "", **more: Any) -> AttemptSpec:
        """An attempt of `function(x)` over the values, known to the server."""
        step = more.pop("step", None) or StepDef(function, module="work", qualname=function, inputs=(Port("x"),), outputs=(Port("result"),))
        inputs = more.pop("inputs_of", None) or json_input
        items = tuple(AttemptItem(f"{function}[{i}]", {"x": inputs(v)}, seed=i + 1) for i, v in enumerate(values or (1,)))
        run = f"{RUN}-{self.mark[:6]}"
        name = (name or function) + next(self.names, "")
        spec = AttemptSpec(attempt_id(run, name, n), run, function, n, step, self.bundle, items, **more)
        self.server.crew.live[spec.id] = spec
        return spec

    def environ(self, id: str, home: str, **more: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "FAIRWAY_URL": self.server.url,
            "FAIRWAY_BLOBS_URL": self.server.blobs_url,
            "FAIRWAY_TOKEN": self.server.token(id),
            "FAIRWAY_RUNTIME": self.server.runtime[1],
            "FAIRWAY_RUNTIMES": str(self.server.runtimes),  # as an image that brings the runtime along: it is compiled once
            "FAIRWAY_HOME": str(self.folder / home),
            "FAIRWAY_PATIENCE_S": "30",
            "FAIRWAY_TEST_MARK": self.mark,
            "PYTHONHASHSEED": "0",
            "OMP_WAIT_POLICY": "PASSIVE",
            **more,
        }

    def pod(self, spec: AttemptSpec, *, home: str = "pod", role: str = "pod", **more: str) -> subprocess.Popen[bytes]:
        """A pod for the attempt."""
        return self.boot(self.environ(spec.id, home, FAIRWAY_ATTEMPT=spec.id, **more), role)

    def worker(self, *, name: str = "pool-1", **more: str) -> subprocess.Popen[bytes]:
        """A warm worker of the pool "abc"."""
        return self.boot(self.environ("abc", name, FAIRWAY_POOL="abc", FAIRWAY_POD=name, **more), "pool")

    def boot(self, environ: dict[str, str], role: str) -> subprocess.Popen[bytes]:
        pod = subprocess.Popen([sys.executable, "-c", BOOT, role], env=environ, cwd=self.folder, stderr=subprocess.PIPE)
        self.pods.append(pod)
        return pod

    def run(self, spec: AttemptSpec, **more: Any) -> Outcome:
        """A pod from its start to its end."""
        code, said = end_of(self.pod(spec, **more))
        assert code == 0, said
        return self.server.outcome(spec)

    def work(self, *specs: AttemptSpec) -> None:
        """Let pools have these."""
        self.server.crew.work.extend(specs)
        self.server.crew.tell()

    def await_outcome(self, spec: AttemptSpec) -> Outcome:
        await_true(lambda: spec.id in self.server.crew.outcomes, f"{spec.step.name} has no outcome")
        return self.server.outcome(spec)

    def left(self) -> list[int]:
        return find_marked(f"FAIRWAY_TEST_MARK={self.mark}")

    def close(self) -> None:
        for pod in self.pods:
            pod.kill()
            pod.wait()
            assert pod.stderr is not None
            pod.stderr.close()
        await_true(lambda: not self.left(), "a process was left behind")


def end_of(pod: subprocess.Popen[bytes]) -> tuple[int, str]:
    """(exit code, what it said)."""
    _, said = pod.communicate(timeout=DEADLINE_S)
    return pod.returncode, said.decode()


def value(outcome: Outcome, item: int = 0) -> object:
    """What an item gave, small as it is."""
    assert outcome.status == "ended", outcome.error
    assert outcome.items[item].status == "succeeded", outcome.items[item].error
    inline = outcome.items[item].outputs["result"].inline
    assert inline is not None
    return json.loads(inline)


def terminate(pod: subprocess.Popen[bytes]) -> None:
    """As the kubelet does."""
    pod.send_signal(signal.SIGTERM)
