"""The page that an interactive figure draws itself in: it runs without any rights, with the script that the user's own library ships."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.web.ports import Site
from fairway.web.previews.looker import Subject, as_error

FRAME = "figure.html"
_DATA_LIMIT_BYTES = 64 << 20
_JS = "text/javascript; charset=utf-8"

_FOLDER = Path(__file__).parent / "frame"
_KINDS = ("plotly", "vega-lite")


def is_frame(ref: ArtifactRef, path: str) -> bool:
    """Is `path` part of the page that draws this artifact?"""
    return ref.format == "figure" and str(ref.meta.get("kind", "")) in _KINDS and path in (FRAME, "library.js", "figure.json.js", "draw.js")


async def send_frame(site: Site, request: Request, ref: ArtifactRef, path: str) -> Response:
    """The page, or one of its scripts. Raises UnsupportedError where the user's library is not installed."""
    kind = str(ref.meta["kind"])
    if path == FRAME:
        return Response((_FOLDER / FRAME).read_bytes(), media_type="text/html; charset=utf-8")
    if path == "draw.js":
        return Response((_FOLDER / path).read_bytes(), media_type=_JS)
    if path == "figure.json.js":
        text = await asyncio.to_thread(_read, site, ref)
        return Response(f"window.fairwayFigure = {json.dumps(text)};", media_type=_JS)
    seen = await asyncio.to_thread(site.looker.look, "library", Subject(ref.digest, 0, ""), {"kind": kind})
    if "problem" in seen:
        raise as_error(seen)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    data = await asyncio.to_thread(_load, Path(site.services.home), Path(seen["path"]), packed=packed)
    headers = {"cache-control": "private, max-age=600", **({"content-encoding": "gzip"} if packed else {})}
    return Response(data, headers=headers, media_type=_JS)


def _read(site: Site, ref: ArtifactRef) -> str:
    if ref.inline is not None:
        return ref.inline
    if ref.size_bytes > _DATA_LIMIT_BYTES:
        raise NotFoundError("this figure is too large to be drawn here", hint="download it, and open it with its own library")
    with site.services.artifacts.open(blob_key(ref.digest)) as file:
        return file.read(_DATA_LIMIT_BYTES).decode("utf-8", "replace")


def _load(home: Path, script: Path, *, packed: bool) -> bytes:
    """The script; packed once, and kept below the home."""
    if not packed:
        return script.read_bytes()
    stat = script.stat()
    kept = home / "cache" / "scripts" / f"{script.stem}-{stat.st_size}-{int(stat.st_mtime)}.gz"
    if kept.is_file():
        return kept.read_bytes()
    data = gzip.compress(script.read_bytes(), 6, mtime=0)
    half = kept.with_suffix(".half")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(data)
        half.replace(kept)
    except OSError:  # no room: it is packed again the next time
        half.unlink(missing_ok=True)
    return data
