"""A namespace of the cluster with our server in it, for one benchmark: what runs there, what it takes, and a bare Job beside it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.process import CommandError
from benchmarks.session import Session
from fairway.engine.project import load_project
from fairway.engine.remote import Connection, open_connection
from fairway.kube.client import KubeClient
from fairway.kube.transport import Call
from fairway.store.http import read_event

T = TypeVar("T")
Object = dict[str, Any]
PIPELINES = Path(__file__).parent / "pipelines"
OUTSIDE = "set KUBECONFIG and FAIRWAY_TEST_IMAGE"
_WAIT_S = 20.0
_LONGEST_S = 300.0


@contextmanager
def open_site(session: Session, *, up: bool = True, **target: Any) -> Iterator[Site]:
    """A site, removed at the end. Raises CommandError where no cluster is named; `target`: settings beside the usual ones."""
    image = os.environ.get("FAIRWAY_TEST_IMAGE", "")
    kubeconfig = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    if not image or not Path(kubeconfig).exists():
        raise CommandError(f"not measured: {OUTSIDE}")
    site = Site(session, image, kubeconfig, target)
    try:
        site.open()
        if up:
            site.fairway("up", "--on", "bench")
        yield site
    finally:
        site.close()


class Site:
    """`folder` is the project, its target is "bench"."""

    def __init__(self, session: Session, image: str, kubeconfig: str, target: dict[str, Any]) -> None:
        self.session, self.image = session, image
        self.namespace = f"fairway-bench-{secrets.token_hex(4)}"
        self.folder = session.work / self.namespace
        shutil.copytree(PIPELINES, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        settings = {
            "kind": "kubernetes",
            "namespace": self.namespace,
            "image": image,
            "storage": "20Gi",
            "requests-per-second": 200,
            **target,
        }
        text = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
        (self.folder / "fairway.toml").write_text(f"[targets.bench]\n{text}\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAIRWAY_", "XDG_"))}
        self.environ = {**kept, "HOME": str(session.work / "home"), "KUBECONFIG": os.path.abspath(kubeconfig)}
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.kube = self.wait(self._connect(kubeconfig))
        self._connection: Connection | None = None

    async def _connect(self, kubeconfig: str) -> KubeClient:
        return KubeClient.connect(namespace=self.namespace, kubeconfig=os.path.abspath(kubeconfig), requests_per_s=500)

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = _LONGEST_S) -> T:
        """What a coroutine of the site's event loop returns."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout_s), self._loop).result()

    def call(self, function: Callable[[], object]) -> None:
        """Have the site's event loop call it."""
        self._loop.call_soon_threadsafe(function)

    def open(self) -> None:
        """Make the namespace."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.wait(self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}))

    def close(self) -> None:
        """Remove the namespace, and wait until it is gone: what goes away must not be measured with what comes next."""
        if self._connection is not None:
            self._connection.close()
        self.wait(self._remove())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _remove(self) -> None:
        if await self.kube.delete("Namespace", self.namespace):
            async for change in self.kube.watch("Namespace", fields=f"metadata.name={self.namespace}"):
                if change.kind == "deleted" or (change.kind == "synced" and await self.kube.find("Namespace", self.namespace) is None):
                    break
        await self.kube.close()

    # The command line and the server

    def fairway(self, *words: str, statuses: tuple[int, ...] = (0,)) -> str:
        """What `fairway WORDS` writes to stdout. Raises CommandError."""
        done = subprocess.run(
            [self.session.fairway, *words], cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_LONGEST_S, check=False,
        )  # fmt: skip
        if done.returncode not in statuses:
            last = (done.stderr.strip().splitlines() or ["nothing"])[0]
            raise CommandError(f"fairway {' '.join(words)[:80]}: exit status {done.returncode}: {last}")
        return done.stdout

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`fairway WORDS`, going on; the caller ends it."""
        return subprocess.Popen(
            [self.session.fairway, *words], cwd=self.folder, env=self.environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def detach(self, pipeline: str, *options: str) -> str:
        """Start a pipeline; returns the run's id."""
        return self.fairway("run", pipeline, "--on", "bench", "--no-cache", "--detach", *options).strip()

    @property
    def connection(self) -> Connection:
        """The way to the server's API."""
        if self._connection is None:
            before = dict(os.environ)
            os.environ.update(self.environ)
            try:
                self._connection = open_connection(load_project(str(self.folder), overrides={"target": "bench"}))
            finally:
                os.environ.clear()
                os.environ.update(before)
        return self._connection

    def events(self, run: str) -> Iterator[Any]:
        """The run's events as they come, until it has ended."""
        after = 0
        while True:
            query = {"after": after, "limit": 2000, "wait": _WAIT_S}
            for item in self.connection.api.call("GET", f"/runs/{run}/events", query=query, timeout_s=_WAIT_S + 10).json()["items"]:
                after = item["seq"]
                event = read_event(item)
                yield event
                if type(event).__name__ == "RunEnded":
                    return

    def finish(self, run: str) -> list[Any]:
        """All events of the run. Raises CommandError unless it succeeds."""
        events = list(self.events(run))
        if events[-1].status != "succeeded":
            raise CommandError(f"the run {run} {events[-1].status}: {events[-1].error}")
        return events

    # The cluster

    def job_s(self) -> float:
        """Seconds from the creation of a Job that does nothing to its completion."""
        return self.wait(self._job())

    async def _job(self) -> float:
        name = f"bare-{secrets.token_hex(4)}"
        container = {
            "name": "main", "image": self.image, "command": ["python3", "-c", "print('hello')"],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }  # fmt: skip
        security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
        pod = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
        began = time.perf_counter()
        await self.kube.create(
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"backoffLimit": 0, "template": {"spec": pod}},
            }
        )
        async for change in self.kube.watch("Job", fields=f"metadata.name={name}"):
            conditions = change.obj.get("status", {}).get("conditions") or ()
            if any(one["type"] == "Complete" and one["status"] == "True" for one in conditions):
                break
        took_s = time.perf_counter() - began
        await self.kube.delete("Job", name)
        return took_s

    def pods(self, labels: str = "") -> list[Object]:
        """Pods that are there now."""
        return self.wait(self.kube.list("Pod", labels=labels))

    def server_pod(self) -> Object:
        """The server's pod. Raises CommandError unless there is exactly one that runs."""
        found = [pod for pod in self.pods("app.kubernetes.io/managed-by=fairway,!fairway.dev/role") if pod["status"]["phase"] == "Running"]
        if len(found) != 1:
            raise CommandError(f"{len(found)} server pods run")
        return found[0]

    def usage(self) -> tuple[float, float, float]:
        """Of the server's pod, as its node's kubelet last measured it: MiB in use, CPU seconds since its start, at which time."""
        found = self._stats()
        at = datetime.fromisoformat(found["cpu"]["time"]).timestamp()
        return found["memory"]["workingSetBytes"] / (1 << 20), found["cpu"]["usageCoreNanoSeconds"] / 1e9, at

    def usage_after(self, at: float) -> tuple[float, float, float]:
        """The first `usage` that was measured after that time: a kubelet looks every ten seconds or so."""
        while True:
            found = self.usage()
            if found[2] >= at and found[0] > 0:
                return found
            time.sleep(2)

    def rss(self) -> float:
        """MiB of anonymous memory of the server's pod: what is in use without the kernel's cache of files."""
        return self._stats()["memory"]["rssBytes"] / (1 << 20)

    def _stats(self) -> Object:
        pod = self.server_pod()
        path = f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary"
        for one in self.wait(self.kube._transport.call(Call("get", "stats", "GET", path)))["pods"]:
            if one["podRef"]["name"] == pod["metadata"]["name"]:
                return one
        raise CommandError("the kubelet tells nothing of the server's pod")

    def kill_server(self) -> float:
        """Delete the server's pod without grace; returns when (epoch seconds) the program of the next one was seen to run."""
        pod = self.server_pod()["metadata"]
        self.wait(self.kube.delete("Pod", pod["name"], grace_s=0, uid=pod["uid"]))
        return self.wait(self._next_server(pod["name"]))

    async def _next_server(self, before: str) -> float:
        async for change in self.kube.watch("Pod", labels="app.kubernetes.io/managed-by=fairway,!fairway.dev/role"):
            states = change.obj.get("status", {}).get("containerStatuses") or () if change.obj else ()
            if change.kind in ("added", "modified") and change.name != before and any("running" in one["state"] for one in states):
                return time.time()
        raise CommandError("no new server")


def in_turns(runs: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Each measure `runs` times, in turns, so that all meet the same noise."""
    found: list[list[float]] = [[] for _ in measures]
    for _ in range(runs):
        for values, measure in zip(found, measures, strict=True):
            values.append(measure())
    return found
