"""What a revision takes, as its package or the schema beside it says: for pages, and for the names of columns that gateways need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fairway.errors import FairwayError
from fairway.serve.control.launching import unpack_package
from fairway.spec.artifact import blob_key
from fairway.spec.endpoint import Endpoint, ServeSpec
from fairway.spec.ports import ArtifactStore

_KNOWN = 256


def key_of(spec: ServeSpec) -> str:
    """The same for all specs that take the same."""
    return f"{spec.package.get('digest')} {spec.schema}"


def read_form(spec: ServeSpec, artifacts: ArtifactStore, home: Path) -> tuple[dict[str, Any] | None, Any]:
    """Schema and example request; nothing where they cannot be had."""
    from fairway.serve.package import open_package

    try:
        package = open_package(unpack_package(spec, artifacts, home), schema=None, options=dict(spec.options))
        schema = package.schema
        if spec.schema:
            schema = msgspec.json.decode(artifacts.get(blob_key(spec.schema)))
    except (FairwayError, OSError, ValueError, TypeError, KeyError):
        return None, None
    return schema, package.example


class Columns:
    """Names of the columns that revisions take, in the schema's order. They are looked up in the background: reading a package takes time.
    `tell` is called when something is known."""

    def __init__(self, artifacts: ArtifactStore, home: str, tell: Callable[[], None]) -> None:
        self._artifacts, self._home, self._tell = artifacts, Path(home), tell
        self._known: dict[str, tuple[str, ...]] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

    def of(self, endpoint: Endpoint) -> dict[int, tuple[str, ...]]:
        """By revision, as far as they are known by now; only of an endpoint that drops or hashes fields: nobody else needs them."""
        if not (endpoint.capture.drop or endpoint.capture.hash):
            return {}
        found: dict[int, tuple[str, ...]] = {}
        for revision in endpoint.revisions:
            names = self._of_spec(revision.spec)
            if names:
                found[revision.number] = names
        return found

    def _of_spec(self, spec: ServeSpec) -> tuple[str, ...]:
        key = key_of(spec)
        if key not in self._known and key not in self._reading:
            self._reading[key] = asyncio.get_running_loop().create_task(self._read(key, spec), name="columns of a model")
        return self._known.get(key, ())

    async def _read(self, key: str, spec: ServeSpec) -> None:
        names = await asyncio.to_thread(read_columns, spec, self._artifacts, self._home)
        while len(self._known) >= _KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = names
        del self._reading[key]
        self._tell()

    async def close(self) -> None:
        """Look up nothing more."""
        for task in self._reading.values():
            task.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)


def read_columns(spec: ServeSpec, artifacts: ArtifactStore, home: Path) -> tuple[str, ...]:
    """Names in the schema's order; () where the model takes no columns, or nobody knows which."""
    from fairway.data.schema.load import load_schema

    schema, _ = read_form(spec, artifacts, home)
    if schema is None:
        return ()
    try:
        return tuple(column.name for column in load_schema(schema, "schema.json").columns)
    except FairwayError:
        return ()
