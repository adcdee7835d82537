"""What an attempt leaves on its machine while it runs, on its way to the server: streams as they grow, checkpoints as they change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence

from fairway.errors import NotFoundError
from fairway.spec.layout import CHECKPOINTS, STREAMS
from fairway.step.control import Control
from fairway.step.folder import FolderStreamStore

LOG_EVERY_S = 0.15
_EVERY_S = {"log": LOG_EVERY_S, "progress": 0.5, "metrics": 1.0, "samples": 5.0, "stacks": 0.5}
PLAIN = ("log", "progress", "metrics", "samples")
OF_A_RANK = ("log", "progress", "metrics", "samples", "stacks")
_STEADY_S = 0.25  # for a log that is written all the time
_SHARE = 10  # of the time at most one part in so many is spent on asking: a server that is busy is asked less often
_PIECE_BYTES = 4 << 20
_CHECKPOINTS_EVERY_S = 2.0
_NEVER_RESTS_S = 30.0  # a file that is written all the time is shipped as it is, this often
_POINTER = ".saved.json"
_PARTIAL = ".saved-"


class StreamShipper:
    """The streams of one attempt. Each piece says where it belongs, so that none is kept twice, whatever is sent again.

    `stored`: how much of each stream an earlier process of this attempt has shipped from a disk that is gone.
    """

    def __init__(self, control: Control, home: str, run: str, attempt: str, stored: dict[str, int] | None = None) -> None:
        self._control, self._attempt, self._prefix = control, attempt, f"{run}/{attempt}"
        self._streams = FolderStreamStore(f"{home}/{STREAMS}")
        self._stored = stored or {}
        self._sent: dict[str, int] = {}
        self._before: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self.follow({kind: kind for kind in PLAIN})

    def follow(self, names: Mapping[str, str]) -> None:
        """Ship these streams and no others: what each is called here, and what on the server."""
        for kind, name in names.items():
            if kind not in self._sent:
                self._sent[kind], self._due[kind] = 0, 0.0
                here = self._streams.size(f"{self._prefix}/{kind}")
                self._before[kind] = 0 if here else self._stored.get(name, 0)
        self._names = dict(names)

    def ship(self, *, all: bool = False) -> None:
        """Send what has grown and is due; with `all`, everything. Raises as the control channel does."""
        now = time.monotonic()
        for kind, name in self._names.items():
            if all or now >= self._due[kind]:
                sent = self._ship(kind, name)
                spent = time.monotonic() - now
                every_s = _EVERY_S[kind.partition(".")[0]]
                self._due[kind] = now + max(every_s, _STEADY_S if sent else 0.0, spent * _SHARE)

    def _ship(self, kind: str, name: str) -> bool:
        """Whether there was anything."""
        before_all = self._sent[kind]
        stream = f"{self._prefix}/{kind}"
        while self._streams.size(stream) > self._sent[kind]:
            piece = self._streams.read(stream, self._sent[kind], _PIECE_BYTES)
            before = self._before[kind]
            there = self._control.append(self._attempt, name, before + self._sent[kind], piece) - before
            self._sent[kind] = max(0, min(there, self._sent[kind] + len(piece)))
        return self._sent[kind] != before_all


class CheckpointShipper:
    """The checkpoint folders of an attempt's tasks, as they were before it and as they become.

    A value kept by `fw.checkpoint.save` arrives whole or not at all: its bytes go first, then the file that points at them.
    """

    def __init__(self, control: Control, home: str, run: str, attempt: str, tasks: Sequence[str]) -> None:
        self._control, self._attempt = control, attempt
        self._root = f"{home}/{CHECKPOINTS}/{run}"
        self._folders = [hashlib.sha256(task.encode()).hexdigest()[:20] for task in tasks]
        self._known: dict[str, tuple[int, int]] = {}  # path -> (size, time) as it is on the server
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}  # path -> (size, time) and since when it is not shipped
        self._due = 0.0

    def restore(self) -> None:
        """Bring what earlier tries have left; files that are here already stay."""
        for file in self._control.list_checkpoint(self._attempt):
            path = file["path"]
            folder = path.partition("/")[0]
            target = f"{self._root}/{path}"
            if folder not in self._folders or ".." in path.split("/") or os.path.exists(target):
                continue
            os.makedirs(os.path.dirname(target), exist_ok=True)
            part = f"{target}.{os.urandom(4).hex()}"
            try:
                with open(part, "w+b") as out:
                    self._control.get_checkpoint(self._attempt, path, out, file.get("sha256", ""))
                os.rename(part, target)
            except NotFoundError:
                os.unlink(part)
                continue
            except BaseException:
                os.unlink(part)
                raise
            self._known[path] = _state(target) or (0, 0)

    def ship(self, *, all: bool = False) -> None:
        """Send what has changed and come to rest; with `all`, whatever has changed. Raises as the control channel does."""
        now = time.monotonic()
        if not all and now < self._due:
            return
        self._due = now + _CHECKPOINTS_EVERY_S
        for folder in self._folders:
            if os.path.isdir(f"{self._root}/{folder}"):
                self._ship_folder(folder, now, all)

    def forget(self) -> None:
        """Remove them from this machine."""
        for folder in self._folders:
            shutil.rmtree(f"{self._root}/{folder}", ignore_errors=True)

    def _ship_folder(self, folder: str, now: float, all: bool) -> None:
        pointer = f"{folder}/{_POINTER}"
        state, needed = _state(f"{self._root}/{pointer}"), self._pointed_at(folder)
        paths = self._list(folder)
        for path in paths:
            if path != pointer and self._is_due(path, now, all or path in needed):
                self._send(path)
        if state is not None and state != self._known.get(pointer) and all_known(needed, self._known):
            self._send(pointer)
        gone = [path for path in self._known if path.startswith(f"{folder}/") and path not in paths and path != pointer]
        if state is None or state == self._known.get(pointer):  # what the pointer on the server may still need stays there
            for path in gone:
                self._control.delete_checkpoint(self._attempt, path)
                del self._known[path]

    def _pointed_at(self, folder: str) -> set[str]:
        """Files that a saved value consists of."""
        try:
            with open(f"{self._root}/{folder}/{_POINTER}", encoding="utf-8") as file:
                ref = json.load(file)
        except (OSError, ValueError):
            return set()
        digest = str(ref.get("digest", ""))
        return {path for path in self._list(folder) if path.startswith(f"{folder}/.saved/")} | (
            set() if ref.get("inline") is not None else {f"{folder}/.saved/sha256/{digest[:2]}/{digest[2:]}"}
        )

    def _is_due(self, path: str, now: float, needed: bool) -> bool:
        state = _state(f"{self._root}/{path}")
        if state is None or state == self._known.get(path):
            return False
        seen, since = self._seen.get(path, (None, now))
        self._seen[path] = (state, since if seen is not None else now)
        return needed or seen == state or now - since >= _NEVER_RESTS_S

    def _send(self, path: str) -> None:
        state = _state(f"{self._root}/{path}")
        try:
            with open(f"{self._root}/{path}", "rb") as file:
                self._control.put_checkpoint(self._attempt, path, file)
        except FileNotFoundError:
            return
        if state is not None and state == _state(f"{self._root}/{path}"):
            self._known[path] = state
            self._seen.pop(path, None)

    def _list(self, folder: str) -> set[str]:
        found: set[str] = set()
        for here, folders, names in os.walk(f"{self._root}/{folder}"):
            folders[:] = [name for name in folders if name != ".tmp"]
            inside = os.path.relpath(here, self._root)
            found |= {f"{inside}/{name}" for name in names if not name.startswith(_PARTIAL)}
        return found


def all_known(paths: set[str], known: dict[str, tuple[int, int]]) -> bool:
    """Is every one of the files on the server?"""
    return all(path in known for path in paths)


def _state(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
