"""Who is at work in a home: every driver holds a shared lock for as long as it lives, which the kernel lets go however it ends.

Runs that a server drives bear a mark that outlives it, so that the next server takes up those, and no others.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from fairway.errors import StoreUnavailable

DRIVERS = "drivers"
_SERVED = "served"


class LiveMark:
    """A driver at work on `run`, held from before its first cache look-up; `close` or the end of the process lets it go."""

    def __init__(self, locks: str | os.PathLike[str], run: str) -> None:
        folder = f"{os.fspath(locks)}/{DRIVERS}"
        self._file = -1
        try:
            os.makedirs(folder, exist_ok=True)
            self._file = _hold(f"{folder}/{run}")
        except OSError as error:
            raise StoreUnavailable(
                f"cannot mark run {run} as driven: {error.strerror}",
                hint=f"can you write to {folder}, and is there room? FAIRWAY_HOME names another place",
            ) from error

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _hold(path: str) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(file, fcntl.LOCK_SH)
        if _is_named(file, path):
            return file
        os.close(file)  # `live_runs` has just removed the mark of a dead driver: make a new one


def live_runs(locks: str | os.PathLike[str]) -> set[str]:
    """Runs that a process of this machine is driving now; marks that nobody holds any more are removed."""
    folder = f"{os.fspath(locks)}/{DRIVERS}"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    return {name for name in names if is_live(locks, name)}


def is_live(locks: str | os.PathLike[str], run: str) -> bool:
    """Is a process of this machine driving the run now? A mark that nobody holds any more is removed."""
    path = f"{os.fspath(locks)}/{DRIVERS}/{run}"
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # to close it is no news for whoever watches the folder
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_named(file, path):
            os.unlink(path)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def keep_served(locks: str | os.PathLike[str], run: str) -> None:
    """Note, for whatever comes, that a server of this home drives the run. Raises StoreUnavailable."""
    path = f"{os.fspath(locks)}/{_SERVED}/{run}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
    except OSError as error:
        raise StoreUnavailable(f"cannot mark run {run} as the server's: {error.strerror}", hint=f"can you write to {path}?") from error


def forget_served(locks: str | os.PathLike[str], run: str) -> None:
    """The run has ended, or another process goes on with it. Absent = success."""
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(f"{os.fspath(locks)}/{_SERVED}/{run}")


def served_runs(locks: str | os.PathLike[str]) -> set[str]:
    """Runs that a server of this home has driven and has not seen end."""
    try:
        return set(os.listdir(f"{os.fspath(locks)}/{_SERVED}"))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _is_named(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
