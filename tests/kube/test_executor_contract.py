"""What every executor promises, held by pods and by pools that really run: an API server with kubelets, the control channel, blobs."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

from fairway.engine.bus import Bus
from fairway.envs.runtime import build_runtime_zip
from fairway.executors.kubernetes import KubernetesExecutor
from fairway.kube.client import KubeClient
from fairway.kube.manifests import Link
from fairway.kube.target import ClusterSettings
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.graph import Port, StepDef
from fairway.spec.layout import BLOBS, BUNDLES, STREAMS
from fairway.spec.outcome import Outcome, outcome_key
from fairway.spec.placement import Pool
from fairway.spec.record import from_plain
from fairway.spec.target import TargetSettings
from fairway.step.bundles import bundle_key, pack_bundle
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.testing.contracts.executor import ExecutorContract, ExecutorSubject, json_input
from fairway.testing.memory import json_text
from fairway.web.auth import TokenAuth
from fairway.web.blobserver import BlobProcess
from fairway.web.options import ServerOptions
from fairway.web.ports import KeySigner
from fairway.web.work import Channel, work_routes, worker_token
from tests.kube.emulator import Emulator, Image

IMAGE, TOOLS = "fairway-tests:1", "busybox:1.37"
SOURCE = """
import threading

def step(x):
    if x == -1:
        raise ValueError("no")
    if x == -2:
        threading.Event().wait()
    return x + 1
"""


class Office:
    """A cluster, and what a server is to its workers: the control channel and the blobs. All of it in one event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.cluster = Emulator(folder / "cluster", images=[Image(IMAGE, python=sys.executable)], pace=0.01)
        self.cluster.__enter__()
        self.cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway"}, "spec": {"ports": [{"port": 8080}]}})
        self.artifacts = FolderArtifactStore(self.home / BLOBS)
        self.streams = FolderStreamStore(self.home / STREAMS)
        self.bundle = self._pack()
        self.runs = 0
        self.call(self._open())
        self.executor: KubernetesExecutor = self.call(self._make())

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def close(self) -> None:
        self.call(self._close())
        self.cluster.__exit__(None, None, None)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def spec(self, n: int, inputs: dict[str, Input], items: tuple[AttemptItem, ...], pool: Pool) -> AttemptSpec:
        step = StepDef("step", module="work", qualname="step", inputs=(Port("x"),), outputs=(Port("result"),), returns="one", pool=pool)
        run = f"20261124-000000-{self.runs:05}"
        return AttemptSpec(attempt_id(run, "step", n), run, "step", n, step, self.bundle, items, inputs)

    def _pack(self) -> str:
        content = SOURCE.encode()
        digest = hashlib.sha256(f"work.py\0{hashlib.sha256(content).hexdigest()}\n".encode()).hexdigest()
        root = self.home / BUNDLES / digest
        root.mkdir(parents=True)
        (root / "work.py").write_bytes(content)
        self.artifacts.put(bundle_key(digest), pack_bundle(digest, str(self.home)))
        return digest

    async def _open(self) -> None:
        secrets = self.folder / "secrets"
        secrets.mkdir()
        (secrets / "signing-key").write_text(os.urandom(32).hex())
        self.auth = TokenAuth(str(secrets))
        options = ServerOptions(str(self.home), secrets=str(secrets), port=0, blobs_port=0)
        self.blobs = BlobProcess(options)
        blobs_port = await self.blobs.start()
        runtime = build_runtime_zip()
        self.channel = Channel(
            workers=None,  # type: ignore[arg-type]
            artifacts=self.artifacts,
            streams=self.streams,
            signer=KeySigner(self.auth.signing_key),
            auth=self.auth,
            bus=Bus(),
            home=str(self.home),
            ready=lambda: True,
            lock_text=lambda digest: "",
            runtime=runtime,
            clock=time.time,
            grace_s=1.0,
        )
        sock = socket.create_server(("127.0.0.1", 0))
        app = Starlette(routes=work_routes(self.channel))
        self.server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False, timeout_graceful_shutdown=1)
        )
        self.serving = asyncio.ensure_future(self.server._serve([sock]))  # without the signals, which are the main thread's
        self.link = Link(f"http://127.0.0.1:{sock.getsockname()[1]}", f"http://127.0.0.1:{blobs_port}", runtime[1])

    async def _make(self) -> KubernetesExecutor:
        self.client = KubeClient.connect(kubeconfig=str(self.cluster.kubeconfig), requests_per_s=1000)
        target = TargetSettings("campus", "kubernetes", image=IMAGE, grace_s=1.0)
        made = KubernetesExecutor(
            self.client,
            self.artifacts,
            self.streams,
            ClusterSettings(target, self.client.namespace),
            link=self.link,
            sign=lambda id: worker_token(self.auth, id, time.time()),
        )
        self.channel.workers = made
        await made.start()
        return made

    async def clear(self) -> None:
        """Give up what a test has left waiting or running."""
        for id in list(self.executor.tracked):
            spec = self.executor.tracked[id].spec
            self.artifacts.put(outcome_key(spec.run, id), json_text(Outcome(id, "abandoned")).encode())
            await self.executor.cancel(id, 0.1)

    async def _close(self) -> None:
        await self.executor.close()
        for pod in await self.client.list("Pod"):
            await self.client.delete("Pod", pod["metadata"]["name"], grace_s=1)
        await self.client.close()
        self.server.should_exit = True
        await self.serving
        await self.blobs.close()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"))
    yield made
    made.close()


