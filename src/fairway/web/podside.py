"""What pods need of the server beside the API: blobs by signed addresses, from a process of their own, and the control channel."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from starlette.routing import BaseRoute

from fairway.engine.bus import Bus
from fairway.engine.host import Host
from fairway.envs.runtime import build_runtime_zip
from fairway.spec.artifact import blob_key
from fairway.spec.ports import ArtifactStore, StreamStore
from fairway.store.bucket import BucketArtifactStore, BucketSigner
from fairway.web.auth import TokenAuth
from fairway.web.blobserver import BlobProcess
from fairway.web.crew import Crew
from fairway.web.options import ServerOptions
from fairway.web.ports import BlobSigner, KeySigner
from fairway.web.servingside import ServingSide
from fairway.web.work import Channel, work_routes


class PodSide:
    """`runtime`: the zip that pods fetch, and its digest; `serving`: what pods that serve need. `signer` makes the addresses of blobs, at
    `blobs_port` once it is open."""

    def __init__(self, options: ServerOptions, artifacts: ArtifactStore, auth: TokenAuth) -> None:
        self._options, self._artifacts, self._auth = options, artifacts, auth
        self.runtime = build_runtime_zip()
        self.serving = ServingSide(auth, options.home)
        bucket = isinstance(artifacts, BucketArtifactStore)
        self.signer: BlobSigner = BucketSigner(artifacts) if bucket else KeySigner(auth.signing_key)
        self.blobs_port = 0

    async def open(self, stack: AsyncExitStack, crew: Crew, host: Host, bus: Bus, streams: StreamStore) -> list[BaseRoute]:
        """Start what runs beside the server, for as long as `stack` is open; returns the channel's routes."""
        blobs = BlobProcess(self._options)
        self.blobs_port = await blobs.start()
        stack.push_async_callback(blobs.close)
        artifacts = self._artifacts
        channel = Channel(
            workers=crew.workers,
            artifacts=artifacts,
            streams=streams,
            signer=self.signer,
            auth=self._auth,
            bus=bus,
            home=self._options.home,
            ready=lambda: host.settled,
            lock_text=lambda digest: artifacts.get(blob_key(digest)).decode(),
            runtime=self.runtime,
            clock=time.time,
            grace_s=self._options.target.grace_s,
            synced=self._options.durability == "power",
            gangs=getattr(crew.workers, "gangs", None),
        )
        return [*work_routes(channel), *self.serving.routes()]
