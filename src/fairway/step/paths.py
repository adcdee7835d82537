"""Files and folders to artifacts and back: by content, with their names.

An input is a symbolic link to the store's own read-only file where the store has one, under the name the file had when it was stored:
nothing is copied, and programs that look at a name's ending see the right one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError, NotFoundError, StoreUnavailable
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.step.serializers.hashed import HashedFile, hash_file
from fairway.step.types import Directory, File

if TYPE_CHECKING:
    from fairway.spec.ports import ArtifactStore

_CHUNK_BYTES = 4 << 20


def import_path(path: str, store: ArtifactStore, type_name: str, *, scratch: str | None, name: str = "") -> ArtifactRef:
    """The artifact of what lies at `path`; the original stays where it is."""
    kind = _kind(path, type_name)
    if scratch is None:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="fairway-") as folder:
            return import_path(path, store, type_name, scratch=folder, name=name)
    try:
        if kind == "dir":
            return store_folder(path, store, scratch, form="dir", kind="fairway.Directory", name=name, meta={})
        digest, size = _import_file(path, store, scratch)
    except OSError as error:
        raise StoreUnavailable(f"cannot store {path}: {error.strerror or error}", hint="can you read it, and is there room?") from error
    return ArtifactRef(digest, size, "file", "fairway.File", name, None, {"name": os.path.basename(os.path.abspath(path))})


def store_output(value: File | Directory, store: ArtifactStore, scratch: str, name: str) -> ArtifactRef:
    """What a step has returned as a path. A file of the step's own (under `scratch`) is moved into the store, any other is copied."""
    wanted = value.fairway_type
    if not os.path.lexists(value):
        raise NotFoundError(
            f"the step returned fw.{wanted.partition('.')[2]}({str(value)!r}), and there is no such path",
            hint="write it before returning it",
        )
    own = os.path.realpath(value).startswith(os.path.realpath(scratch) + os.sep) and not os.path.islink(value)
    if not own or _kind(value, wanted) == "dir":
        return import_path(value, store, wanted, scratch=scratch, name=name)
    digest, size = hash_file(value), os.stat(value).st_size
    store.put(blob_key(digest), value, move=os.stat(value).st_nlink == 1)  # type: ignore[arg-type]
    return ArtifactRef(digest, size, "file", "fairway.File", name, None, {"name": value.name})


def store_folder(path: Any, store: ArtifactStore, scratch: str, *, form: str, kind: str, name: str, meta: dict[str, Any]) -> ArtifactRef:
    """A folder as a manifest of its files. Links are followed; empty folders are kept."""
    files: list[dict[str, Any]] = []
    empty: list[str] = []
    _list_folder(os.fspath(path), "", store, scratch, files, empty, frozenset())
    manifest: dict[str, Any] = {"files": sorted(files, key=lambda f: f["path"])}
    if empty:
        manifest["folders"] = sorted(empty)
    text = json.dumps(manifest, separators=(",", ":")).encode()
    digest = hashlib.sha256(text).hexdigest()
    store.put(blob_key(digest), text)
    size = sum(f["size_bytes"] for f in files)
    own_name = {"name": os.path.basename(os.path.abspath(path))} if form == "dir" else {}
    return ArtifactRef(digest, size, form, kind, name, None, {**own_name, "files": len(files), **meta})


def _list_folder(
    path: str, prefix: str, store: ArtifactStore, scratch: str, files: list[dict[str, Any]], empty: list[str], above: frozenset[str]
) -> None:
    real = os.path.realpath(path)
    if real in above:
        raise DefinitionError(f"the folder {path} links to itself", hint="remove the link, or store the folder it points to")
    with os.scandir(path) as entries:
        found = list(entries)
    if not found and prefix:
        empty.append(prefix)
    for entry in found:
        inner = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.is_dir():
            _list_folder(entry.path, inner, store, scratch, files, empty, above | {real})
        elif entry.is_file():
            digest, size = _import_file(entry.path, store, scratch)
            mode = 0o755 if entry.stat().st_mode & stat.S_IXUSR else 0o644
            files.append({"path": inner, "digest": digest, "size_bytes": size, "mode": mode})
        else:
            raise DefinitionError(
                f"{entry.path} is neither a file nor a folder (a broken link, socket or pipe?)", hint="remove it from the folder"
            )


