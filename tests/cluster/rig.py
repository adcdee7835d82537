"""A namespace of a real cluster with our server in it, used as people use it: by `fairway` in a project's folder.

What a test waits for it is told: pods by a watch of the namespace, runs by the server's events. Nothing here sleeps.
"""

from __future__ import annotations

import asyncio
import json
import queue
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fairway.engine.project import load_project
from fairway.engine.remote import Connection, open_connection
from fairway.kube.client import KubeClient
from fairway.kube.manifests import ROLE, RUN
from fairway.store.http import read_event

T = TypeVar("T")
Object = dict[str, Any]
FAIRWAY = Path(sys.executable).with_name("fairway")
PIPELINES = Path(__file__).parent / "pipelines"
GATE = 7777
PATIENCE_S = 120.0
_WAIT_S = 20.0


class Rig:
    """`folder`: the project, whose one target is "test". `pods`: every pod that the namespace has had, as last seen."""

    def __init__(self, folder: Path, image: str) -> None:
        self.folder, self.image = folder, image
        self.namespace = f"fairway-test-{secrets.token_hex(4)}"
        self.up = self.up_again = ""  # what the first and the second `fairway up` have said
        self.pods: dict[str, Object] = {}
        self.gone: set[str] = set()
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="cluster", daemon=True).start()
        self.kube: KubeClient = self.wait(self._connect())
        self._watching: Any = None
        self._connection: Connection | None = None
        self._processes: list[subprocess.Popen[str]] = []

    async def _connect(self) -> KubeClient:
        return KubeClient.connect(namespace=self.namespace, requests_per_s=200)

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = PATIENCE_S) -> T:
        """What a coroutine of the rig's event loop returns."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout_s), self._loop).result()

    # The namespace

    def open(self) -> None:
        """Make the namespace, which enforces the *restricted* Pod Security Standard, and the project."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/created-by": "fairway-tests"}
        self.wait(self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}))
        self._watching = asyncio.run_coroutine_threadsafe(self._watch(), self._loop)
        self.folder.mkdir(parents=True)
        self.settings()

    def settings(self, **target: Any) -> None:
        """Write fairway.toml: the target as it always is, and what is given."""
        lines = ["[targets.test]", 'kind = "kubernetes"', f'namespace = "{self.namespace}"', f'image = "{self.image}"', 'storage = "2Gi"']
        lines += [f"{name.replace('_', '-')} = {json.dumps(value)}" for name, value in target.items()]
        (self.folder / "fairway.toml").write_text("\n".join(lines) + "\n")

    def close(self) -> None:
        """End what tests have started here, and the namespace with all that is in it."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        if self._connection is not None:
            self._connection.close()
        self.wait(self._remove())
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _remove(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        if await self.kube.delete("Namespace", self.namespace):
            async for change in self.kube.watch("Namespace", fields=f"metadata.name={self.namespace}"):
                if change.kind == "deleted" or (change.kind == "synced" and await self.kube.find("Namespace", self.namespace) is None):
                    break
        await self.kube.close()

    async def _watch(self) -> None:
        async for change in self.kube.watch("Pod"):
            with self._changed:
                if change.kind in ("added", "modified"):
                    self.pods[change.name] = change.obj
                elif change.kind == "deleted":
                    self.pods[change.name] = change.obj
                    self.gone.add(change.name)
                self._changed.notify_all()

    def objects(self, kinds: str) -> list[str]:
        """ "Kind name" of all objects of those kinds in the namespace that bear our label."""
        return [f"{kind} {one['metadata']['name']}" for kind in kinds.split() for one in self.wait(self.kube.list(kind, labels=OURS))]

    # Pods

    def pods_of(self, run: str) -> list[Object]:
        """Every pod that the run has had."""
        with self._changed:
            return [pod for pod in self.pods.values() if pod["metadata"].get("labels", {}).get(RUN) == run]

    def await_pods(self, wanted: Callable[[dict[str, Object]], T | None], what: str, timeout_s: float = PATIENCE_S) -> T:
        """What `wanted` makes of the pods that are there, as soon as it is true."""
        found: list[T] = []

        def look() -> bool:
            there = {name: pod for name, pod in self.pods.items() if name not in self.gone}
            found[:] = [made] if (made := wanted(there)) else []
            return bool(found)

        with self._changed:
            assert self._changed.wait_for(look, timeout_s), f"no {what} in {timeout_s:.0f} s"
        return found[0]

    def await_gone(self, names: list[str]) -> None:
        """Until none of these pods is in the cluster."""
        self.await_pods(lambda there: not set(names) & set(there), f"end of the pods {names}")

    def await_none(self, kind: str, run: str) -> None:
        """Until the namespace has no object of that kind that is the run's."""
        self.wait(self._await_none(kind, f"{RUN}={run}"))

    async def _await_none(self, kind: str, labels: str) -> None:
        there, whole = set[str](), False
        async for change in self.kube.watch(kind, labels=labels):
            whole = whole or change.kind == "synced"
            if change.kind != "synced":
                (there.discard if change.kind == "deleted" else there.add)(change.name)
            if whole and not there:
                return

    def server_pod(self) -> str:
        """The name of the server's pod."""
        return self.await_pods(
            lambda there: next(
                (name for name, pod in there.items() if _is_server(pod) and not pod["metadata"].get("deletionTimestamp")), ""
            ),
            "pod of the server",
        )

    def pass_gate(self, pod: str) -> None:
        """Let the step go that waits in that pod (see pipelines/gate.py), which has to wait there already."""
        self.wait(self._pass_gate(pod))

    async def _pass_gate(self, pod: str) -> None:
        async with self.kube.dial(pod, GATE) as stream:
            assert await stream.read() == b"go", f"nothing waits at the gate of the pod {pod}"

    def kill_server(self) -> str:
        """Delete the server's pod without any grace; returns the name of the pod that took its place, once it is ready."""
        dead = self.server_pod()
        self.wait(self.kube.delete("Pod", dead, grace_s=0))
        return self.await_pods(
            lambda there: next((name for name, pod in there.items() if _is_server(pod) and name != dead and _is_ready(pod)), ""),
            "new server",
        )

    # The command line

    def fairway(self, *words: str | Path, expect: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`fairway WORDS` in the project; `expect` is the exit status that it has to have."""
        done = subprocess.run(
            [FAIRWAY, *words], cwd=self.folder, input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        said = f"{' '.join(map(str, words))}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == expect, said
        return done

    def json(self, *words: str | Path, expect: int = 0) -> Any:
        """What `fairway WORDS -o json` writes to stdout."""
        return json.loads(self.fairway(*words, "-o", "json", expect=expect).stdout)

    def start(self, *words: str | Path) -> Talking:
        """`fairway WORDS` in the project, going on beside the test."""
        process = subprocess.Popen(
            [FAIRWAY, *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._processes.append(process)
        return Talking(process)

    def use(self, name: str) -> Path:
        """A copy of one of our pipelines in the project; the same file if it is there already."""
        target = self.folder / name
        if not target.exists():
            shutil.copy(PIPELINES / name, target)
        return target

    def run(self, name: str, *options: str, expect: int = 0) -> Object:
        """Run one of our pipelines at the target to its end; what `-o json` says of it."""
        self.use("gate.py")
        self.use(name.partition(":")[0])
        return self.json("run", name, "--on", "test", *options, expect=expect)

    def detach(self, name: str, *options: str) -> str:
        """Start one of our pipelines at the target; returns the run's id."""
        self.use("gate.py")
        self.use(name.partition(":")[0])
        return self.fairway("run", name, "--on", "test", "--detach", *options).stdout.strip()

    def show(self, run: str, *task: str) -> str:
        """`fairway show`."""
        return self.fairway("show", run, *task, "--on", "test").stdout

    # The server

    @property
    def connection(self) -> Connection:
        """The way to the server's API."""
        if self._connection is None:
            self._connection = open_connection(load_project(str(self.folder), overrides={"target": "test"}))
        return self._connection

    def events(self, run: str, after: int = 0) -> Iterator[Any]:
        """The run's events as they come, until it has ended."""
        ended = False
        while True:
            query = {"after": after, "limit": 1000, "wait": 0 if ended else _WAIT_S}
            items = self.connection.api.call("GET", f"/runs/{run}/events", query=query, timeout_s=_WAIT_S + 10).json()["items"]
            if ended and not items:
                return
            for item in items:
                after = item["seq"]
                event = read_event(item)
                ended = type(event).__name__ == "RunEnded"
                yield event

    def await_event(self, run: str, wanted: Callable[[Any], bool], what: str) -> Any:
        """The first event of the run that is wanted. Fails if the run ends without."""
        for event in self.events(run):
            if wanted(event):
                return event
        raise AssertionError(f"the run ended without {what}:\n{self.show(run)}")

    def finish(self, run: str) -> Any:
        """The run's last event."""
        return list(self.events(run))[-1]

    def await_reason(self, run: str, text: str) -> str:
        """Why an attempt of the run waits, as soon as that says `text`."""
        event = self.await_event(run, lambda one: type(one).__name__ == "AttemptObserved" and text in one.reason, f"waiting for {text!r}")
        return event.reason

    def attempts(self, run: str) -> dict[str, int]:
        """How many attempts each step of the run has had."""
        counts: dict[str, int] = {}
        for event in self.events(run):
            if type(event).__name__ == "AttemptPlanned":
                counts[event.node] = counts.get(event.node, 0) + 1
        return counts


OURS = "app.kubernetes.io/managed-by=fairway"


class Talking:
    """A command that goes on, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line)
        self._queue.put(None)

    def await_line(self, text: str, timeout_s: float = PATIENCE_S) -> str:
        """The next line that has `text` in it."""
        while True:
            try:
                line = self._queue.get(timeout=timeout_s)
            except queue.Empty:
                raise AssertionError(f"no line with {text!r} in {timeout_s:.0f} s, but:\n{''.join(self.lines)}") from None
            assert line is not None, f"it ended without a line with {text!r}:\n{''.join(self.lines)}"
            self.lines.append(line)
            if text in line:
                return line

    def finish(self, timeout_s: float = PATIENCE_S) -> str:
        """All that it has said, once it has ended."""
        self.process.wait(timeout_s)
        while (line := self._queue.get(timeout=timeout_s)) is not None:
            self.lines.append(line)
        return "".join(self.lines)


def _is_server(pod: Object) -> bool:
    labels = pod["metadata"].get("labels", {})
    return labels.get("app.kubernetes.io/managed-by") == "fairway" and ROLE not in labels


def _is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions") or ())
