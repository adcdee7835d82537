"""Who is at work in a home: every driver holds a shared lock for as long as it lives, which the kernel lets go however it ends."""

from __future__ import annotations

import fcntl
import os

from fairway.errors import StoreUnavailable

_DRIVERS = "drivers"


class LiveMark:
    """A driver at work on `run`, held from before its first cache look-up; `close` or the end of the process lets it go."""

    def __init__(self, locks: str | os.PathLike[str], run: str) -> None:
        folder = f"{os.fspath(locks)}/{_DRIVERS}"
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
    folder = f"{os.fspath(locks)}/{_DRIVERS}"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    live: set[str] = set()
    for name in names:
        path = f"{folder}/{name}"
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_named(file, path):
                os.unlink(path)
        except BlockingIOError:
            live.add(name)
        finally:
            os.close(file)
    return live


def _is_named(file: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