def _import_file(path: str, store: ArtifactStore, scratch: str) -> tuple[str, int]:
    """(digest, size). Bytes that the store has already are read once and not written; others are hashed while they are copied."""
    digest = hash_file(path)
    if store.stat(blob_key(digest)) is not None:
        store.put(blob_key(digest), path)  # type: ignore[arg-type] # tells the store that it is relied on
        return digest, os.stat(path).st_size
    os.makedirs(scratch, exist_ok=True)
    copy = os.path.join(scratch, f".importing-{os.urandom(6).hex()}")
    with open(path, "rb", buffering=0) as source, HashedFile(copy) as target:
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while count := source.readinto(buffer):
            target.write(buffer[:count])
    store.put(blob_key(target.digest), copy, move=True)  # type: ignore[arg-type]
    return target.digest, target.size_bytes


def _kind(path: str, type_name: str) -> str:
    if not os.path.exists(path):
        raise NotFoundError(f"there is no {path}", hint=f"looked for {os.path.abspath(path)}")
    kind = "dir" if os.path.isdir(path) else "file"
    if type_name in ("fairway.File", "file") and kind == "dir":
        raise DefinitionError(f"{path} is a folder, and a file is wanted", hint="name a file in it, or annotate with fw.Directory")
    if type_name in ("fairway.Directory", "dir") and kind == "file":
        raise DefinitionError(f"{path} is a file, and a folder is wanted", hint="name its folder, or annotate with fw.File")
    return kind


def local_path(ref: ArtifactRef, store: ArtifactStore, scratch: str) -> str:
    """A file with the blob's bytes: the store's own, or a copy under `scratch`. Raises NotFoundError."""
    return _blob_path(ref.digest, store, scratch)


def _blob_path(digest: str, store: ArtifactStore, scratch: str) -> str:
    found = store.local_path(blob_key(digest))
    if found is not None:
        return os.fspath(found)
    path = os.path.join(scratch, ".blobs", digest)
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{os.urandom(4).hex()}"
        with store.open(blob_key(digest)) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        os.chmod(part, 0o444)
        os.rename(part, path)
    return path


def open_file(ref: ArtifactRef, store: ArtifactStore, scratch: str) -> File:
    """The artifact's bytes as a file under its own name."""
    from fairway.step import serializers

    if ref.format == "json":
        name = f"{ref.name or 'value'}.json"
    else:
        reader = serializers.find_for_format(ref.format) if ref.format not in ("file", "list", "tree") else None
        name = ref.meta.get("name") or f"{ref.name or 'value'}{reader.suffix if reader else ''}"
    path = os.path.join(scratch, ".inputs", ref.digest[:16], os.path.basename(name))
    if not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = f"{path}.{os.urandom(4).hex()}"
        if ref.inline is not None:
            with open(part, "w", encoding="utf-8") as file:
                file.write(ref.inline)
        else:
            os.symlink(_blob_path(ref.digest, store, scratch), part)
        os.rename(part, path)
    return File(path)


def open_folder(ref: ArtifactRef, store: ArtifactStore, scratch: str) -> Directory:
    """The artifact as a folder under its own name; its files are links into the store (programs are copies, so that they can be run).

    Of several processes that open it in one `scratch` one makes it, and the others wait: a link of each of many files takes its time.
    """
    path = os.path.join(scratch, ".inputs", ref.digest[:16], os.path.basename(ref.meta.get("name") or ref.name or "folder"))
    if not os.path.isdir(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{os.path.dirname(path)}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.isdir(path):
                _make_folder(path, ref, store, scratch)
    return _as_folder(path)


def _make_folder(path: str, ref: ArtifactRef, store: ArtifactStore, scratch: str) -> None:
    """Whole or not at all."""
    manifest = json.loads(store.get(blob_key(ref.digest)))
    part = f"{path}.{os.urandom(4).hex()}"
    os.makedirs(part)
    for name in manifest.get("folders", ()):
        os.makedirs(_inside(part, name), exist_ok=True)
    made: set[str] = set()
    for file in manifest["files"]:
        target = _inside(part, file["path"])
        folder = os.path.dirname(target)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        source = _blob_path(file["digest"], store, scratch)
        if file.get("mode", 0) & stat.S_IXUSR:
            shutil.copyfile(source, target)
            os.chmod(target, 0o755)
        else:
            os.symlink(source, target)
    os.rename(part, path)


def _as_folder(path: str) -> Directory:
    """Captured traffic knows how to read itself."""
    if os.path.exists(f"{path}/fairway-traffic.json"):
        from fairway.step.traffic import Traffic

        return Traffic(path)
    return Directory(path)


def _inside(folder: str, name: str) -> str:
    """A manifest's path within `folder`. Raises DefinitionError for one that would lead out of it."""
    if name.startswith("/") or ".." in name.split("/"):
        raise DefinitionError(
            f"a stored folder names a file outside itself: {name!r}", hint="do not use this artifact: somebody has tampered with it"
        )
    return os.path.join(folder, name)


def remove(path: Any) -> None:
    """Whatever is at `path`, if anything."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)
