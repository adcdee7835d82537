"""Word of files that other processes change: from the kernel where it tells (inotify), else by looking at them now and then.

A file that is followed need not exist yet, nor its folder. Nothing runs while nothing changes.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from fairway.errors import InfraError

if TYPE_CHECKING:
    import asyncio

LOOK_S = 0.25
_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _OVERFLOW, _IGNORED, _ONLYDIR = 0x400, 0x800, 0x4000, 0x8000, 0x1000000
_USUAL = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_APPEARED = _CREATE | _MOVED_TO
_GONE = _DELETE_SELF | _MOVE_SELF | _IGNORED
_EVENT = struct.Struct("iIII")

Tell = Callable[[str], None]


class FileNews(Protocol):
    """Calls `tell` with the path of a followed file whenever it may have changed, in the event loop that it was made in."""

    def follow(self, path: str) -> None:
        """Tell of this file from now on; of all files in a folder if `path` ends with a slash. The same path twice is followed once."""
        ...

    def leave(self, path: str) -> None:
        """Tell of it no more. Not followed = success."""
        ...

    def close(self) -> None:
        """Tell of nothing more."""
        ...


def open_news(tell: Tell, loop: asyncio.AbstractEventLoop) -> FileNews:
    """News by the kernel; where it has none to give, by looking."""
    if sys.platform == "linux":
        try:
            return KernelNews(tell, loop)
        except (InfraError, OSError):  # so many users of it on this machine, or a kernel that is none
            pass
    return LookingNews(tell, loop)


class LookingNews:
    """Looks at all that it follows every `every_s`, and not at all while that is nothing."""

    def __init__(self, tell: Tell, loop: asyncio.AbstractEventLoop, *, every_s: float = LOOK_S) -> None:
        self._tell, self._loop, self._every_s = tell, loop, every_s
        self._seen: dict[str, object] = {}
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, path: str) -> None:
        self._seen.setdefault(path, _look(path))
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self._look_at_all)

    def leave(self, path: str) -> None:
        self._seen.pop(path, None)

    def close(self) -> None:
        self._seen.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at_all(self) -> None:
        self._timer = self._loop.call_later(self._every_s, self._look_at_all) if self._seen else None
        for path, before in list(self._seen.items()):
            now = _look(path)
            if now != before and path in self._seen:
                self._seen[path] = now
                self._tell(path)


class KernelNews:
    """Inotify, through the C library. Raises OSError where all of the machine's are in use, InfraError where there is none.

    Folders are watched: that of a file if it exists, else the nearest above that does. Where a folder cannot be watched (there is a limit),
    its files are looked at instead.
    """

    def __init__(self, tell: Tell, loop: asyncio.AbstractEventLoop) -> None:
        self._tell, self._loop = tell, loop
        self._library = _find_library()
        self._file = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders: dict[int, str] = {}  # watch -> folder
        self._watches: dict[str, int] = {}
        self._followed: dict[str, str] = {}  # path -> the folder that is watched for it
        self._users: dict[str, set[str]] = {}  # folder -> paths that it is watched for
        self._looking = LookingNews(tell, loop)
        loop.add_reader(self._file, self._read)

    def follow(self, path: str) -> None:
        if path not in self._followed:
            self._watch_for(path)

    def leave(self, path: str) -> None:
        self._looking.leave(path)
        folder = self._followed.pop(path, None)
        if folder is not None:
            self._release(folder, path)

    def close(self) -> None:
        self._looking.close()
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._file = -1

    def _watch_for(self, path: str) -> None:
        """Watch the folder of `path`, or the nearest above it that there is."""
        wanted = _folder_of(path)
        while True:
            folder = wanted
            while not os.path.isdir(folder):
                folder = os.path.dirname(folder)
            try:
                self._watch(folder, all_ends=path.endswith("/"))
            except FileNotFoundError:
                continue  # it has just gone
            except OSError:
                self._followed[path] = ""
                self._looking.follow(path)
                return
            if folder == wanted or not os.path.isdir(_below(folder, wanted)):
                break  # else the next has just come, before we watched
        self._followed[path] = folder
        self._users.setdefault(folder, set()).add(path)

    def _watch(self, folder: str, *, all_ends: bool) -> None:
        mask = _USUAL | _ONLYDIR | (_CLOSE_WRITE if all_ends else 0)
        if folder in self._watches and not all_ends:
            return
        watch = self._call("inotify_add_watch", self._file, os.fsencode(folder), mask)
        self._folders[watch], self._watches[folder] = folder, watch

    def _release(self, folder: str, path: str) -> None:
        users = self._users.get(folder, set())
        users.discard(path)
        if not users:
            self._users.pop(folder, None)
            watch = self._watches.pop(folder, None)
            if watch is not None:
                self._folders.pop(watch, None)
                self._library.inotify_rm_watch(self._file, watch)  # of a folder that is deleted it says that there is none: fine

    def _read(self) -> None:
        """All that the kernel has to say now; each path is told once."""
        told: dict[str, None] = {}
        try:
            data = os.read(self._file, 65536)
        except BlockingIOError:
            return
        for watch, mask, name in _events(data):
            if mask & _OVERFLOW:
                told.update(dict.fromkeys(self._followed))
                continue
            folder = self._folders.get(watch)
            if folder is not None:
                told.update(dict.fromkeys(self._concerned(folder, mask, name)))
        for path in told:
            if path in self._followed or _folder_of(path) + "/" in self._followed:
                self._tell(path)

    def _concerned(self, folder: str, mask: int, name: str) -> Iterable[str]:
        """Followed paths that an event is about; folders that have come or gone are followed from where they are now."""
        users = self._users.get(folder, set())
        if mask & _GONE:
            lost = [path for path in self._followed if path.startswith(f"{folder}/")]  # those in its folders have moved away with it
            for path in lost:
                self._release(self._followed[path], path)
                self._watch_for(path)
            return lost
        at = f"{folder}/{name}"
        found = [path for path in (at, f"{folder}/") if path in users]
        if f"{folder}/" in found:
            found.append(at)
        if mask & _APPEARED:
            for path in [path for path in users if path.startswith(f"{at}/")]:
                self._release(folder, path)
                self._watch_for(path)
                found.append(path)
        return found

    def _call(self, name: str, *arguments: Any) -> int:
        import ctypes

        result = getattr(self._library, name)(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        yield watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))
        at += length


def _find_library() -> Any:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "inotify_init1"):
        raise InfraError("the C library knows no inotify")
    return library


def _folder_of(path: str) -> str:
    return path.rstrip("/") if path.endswith("/") else os.path.dirname(path)


def _below(folder: str, wanted: str) -> str:
    """The folder on the way from `folder` to `wanted` that lies directly in `folder`."""
    prefix = folder.rstrip("/") + "/"
    return prefix + wanted[len(prefix) :].partition("/")[0]


def _look(path: str) -> object:
    try:
        if path.endswith("/"):
            return tuple(sorted(os.listdir(path)))
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_mtime_ns
    except OSError:
        return None
