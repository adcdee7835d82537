"""A cluster with a Fairway server in it, and a fleet that makes serving pods there: real processes, from bare images."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairway.kube.client import KubeClient
from fairway.kube.target import ClusterSettings
from fairway.serve.control.fleet import Replica
from fairway.spec.artifact import ArtifactRef
from fairway.spec.endpoint import Endpoint, Revision, Scaling, ServeSpec
from fairway.spec.record import to_plain
from fairway.spec.target import TargetSettings
from fairway.step.control import Control
from fairway.step.link import Link
from fairway.step.paths import store_folder
from fairway.step.remote import RemoteArtifactStore
from fairway.web.servingside import ServingSide
from tests.kube.semantics.rig import Campus

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
    """Belongs to one event loop. Entered, it has a client, a fleet and a gateway."""

    def __init__(self, campus: Campus, folder: Path) -> None:
        self.campus, self.folder = campus, folder
        secret = campus.cluster.find("Secret", "fairway-server")
        assert secret is not None
        self.key = base64.b64decode(secret["data"]["signing-key"]).decode()
        self.side = ServingSide(Key(self.key), str(folder / "home"))  # type: ignore[arg-type]
        service = campus.cluster.find("Service", "fairway")
        assert service is not None
        self.server = service["spec"]["clusterIP"]

    async def __aenter__(self) -> Serving:
        self.client = KubeClient.connect(kubeconfig=str(self.campus.cluster.kubeconfig), requests_per_s=1000.0)
        settings = ClusterSettings(TargetSettings("campus", "kubernetes", image=BARE), "default")
        self.fleet, self.gateway = await self.side.open(self.client, settings)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.fleet.close()
        await self.gateway.close()
        await self.client.close()

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

    async def until(self, holds: Callable[[Sequence[Replica]], Any], *, timeout_s: float = 60.0) -> Sequence[Replica]:
        """The replicas, as soon as something holds of them."""
        seen: Sequence[Replica] = ()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    seen = await self.fleet.observe()
                    if holds(seen):
                        return seen
                    await self.fleet.wait(5)
        except TimeoutError:
            raise AssertionError(f"never so: {seen}") from None

    async def ready(self, revision: int, number: int, *, endpoint: str = "risk") -> Sequence[Replica]:
        """The replicas of a revision, once so many are ready."""

        def mine(seen: Sequence[Replica]) -> list[Replica]:
            return [one for one in seen if (one.endpoint, one.revision, one.state) == (endpoint, revision, "ready")]

        return mine(await self.until(lambda seen: len(mine(seen)) >= number))

    async def push(self, table: dict[str, Any]) -> None:
        """What the keeper does: the table into the ConfigMap, and to each gateway."""
        for address in self.gateway.admins():
            status, text = await self.ask(address, "PUT", "/table", table, token=self.gateway.token)
            assert status == 200, text

    async def ask(self, address: str, method: str, path: str, body: Any = None, *, token: str = "") -> tuple[int, str]:
        """One request on a connection of its own."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n"
        head += f"authorization: Bearer {token}\r\n" if token else ""
        try:
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            answer = await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()
        first, _, rest = answer.partition(b"\r\n\r\n")
        return int(first.split()[1]), rest.decode()


def endpoint_of(*specs: ServeSpec, scaling: Scaling | None = None, **more: Any) -> Endpoint:
    """The endpoint `risk` with these revisions."""
    revisions = tuple(Revision(number, spec) for number, spec in enumerate(specs, 1))
    return Endpoint("risk", revisions=revisions, scaling=scaling or Scaling(1, 4), is_open=True, **more)


def table_of(replicas: Sequence[Replica], traffic: dict[int, float], version: int) -> dict[str, Any]:
    """The gateway's table for the endpoint `risk`."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in replicas:
        if one.address:
            row = {"id": one.id, "address": one.address, "draining": one.state == "draining"}
            rows.setdefault(str(one.revision), []).append(row)
    risk = {"traffic": [[number, weight] for number, weight in traffic.items()], "is_open": True, "replicas": rows, "hold_s": 30}
    return {"version": version, "endpoints": {"risk": risk}}
