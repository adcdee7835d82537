"""A server outside an emulated cluster, whose attempts are pods that only wait: the rig speaks for their workers.

So hundreds of tasks run at once and cost next to nothing, and a server can be killed with all of them running.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import time
from pathlib import Path
from typing import Any

from fairway.kube.client import KubeClient
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import RunStarted
from fairway.spec.graph import Axis, Expr, Graph, Node, Port, StepDef
from fairway.spec.outcome import ItemOutcome, Outcome
from fairway.spec.record import to_plain
from fairway.spec.tokens import HEADER, sign_token
from tests.kube.emulator import Emulator, Image
from tests.kube.emulator import Node as ClusterNode
from tests.web.process import KEY, ServerProcess

IMAGE = "waits:1"
_RESULT = ArtifactRef(hashlib.sha256(b"1").hexdigest(), 1, "json", "int", inline="1")


class Waiting:
    """`start` begins runs whose tasks wait as pods; `finish` ends them as their workers would."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sleeper = folder / "python3"
        sleeper.write_text("#!/bin/sh\nexec sleep 3600\n")
        sleeper.chmod(0o755)
        nodes = [ClusterNode(f"n{number}") for number in range(1, 5)]
        self.cluster = Emulator(folder / "cluster", nodes=nodes, images=[Image(IMAGE, python=str(sleeper))], pace=0.01)
        self.cluster.__enter__()
        service: dict[str, Any] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fairway", "namespace": "default"}}
        service["spec"] = {"ports": [{"name": "api", "port": 8080}], "selector": {"none": "none"}}
        self.ask(lambda client: client.create(service))
        self.server = ServerProcess(folder / "server", cluster=str(self.cluster.kubeconfig), image=IMAGE)
        self.server.start()

    def close(self) -> None:
        self.server.kill()
        self.cluster.__exit__(None, None, None)

    def ask(self, call: Any) -> Any:
        """What a Kubernetes client answers."""

        async def run() -> Any:
            client = KubeClient.connect(kubeconfig=str(self.cluster.kubeconfig), requests_per_s=500.0)
            try:
                return await call(client)
            finally:
                await client.close()

        return asyncio.run(run())

    def start(self, runs: int, items: int) -> list[str]:
        """Runs of so many tasks each; returns their ids once all tasks run."""
        step = StepDef("wait", module="flow", qualname="wait", code="c0de", inputs=(Port("x", "int"),), outputs=(Port("result", "int"),))
        axis = Axis("i", (Expr("const", value=list(range(items))),))
        node = Node("wait", "wait", {"x": Expr("item", "i")}, ("i",))
        graph = Graph("waiting", steps={"wait": step}, nodes=(node,), axes={"i": axis})
        ids = [f"20261124-08{number // 60:02}{number % 60:02}-x7kq3" for number in range(runs)]
        for run in ids:
            self.server.api.send("POST", "/runs", {"started": to_plain(RunStarted(run, graph, {}, "", 1.0))})
        until = time.monotonic() + 120
        while len(self.running()) < runs * items:
            assert time.monotonic() < until, "the pods do not come"
        return ids

    def running(self) -> list[str]:
        """Names of the attempts' pods that run."""
        pods = self.ask(lambda client: client.list("Pod", labels="fairway.dev/role=attempt"))
        return [pod["metadata"]["name"] for pod in pods if pod.get("status", {}).get("phase") == "Running"]

    def await_known(self, attempts: list[str]) -> None:
        """Until the server tells each worker what it is to do: then the attempt goes on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        for id in attempts:
            while True:
                connection.request("GET", f"/worker/v1/attempts/{id}", headers={HEADER: sign_token(KEY, id, time.time() + 600)})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                assert answer.status == 503, f"{id}: {answer.status}"
        connection.close()

    def finish(self, attempts: list[str]) -> None:
        """Every attempt succeeds, as its worker would say it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        for id in attempts:
            body = json.dumps(to_plain(Outcome(id, "ended", (ItemOutcome("succeeded", {"result": _RESULT}),))))
            headers = {HEADER: sign_token(KEY, id, time.time() + 600), "Content-Type": "application/json"}
            connection.request("PUT", f"/worker/v1/attempts/{id}/outcome", body, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201, f"{id}: {answer.status}"
        connection.close()

    def planned(self, run: str) -> list[str]:
        """Ids of all attempts that the run has recorded."""
        items = self.server.api.get(f"/runs/{run}/events", limit=5000)["items"]
        return [item["event"]["attempt"] for item in items if item["type"] == "AttemptPlanned"]
