"""Where a server's attempts run: on its own machine, or as pods of its namespace."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from fairway.engine.host import MakeView
from fairway.engine.surroundings import describe_here
from fairway.errors import UnsupportedError
from fairway.spec.ports import ArtifactStore, Executor, StreamStore
from fairway.spec.record import Record, record
from fairway.spec.target import server_secret, user_secrets
from fairway.web.auth import FindSecret, TokenAuth
from fairway.web.options import API_PORT, BLOBS_PORT, ServerOptions

if TYPE_CHECKING:
    from fairway.executors.shared import SharedLocalExecutor
    from fairway.kube.client import KubeClient
    from fairway.kube.target import ClusterSettings
    from fairway.web.work import Workers

SecretValues = Callable[[], Awaitable[Mapping[str, str]]]


@record
class Crew(Record):
    """`view` for each driver, `whole` for what concerns all of them, `workers` for those that call the server. `secret_values`: the users'
    secrets. `find_secret` reads the server's own, where that is not a mere folder. `facts`: what users may know of the target. `survey`:
    what is seen of the cluster's nodes, quotas and waiting pods. `pods` counts those that are there by role and phase, `asked` the
    requests to the cluster's API. `cluster`: how else to speak with the namespace."""

    view: MakeView
    whole: Executor
    workers: Workers
    secret_values: SecretValues
    find_secret: FindSecret | None
    facts: dict[str, Any]
    survey: Callable[[], Awaitable[Mapping[str, Any]]] | None = None
    pods: Callable[[], Mapping[tuple[str, str], int]] | None = None
    asked: Callable[[], Mapping[str, int]] | None = None
    cluster: tuple[KubeClient, ClusterSettings] | None = None


@asynccontextmanager
async def open_crew(
    options: ServerOptions, artifacts: ArtifactStore, streams: StreamStore, auth: TokenAuth, runtime: str
) -> AsyncGenerator[Crew]:
    """The executor that the options name, at work. `runtime`: the digest of the zip that pods fetch."""
    if options.local:
        async with _open_local(options, artifacts) as crew:
            yield crew
    elif options.target.kind == "kubernetes":
        async with _open_cluster(options, artifacts, streams, auth, runtime) as crew:
            yield crew
    else:
        raise UnsupportedError(f"a server cannot run attempts on a target of the kind {options.target.kind!r}", hint="on a cluster it can")


class _LateCrew:
    """The executor of this machine, made when it is first needed: a server is looked at more often than it is given work."""

    def __init__(self, options: ServerOptions, artifacts: ArtifactStore) -> None:
        self._options, self._artifacts = options, artifacts

    @cached_property
    def shared(self) -> SharedLocalExecutor:
        from fairway.executors.local import LocalExecutor
        from fairway.executors.shared import SharedLocalExecutor

        target, dotenv = self._options.target, self._options.dotenv
        limits = target.limits
        given = {"cpu": limits.cpu, "memory": limits.memory_bytes, "accelerators": limits.accelerators}
        told = {"dotenv": dotenv, "grace": target.grace_s, "durability": self._options.durability}
        settings = {**told, **{name: value for name, value in given.items() if value}}
        return SharedLocalExecutor(LocalExecutor(self._options.home, settings=settings), self._artifacts)

    def view(self, run: str, *, pipeline: str = "", user: str = "") -> Executor:
        """See `engine.host.MakeView`."""
        return self.shared.view(run, pipeline=pipeline, user=user)

    def __getattr__(self, name: str) -> Any:
        """What is asked of all runs' executor."""
        return getattr(self.shared.view(""), name)

    async def close(self) -> None:
        """Kill what runs and wait until the worker is gone, if there ever was one."""
        if "shared" in self.__dict__:
            await self.shared.close()


@asynccontextmanager
async def _open_local(options: ServerOptions, artifacts: ArtifactStore) -> AsyncGenerator[Crew]:
    late = _LateCrew(options, artifacts)
    if not options.own:
        await late.shared.start()

    async def secret_values() -> Mapping[str, str]:
        return _read_dotenv(options.dotenv)

    try:
        whole, workers = cast("Executor", late), cast("Workers", late if options.own else late.shared)
        yield Crew(late.view, whole, workers, secret_values, None, {"machine": describe_here()})
    finally:
        await late.close()


@asynccontextmanager
async def _open_cluster(
    options: ServerOptions, artifacts: ArtifactStore, streams: StreamStore, auth: TokenAuth, runtime: str
) -> AsyncGenerator[Crew]:
    from fairway.executors.kubernetes import KubernetesExecutor
    from fairway.kube.client import KubeClient
    from fairway.kube.manifests import Link
    from fairway.kube.survey import ServerSurvey
    from fairway.kube.target import ClusterSettings
    from fairway.web.work import worker_token

    target = options.target
    client = KubeClient.connect(namespace=options.namespace, requests_per_s=target.requests_per_s)
    try:
        service = await client.get("Service", target.app)
        address = service["spec"]["clusterIP"]
        at = f"http://[{address}]" if ":" in address else f"http://{address}"
        executor = KubernetesExecutor(
            client,
            artifacts,
            streams,
            ClusterSettings(target=target, namespace=client.namespace),
            link=Link(f"{at}:{API_PORT}", f"{at}:{BLOBS_PORT}", runtime),
            sign=lambda id: worker_token(auth, id, time.time()),
        )
        await executor.start()

        async def read_secret(name: str) -> Mapping[str, str]:
            found = await client.find("Secret", name)
            return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in ((found or {}).get("data") or {}).items()}

        try:
            yield Crew(
                view=executor.view,
                whole=executor.view(""),
                workers=executor,
                secret_values=lambda: read_secret(user_secrets(target.app)),
                find_secret=lambda: read_secret(server_secret(target.app)),
                facts={"namespace": client.namespace, "machine": describe_here()},
                survey=ServerSurvey(client).tell,
                pods=executor.count_pods,
                asked=lambda: client.requests,
                cluster=(client, executor.settings),
            )
        finally:
            await executor.close()
    finally:
        await client.close()


def _read_dotenv(path: str) -> Mapping[str, str]:
    from pathlib import Path

    from fairway.executors.secrets import parse_dotenv

    try:
        return parse_dotenv(Path(path).read_text(encoding="utf-8")) if path else {}
    except OSError:
        return {}
