"""Blobs: signed URLs for the blobs' port, and the way through the API for small ones."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from heapq import nsmallest
from pathlib import Path
from typing import Any, BinaryIO

from starlette.responses import Response, StreamingResponse

from fairway.errors import ConfigError, NotFoundError, UnsupportedError
from fairway.spec.layout import SCRATCH
from fairway.spec.ports import BlobStat
from fairway.web.access import check_all_projects, check_role
from fairway.web.operation import BYTES, Call, Operation
from fairway.web.presence import claim
from fairway.web.ranges import find_range, unsatisfiable
from fairway.web.reading import too_large
from fairway.web.records import full
from fairway.web.reply import Reply
from fairway.web.respond import is_fresh, not_modified
from fairway.web.schema.blobs import BlobsPage, BlobsQuery, SignBody, Signed, Stored

UPLOAD_LIMIT_BYTES = 64 << 20
_CHUNK_BYTES = 256 << 10
_WRITABLE = re.compile(r"(sha256/[0-9a-f]{2}/[0-9a-f]{62}|bundle/[0-9a-f]{64})")


async def sign_blobs(call: Call[Any, SignBody]) -> Signed:
    """URLs for single blobs, good for some minutes."""
    signer, store = call.site.settings.signer, call.site.services.artifacts
    if signer is None:
        raise UnsupportedError("this server has no blobs' port", hint="GET and PUT /blobs/KEY go through the API")
    if call.body.put:
        check_role(call.request, call.identity, "run")
    for key, _ in call.body.put:
        _check_writable(key)
    for key in call.body.get:
        await call.site.sight.check_blob(call.identity, key)

    def work() -> Signed:
        there = claim(store, [key for key, _ in call.body.put])
        return Signed(
            get={key: signer.sign("GET", key) for key in call.body.get},
            put={key: None if key in there else signer.sign("PUT", key, size) for key, size in call.body.put},
        )

    return await asyncio.to_thread(work)  # a bucket is far away


async def list_blobs(call: Call[BlobsQuery, None]) -> Any:
    """Blobs by the beginning of their keys."""
    check_all_projects(call.identity)
    query, store = call.query, call.site.services.artifacts

    def work() -> list[BlobStat]:  # a store lists in an order of its own
        return nsmallest(query.limit + 1, (stat for stat in store.list(query.prefix) if stat.key > query.cursor), key=lambda stat: stat.key)

    found = await asyncio.to_thread(work)
    page = found[: query.limit]
    return {"items": [full(stat) for stat in page], "next": page[-1].key if len(found) > query.limit else ""}


async def read_blob(call: Call[Any, None]) -> Response:
    """A blob's bytes, by `Range`."""
    await call.site.sight.check_blob(call.identity, call.path["key"])
    return await send_blob(call, call.path["key"])


async def write_blob(call: Call[Any, None]) -> Reply:
    """Store a small blob. What a digest names must be what it names."""
    key, store = call.path["key"], call.site.services.artifacts
    _check_writable(key)
    folder = Path(call.site.services.home) / SCRATCH
    folder.mkdir(parents=True, exist_ok=True)
    file, path = tempfile.mkstemp(prefix="upload-", dir=folder)
    try:
        digest = hashlib.sha256()
        size = 0
        with os.fdopen(file, "wb") as out:
            async for part in call.request.stream():
                size += len(part)
                if size > UPLOAD_LIMIT_BYTES:
                    raise too_large(UPLOAD_LIMIT_BYTES)
                digest.update(part)
                await asyncio.to_thread(out.write, part)
        if key.startswith("sha256/") and key != f"sha256/{digest.hexdigest()[:2]}/{digest.hexdigest()[2:]}":
            raise ConfigError(f"these {size} bytes are not {key}", hint="their SHA-256 is another", where="body")
        stored = await asyncio.to_thread(store.put, key, Path(path), move=True)
    finally:
        Path(path).unlink(missing_ok=True)
    return Reply({"stored": stored}, 201 if stored else 200)


async def send_blob(call: Call[Any, Any], key: str, media: str = BYTES, name: str = "") -> Response:
    """The blob `key` as a response: whole, by range, or 304. Raises NotFoundError."""
    store, request = call.site.services.artifacts, call.request
    stat = await asyncio.to_thread(store.stat, key)
    if stat is None:
        raise NotFoundError(f"there is no blob {key}", hint="it may have been collected; run the pipeline again")
    tag = f'"{key.rpartition("/")[2][:40]}-{stat.size_bytes}"'
    if is_fresh(request, tag):
        return not_modified(tag)
    immutable = key.startswith("sha256/")
    headers = {
        "accept-ranges": "bytes",
        "etag": tag,
        "cache-control": "private, max-age=31536000, immutable" if immutable else "no-cache",
        "x-content-type-options": "nosniff",
    }
    if name:
        headers["content-disposition"] = f"attachment; filename*=UTF-8''{name}"
    start, end, status = 0, stat.size_bytes, 200
    wanted = find_range(request, stat.size_bytes) if request.headers.get("if-range", tag) == tag else None
    if wanted is not None:
        if wanted[0] >= stat.size_bytes:
            raise unsatisfiable(stat.size_bytes)
        start, end = wanted
        status = 206
        headers["content-range"] = f"bytes {start}-{end - 1}/{stat.size_bytes}"
    headers["content-length"] = str(end - start)
    headers["last-modified"] = _http_date(stat.modified_at)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media)
    file = await asyncio.to_thread(store.open, key)
    return StreamingResponse(_chunks(file, start, end), status, headers, media)


async def _chunks(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    with file:
        if start:
            await asyncio.to_thread(file.seek, start)
        while start < end:
            data = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, end - start))
            if not data:
                return
            start += len(data)
            yield data


def _check_writable(key: str) -> None:
    if not _WRITABLE.fullmatch(key):
        raise ConfigError(
            f"users do not write {key[:80]!r}", hint="artifacts are sha256/XX/REST of their SHA-256, bundles bundle/DIGEST", where="key"
        )


def _http_date(at: float) -> str:
    from email.utils import formatdate

    return formatdate(at, usegmt=True)


OPERATIONS = (
    Operation("POST", "/blobs", sign_blobs, "Signed URLs of blobs", "blobs", body=SignBody, answer=Signed, role="view"),
    Operation("GET", "/blobs", list_blobs, "List blobs", "blobs", query=BlobsQuery, answer=BlobsPage),
    Operation(
        "GET", "/blobs/{key:path}", read_blob, "Bytes of a blob", "blobs", media=(BYTES,),
        also={206: "A range of it", 304: "You have it", 416: "No such range"},
    ),
    Operation(
        "PUT", "/blobs/{key:path}", write_blob, "Store a small blob", "blobs", answer=Stored, status=201, raw=True,
        also={200: "It was there", 413: "Too large: use a signed URL"},
    ),
)  # fmt: skip
