"""Bytes of artifacts for a browser to run or draw, without any rights: each under an address of its own that is good for some minutes."""

from __future__ import annotations

import asyncio
import json
import re
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from fairway.errors import FairwayError, NotFoundError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.ports import ArtifactStore
from fairway.web.grants import ROOT, Grant
from fairway.web.identity import NOBODY
from fairway.web.operation import BYTES, Call
from fairway.web.ports import Site
from fairway.web.previews.brief import MANIFEST_LIMIT_BYTES
from fairway.web.previews.finding import find_places
from fairway.web.previews.frames import FRAME, is_frame, send_frame
from fairway.web.previews.media import media_type
from fairway.web.problem import Refused, status_of
from fairway.web.respond import render_text
from fairway.web.routes.blobs import send_blob

MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".htm": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".xml": "application/xml",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".pdf": "application/pdf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".ttf": "font/ttf",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".wasm": "application/wasm",
}
"""What browsers are told of the files in a folder. Of others they are told nothing, and must not guess."""
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_GRANT = re.compile(r"[A-Za-z0-9_.-]+")

Files = dict[str, tuple[str, int]]


def content_routes(site: Site) -> list[BaseRoute]:
    """The one route. Its answers belong to no origin: they carry no cookie, read no answer of ours, and are read by no other site."""

    async def send(request: Request) -> Response:
        try:
            response = await _send(site, request)
        except ClientDisconnect:
            return Response(status_code=400)
        except FairwayError as error:
            headers = error.headers if isinstance(error, Refused) else {}
            response = Response(f"{error.message}\n", status_of(error), headers, "text/plain; charset=utf-8")
            response.headers["cache-control"] = "no-store"
        response.headers.update(isolation(request))
        return response

    return [Route(f"{ROOT}/{{grant}}/{{path:path}}", send, methods=["GET"], include_in_schema=False)]


def isolation(request: Request) -> dict[str, str]:
    """Headers under which a page can run its own scripts and load its own files, and nothing more."""
    grant = request.path_params["grant"]
    host = request.headers.get("host", "")
    own = f" {request.url.scheme}://{host}{ROOT}/{grant}/" if _HOST.fullmatch(host) and _GRANT.fullmatch(grant) else ""
    policy = (
        f"sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:{own}; style-src 'unsafe-inline'{own}; "
        f"img-src data: blob:{own}; font-src data:{own}; media-src data: blob:{own}; worker-src blob:; connect-src 'none'; "
        "frame-src 'none'; object-src 'none'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
    )
    return {
        "content-security-policy": policy,
        "cross-origin-resource-policy": "cross-origin",  # its own parts are of another origin to it: it has none
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }


async def _send(site: Site, request: Request) -> Response:
    grant, path = site.grants.check(request.path_params["grant"]), request.path_params["path"]
    if grant is None:
        raise Refused(
            403, "this address was good for some minutes, which are over", hint="open it from its page again", code="FW-FORBIDDEN"
        )
    ref = await _get_ref(site, grant)
    call: Call[Any, Any] = Call(site, request, NOBODY, {}, None, None)
    if grant.name == FRAME and is_frame(ref, path):
        return await send_frame(site, request, ref, path)
    if _has_files(ref):
        files = await asyncio.to_thread(read_manifest, site.services.artifacts, ref.digest)
        if path not in files:
            raise NotFoundError(f"there is no file {path[:200]!r} in this folder")
        digest, media = files[path][0], MEDIA.get(PurePosixPath(path).suffix.lower(), BYTES)
    elif path == grant.name:
        digest, media = ref.digest, media_of(ref)
    else:
        raise NotFoundError("this address leads to another artifact")
    if ref.inline is not None and digest == ref.digest:
        return render_text(request, ref.inline.encode("utf-8", "surrogatepass"), media)
    response = await send_blob(call, blob_key(digest), media)
    response.headers["cache-control"] = "private, max-age=600"
    return response


def media_of(ref: ArtifactRef) -> str:
    """What a browser is told that the artifact's bytes are: by its format, or by the name of the file that it is."""
    found = media_type(ref)
    name = str(ref.meta.get("name") or ref.meta.get("filename") or "")
    return MEDIA.get(PurePosixPath(name).suffix.lower(), found) if found == BYTES else found


@lru_cache(maxsize=2)
def read_manifest(store: ArtifactStore, digest: str) -> Files:
    """path -> (digest, size) of the files in a folder. Raises NotFoundError if its manifest is not in the store."""
    with store.open(blob_key(digest)) as file:
        text = file.read(MANIFEST_LIMIT_BYTES)
    try:
        return {str(one["path"]): (str(one["digest"]), int(one.get("size_bytes", 0))) for one in json.loads(text)["files"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _has_files(ref: ArtifactRef) -> bool:
    return ref.format in ("dir", "model") or bool(ref.meta.get("folder"))


async def _get_ref(site: Site, grant: Grant) -> ArtifactRef:
    known = site.grants.recall(grant.run, grant.digest)
    if known is not None:
        return known
    places = await asyncio.to_thread(find_places, site.services.journal, grant.run, grant.digest)
    if not places:
        raise NotFoundError(f"run {grant.run} does not name this artifact any more")
    site.grants.remember(grant.run, places[0].ref)
    return places[0].ref