def subject_of(office: Office, pool: Pool) -> Iterator[ExecutorSubject]:
    office.runs += 1

    async def view() -> Any:
        return office.executor.view(f"20261124-000000-{office.runs:05}")

    make: Callable[..., AttemptSpec] = lambda n, inputs, items: office.spec(n, inputs, items, pool)  # noqa: E731
    yield ExecutorSubject(office.call(view()), office.artifacts, make)
    office.call(office.clear())


class TestPods(ExecutorContract):
    """One pod for each attempt."""

    @pytest.fixture
    def subject(self, office: Office) -> Iterator[ExecutorSubject]:
        self.office = office
        yield from subject_of(office, Pool())

    def run(self, coroutine: Any) -> Any:
        return self.office.call(coroutine)


class TestPools(ExecutorContract):
    """Attempts of a pool of two workers."""

    @pytest.fixture
    def subject(self, office: Office) -> Iterator[ExecutorSubject]:
        self.office = office
        yield from subject_of(office, Pool(2, 30.0))

    def run(self, coroutine: Any) -> Any:
        return self.office.call(coroutine)


def test_a_program_in_an_image_without_python_reads_files_and_writes_them(office: Office) -> None:
    office.runs += 1
    data = b"some,data\n" * 1000
    digest = hashlib.sha256(data).hexdigest()
    office.artifacts.put(blob_key(digest), data)
    step = StepDef(
        "copy",
        kind="container",
        image=TOOLS,
        argv=("sh", "-c", "echo copying {param:n}; cat {in:data} > {out:copy}; exit 5"),
        inputs=(Port("data", "fairway.File"), Port("n", "int")),
        outputs=(Port("copy", "fairway.File"),),
        returns="dict",
        exit_codes={"5": "ok"},
    )
    run = f"20261124-000000-{office.runs:05}"
    inputs = {
        "data": Input(ArtifactRef(digest, len(data), "file", "fairway.File", meta={"name": "data.csv"})),
        "n": json_input(7),
    }
    spec = AttemptSpec(attempt_id(run, "copy", 1), run, "copy", 1, step, office.bundle, (AttemptItem("copy"),), inputs)

    async def story() -> Outcome:
        view = office.executor.view(run)
        await view.submit([spec])
        while spec.id in await view.observe([spec.id]):
            await view.wait(30)
        return from_plain(Outcome, json.loads(office.artifacts.get(outcome_key(run, spec.id))))

    ended = office.call(story())
    assert ended.status == "ended", ended.error
    assert ended.items[0].error is None
    assert ended.items[0].outputs["copy"].digest == digest
    log = office.streams.read(f"{run}/{spec.id}/log").decode()
    assert log.partition(" ")[2] == "copying 7\n"
