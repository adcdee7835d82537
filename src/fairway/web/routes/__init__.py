"""The route table: one file a noun."""

from __future__ import annotations

from fairway.web.endpoint import Endpoint
from fairway.web.routes import artifacts, blobs, events, logs, metrics, pipelines, runs, server, store, tasks

_FILES = (server, pipelines, runs, tasks, events, logs, artifacts, metrics, blobs, store)

ENDPOINTS: tuple[Endpoint, ...] = tuple(endpoint for file in _FILES for endpoint in file.ENDPOINTS)
