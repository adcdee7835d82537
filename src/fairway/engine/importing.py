"""Data that exists already (`fw.artifact`): a path or URL, stored by its digest before a run starts."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

from fairway.engine.project import Project
from fairway.errors import ConfigError, DefinitionError, NotFoundError, StoreUnavailable, UnsupportedError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.graph import Expr
from fairway.spec.layout import SCRATCH
from fairway.spec.ports import ArtifactStore
from fairway.step import paths

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_SCHEMES = ("http", "https")


def import_artifact(expr: Expr, store: ArtifactStore, project: Project, where: str) -> ArtifactRef:
    """The artifact that `expr` (of kind "artifact", not imported yet) names. A URL whose digest is stated and known is not fetched again.

    Raises NotFoundError, ConfigError (other content than the stated digest's), DefinitionError, UnsupportedError, StoreUnavailable.
    """
    source, wanted = str(expr.value), expr.output
    scheme = source.partition("://")[0] if "://" in source else ""
    if not scheme or scheme == "file":
        ref = _import_path(source, expr.name, store, project, where)
        found = "is" if ref.format == "file" else "is, as a folder,"
    else:
        _check_url(source, scheme, expr.name, where)
        known = store.local_path(blob_key(wanted)) if wanted else None
        if known is not None:
            store.put(blob_key(wanted), known)  # tells the store that it is relied on
            return _file_ref(wanted, known.stat().st_size, source)
        ref = _fetch(source, store, project, where)
        found = "gave"
    if wanted and ref.digest != wanted:
        raise ConfigError(
            f"{source} {found} {ref.digest}, not {wanted}",
            hint="it is not what it was: restore it, or state its new digest if you trust it",
            where=where,
        )
    return ref


def find_local(source: str) -> str:
    """The path that a source names, "" for what is on the network."""
    if source.startswith("file://"):
        return os.path.expanduser(unquote(urlsplit(source).path))
    return "" if "://" in source else os.path.expanduser(source)


def _import_path(source: str, kind: str, store: ArtifactStore, project: Project, where: str) -> ArtifactRef:
    path = find_local(source)
    if not os.path.exists(path):
        raise NotFoundError(f"there is no {source}", hint=f"relative paths count from {os.getcwd()}", where=where)
    try:
        return paths.import_path(path, store, kind, scratch=_scratch(project))
    except DefinitionError as error:
        raise DefinitionError(error.message, hint=error.hint, where=where) from None


def _check_url(source: str, scheme: str, kind: str, where: str) -> None:
    if scheme not in _SCHEMES:
        raise UnsupportedError(
            f"fw.artifact cannot read {scheme}:// addresses: {source}",
            hint="give a path, http:// or https://; or read it in a step",
            where=where,
        )
    if urlsplit(source).password:
        raise DefinitionError(
            "an address with a password in it would be kept with the run",
            hint="download it in a step that takes the password as fw.secret(...)",
            where=where,
        )
    if kind == "fairway.Directory":
        raise DefinitionError(
            f"{source} is one file, and a folder is wanted", hint="unpack it in a step that returns fw.Directory", where=where
        )


def _fetch(source: str, store: ArtifactStore, project: Project, where: str) -> ArtifactRef:
    """What the address gives, hashed while it is written."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from fairway.step.serializers.hashed import HashedFile

    copy = os.path.join(_scratch(project), f".importing-{os.urandom(6).hex()}")
    request = Request(source, headers={"User-Agent": "fairway"})
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as response, HashedFile(copy) as target:
            while chunk := response.read(_CHUNK_BYTES):
                target.write(chunk)
            _check_whole(response.headers.get("Content-Length"), target.size_bytes)
        store.put(blob_key(target.digest), copy, move=True)  # type: ignore[arg-type]
    except HTTPError as error:
        raise NotFoundError(
            f"{source} cannot be had: {error.code} {error.reason}", hint="open it in a browser: does it exist?", where=where
        ) from None
    except (OSError, HTTPException) as error:
        reason: Any = getattr(error, "reason", error)
        raise StoreUnavailable(f"{source} cannot be fetched: {reason}", hint="is the network up? try again", where=where) from None
    finally:
        paths.remove(copy)
    return _file_ref(target.digest, target.size_bytes, source)


def _check_whole(stated: str | None, size_bytes: int) -> None:
    if stated is not None and stated.isdigit() and int(stated) != size_bytes:
        raise OSError(f"the connection ended after {size_bytes:,} of {int(stated):,} bytes")


def _file_ref(digest: str, size_bytes: int, source: str) -> ArtifactRef:
    name = os.path.basename(unquote(urlsplit(source).path)) or "artifact"
    return ArtifactRef(digest, size_bytes, "file", "fairway.File", "", None, {"name": name})


def _scratch(project: Project) -> str:
    folder = os.path.join(project.home, SCRATCH)
    os.makedirs(folder, exist_ok=True)
    return folder
