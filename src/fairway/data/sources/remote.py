"""Objects by URL: s3://, gs://, az:// through obstore, http(s):// through the standard library. Read in ranges, never whole into memory."""

from __future__ import annotations

import fnmatch
import io
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from fairway.errors import ConfigError, FairwayError, NotFoundError, StoreUnavailable, UnsupportedError

_INSTALL = "pip install 'fairway[buckets]'"
_BUFFER_BYTES = 1 << 20
_TIMEOUT_S = 60.0
_RETRY: dict[str, Any] = {"max_retries": 4}


def is_http(uri: str) -> bool:
    """Whether a web server is asked."""
    return uri.partition("://")[0].lower() in ("http", "https")


def expand(uri: str, endings: Sequence[str]) -> list[str]:
    """The objects that a URL means: itself, those that fit its wildcards, or those below it where it ends in "/"."""
    if is_http(uri):
        return [uri]
    store, key = _opened(uri)
    root = uri[: len(uri) - len(key)]
    if not any(letter in key for letter in "*?[") and not key.endswith("/") and key:
        return [uri]
    fixed = re.split(r"[*?\[]", key)[0].rpartition("/")[0]
    found = _call(uri, "list", lambda obs: [one["path"] for page in obs.list(store, fixed or None) for one in page])
    from fairway.data.sources import extension

    if key.endswith("/") or not key:
        chosen = [path for path in found if extension(path) in endings and not path.rpartition("/")[2].startswith((".", "_"))]
    else:
        pattern = re.compile(_as_regex(key))
        chosen = [path for path in found if pattern.fullmatch(path)]
    if not chosen:
        raise NotFoundError(f"no object is named like {uri}", hint=f"below {root}{fixed}: {', '.join(sorted(found)[:8]) or 'nothing'}")
    return [root + path for path in sorted(chosen)]


