"""The route table: one file a noun."""

from __future__ import annotations

from fairway.web.operation import Operation
from fairway.web.routes import artifacts, blobs, endpoints, events, logs, metrics, pipelines, runs, server, store, tasks

_FILES = (server, pipelines, runs, tasks, events, logs, artifacts, metrics, blobs, store, endpoints)

OPERATIONS: tuple[Operation, ...] = tuple(operation for file in _FILES for operation in file.OPERATIONS)
