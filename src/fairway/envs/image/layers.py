"""Layers: tar files that depend on nothing but what is in them. Same files, same digest."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from fairway.spec.record import Record, record

TAR = "application/vnd.oci.image.layer.v1.tar"
TAR_GZIP = TAR + "+gzip"
_LEVEL = 3


@record
class Layer(Record):
    """One layer in a file of ours. `diff_id` is the digest of the tar, `digest` that of the file. `comment` goes into the history."""

    digest: str
    diff_id: str
    size_bytes: int
    path: str
    media_type: str = TAR_GZIP
    comment: str = ""

    def descriptor(self) -> dict[str, Any]:
        """As a manifest names it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


@record
class Entry(Record):
    """One file of a layer, at `path` (no leading slash). Its bytes are `data`, or those of the file `source`; or it links to `link`."""

    path: str
    data: bytes = b""
    source: str = ""
    executable: bool = False
    link: str = ""


class _Hashed(io.RawIOBase):
    """Counts and hashes what is written through it."""

    def __init__(self, to: BinaryIO) -> None:
        self._to, self.hash, self.size = to, hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        self.size += len(data)
        self._to.write(data)
        return len(data)


def write_layer(entries: Iterable[Entry], folder: Path, *, compress: bool, comment: str) -> Layer:
    """The entries as one layer, in a file of `folder` named by its digest.

    Owned by root, readable by all, as old as the epoch, sorted. Small layers are not compressed: zlib is not the same everywhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".layer-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        with partial.open("wb") as file:
            outer = _Hashed(file)
            if compress:
                with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=outer, mtime=0) as zipped:  # type: ignore[arg-type]
                    inner = _Hashed(zipped)  # type: ignore[arg-type]
                    _write_tar(entries, inner)
            else:
                inner = outer
                _write_tar(entries, inner)
        digest = f"sha256:{outer.hash.hexdigest()}"
        path = folder / outer.hash.hexdigest()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    kind = TAR_GZIP if compress else TAR
    return Layer(digest, f"sha256:{inner.hash.hexdigest()}", outer.size, str(path), kind, comment)


def _write_tar(entries: Iterable[Entry], to: io.RawIOBase) -> None:
    with tarfile.open(fileobj=to, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[arg-type]
        made: set[str] = set()
        for entry in sorted(entries, key=lambda each: each.path):
            parts = entry.path.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = "/".join(parts[:depth])
                if folder not in made:
                    made.add(folder)
                    tar.addfile(_info(folder, tarfile.DIRTYPE, 0o755))
            if entry.link:
                info = _info(entry.path, tarfile.SYMTYPE, 0o777)
                info.linkname = entry.link
                tar.addfile(info)
                continue
            info = _info(entry.path, tarfile.REGTYPE, 0o755 if entry.executable else 0o644)
            if entry.source:
                with Path(entry.source).open("rb") as file:
                    info.size = os.fstat(file.fileno()).st_size
                    tar.addfile(info, file)
            else:
                info.size = len(entry.data)
                tar.addfile(info, io.BytesIO(entry.data))


def _info(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, 0
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def folder_entries(folder: Path, at: str, *, leave_out: Iterable[str] = ("__pycache__",)) -> list[Entry]:
    """All files below `folder` as entries below `at`."""
    skipped = frozenset(leave_out)
    found: list[Entry] = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in skipped)
        for name in names:
            path = Path(here, name)
            inside = f"{at}/{path.relative_to(folder).as_posix()}"
            if path.is_symlink():
                found.append(Entry(inside, link=str(path.readlink())))
            elif path.is_file():
                found.append(Entry(inside, source=str(path), executable=os.access(path, os.X_OK)))
    return found
