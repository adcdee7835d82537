"""Answers: JSON with an ETag, compressed where the caller can read that."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

COMPRESS_FROM_BYTES = 1024


def render_text(request: Request, data: bytes, media: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`data` with an ETag of it; 304 if the caller has it already."""
    headers = {"cache-control": "no-cache", "vary": "accept-encoding, accept", **(headers or {})}
    if status == 200 and request.method in ("GET", "HEAD"):
        tag = headers.setdefault("etag", f'W/"{hashlib.blake2b(data, digest_size=12).hexdigest()}"')
        if is_fresh(request, tag):
            return not_modified(tag)
    if len(data) >= COMPRESS_FROM_BYTES:
        data, coding = compress(data, request.headers.get("accept-encoding", ""))
        if coding:
            headers["content-encoding"] = coding
    return Response(data, status, headers, media)


def is_fresh(request: Request, tag: str) -> bool:
    """Does the caller have what `tag` stands for?"""
    given = request.headers.get("if-none-match", "")
    if not given:
        return False
    bare = tag.removeprefix("W/")
    return given.strip() == "*" or any(one.strip().removeprefix("W/") == bare for one in given.split(","))


def not_modified(tag: str) -> Response:
    """304."""
    return Response(status_code=304, headers={"etag": tag, "cache-control": "no-cache", "vary": "accept-encoding, accept"})


def compress(data: bytes, accepted: str) -> tuple[bytes, str]:
    """(data, coding) in the best coding that is accepted; coding is "" if the data stays as it is."""
    codings = _accepted(accepted)
    if codings.get("zstd", 0.0) > 0 and (zstd := _zstd()) is not None:
        return zstd.ZstdCompressor(level=3).compress(data), "zstd"
    if codings.get("gzip", 0.0) > 0:
        return gzip.compress(data, 4, mtime=0), "gzip"
    return data, ""


@cache
def _zstd() -> Any:
    """The library, None where it is not installed: a laptop does without."""
    try:
        import zstandard
    except ImportError:
        return None
    return zstandard


def _accepted(header: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in header.split(","):
        name, _, rest = part.strip().partition(";")
        quality = rest.strip().removeprefix("q=")
        try:
            found[name.strip().lower()] = float(quality) if quality else 1.0
        except ValueError:
            found[name.strip().lower()] = 0.0
    return found
