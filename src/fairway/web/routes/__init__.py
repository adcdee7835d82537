"""The route table: one file a noun."""

from __future__ import annotations

from fairway.web.endpoint import Endpoint
from fairway.web.routes import blobs, events, logs, runs, server

ENDPOINTS: tuple[Endpoint, ...] = (*server.ENDPOINTS, *runs.ENDPOINTS, *events.ENDPOINTS, *logs.ENDPOINTS, *blobs.ENDPOINTS)
