"""Where files are: paths, folders, globs; and what a file's first bytes say it is."""

from __future__ import annotations

import difflib
import glob
import os
import stat
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from fairway.errors import ConfigError, NotFoundError

_MAGIC = (
    (b"PAR1", "parquet"), (b"PARE", "parquet"), (b"ARROW1", "arrow"), (b"\xff\xff\xff\xff", "arrow"), (b"Obj\x01", "avro"), (b"ORC", "orc"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel"),
)  # fmt: skip
REMOTE = ("s3", "gs", "az", "http", "https")
MANY = 100_000


def is_remote(uri: str) -> bool:
    """Whether this is the URL of an object."""
    return uri.partition("://")[0].lower() in REMOTE and "://" in uri


def expand(uri: str | Sequence[str], endings: Sequence[str] = ()) -> list[str]:
    """The files that a path, glob, folder or a list of them means, sorted within each. Raises NotFoundError with names that are close."""
    if not isinstance(uri, str):
        return [path for one in uri for path in expand(one, endings)]
    if is_remote(uri):
        return import_module("fairway.data.sources.remote").expand(uri, endings)
    path = uri.removeprefix("file://")
    path = os.path.expanduser(path)  # noqa: PTH111 - a text stays a text
    if os.path.isdir(path):  # noqa: PTH112
        return _in_folder(path, endings)
    if not os.path.exists(path) and any(letter in path for letter in "*?["):  # noqa: PTH110
        found = sorted(one for one in glob.glob(path, recursive=True) if not os.path.isdir(one))  # noqa: PTH112, PTH207
        if not found:
            raise NotFoundError(f"no file is named like {uri}", hint=_near(path.rpartition("/")[0] or "."))
        return found
    if not os.path.exists(path):  # noqa: PTH110
        raise NotFoundError(f"there is no file {uri}", hint=_close(path))
    return [path]


def _in_folder(path: str, endings: Sequence[str]) -> list[str]:
    from fairway.data.sources import extension

    found: list[str] = []
    for folder, below, names in os.walk(path):
        below[:] = sorted(name for name in below if not name.startswith((".", "_")) or "=" in name)
        found += [os.path.join(folder, name) for name in sorted(names) if not name.startswith((".", "_"))]  # noqa: PTH118
        if len(found) > MANY:
            raise ConfigError(f"{path} holds more than {MANY:,} files", hint="name a folder within it, or a glob")
    chosen = [one for one in found if extension(one) in endings] if endings else found
    if not chosen:
        raise NotFoundError(f"the folder {path} holds no file to read", hint=f"endings looked for: {', '.join(endings)}" if endings else "")
    return chosen


def _close(path: str) -> str:
    folder = Path(path).parent
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return f"there is no folder {folder} either"
    near = difflib.get_close_matches(Path(path).name, names, 1, 0.5)
    return f"did you mean {folder / near[0]}?" if near else _near(str(folder))


def _near(folder: str) -> str:
    try:
        names = sorted(os.listdir(folder))[:8]  # noqa: PTH208
    except OSError:
        return f"there is no folder {folder}"
    return f"in {folder}: {', '.join(names)}" if names else f"{folder} is empty"


def is_regular(path: str) -> bool:
    """Whether this is a file on a disk, which may be read twice; not a pipe or a device."""
    return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116


def refuse_pipes(uri: str | Sequence[str], format_name: str) -> None:
    """Raises ConfigError for a pipe or device, whose bytes come once, where a format is read from its beginning again and again."""
    for path in [uri] if isinstance(uri, str) else uri:
        plain = path.removeprefix("file://")
        if not is_remote(path) and os.path.exists(plain) and not os.path.isdir(plain) and not is_regular(plain):  # noqa: PTH110, PTH112
            hint = "save it to a file first: cat > FILE. (CSV is read from a pipe; `fairway data watch -` follows one.)"
            raise ConfigError(f"{path} is a pipe or device, whose bytes come only once: {format_name} is not read from one", hint=hint)


def head(path: str, size: int = 4096) -> bytes:
    """The first bytes of a file; nothing of a pipe or device, whose bytes come once."""
    if is_remote(path):
        return import_module("fairway.data.sources.remote").head(path, size)
    try:
        if not is_regular(path):
            return b""
        with Path(path).open("rb") as file:
            return file.read(size)
    except PermissionError:
        raise ConfigError(f"{path} may not be read by you", hint=f"chmod u+r {path}") from None


def format_by_content(uri: str, by_ending: str) -> str:
    """The format that the first file's first bytes give away; empty if they do not."""
    first = uri if is_remote(uri) and "*" not in uri and not uri.endswith("/") else _first(uri)
    if first is None or (is_remote(first) and by_ending):
        return ""
    from fairway.data.sources import FORMATS, extension

    ending = extension(first)
    by_ending = by_ending or next((name for name, entry in FORMATS.items() if ending in entry.extensions), "")
    begin = head(first)
    for magic, name in _MAGIC:
        if begin.startswith(magic) and name in FORMATS:
            return name
    if by_ending:
        return by_ending
    text = begin.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    guessed = {b"[": "json", b"{": "ndjson", b"<": "xml"}.get(text, "")
    return guessed if guessed in FORMATS else ""


def _first(uri: str) -> str | None:
    found = expand(uri)
    return found[0] if found else None


def reader(path: str) -> BinaryIO:
    """The bytes of a file or object, from the beginning; seekable. Close it."""
    if is_remote(path):
        return import_module("fairway.data.sources.remote").reader(path)
    return Path(path).open("rb")
