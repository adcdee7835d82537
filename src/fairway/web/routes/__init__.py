"""The route table: one file a noun."""

from __future__ import annotations

from fairway.web.endpoint import Endpoint
from fairway.web.routes import blobs, events, logs, pipelines, runs, server

_FILES = (server, runs, events, logs, blobs, pipelines)

ENDPOINTS: tuple[Endpoint, ...] = tuple(endpoint for file in _FILES for endpoint in file.ENDPOINTS)
