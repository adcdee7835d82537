"""A checkpoint read back, if it is whole: every byte is checked against the manifest before anything is made of it."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import from_plain
from fairway.step import artifacts, plainjson
from fairway.step.folder import FolderArtifactStore
from fairway.step.saved import Held, Manifest
from fairway.step.serializers.tensorfile import parse_header
from fairway.train.checkpoints.tensors import rebuild
from fairway.train.checkpoints.writing import BLOBS, TREE, prefix_of

_MAPPED_BYTES = 1 << 20
_THREADS = 4


class Damaged(Exception):
    """A checkpoint that must not be used, and why."""


def read_part(path: str, manifest: Manifest, scratch: str, *, trust: bool = False) -> Any:
    """The state that one manifest of the folder `path` tells of. Tensors of NumPy and PyTorch lie in private maps of the files: what is
    written to them stays in memory. Raises Damaged."""
    prefix = prefix_of(manifest)
    with ThreadPoolExecutor(_THREADS) as pool:
        opened = list(pool.map(lambda name: _open_checked(f"{path}/{name}", name, manifest.files[name]), manifest.files))
    memory = dict(zip(manifest.files, opened, strict=True))
    if f"{prefix}{TREE}" not in memory:
        raise Damaged("its manifest names no structure")
    first, _, shape = bytes(memory[f"{prefix}{TREE}"]).partition(b"\n")
    entries: list[dict[str, Any]] = json.loads(first)["values"]
    headers = {name: _read_header(held) for name, held in memory.items() if name.endswith(".safetensors")}
    store = FolderArtifactStore(f"{path}/{prefix}{BLOBS}")
    made: dict[int, Any] = {}

    def resolve(number: int) -> Any:
        if number not in made:
            made[number] = _make(entries[number])
        return made[number]

    def _make(entry: dict[str, Any]) -> Any:
        if "torch" in entry:
            return _make_word(*entry["torch"])
        if "artifact" in entry:
            try:
                return artifacts.load(from_plain(ArtifactRef, entry["artifact"]), store, scratch, trust=trust)
            except NotFoundError as error:
                raise Damaged(error.message) from error
        name = f"{prefix}{entry['file']}"
        start, header = headers[name]
        begin, end = header[entry["tensor"]]["data_offsets"]
        return rebuild(entry, memory[name], start + begin, end - begin)

    return plainjson.parse_with(shape, resolve)


def _open_checked(path: str, name: str, held: Held) -> Any:
    """The file's bytes, in memory that may be written to. Raises Damaged."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != held.size_bytes:
                raise Damaged(f"{name} has {size:,} bytes instead of {held.size_bytes:,}")
            if size < _MAPPED_BYTES:
                found: Any = bytearray(size)
                file.readinto(found)
            else:
                found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise Damaged(f"{name} is missing") from None
    except OSError as error:
        raise Damaged(f"{name} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(found).hexdigest() != held.sha256:
        raise Damaged(f"the digest of {name} is not the one in its manifest")
    return found


def _read_header(memory: Any) -> tuple[int, dict[str, Any]]:
    """(where the data begins, what lies where) of a safetensors file."""
    view = memoryview(memory)
    header = parse_header(bytes(view[:8]), lambda length: view[8 : 8 + length])
    return 8 + int.from_bytes(view[:8], "little"), header


def _make_word(kind: str, value: Any) -> Any:
    import torch

    if kind == "size":
        return torch.Size(value)
    return getattr(torch, value) if kind == "dtype" else torch.device(value)
