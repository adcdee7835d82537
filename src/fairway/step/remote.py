"""A server's artifact store as an attempt sees it: read and written by digest through signed addresses, with a folder as its cache.

What is read stays in the folder, checked against its digest, so it is fetched once however many attempts of this machine want it; what is
written is in the folder first. Addresses come from the control channel, a batch at a time; they may lead to the server's blob process or,
presigned, to an object store.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin

from fairway.errors import FairwayError, NotFoundError, UnsupportedError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.record import from_plain
from fairway.step.bundles import bundle_key
from fairway.step.control import Control
from fairway.step.folder import FolderArtifactStore

if TYPE_CHECKING:
    from pathlib import Path

    from fairway.spec.ports import BlobStat

_MANIFESTS = frozenset({"list", "tree", "dir", "model"})
_DIGESTED = "sha256/"
_BATCH = 500
_AT_ONCE = 4


class RemoteArtifactStore:
    """`get`, `open` and `local_path` fetch what the folder lacks; `put` keeps it in the folder and uploads it.

    Only blobs named by their digest travel; other keys (outcomes) stay in the folder, the control channel takes those. Raises
    NotFoundError, StoreUnavailable, and InfraError when the server cannot be reached for as long as the link is patient.
    """

    def __init__(self, cache_folder: Path | str, control: Control, blobs_url: str) -> None:
        self.cache = FolderArtifactStore(cache_folder)
        self.root = self.cache.root
        self._control, self._blobs_url = control, blobs_url
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def scoped(self, control: Control) -> RemoteArtifactStore:
        """The same folder and server, asked in the name of another attempt."""
        other = RemoteArtifactStore(self.root, control, self._blobs_url)
        other._locks, other._lock = self._locks, self._lock
        return other

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        """Keep it here and on the server; False if it was here."""
        stored = self.cache.put(key, source, if_absent=if_absent, move=move)
        if key.startswith(_DIGESTED):
            self.upload([key])
        return stored

    def get(self, key: str) -> bytes:
        """Raises NotFoundError."""
        self._ensure(key)
        return self.cache.get(key)

    def open(self, key: str) -> BinaryIO:
        """Raises NotFoundError."""
        self._ensure(key)
        return self.cache.open(key)

    def local_path(self, key: str) -> Path | None:
        """The file in the folder, fetched if need be; None if nobody has it."""
        try:
            self._ensure(key)
        except NotFoundError:
            return None
        return self.cache.local_path(key)

    def stat(self, key: str) -> BlobStat | None:
        """Of what is in the folder, or on the server; None if it is nowhere."""
        found = self.cache.stat(key)
        if found is not None or not key.startswith(_DIGESTED):
            return found
        return self._stat_there(key)

    def list(self, prefix: str) -> Iterator[BlobStat]:
        """What is in the folder: an attempt does not get to know what else there is."""
        return self.cache.list(prefix)

    def delete(self, key: str, *, unused_since: float = 0.0) -> bool:
        """Never: only the server knows what is still needed."""
        raise UnsupportedError(f"an attempt cannot delete {key!r} from the server's store", hint="`fairway gc` does, where it is safe")

    def read_bundle(self, digest: str) -> bytes:
        """A bundle's archive, not kept. Raises NotFoundError; what it holds is to be checked by who unpacks it."""
        path = self._download(bundle_key(digest), "", "")
        try:
            with open(path, "rb") as file:
                return file.read()
        finally:
            os.unlink(path)

    def trim(self, keep_bytes: int) -> None:
        """Remove from the folder what was used least lately, until no more than `keep_bytes` are left. Only while nothing uses it."""
        blobs = sorted(self.cache.list(_DIGESTED), key=lambda blob: blob.modified_at)
        excess = sum(blob.size_bytes for blob in blobs) - keep_bytes
        for blob in blobs:
            if excess <= 0:
                return
            self.cache.delete(blob.key)
            excess -= blob.size_bytes

    def fetch(self, keys: Iterable[str]) -> None:
        """Bring blobs into the folder, several at a time. What is nowhere is left out: whoever wants to read it says so."""
        missing = [key for key in dict.fromkeys(keys) if not self.cache.touch(key)]
        for batch in _batches(missing):
            urls, _ = self._control.sign(get=batch)
            _in_parallel([partial(self._fetch_known, key, urls.get(key)) for key in batch])

    def fetch_inputs(self, refs: Iterable[ArtifactRef]) -> None:
        """Bring all that these artifacts are made of into the folder: manifests first, then what they name."""
        waiting = list(refs)
        while waiting:
            self.fetch(blob_key(ref.digest) for ref in waiting if ref.inline is None)
            waiting = [inner for ref in waiting for inner in self._inside(ref)]

    def upload(self, keys: Iterable[str]) -> None:
        """Bring blobs of the folder to the server, as far as it lacks them. It is asked each time: what it had, it may have deleted."""
        for batch in _batches(list(dict.fromkeys(keys))):
            sizes = [(key, found.size_bytes) for key in batch if (found := self.cache.stat(key)) is not None]
            _, urls = self._control.sign(put=sizes)
            _in_parallel([partial(self._upload, key, size, urls[key]) for key, size in sizes if urls.get(key)])

    def upload_outputs(self, refs: Iterable[ArtifactRef], graphs: Iterable[str] = ()) -> None:
        """Bring all that these artifacts, and graphs that dynamic tasks made, are made of to the server."""
        waiting, keys = list(refs), []
        for digest in graphs:
            keys.append(blob_key(digest))
            waiting += _refs_within(json.loads(self.cache.get(blob_key(digest))))
        while waiting:
            keys += [blob_key(ref.digest) for ref in waiting if self.cache.stat(blob_key(ref.digest)) is not None]
            waiting = [inner for ref in waiting for inner in self._inside(ref)]
        self.upload(keys)

    def _inside(self, ref: ArtifactRef) -> list[ArtifactRef]:
        """What a manifest that is in the folder names."""
        if ref.format not in _MANIFESTS and not ref.meta.get("folder"):
            return []
        try:
            manifest = json.loads(self.cache.get(blob_key(ref.digest)))
        except NotFoundError:
            return []
        files = [ArtifactRef(file["digest"], file.get("size_bytes", 0), "file") for file in manifest.get("files", ())]
        return files + [from_plain(ArtifactRef, item) for item in manifest.get("items", ())]

    def _ensure(self, key: str) -> None:
        if key.startswith(_DIGESTED) and self.cache.stat(key) is None:
            self._fetch(key, "")

    def _fetch_known(self, key: str, url: str | None) -> None:
        try:
            self._fetch(key, url or "")
        except NotFoundError:
            return

    def _fetch(self, key: str, url: str) -> None:
        with self._lock:
            mine = self._locks.setdefault(key, threading.Lock())
        with mine:
            if self.cache.stat(key) is not None:
                return
            from pathlib import Path

            self.cache.put(key, Path(self._download(key, url, key.removeprefix(_DIGESTED).replace("/", ""))), move=True)

    def _download(self, key: str, url: str, digest: str) -> str:
        """The path of a new file with the blob's bytes."""
        known = [url] if url else []
        descriptor, path = self.cache.create()
        try:
            with os.fdopen(descriptor, "w+b") as file:
                self._control.link.download(
                    lambda: self._absolute(known.pop() if known else self._sign_get(key)), file, digest=digest, doing=f"fetching {key}"
                )
        except BaseException:
            os.unlink(path)
            raise
        return path

    def _upload(self, key: str, size: int, url: str | None) -> None:
        known = [url] if url else []

        def find_url() -> str:
            return self._absolute(known.pop() or "" if known else self._control.sign(put=[(key, size)])[1][key] or "")

        with self.cache.open(key) as file:
            self._control.link.upload(find_url, file, doing=f"storing {key}")

    def _stat_there(self, key: str) -> BlobStat | None:
        from fairway.spec.ports import BlobStat

        try:
            answer = self._control.link.call(
                "GET", self._absolute(self._sign_get(key)), headers={"Range": "bytes=0-0"}, fine=(200, 206, 416)
            )
        except NotFoundError:
            return None
        total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        return BlobStat(key, int(total) if total.isdigit() else len(answer.body), 0.0)

    def _sign_get(self, key: str) -> str:
        found = self._control.sign(get=[key])[0].get(key)
        if not found:
            raise NotFoundError(f"there is no {key!r} in the store")
        return found

    def _absolute(self, url: str) -> str:
        return urljoin(self._blobs_url, url)


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]


def _refs_within(plain: Any) -> list[ArtifactRef]:
    """Every artifact that is named anywhere in a graph's plain form."""
    if isinstance(plain, list):
        return [ref for item in plain for ref in _refs_within(item)]
    if not isinstance(plain, dict):
        return []
    if "digest" in plain and "format" in plain:
        return [from_plain(ArtifactRef, plain)]
    return [ref for item in plain.values() for ref in _refs_within(item)]


def _in_parallel(works: Sequence[Callable[[], None]]) -> None:
    """Do all of them, several at a time. Raises the first error once nothing is in progress any more."""
    if len(works) == 1:
        works[0]()
        return
    waiting, failed = list(reversed(works)), list[BaseException]()

    def work() -> None:
        while not failed:
            try:
                mine = waiting.pop()
            except IndexError:
                return
            try:
                mine()
            except BaseException as error:  # noqa: BLE001 - it is raised where the work was ordered
                failed.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_AT_ONCE, len(works)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def describe(error: FairwayError) -> str:
    """An error and its way out in one line, for a pod's own log."""
    return f"fairway: {error.message}" + (f" ({error.hint})" if error.hint else "")
