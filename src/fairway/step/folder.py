"""Artifact and stream stores in a folder: the default on one machine, and for attempts that share a file system.

A blob is written to a file of its own under `.tmp`, then given its name in one step: a reader sees the whole blob or none, whoever is
killed when. What is acknowledged survives the end of every process; with `durability="power"` it also survives a power cut.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, BinaryIO

from fairway.errors import ConfigError, FairwayError, NotFoundError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fairway.spec.ports import BlobStat

_TMP = ".tmp"
_CHUNK_BYTES = 1 << 20
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL})
_NO_RANGE_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM, errno.EIO})


class FolderArtifactStore:
    """Blobs as read-only files `ROOT/KEY`. Any number of processes may use one folder at once; nothing is touched before the first call."""

    def __init__(self, root: Path | str, *, durability: str = "process") -> None:
        if durability not in ("process", "power"):
            raise ConfigError(f"unknown durability {durability!r}", hint='write "process" (the default) or "power"')
        self.root = os.path.abspath(os.fspath(root))
        self._synced = durability == "power"

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        """Store it whole or not at all; False if the key was there (its bytes stay as they were, its age starts anew).

        `move`: the file at `source` may be taken instead of copied. Raises StoreUnavailable (disk full, read-only, …), NotFoundError if
        there is no file at `source`.
        """
        path = self._path(key)
        try:
            if if_absent and self._refresh(path):
                if move and not isinstance(source, bytes):
                    os.unlink(source)
                return False
            temporary = self._prepare(source, move)
        except OSError as error:
            raise _explain(error, "store", key, path) from error
        try:
            stored = self._name(temporary, path, replace=not if_absent or key.startswith("sha256/"))
        except OSError as error:
            if error.errno == errno.EXDEV and not isinstance(source, bytes):
                return self._put_across(key, source, if_absent)
            if isinstance(source, bytes) or temporary != os.fspath(source):  # what was to be moved stays where it was
                _unlink(temporary)
            raise _explain(error, "store", key, path) from error
        if move and not isinstance(source, bytes) and temporary != os.fspath(source):
            _unlink(os.fspath(source))
        return stored

    def get(self, key: str) -> bytes:
        """The blob's bytes. Raises NotFoundError."""
        path = self._path(key)
        try:
            with open(path, "rb", buffering=0) as file:
                return file.read()
        except OSError as error:
            raise _explain(error, "read", key, path) from error

    def open(self, key: str) -> BinaryIO:
        """A file open for reading. Raises NotFoundError."""
        path = self._path(key)
        try:
            return open(path, "rb")
        except OSError as error:
            raise _explain(error, "read", key, path) from error

    def local_path(self, key: str) -> Path | None:
        """The blob's own file, to be read or mapped, never written; None if there is no such blob."""
        path = self._path(key)
        if not os.path.exists(path):
            return None
        from pathlib import Path

        return Path(path)

    def stat(self, key: str) -> BlobStat | None:
        """Size and the time of the last `put`, None if absent."""
        path = self._path(key)
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _explain(error, "read", key, path) from error
        from fairway.spec.ports import BlobStat

        return BlobStat(key, found.st_size, found.st_mtime)

    def list(self, prefix: str) -> Iterator[BlobStat]:
        """Blobs whose key begins with `prefix`, in the order of their keys' parts."""
        from fairway.spec.ports import BlobStat

        for name, entry in _walk(self.root, prefix):
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue
            yield BlobStat(name, found.st_size, found.st_mtime)

    def delete(self, key: str, *, unused_since: float = 0.0) -> bool:
        """Remove the blob; True if it is gone. With `unused_since` (epoch seconds) only if nobody has put it again since then."""
        path = self._path(key)
        try:
            if not unused_since:
                os.unlink(path)
                return True
            # Whoever puts it again refreshes its age first. Moved aside, it cannot be refreshed any more: what its age says now is final.
            aside = self._temporary()
            os.rename(path, aside)
            if os.stat(aside).st_mtime > unused_since:
                self._name(aside, path, replace=False)
                return False
            os.unlink(aside)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise _explain(error, "delete", key, path) from error
        return True

    def touch(self, key: str) -> bool:
        """Is the blob there? Then its age starts anew, as after a `put`. Raises StoreUnavailable."""
        path = self._path(key)
        try:
            return self._refresh(path)
        except OSError as error:
            raise _explain(error, "read", key, path) from error

    def create(self) -> tuple[int, str]:
        """A new file of its own among the store's unfinished ones (descriptor, path), to be filled and handed to `put(…, move=True)`.

        What is never handed over, `sweep` removes. Raises StoreUnavailable.
        """
        try:
            return self._create()
        except OSError as error:
            raise _explain(error, "write to", "the store", f"{self.root}/{_TMP}/new") from error

    def sweep(self, unused_since: float) -> int:
        """Remove what writers that were killed have left half-written before `unused_since`; returns the bytes freed."""
        freed = 0
        folder = f"{self.root}/{_TMP}"
        for entry in _scan(folder):
            try:
                found = entry.stat()
                if found.st_mtime < unused_since:
                    os.unlink(entry.path)
                    freed += found.st_size
            except FileNotFoundError:
                continue
        return freed

    def _path(self, key: str) -> str:
        return f"{self.root}/{_checked(key)}"

    def _refresh(self, path: str) -> bool:
        """Is it there? Then its age starts anew, so that nobody deletes as unused what somebody has just relied on."""
        try:
            os.utime(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return os.path.exists(path)
            raise
        return True

    def _temporary(self) -> str:
        folder = f"{self.root}/{_TMP}"
        if not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
        return f"{folder}/{os.urandom(10).hex()}"

    def _create(self) -> tuple[int, str]:
        path = self._temporary()
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444), path

    def _prepare(self, source: bytes | Path, move: bool) -> str:
        """A whole file, on this file system if it was written here, ready to be given its name."""
        if isinstance(source, bytes):
            return self._write(source)
        path = os.fspath(source)
        try:
            taken = move and _is_sole_name(path)
        except OSError as error:
            raise _explain(error, "read", path, path) from error
        if not taken:
            return self._copy(path)
        os.chmod(path, 0o444)
        os.utime(path)
        if self._synced:
            write_through(path)
        return path

    def _write(self, data: bytes) -> str:
        return self._filled(lambda file: _write_all(file, data))

    def _copy(self, source: str) -> str:
        try:
            reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _explain(error, "read", source, source) from error
        try:
            return self._filled(lambda file: _copy_all(reader, file))
        finally:
            os.close(reader)

    def _filled(self, fill: Callable[[int], None]) -> str:
        """A new file with what `fill` writes into it, or none."""
        file, path = self._create()
        try:
            fill(file)
            if self._synced:
                os.fsync(file)
        except BaseException:
            _unlink(path)
            raise
        finally:
            os.close(file)
        return path

    def _put_across(self, key: str, source: Path, if_absent: bool) -> bool:
        """A file to be moved lies on another file system: copy it, then remove it."""
        stored = self.put(key, source, if_absent=if_absent)
        _unlink(os.fspath(source))
        return stored

    def _name(self, temporary: str, path: str, *, replace: bool) -> bool:
        """Give the file its final name in one step; False (and the file is gone) if the name was taken and `replace` is False."""
        for attempt in (1, 2):
            try:
                if replace:
                    os.rename(temporary, path)
                else:
                    self._name_if_absent(temporary, path)
                break
            except FileExistsError:
                if replace:  # a folder stands in the way
                    raise
                _unlink(temporary)
                return False
            except FileNotFoundError:
                if attempt == 2:
                    raise
                os.makedirs(os.path.dirname(path), exist_ok=True)
        if self._synced:
            write_through(os.path.dirname(path))
        return True

    def _name_if_absent(self, temporary: str, path: str) -> None:
        try:
            os.link(temporary, path)
            os.unlink(temporary)
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        # This file system has no hard links: whoever holds the lock looks, then renames.
        import fcntl

        lock = os.open(f"{self.root}/{_TMP}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
            os.rename(temporary, path)
        finally:
            os.close(lock)


class FolderStreamStore:
    """Streams as files `ROOT/RUN/ATTEMPT/log`. Appends of one call are never mixed with those of another."""

    def __init__(self, root: Path | str) -> None:
        self.root = os.path.abspath(os.fspath(root))

    def append(self, stream: str, data: bytes) -> None:
        """Add `data` at the end, making the stream if need be. Raises StoreUnavailable."""
        path = f"{self.root}/{_checked(stream)}"
        try:
            try:
                file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                _write_all(file, data)
            finally:
                os.close(file)
        except OSError as error:
            raise _explain(error, "append to", stream, path) from error

    def read(self, stream: str, offset: int = 0, limit: int = 0) -> bytes:
        """Bytes from `offset`, at most `limit` (0 = to the end); b"" if the stream does not exist or ends before `offset`."""
        path = f"{self.root}/{_checked(stream)}"
        try:
            with open(path, "rb", buffering=0) as file:
                if offset:
                    file.seek(offset)
                return file.read(limit or -1) or b""
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except OSError as error:
            raise _explain(error, "read", stream, path) from error

    def size(self, stream: str) -> int:
        """Bytes so far, 0 if the stream does not exist."""
        try:
            return os.stat(f"{self.root}/{_checked(stream)}").st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def list(self, prefix: str) -> Iterator[str]:
        """Names of streams that begin with `prefix`, in the order of their parts."""
        return (name for name, _ in _walk(self.root, prefix))

    def delete(self, prefix: str) -> None:
        """Remove the stream of that name, or all streams below it ("RUN", "RUN/ATTEMPT"). Absent = success."""
        path = f"{self.root}/{_checked(prefix.rstrip('/'))}"
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            if not os.path.isdir(path):
                raise _explain(error, "delete", prefix, path) from error
            import shutil

            shutil.rmtree(path, ignore_errors=True)


def _checked(key: str) -> str:
    if not key or "\0" in key or any(part in ("", ".", "..") for part in key.split("/")):
        raise ConfigError(f"not a key of a store: {key!r}", hint='a key is names joined by "/", such as "sha256/ab/cdef"')
    return key


def _is_sole_name(path: str) -> bool:
    """A plain file that has no other name through which somebody could still change it."""
    import stat

    found = os.lstat(path)
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1


def _write_all(file: int, data: bytes) -> None:
    written = os.write(file, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(file, rest) :]


def _copy_all(reader: int, writer: int) -> None:
    """Copy by reference where the file system can, in the kernel where it cannot, by hand where neither works."""
    if hasattr(os, "copy_file_range"):
        try:
            while os.copy_file_range(reader, writer, 1 << 30):
                pass
        except OSError as error:
            if error.errno not in _NO_RANGE_COPY:
                raise
        # Some file systems (/proc, FUSE) say 0 though there is more: what follows reads on from where this stopped.
    while chunk := os.read(reader, _CHUNK_BYTES):
        _write_all(writer, chunk)


def write_through(path: str) -> None:
    """Have the disk keep a file or a folder, whatever happens to the power. Raises OSError."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _explain(error, "read", folder, folder) from error


def _walk(root: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(key, entry) of each file whose key begins with `prefix`."""
    above, _, _ = prefix.rpartition("/")
    pending = [(f"{above}/" if above else "", entry) for entry in reversed(_scan(f"{root}/{above}" if above else root))]
    while pending:
        before, entry = pending.pop()
        name = before + entry.name
        if name == _TMP:
            continue
        if entry.is_dir(follow_symlinks=False):
            inner = f"{name}/"
            if inner.startswith(prefix) or prefix.startswith(inner):
                pending.extend((inner, child) for child in reversed(_scan(entry.path)))
        elif name.startswith(prefix):
            yield name, entry


def _explain(error: OSError, verb: str, key: str, path: str) -> FairwayError:
    """What went wrong in a store's folder, in words, with the way out."""
    code = error.errno
    if code == errno.ENOENT and verb == "read":
        return NotFoundError(f"there is no {key!r} in the store", hint=f"looked for {path}; was it deleted by hand or by `fairway gc`?")
    place = os.path.dirname(path)
    if code in (errno.ENOSPC, errno.EDQUOT):
        what = "the disk is full" if code == errno.ENOSPC else "your disk quota is used up"
        return StoreUnavailable(
            f"cannot {verb} {key!r}: {what}", hint=f"free some space near {place}, try `fairway gc`, or set FAIRWAY_HOME to a bigger disk"
        )
    if code == errno.EFBIG:
        return StoreUnavailable(f"cannot {verb} {key!r}: the file would be larger than this process may write", hint="look at `ulimit -f`")
    if code == errno.EROFS:
        return StoreUnavailable(
            f"cannot {verb} {key!r}: the file system is read-only", hint=f"make {place} writable or set FAIRWAY_HOME to a folder that is"
        )
    if code in (errno.EACCES, errno.EPERM):
        return StoreUnavailable(
            f"cannot {verb} {key!r}: permission denied",
            hint=f"who owns {place}? set FAIRWAY_HOME to a folder of your own, or mend its rights",
        )
    if code == errno.ENAMETOOLONG:
        return StoreUnavailable(
            f"cannot {verb} {key!r}: the name is too long for this file system", hint="use a shorter FAIRWAY_HOME or a shorter name"
        )
    return StoreUnavailable(f"cannot {verb} {key!r}: {error.strerror or error}", hint=f"the store's folder is {place}")
