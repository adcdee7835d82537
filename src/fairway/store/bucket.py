"""Artifacts in an object store (S3, Google Cloud Storage, Azure Blob Storage), by the library obstore.

Only what is named by its content lies there. Outcomes must be written by the first one only, and are read by the thousand: they stay in a
folder beside the journal, on whose machine one server reads and writes both.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from fairway.errors import ConfigError, FairwayError, NotFoundError, StoreUnavailable
from fairway.spec.ports import BlobStat
from fairway.step.folder import FolderArtifactStore

SCHEMES = ("s3", "gs", "az")
PUT_LIMIT_BYTES = 5_000_000_000
"""What S3 takes in one request; a worker has no more than one, as its address is signed for one."""
_BY_CONTENT = ("sha256/", "bundle/")
_REFRESH_S = 1800.0  # half of the grace that garbage collection gives
_INSTALL = "pip install 'fairway[buckets]'"


class BucketArtifactStore:
    """Blobs as objects `URL/KEY`; whatever is not named by its content in the folder `rest`.

    `options` go to obstore ("endpoint", "region", …); credentials come from the environment, as the provider's own tools take them.
    One process at a time may delete: it knows who has asked for a blob since, and so relies on it.
    """

    def __init__(self, url: str, rest: str | Path, *, options: Mapping[str, Any] | None = None) -> None:
        scheme, _, place = url.partition("://")
        if scheme not in SCHEMES or not place:
            raise ConfigError(
                f"not an object store: {url!r}", hint='write "s3://BUCKET/PREFIX", "gs://BUCKET/PREFIX" or "az://CONTAINER/PREFIX"'
            )
        self.url = url.rstrip("/")
        self._rest = FolderArtifactStore(rest)
        self._options = dict(options or {})
        self._opened: Any = None
        self._opened_at = time.time()
        self._asked: dict[str, float] = {}

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        """See the port. Files over 8 MiB travel in parts. Raises StoreUnavailable, NotFoundError for a file that is not there."""
        if not key.startswith(_BY_CONTENT):
            return self._rest.put(key, source, if_absent=if_absent, move=move)
        if not isinstance(source, bytes) and not source.exists():
            raise NotFoundError(f"there is no file {source} to store")
        there = self.stat(key)
        fresh = there is not None and time.time() - there.modified_at < _REFRESH_S
        if not (if_absent and fresh):
            self._call("store", key, lambda obs, store: obs.put(store, key, source))
        if move and not isinstance(source, bytes):
            source.unlink()
        return there is None or not if_absent

    def get(self, key: str) -> bytes:
        """Raises NotFoundError, StoreUnavailable."""
        if not key.startswith(_BY_CONTENT):
            return self._rest.get(key)
        return self._call("read", key, lambda obs, store: bytes(obs.get(store, key).bytes()))

    def open(self, key: str) -> BinaryIO:
        """A reader that fetches as it is read."""
        if not key.startswith(_BY_CONTENT):
            return self._rest.open(key)
        reader = self._call("read", key, lambda obs, store: obs.open_reader(store, key))
        return io.BufferedReader(_Raw(reader), 1 << 20)

    def local_path(self, key: str) -> Path | None:
        """Only for what lies in the folder."""
        return None if key.startswith(_BY_CONTENT) else self._rest.local_path(key)

    def stat(self, key: str) -> BlobStat | None:
        """Whoever asks may rely on the answer: the blob is not deleted as unused for a while."""
        if not key.startswith(_BY_CONTENT):
            return self._rest.stat(key)
        self._asked[key] = time.time()
        try:
            found = self._call("read", key, lambda obs, store: obs.head(store, key))
        except NotFoundError:
            return None
        return BlobStat(key, found["size"], found["last_modified"].timestamp())

    def list(self, prefix: str) -> Iterator[BlobStat]:
        """Both places. The bucket is asked for whole folders, and what does not begin with `prefix` is left out."""
        yield from self._rest.list(prefix)
        if not any(begin.startswith(prefix) or prefix.startswith(begin) for begin in _BY_CONTENT):
            return
        folder = prefix.rpartition("/")[0]
        pages = self._call("list", prefix, lambda obs, store: list(obs.list(store, folder or None)))
        found = sorted((item["path"], item) for page in pages for item in page)
        yield from (BlobStat(path, item["size"], item["last_modified"].timestamp()) for path, item in found if path.startswith(prefix))

    def delete(self, key: str, *, unused_since: float = 0.0) -> bool:
        """See the port. What somebody has asked for since, or may have asked for before this process began, counts as used."""
        if not key.startswith(_BY_CONTENT):
            return self._rest.delete(key, unused_since=unused_since)
        if unused_since:
            asked = self._asked.get(key, 0.0)
            there = self.stat(key)
            self._asked[key] = asked
            if there is not None and max(asked, self._opened_at, there.modified_at) > unused_since:
                return False
        try:
            self._call("delete", key, lambda obs, store: obs.delete(store, key))
        except NotFoundError:
            return True
        return True

    def sign(self, method: str, key: str, *, valid_s: float = 900.0) -> str:
        """A URL by which whoever holds it may GET or PUT this one blob for `valid_s` seconds, without any credential."""
        return self._call("sign", key, lambda obs, store: obs.sign(store, method, key, timedelta(seconds=valid_s)))

    def _call(self, verb: str, key: str, act: Any) -> Any:
        """Do it, with the library's errors as ours."""
        try:
            import obstore
        except ImportError:
            raise ConfigError(f"the store {self.url} needs a library that is not installed", hint=_INSTALL) from None
        try:
            if self._opened is None:
                self._opened = obstore.store.from_url(self.url, **self._settings())
            return act(obstore, self._opened)
        except FairwayError:
            raise
        except FileNotFoundError as error:
            raise NotFoundError(f"the store {self.url} has no {key}") from error
        except Exception as error:
            first = str(error).partition("\n")[0][:300]
            raise StoreUnavailable(
                f"cannot {verb} {key} in {self.url}: {first}", hint="is the bucket there, are the credentials in the environment right?"
            ) from error

    def _settings(self) -> dict[str, Any]:
        endpoint = str(self._options.get("endpoint", "")) or os.environ.get("AWS_ENDPOINT_URL", "") or os.environ.get("AWS_ENDPOINT", "")
        client = {"allow_http": True} if endpoint.startswith("http://") else {}
        return {**self._options, **({"client_options": client} if client else {})}


class BucketSigner:
    """The addresses that workers get: presigned by the store's provider, so that no pod holds a credential."""

    def __init__(self, store: BucketArtifactStore, *, valid_s: float = 900.0) -> None:
        self._store, self._valid_s = store, valid_s

    def sign(self, method: str, key: str, size: int = -1) -> str:
        """An absolute URL. Raises ConfigError for more than one request may carry."""
        if method == "PUT" and size > PUT_LIMIT_BYTES:
            raise ConfigError(
                f"an artifact of {size / 1e9:.1f} GB cannot be sent to {self._store.url}: a request carries {PUT_LIMIT_BYTES // 10**9} GB",
                hint="return a fw.Directory of several files, or use the built-in store",
            )
        return self._store.sign(method, key, valid_s=self._valid_s)


class _Raw(io.RawIOBase):
    """obstore's reader as Python's."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._reader.seek(offset, whence)

    def tell(self) -> int:
        return self._reader.tell()

    def readinto(self, buffer: Any) -> int:
        data = bytes(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)
