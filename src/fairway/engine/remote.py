"""A target whose server is elsewhere: the way to it, its stores as ports, and a run that goes on there while it is watched from here.

What reads and acts here speaks to the server's API alone: through a port-forward to its pod, or by the URL of the target.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from fairway.engine.project import Project
from fairway.engine.targets import get_target
from fairway.errors import ConfigError, NotFoundError, UnsupportedError
from fairway.executors.absent import AbsentExecutor
from fairway.spec.artifact import blob_key
from fairway.spec.event import RunLabelled
from fairway.spec.layout import BLOBS, BUNDLES, ENVIRONMENTS
from fairway.spec.placement import Placement
from fairway.spec.ports import Inventory
from fairway.spec.record import from_plain
from fairway.spec.resources import Resources
from fairway.spec.summary import RunSummary
from fairway.store.http import HttpArtifactStore, HttpJournal, HttpStreamStore
from fairway.store.serverapi import ServerApi

if TYPE_CHECKING:
    from fairway.engine.parity import Facts
    from fairway.kube.forward import Forward
    from fairway.spec.attempt import AttemptSpec
    from fairway.spec.target import TargetSettings

API_PORT, BLOBS_PORT = 8080, 8081
PATIENCE_S = 60.0
WATCH_PATIENCE_S = 900.0


class Connection:
    """The server of a project's target. `open_connection` makes one; `close` lets the way to it go.

    Raises ConfigError without a token, NotFoundError without a server there, ForbiddenError, InfraError if it cannot be reached.
    """

    def __init__(self, project: Project, target: TargetSettings, api: ServerApi, forward: Forward | None = None) -> None:
        self.project, self.target, self.api = project, target, api
        self._forward = forward
        self.journal = HttpJournal(api)
        self.streams = HttpStreamStore(api)

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the server says it is; asked once."""
        found = self.api.get("/target")
        check_version(found["version"], self.target.name)
        return found

    @cached_property
    def artifacts(self) -> HttpArtifactStore:
        """The server's store, with the home's blobs as its cache. Bulk bytes go by the blobs' port."""
        if not self.api.blobs_url and self.facts["blobs_port"]:
            at = urlsplit(self.api.url)
            self.api.blobs_url = f"{at.scheme}://{_bracket(at.hostname or '')}:{self.facts['blobs_port']}"
        return HttpArtifactStore(self.api, os.path.join(self.project.home, BLOBS))

    def is_driven(self, run: str) -> bool:
        """Does the server drive the run now?"""
        found = self.api.find(f"/runs/{quote(run)}")
        return bool(found and found["driven"])

    def find_problem(self, run: str) -> str:
        """Why the run's driver does not get on, "" if nothing is known to be wrong."""
        found = self.api.find(f"/runs/{quote(run)}")
        return str(found["problem"]) if found else ""

    def label(self, run: str, event: RunLabelled) -> RunSummary:
        """Change tags, note or archive mark. Raises NotFoundError."""
        body: dict[str, Any] = {"add_tags": list(event.add_tags), "remove_tags": list(event.remove_tags)}
        if event.note is not None:
            body["note"] = event.note
        if event.archived is not None:
            body["archived"] = event.archived
        return from_plain(RunSummary, self.api.send("PATCH", f"/runs/{quote(run)}", body))

    def bring_code(self, state: Any) -> None:
        """Have the run's code and locks in the home, for what compares or runs them here. What the server has not is left out."""
        from fairway.envs.resolve import keep_lock_text
        from fairway.step.bundles import bundle_key, unpack_bundle

        home = self.project.home
        if state.bundle and not os.path.isdir(os.path.join(home, BUNDLES, state.bundle)):
            try:
                unpack_bundle(self.artifacts.get(bundle_key(state.bundle)), state.bundle, home)
            except NotFoundError:
                return
        for lock in {step.environment.lock for scope in state.scopes.values() for step in scope.graph.steps.values()} - {""}:
            if not os.path.exists(os.path.join(home, ENVIRONMENTS, "locks", lock)):
                try:
                    keep_lock_text(lock, self.artifacts.get(blob_key(lock)).decode(), home)
                except NotFoundError:
                    continue

    def bring_inputs(self, spec: AttemptSpec) -> None:
        """Have all that the attempt reads in the home's blobs."""
        given = [*spec.inputs.values(), *(one for item in spec.items for one in item.inputs.values())]
        self.artifacts.fetch_inputs([one.ref for one in given if one.ref is not None])

    def be_patient(self, say: Callable[[str], None] | None = None) -> None:
        """From now on wait out what may take minutes: a server that moves to another node. `say` takes a line when it is away for long."""
        self.api.link.patience_s = WATCH_PATIENCE_S
        if say is not None:
            self.api.link.say = say

    def close(self) -> None:
        """Let the way to the server go. Idempotent."""
        self.api.close()
        if self._forward is not None:
            self._forward.close()
            self._forward = None


def is_remote(project: Project) -> bool:
    """Is the project's target elsewhere?"""
    return project.target != "local"


