"""Files that are whole or not there, whenever their writer is killed; and documents of JSON that people may have damaged."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fairway.errors import ConfigError, NotFoundError


@contextmanager
def whole(path: str | os.PathLike[str]) -> Generator[str]:
    """A path to write to, which takes the place of `path` at the end. Whatever goes wrong, what stood there stays, and nothing beside it.

    What a killed writer left beside it is removed. A pipe or device is written as it comes. Raises ConfigError, NotFoundError.
    """
    target = os.path.realpath(path)  # a link stays one
    with suppress(OSError):
        mode = os.stat(target).st_mode  # noqa: PTH116
        if stat.S_ISDIR(mode):
            raise ConfigError(f"{os.fspath(path)} is a folder", hint="name a file in it")
        if not stat.S_ISREG(mode):
            yield target
            return
    folder, name = os.path.split(target)
    if not os.path.isdir(folder):  # noqa: PTH112
        raise NotFoundError(f"there is no folder {folder}", hint=f"mkdir -p {folder}")
    part = f"{folder}/.{name[:200]}.{os.getpid()}.part"
    try:
        _sweep(folder, f".{name[:200]}.", part)
        with open(part, "wb") as held:  # noqa: PTH123 - held for as long as it is written: so others know that somebody does
            fcntl.flock(held, fcntl.LOCK_EX)
            yield part
            with open(part, "rb") as written:  # noqa: PTH123 - whoever wrote may have put another file there
                os.fsync(written.fileno())
            with suppress(OSError):
                os.chmod(part, stat.S_IMODE(os.stat(target).st_mode))  # noqa: PTH101, PTH116
            os.replace(part, target)  # noqa: PTH105
    except OSError as error:
        said = error.strerror or str(error)
        raise ConfigError(f"{os.fspath(path)} cannot be written: {said}", hint="is there space, and may you write there?") from error
    finally:
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108


def _sweep(folder: str, begin: str, mine: str) -> None:
    """Remove what nobody writes any more."""
    for name in os.listdir(folder):  # noqa: PTH208
        path = f"{folder}/{name}"
        if name.startswith(begin) and name.endswith(".part") and path != mine and name[len(begin) : -5].isdigit():
            with suppress(OSError), open(path, "rb") as left:  # noqa: PTH123
                fcntl.flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)  # noqa: PTH108


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text, and make the folder; the file appears under its name when it is whole. Raises ConfigError."""
    folder = Path(os.path.realpath(path)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder {folder} cannot be made: {error.strerror}", hint="may you write there?") from error
    with whole(path) as part:
        Path(part).write_text(text, encoding="utf-8")


def parse_object(text: str | bytes, *, where: str, hint: str = "") -> dict[str, Any]:
    """A document of JSON that is an object. Raises ConfigError with the line that is to blame."""
    try:
        made = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"this is no JSON: {error.msg}, column {error.colno}", where=f"{where}:{error.lineno}", hint=hint) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"this is not UTF-8: byte {error.start}", where=where, hint=hint) from None
    except RecursionError:
        raise ConfigError("this is nested too deep", where=where, hint=hint) from None
    except ValueError as error:  # a whole number of thousands of digits
        raise ConfigError(f"this is no JSON: {error}", where=where, hint=hint) from None
    if not isinstance(made, dict):
        raise ConfigError("this is no object of JSON", where=where, hint=hint)
    return made


def taken(plain: Any, name: str, *kinds: type) -> Any:
    """A field of a document, which is of one of these types. Raises KeyError, TypeError."""
    value = plain[name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{name!r} is {str(value)[:60]!r}")
    return value
