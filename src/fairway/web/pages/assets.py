"""Style sheets, scripts and pictures out of the wheel, under names that change with their content: a browser asks for each once."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fairway.spec.record import Record, record
from fairway.web.respond import not_modified

TEMPLATES = Path(__file__).parents[1] / "templates"
STATIC = Path(__file__).parents[1] / "static"
STYLE = "fairway.css"
SHEETS = (
    "tokens", "base", "components", "runs", "run", "task", "compare", "artifacts", "pipelines", "endpoints", "system", "login", "tune",
)  # fmt: skip
_MEDIA = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
}


@record
class Asset(Record):
    """One file as it is sent; `plain` is b"" where it is made of `packed` for who needs it."""

    media: str
    plain: bytes
    packed: bytes
    tag: str


@cache
def version() -> str:
    """A short digest of all assets: part of their addresses."""
    found = hashlib.blake2b(digest_size=6)
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            stat = path.stat()
            found.update(f"{path.relative_to(STATIC)} {stat.st_size} {stat.st_mtime_ns}".encode())
    return found.hexdigest()


def asset_url(path: str) -> str:
    """The address of an asset, such as "js/app.js"."""
    return f"/static/{version()}/{path}"


@cache
def load_asset(path: str) -> Asset | None:
    """The asset at `path` below the static folder, None if there is none."""
    packed = b""
    if path == STYLE:
        data = b"".join(sheet.read_bytes() for name in SHEETS if (sheet := STATIC / "css" / f"{name}.css").is_file())
    else:
        file = (STATIC / path).resolve()
        if not file.is_relative_to(STATIC):
            return None
        kept = file.with_name(f"{file.name}.gz")  # what is large lies in the package as it is sent
        packed = kept.read_bytes() if kept.is_file() else b""
        if not packed and not file.is_file():
            return None
        data = b"" if packed else file.read_bytes()
    media = _MEDIA.get(Path(path).suffix, "application/octet-stream")
    tag = f'"{hashlib.blake2b(packed or data, digest_size=12).hexdigest()}"'
    return Asset(media, data, packed or (gzip.compress(data, 9, mtime=0) if len(data) > 500 else b""), tag)


async def send_asset(request: Request) -> Response:
    """A static file; for ever, where its address has today's version."""
    asset = load_asset(request.path_params["path"])
    if asset is None:
        return Response("there is no such file\n", 404, media_type="text/plain")
    if request.headers.get("if-none-match") == asset.tag:
        return not_modified(asset.tag)
    lasting = request.path_params["version"] == version()
    headers = {
        "etag": asset.tag,
        "cache-control": "public, max-age=31536000, immutable" if lasting else "no-cache",
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if asset.packed and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.packed, headers={**headers, "content-encoding": "gzip"}, media_type=asset.media)
    return Response(asset.plain or gzip.decompress(asset.packed), headers=headers, media_type=asset.media)


def asset_routes() -> list[BaseRoute]:
    """Routes of all static files. They are the same for everybody: nobody need be known."""
    return [Route("/static/{version}/{path:path}", send_asset, methods=["GET"], include_in_schema=False)]
