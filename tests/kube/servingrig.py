"""A cluster with a Fairway server in it, and a keeper outside that makes serving pods there: real processes, from bare images."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairway.kube.client import KubeClient
from fairway.kube.serving_boot import SERVING_RUNTIME
from fairway.kube.serving_manifests import SERVES
from fairway.kube.target import ClusterSettings
from fairway.serve.control.fleet import Replica
from fairway.serve.control.keeper import Keeper
from fairway.spec.artifact import ArtifactRef
from fairway.spec.endpoint import Endpoint, Revision, Scaling, ServeSpec
from fairway.spec.record import replace, to_plain
from fairway.spec.target import TargetSettings
from fairway.spec.tokens import HEADER
from fairway.step.control import Control
from fairway.step.link import Link
from fairway.step.paths import store_folder
from fairway.step.remote import RemoteArtifactStore
from fairway.testing.memory import MemoryEndpointStore
from fairway.web.servingside import ServingSide
from tests.kube.semantics.rig import Campus
from tests.waiting import until

BARE = "python:3.11-slim"
SCRIPT = """import json

def init():
    pass

def run(raw_data: str):
    return {"version": VERSION, "got": json.loads(raw_data)}
"""


class Key:
    """As much of the server's token check as signing needs."""

    def __init__(self, signing_key: str) -> None:
        self.signing_key = signing_key


class Serving:
    """Belongs to one event loop. Entered, it has a fleet and gateways with a keeper, of a store in memory."""

    def __init__(self, campus: Campus, folder: Path) -> None:
        self.campus, self.folder = campus, folder
        secret, service = campus.cluster.find("Secret", "fairway-server"), campus.cluster.find("Service", "fairway")
        assert secret is not None and service is not None
        key = base64.b64decode(secret["data"]["signing-key"]).decode()
        self.side = ServingSide(Key(key), str(folder / "home"))  # type: ignore[arg-type]
        self.server = service["spec"]["clusterIP"]
        self.endpoints = MemoryEndpointStore()

    async def __aenter__(self) -> Serving:
        self.client = KubeClient.connect(kubeconfig=str(self.campus.cluster.kubeconfig), requests_per_s=1000.0)
        settings = ClusterSettings(TargetSettings("campus", "kubernetes", image=BARE), "default")
        self.fleet, self.gateways = await self.side.open(self.client, settings)
        self.fleet.link = self.gateways.link = replace(self.fleet.link, runtime=self._runtime())
        self.keeper = Keeper(self.endpoints, self.fleet, self.gateways)
        await self.keeper.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for one in await self.endpoints.endpoints():
            await self.endpoints.delete_endpoint(one.name)
        self.keeper.look_again()
        cluster = self.campus.cluster
        await until(lambda: not any(SERVES in one["metadata"]["labels"] for kind in ("Deployment", "Pod") for one in cluster.list(kind)))
        await self.keeper.close()
        await self.client.close()

    def _runtime(self) -> str:
        """The digest of what the server hands out: it has read its files when it was first asked."""
        headers = {HEADER: self.side.sign("test")}
        return Link().call("GET", f"http://{self.server}:8080{SERVING_RUNTIME}", headers=headers).headers["etag"].strip('"')

    async def put(self, endpoint: Endpoint) -> Endpoint:
        """Write the document, as commands do."""
        before = await self.endpoints.find_endpoint(endpoint.name)
        version = await self.endpoints.put_endpoint(replace(endpoint, version=before.version if before else 0))
        self.keeper.look_again()
        return replace(endpoint, version=version)

    def store(self, files: dict[str, str]) -> dict[str, Any]:
        """A folder with these files as an artifact on the server; its plain reference."""
        source = self.folder / f"package-{time.monotonic_ns()}"
        source.mkdir(parents=True)
        for name, text in files.items():
            (source / name).write_text(text)
        control = Control(Link(), f"http://{self.server}:8080", self.side.sign("test"))
        store = RemoteArtifactStore(self.folder / "blobs", control, f"http://{self.server}:8081")
        ref = store_folder(source, store, str(self.folder / "scratch"), form="dir", kind="fairway.Directory", name="", meta={})
        assert isinstance(ref, ArtifactRef)
        return to_plain(ref)

    def script(self, version: int) -> dict[str, Any]:
        """A package of which one sees in the answer which it is."""
        return self.store({"score.py": SCRIPT.replace("VERSION", str(version))})

    async def until(self, holds: Callable[[], Any], *, timeout_s: float = 60.0) -> None:
        """Until something holds."""
        try:
            await until(holds, patience_s=timeout_s)
        except AssertionError:
            seen = {name: one.replicas for name, one in self.keeper.watched.items()}
            raise AssertionError(f"never so: {self.keeper.trouble} {seen}") from None

    def replicas(self, revision: int = 0, *, state: str = "ready") -> Sequence[Replica]:
        """Those of the endpoint `risk` that the keeper sees."""
        seen = self.keeper.watched["risk"].replicas if "risk" in self.keeper.watched else ()
        return [one for one in seen if revision in (0, one.revision) and state in ("", one.state)]

    async def fronts(self) -> list[str]:
        """Addresses of all gateways, once as many are heard as there are to be."""
        await self.until(lambda: len(self.gateways.heard) == 2)
        pods = [self.campus.cluster.find("Pod", name) for name in self.gateways.heard]
        return [f"{pod['status']['podIP']}:8080" for pod in pods if pod is not None]

    @property
    def service(self) -> str:
        """The address of the gateway's Service."""
        found = self.campus.cluster.find("Service", "fairway-gateway")
        assert found is not None
        return f"{found['spec']['clusterIP']}:80"

    async def ask(self, address: str, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, str]:
        """One request on a connection of its own."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n"
        head += f"authorization: Bearer {token}\r\n" if token else ""
        try:
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            answer = await asyncio.wait_for(reader.read(), 60)
        finally:
            writer.close()
        first, _, rest = answer.partition(b"\r\n\r\n")
        return int(first.split()[1]), rest.decode()


def endpoint_of(*specs: ServeSpec, scaling: Scaling | None = None, traffic: int = 1, **more: Any) -> Endpoint:
    """The endpoint `risk` with these revisions, all traffic to one."""
    revisions = tuple(Revision(number, spec) for number, spec in enumerate(specs, 1))
    weights = ((traffic, 100.0),)
    return Endpoint("risk", revisions=revisions, traffic=weights, scaling=scaling or Scaling(1, 4), is_open=True, **more)