def _as_regex(key: str) -> str:
    """A glob in which `*` stays within a folder and `**` does not."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^\]]*\])", key)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part) or (fnmatch.translate(part)[4:-3] if part.startswith("[") else re.escape(part)) for part in parts)


def head(uri: str, size: int) -> bytes:
    """The first bytes."""
    with reader(uri) as file:
        return file.read(size)


def size_of(uri: str) -> int:
    """Bytes in all; -1 where a web server does not say."""
    if is_http(uri):
        with _http(uri, method="HEAD") as answer:
            return int(answer.headers.get("Content-Length") or -1)
    store, key = _opened(uri)
    return int(_call(uri, "find", lambda obs: obs.head(store, key))["size"])


def find_version(uri: str) -> tuple[str, int] | None:
    """(what changes whenever the object does, its size); None where the server does not say. Raises StoreUnavailable and the like."""
    if is_http(uri):
        with _http(uri, method="HEAD") as answer:
            told = answer.headers
            version = told.get("ETag") or told.get("Last-Modified")
            return (version, int(told["Content-Length"])) if version and told.get("Content-Length") else None
    store, key = _opened(uri)
    found = _call(uri, "find", lambda obs: obs.head(store, key))
    return (f"{found.get('e_tag') or ''} {found['last_modified']}", int(found["size"]))


def read_range(uri: str, start: int, end: int) -> bytes:
    """Bytes `start` to `end`. Raises UnsupportedError where a web server only gives files whole."""
    if is_http(uri):
        with _http(uri, {"Range": f"bytes={start}-{end - 1}"}) as answer:
            if answer.status != 206:
                raise UnsupportedError(f"{urlsplit(uri).netloc} gives files whole only", hint="fetch the file first")
            return answer.read()
    store, key = _opened(uri)
    return bytes(_call(uri, "read", lambda obs: obs.get_range(store, key, start=start, end=end)))


def reader(uri: str) -> BinaryIO:
    """The bytes from the beginning, fetched as they are read."""
    if is_http(uri):
        return io.BufferedReader(_HttpRaw(_http(uri), uri), _BUFFER_BYTES)
    store, key = _opened(uri)
    opened = _call(uri, "read", lambda obs: obs.open_reader(store, key, buffer_size=4 * _BUFFER_BYTES))
    return io.BufferedReader(_ObjectRaw(opened, uri), _BUFFER_BYTES)


class _ObjectRaw(io.RawIOBase):
    """obstore's reader as Python's."""

    def __init__(self, opened: Any, uri: str) -> None:
        self._opened, self._uri = opened, uri

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._opened.seek(offset, whence)

    def tell(self) -> int:
        return self._opened.tell()

    def readinto(self, buffer: Any) -> int:
        data = bytes(_call(self._uri, "read", lambda _obs: self._opened.read(len(buffer))))
        buffer[: len(data)] = data
        return len(data)


class _HttpRaw(io.RawIOBase):
    """An answer as a raw file; an answer that ends too early is an error."""

    def __init__(self, answer: Any, uri: str) -> None:
        self._answer, self._uri, self._at = answer, uri, 0
        self._length = int(answer.headers.get("Content-Length") or -1)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count = self._answer.readinto(buffer)
        except OSError as error:
            raise StoreUnavailable(f"{_shown(self._uri)} broke off after {self._at:,} bytes: {error}", hint="try again") from error
        self._at += count
        if not count and len(buffer) and 0 <= self._at < self._length:
            raise StoreUnavailable(f"{_shown(self._uri)} broke off after {self._at:,} of {self._length:,} bytes", hint="try again")
        return count

    def close(self) -> None:
        self._answer.close()
        super().close()


def _http(uri: str, headers: dict[str, str] | None = None, method: str = "GET") -> Any:
    parts = urlsplit(uri)
    if parts.username or parts.password:
        raise ConfigError("a URL with a password in it ends up in logs", hint="use a signed URL, or a proxy that signs in")
    request = urllib.request.Request(uri, headers={"User-Agent": "fairway", **(headers or {})}, method=method)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise NotFoundError(f"there is no {_shown(uri)}", hint=f"the server answered {error.code}") from None
        kind = ConfigError if error.code in (400, 401, 403, 405, 416) else StoreUnavailable
        raise kind(
            f"{_shown(uri)} cannot be read: the server answered {error.code} {error.reason}", hint="is the URL right, may you read it?"
        ) from None
    except OSError as error:
        raise StoreUnavailable(f"{_shown(uri)} cannot be read: {getattr(error, 'reason', error)}", hint="is the server up?") from error


def _shown(uri: str) -> str:
    """Without the query, which may hold a signature."""
    return uri.partition("?")[0]


def _opened(uri: str) -> tuple[Any, str]:
    """The bucket's store, and the key within it. Credentials are found as the provider's own tools find them."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise ConfigError(f"{uri} names no bucket", hint=f"{scheme}://BUCKET/KEY")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "") or os.environ.get("AWS_ENDPOINT", "")
    client = {"client_options": {"allow_http": True}} if endpoint.startswith("http://") else {}
    store = _call(uri, "open", lambda obs: obs.store.from_url(f"{scheme}://{bucket}", **client, retry_config=_RETRY))
    return store, key


def _call(uri: str, verb: str, act: Callable[[Any], Any]) -> Any:
    """Do it, with the library's errors as ours."""
    try:
        import obstore
    except ImportError:
        raise UnsupportedError(f"{uri} needs a library that is not installed", hint=_INSTALL) from None
    try:
        return act(obstore)
    except FairwayError:
        raise
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no object {uri}", hint="is its name right? a glob like s3://bucket/folder/* finds what is there"
        ) from None
    except Exception as error:
        first = str(error).partition("\n")[0][:300]
        raise StoreUnavailable(
            f"cannot {verb} {uri}: {first}", hint="is the bucket there, are the credentials in the environment right?"
        ) from error
