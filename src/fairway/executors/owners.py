"""The objects that own worker pods, so that nothing is left behind: each run's ConfigMap, and the server's Service for pools."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.errors import ConflictError, FairwayError
from fairway.executors.runview import RunView
from fairway.kube.manifests import RUN, labels, owner_name, render_run_owner
from fairway.kube.target import ClusterSettings

if TYPE_CHECKING:
    from fairway.kube.client import KubeClient

Object = dict[str, Any]
_SERVICE = ""


class Owners:
    """A run's ConfigMap is made when its first pod needs it, and removed when the run is over and its last pod is gone."""

    def __init__(self, client: KubeClient, settings: ClusterSettings) -> None:
        self._client, self._settings = client, settings
        self._made: dict[str, asyncio.Future[Object]] = {}
        self._over: set[str] = set()
        self._found: set[str] = set()

    async def find(self) -> None:
        """Those that an earlier server has made."""
        wanted = ",".join(f"{key}={value}" for key, value in labels(self._settings).items())
        with suppress(FairwayError):  # without the right to list them they stay when their run ended while the server was away
            found = await self._client.list("ConfigMap", labels=f"{wanted},{RUN}")
            self._found = {one["metadata"]["labels"][RUN] for one in found}

    async def of(self, run: str, view: RunView) -> Object:
        """The run's ConfigMap."""
        self._over.discard(run)
        self._found.discard(run)
        made = render_run_owner(run, self._settings, pipeline=view.pipeline, user=view.user)
        return await self._once(run, lambda: self._make(made))

    async def service(self) -> Object:
        """What `fairway up` made for the server: with it, the workers of pools go."""
        return await self._once(_SERVICE, lambda: self._client.get("Service", self._settings.target.app))

    def release(self, run: str) -> None:
        """No driver asks for anything of this run any more."""
        if run in self._made or run in self._found:
            self._over.add(run)

    def release_unclaimed(self) -> None:
        """Those of an earlier server that no driver has asked for by now belong to runs that are over."""
        self._over |= self._found
        self._found = set()

    async def clear(self, busy: Callable[[], Collection[str]]) -> None:
        """Remove those of runs that are over; `busy`: runs that still have attempts or pods."""
        if not self._over:
            return
        taken = busy()
        for run in [run for run in self._over if run not in taken]:
            self._over.discard(run)
            self._made.pop(run, None)
            with suppress(FairwayError):
                await self._client.delete("ConfigMap", owner_name(run))

    async def _make(self, manifest: Object) -> Object:
        try:
            return await self._client.create(manifest)
        except ConflictError:
            return await self._client.get("ConfigMap", manifest["metadata"]["name"])

    async def _once(self, name: str, make: Callable[[], Coroutine[Any, Any, Object]]) -> Object:
        """What `make` gives, asked for by however many at once; asked again if it fails."""
        found = self._made.get(name)
        if found is None:
            found = self._made[name] = asyncio.ensure_future(make())
        try:
            return await asyncio.shield(found)
        except FairwayError:
            self._made.pop(name, None)
            raise
