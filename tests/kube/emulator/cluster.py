"""The whole cluster in a thread of this process."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp.test_utils import RawTestServer

from tests.kube.emulator.admission import Admission
from tests.kube.emulator.api import Api
from tests.kube.emulator.apply import Owners
from tests.kube.emulator.authority import Authority
from tests.kube.emulator.failure import ApiError
from tests.kube.emulator.faults import Faults
from tests.kube.emulator.garbage import Claims, Garbage, Namespaces
from tests.kube.emulator.images import STANDARD, Image, Images
from tests.kube.emulator.jobs import Jobs
from tests.kube.emulator.kinds import EVENT, NAMESPACE, NODE, SERVICE_ACCOUNT, get_kind
from tests.kube.emulator.kubelet import Kubelet
from tests.kube.emulator.kueue import Kueue
from tests.kube.emulator.memory import Change, Memory, Object, now_text
from tests.kube.emulator.mishaps import Mishaps
from tests.kube.emulator.network import Network
from tests.kube.emulator.process import Guard
from tests.kube.emulator.quotas import Quotas
from tests.kube.emulator.scheduler import Scheduler
from tests.kube.emulator.volumes import Volumes
from tests.kube.emulator.wire import Request
from tests.kube.emulator.workloads import Workloads


class Node(NamedTuple):
    """One node as the tests ask for it. `extra` are further resources: {"nvidia.com/gpu": 2}."""

    name: str = "n1"
    cpu: float = 64
    memory: str = "256Gi"
    disk: str = "500Gi"
    pods: int = 5000
    extra: dict[str, int] = {}
    labels: dict[str, str] = {}
    taints: tuple[dict[str, str], ...] = ()

    def to_object(self, version: str) -> Object:
        room = {"cpu": f"{int(self.cpu * 1000)}m", "memory": self.memory, "ephemeral-storage": self.disk, "pods": str(self.pods)}
        room |= {name: str(number) for name, number in self.extra.items()}
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **self.labels}
        info = {
            "kubeletVersion": f"v{version}.0",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "containerRuntimeVersion": "containerd://2.1",
        }
        status = {
            "capacity": room,
            "allocatable": dict(room),
            "nodeInfo": info,
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        }
        status["conditions"] = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": now_text()}]
        return {"metadata": {"name": self.name, "labels": labels}, "spec": {"taints": list(self.taints)}, "status": status}


class Cluster:
    """A Kubernetes for tests: `with Emulator(folder) as cluster:`; a client finds it by `cluster.kubeconfig`.

    Its nodes run the pods' commands as processes of this machine. Everything is in one thread and its event loop; `call` runs something
    there. `pace`: how many seconds pass here for one second of a probe's period or of a back-off. `groups`: of custom
    resources that are installed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: Iterable[Node] = (Node(),),
        version: str = "1.36",
        namespace: str = "default",
        images: Iterable[Image] = (),
        pace: float = 0.01,
        groups: Iterable[str] = (),
    ) -> None:
        self.folder = folder
        self.quiet = False  # a Deployment's status does not tell of pods that are refused; events do
        self.groups = frozenset(groups)
        self.version, self.namespace, self.pace = version, namespace, pace
        self.kubeconfig = folder / "kubeconfig"
        self._nodes = list(nodes)
        self._images = [*STANDARD, *images]
        self._changes: deque[Change] = deque()
        self._seen: list[Callable[[Change], None]] = []
        self._waiters: list[tuple[Callable[[], bool], Future[None]]] = []
        self._draining = False
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="emulator", daemon=True)
        self.loop = asyncio.new_event_loop()

    # ---- from any thread

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        self._ready.result(60)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def call(self, work: Callable[[], Any], *, timeout_s: float = 60) -> Any:
        """Run something in the cluster's thread; its result, awaited if it must be."""

        async def run() -> Any:
            result = work()
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(timeout_s)

    def wait(self, holds: Callable[[], Any], *, timeout_s: float = 180) -> None:
        """Wait until something holds; it is asked after each change, in the cluster's thread. Not to be called in that thread."""
        assert threading.current_thread() is not self._thread
        done: Future[None] = Future()

        def begin() -> None:
            self._waiters.append((holds, done))
            self.ask_waiters()

        self.loop.call_soon_threadsafe(begin)
        done.result(timeout_s)

    async def until(self, holds: Callable[[], Any]) -> None:
        """As `wait`, in the cluster's thread."""
        done: Future[None] = Future()
        self._waiters.append((holds, done))
        self.ask_waiters()
        await asyncio.wrap_future(done)

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        found = get_kind(kind)
        return self.memory.find(found, (namespace or self.namespace) if found.namespaced else "", name)

    def list(self, kind: str, namespace: str = "") -> list[Object]:
        found = get_kind(kind)
        return self.memory.list(found, (namespace or self.namespace) if found.namespaced else "")

    def create(self, body: Object) -> Object:
        """As a controller would, without the API."""
        kind = get_kind(body["kind"])
        namespace = body["metadata"].get("namespace", self.namespace) if kind.namespaced else ""
        return self.call(lambda: self.memory.create(kind, namespace, body))

    @property
    def requests(self) -> list[Request]:
        return self.api.requests

    @property
    def largest_object(self) -> tuple[int, str]:
        """The size in bytes and the name of the largest object there has been."""
        return self.memory.largest

    # ---- in the cluster's thread

    def record(self, found: Object, reason: str, message: str, *, warning: bool = False, source: str = "kubelet") -> None:
        """An event about an object; one of the same words is counted up."""
        meta = found["metadata"]
        namespace = meta.get("namespace", "default")
        about = {"kind": found["kind"], "name": meta["name"], "namespace": namespace, "uid": meta["uid"], "apiVersion": found["apiVersion"]}
        if self.memory.find(NAMESPACE, "", namespace) is None or self.memory.find(NAMESPACE, "", namespace)["metadata"].get(
            "deletionTimestamp"
        ):
            return
        for event in self.memory.list(EVENT, namespace) if (meta["uid"], reason, message) in self._recorded else ():
            if event["involvedObject"]["uid"] == meta["uid"] and (event["reason"], event["message"]) == (reason, message):
                self.memory.change(
                    EVENT, namespace, event["metadata"]["name"], lambda it: it.update(count=it["count"] + 1, lastTimestamp=now_text())
                )
                return
        self._recorded.add((meta["uid"], reason, message))
        body = {
            "metadata": {"name": f"{meta['name']}.{self.memory.suffix(12)}"},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "source": {"component": source},
            "firstTimestamp": now_text(),
            "lastTimestamp": now_text(),
            "count": 1,
        }
        self.memory.create(EVENT, namespace, body)

    def kubeconfig_for(self, pod: Object) -> str:
        """A kubeconfig with the pod's service account, "" for a pod that gets no token. In a pod of a real cluster a client reads the
        mounted token; that path is the same for all processes of this machine, so it cannot be had here."""
        mounts = pod["spec"]["containers"][0].get("volumeMounts") or ()
        if not any(mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount" for mount in mounts):
            return ""
        token = self.authority.issue(pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"])
        path = self.folder / f"kubeconfig-{token}"
        if not path.exists():
            self._write_kubeconfig(path, token, pod["metadata"]["namespace"])
        return str(path)

    def set_node_ready(self, name: str, status: str, reason: str, message: str) -> None:
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}

        def edit(node: Object) -> None:
            node["status"]["conditions"] = [
                {"type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": now_text()}
            ]
            others = [each for each in node["spec"].get("taints") or () if each["key"] != taint["key"]]
            node["spec"]["taints"] = others + ([taint] if status != "True" else [])

        self.memory.change(NODE, "", name, edit, subresource="all")

    def add_node(self, node: Node) -> None:
        made = node.to_object(self.version)
        self.memory.create(NODE, "", made)
        self.memory.change(NODE, "", node.name, lambda it: it.update(status=made["status"]), subresource="status")

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._serve())
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise
        finally:
            self.loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._assemble()
        guard = Guard(self.images.cluster)
        # kmock's own Server would patch aiohttp's resolver in the whole process: two clusters could not stand side by side.
        async with self.api, RawTestServer(self.api) as server:
            self.url = str(server.make_url("")).rstrip("/")
            self._write_kubeconfig(self.kubeconfig, self.authority.admin_token, self.namespace)
            for name in sorted({"default", self.namespace}):
                labels = {"pod-security.kubernetes.io/enforce": "restricted"}
                self.memory.create(NAMESPACE, "", {"metadata": {"name": name, "labels": labels}})
            for node in self._nodes:
                self.add_node(node)
            while self.memory.find(SERVICE_ACCOUNT, self.namespace, "default") is None:
                await asyncio.sleep(0)
            self._ready.set_result(None)
            await self._stop.wait()
            self._seen.clear()
            self.api.cut_watches("*")
            await self.kubelet.close()
            guard.close()
            await self.network.close()

    def _assemble(self) -> None:
        self._recorded: set[tuple[str, str, str]] = set()
        self.memory = Memory()
        self.owners = Owners()
        self.authority = Authority(self.memory)
        self.faults, self.mishaps = Faults(self), Mishaps(self)
        self.images = Images(self.folder / "images", self._images)
        self.volumes = Volumes(self.memory, self.authority, self.folder / "claims")
        self.network, self.kubelet, self.scheduler = Network(self), Kubelet(self), Scheduler(self)
        self.claims, self.quotas, self.kueue = Claims(self), Quotas(self), Kueue(self)
        self.api = Api(self)
        self.memory.admit += [Admission(self).admit, self.network.admit, self.claims.admit, self.quotas.admit]
        self.memory.forget.append(self.owners.forget)
        self.memory.written.append(self._note)
        controllers = (
            Namespaces(self),
            self.claims,
            self.scheduler,
            self.kubelet,
            self.network,
            Workloads(self),
            self.kueue,
            Jobs(self),
            Garbage(self),
            self.quotas,
        )
        self._seen += [each.see for each in controllers]

    def _note(self, change: Change) -> None:
        self._changes.append(change)
        if not self._draining:
            self._draining = True
            self.loop.call_soon(self._drain)

    def _drain(self) -> None:
        """Tell every controller of every write, in order; what they write is seen after it."""
        while self._changes:
            change = self._changes.popleft()
            for see in self._seen:
                try:
                    see(change)
                except ApiError as error:
                    self.loop.call_exception_handler({"message": f"a controller was refused: {error}", "exception": error})
        self._draining = False
        self.ask_waiters()

    def ask_waiters(self) -> None:
        for holds, done in list(self._waiters):
            try:
                if not done.cancelled() and not holds():
                    continue
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)
            self._waiters.remove((holds, done))

    def _write_kubeconfig(self, path: Path, token: str, namespace: str) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "emulator",
            "clusters": [{"name": "emulator", "cluster": {"server": self.url}}],
            "users": [{"name": "tester", "user": {"token": token}}],
            "contexts": [{"name": "emulator", "context": {"cluster": "emulator", "user": "tester", "namespace": namespace}}],
        }
        path.write_text(json.dumps(config))


Emulator = Cluster