def open_connection(project: Project, *, patience_s: float = PATIENCE_S) -> Connection:
    """The way to the server of the project's target: a port-forward through the cluster's API, or its URL."""
    from fairway.engine.credentials import cluster_key, get_token

    target = get_target(project)
    if target.kind == "server":
        hint = f"FAIRWAY_TOKEN gives one; who runs the server makes it with `fairway token add` for {target.url}"
        return Connection(project, target, ServerApi(target.url, get_token(target.url, hint), patience_s=patience_s))
    if target.kind != "kubernetes":
        raise UnsupportedError(f"the target {target.name!r} has no server", hint="its runs are this machine's: leave out --on")
    from fairway.kube.config import ClientSettings, load_connection
    from fairway.kube.forward import Forward

    settings = ClientSettings(target.context, target.namespace, target.kubeconfig)
    there = load_connection(settings)
    token = get_token(cluster_key(there.server, there.namespace, target.app), f"`fairway up --on {target.name}` makes one")
    try:
        forward = Forward(settings, target.app, (API_PORT, BLOBS_PORT), patience_s=patience_s)
    except NotFoundError as error:
        raise NotFoundError(
            f"there is no server in the namespace {there.namespace} ({error.message})", hint=f"put it there: fairway up --on {target.name}"
        ) from None
    urls = [f"http://127.0.0.1:{forward.ports[port]}" for port in (API_PORT, BLOBS_PORT)]
    made = Connection(project, target, ServerApi(urls[0], token, blobs_url=urls[1], patience_s=patience_s), forward)
    weakref.finalize(made, forward.stop)  # a notebook opens many, and closes none
    return made


def check_version(server: str, target: str) -> None:
    """Raises ConfigError unless client and server are at most one minor version apart."""
    import fairway

    ours, theirs = _minor(fairway.__version__), _minor(server)
    if ours and theirs and (ours[0] != theirs[0] or abs(ours[1] - theirs[1]) > 1):
        way = f"fairway up --on {target}" if ours > theirs else "pip install -U fairway"
        raise ConfigError(f"this is Fairway {fairway.__version__}, and the server is {server}: too far apart", hint=f"upgrade: {way}")


def _minor(version: str) -> tuple[int, int] | None:
    parts = version.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) > 1 and parts[0].isdigit() and parts[1].isdigit() else None


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class RemoteExecutor(AbsentExecutor):
    """What a submission may ask of the executor at the target. Nothing is started through it: the server's drivers do that."""

    name = "remote"
    refusal = ("attempts at this target are started by its server", "start a run there")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def capabilities(self) -> frozenset[str]:
        """Those of the server's executor."""
        return frozenset(self._connection.facts["capabilities"])

    async def inventory(self) -> Inventory:
        """As the server knows it."""
        found = self._connection.api.get("/cluster")
        total, free, largest = (_resources(found[name]) for name in ("total", "free", "largest"))
        return Inventory(total, free, largest, found["facts"])

    async def close(self) -> None:
        """Let the way to the server go."""
        self._connection.close()


def _resources(plain: Mapping[str, Any]) -> Resources:
    """JSON has no infinity: what has no bound comes as null."""
    found: dict[str, Any] = {name: float("inf") if value is None else value for name, value in plain.items()}
    return Resources(**found)


class RemotePlace:
    """See `engine.services.Place`: what the target says before a run is sent to it, and what has to be there first."""

    machine = "the target"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: Facts | None = None

    def check_secrets(self, wanted: Mapping[str, str]) -> None:
        """Raises NotFoundError that names all secrets that the target does not have; it is told once for all."""
        known = set(self._connection.api.get("/secrets")["names"])
        target = self._connection.target.name
        missing = [name for name in wanted if name not in known]
        if missing:
            few = f"secret{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}"
            hint = "; ".join(f"fairway secret set {name} --on {target}" for name in missing)
            raise NotFoundError(f"the target {target!r} has no {few}", hint=hint, where=wanted[missing[0]])

    def check_graph(self, graph: Any) -> None:
        """Raises UnsupportedError for what would fail there, as far as the graph alone tells."""
        from fairway.engine.lookup import gather, refuse
        from fairway.engine.parity import check

        asks = any(one.resources != Resources() or one.placement != Placement() for one in graph.steps.values())
        self._known = gather(self._connection, nodes=asks, secrets=False)
        refuse(check(graph, self._known))

    def accept(self, graph: Any, bundle: str, folder: str, secrets: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Send the code and the environments' locks, as far as the server lacks them. Raises UnsupportedError for packages that no image
        there has."""
        from pathlib import Path

        from fairway.engine.lookup import refuse
        from fairway.engine.parity import Used, check
        from fairway.envs.resolve import get_lock_text
        from fairway.step.bundles import bundle_key, pack_bundle

        if self._known is not None:
            refuse(check(graph, self._known, Used(dict(facts.get("packages", {})))))
        home, store = self._connection.project.home, self._connection.artifacts
        if bundle and not self._has_fresh(bundle_key(bundle)):
            store.put(bundle_key(bundle), pack_bundle(bundle, home))
        locks = {step.environment.lock for step in graph.steps.values()}
        locks |= {str(plain.get("lock", "")) for plain in facts.get("environments", {}).values()}
        for lock in sorted(locks - {""}):
            store.put(blob_key(lock), get_lock_text(lock, Path(home)).encode())

    def _has_fresh(self, key: str) -> bool:
        """Is the blob there, and new again from now on, so that nobody collects it before the run says that it needs it?"""
        if not self._connection.facts["blobs_port"]:
            return self._connection.artifacts.stat(key) is not None
        answer = self._connection.api.send("POST", "/blobs", {"get": [], "put": [[key, 0]]})
        return answer["put"][key] is None
