"""Bundles on their way: a folder of the user's code as one blob, and back. What arrives is checked against the bundle's own name.

A bundle is named by the SHA-256 of its listing (a line "PATH\\0SHA-256 of the content" for each file, sorted by path), so nobody has to be
trusted for what it holds. The archive itself is a compressed tar; two archives of one bundle may differ and hold the same.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import zlib

from fairway.errors import NotFoundError, StoreUnavailable
from fairway.spec.layout import BUNDLES
from fairway.step.wholefolder import place_whole, write_file

_COMPILED = "__pycache__"


def bundle_key(digest: str) -> str:
    """The artifact store's key of a bundle's archive."""
    return f"bundle/{digest}"


def pack_bundle(digest: str, home: str) -> bytes:
    """The archive of a bundle that is unpacked below `home`. Raises NotFoundError."""
    root = f"{home}/{BUNDLES}/{digest}"
    if not os.path.isdir(root):
        raise NotFoundError(f"the bundle {digest[:12]} is not below {home}", hint="run the pipeline again, so that it is made anew")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(_files(root)):
            full = f"{root}/{path}"
            entry = tarfile.TarInfo(path)
            found = os.stat(full)
            entry.size, entry.mode = found.st_size, 0o755 if found.st_mode & stat.S_IXUSR else 0o644
            with open(full, "rb") as file:
                archive.addfile(entry, file)
    return zlib.compress(out.getvalue(), 6)


def unpack_bundle(data: bytes, digest: str, home: str) -> str:
    """The folder below `home` with the bundle's files, made whole or not at all; nothing is done if it is there.

    Raises StoreUnavailable if the archive is damaged or is not this bundle.
    """
    target = f"{home}/{BUNDLES}/{digest}"
    if os.path.isdir(target):
        return target
    files = _read(data, digest)
    listing = "".join(f"{path}\0{hashlib.sha256(content).hexdigest()}\n" for path, content, _ in sorted(files))
    if hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest() != digest:
        raise StoreUnavailable(f"what arrived is not the bundle {digest[:12]}", hint="somebody changed it on its way or in the store")

    def fill(folder: str) -> None:
        for path, content, mode in files:
            write_file(f"{folder}/{path}", content)
            os.chmod(f"{folder}/{path}", mode)

    return place_whole(target, "bundle", fill)


def _read(data: bytes, digest: str) -> list[tuple[str, bytes, int]]:
    files: list[tuple[str, bytes, int]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(zlib.decompress(data)), mode="r:") as archive:
            for entry in archive:
                path, content = entry.name, archive.extractfile(entry) if entry.isreg() else None
                if content is None or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
                    raise StoreUnavailable(f"the bundle {digest[:12]} names {path!r}, which is no file of a bundle", hint="do not use it")
                files.append((path, content.read(), 0o755 if entry.mode & stat.S_IXUSR else 0o644))
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise StoreUnavailable(f"the bundle {digest[:12]} arrived damaged: {error}", hint="it is fetched again at the next try") from error
    return files


def _files(root: str) -> list[str]:
    found: list[str] = []
    for here, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != _COMPILED]
        inside = os.path.relpath(here, root)
        found += [name if inside == "." else f"{inside}/{name}" for name in names]
    return found
