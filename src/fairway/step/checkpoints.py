"""The checkpoint folders of an attempt's tasks, between the machine it runs on and the server.

What `fw.checkpoint.save` keeps (see `saved`) arrives whole or not at all: its files go first, several at a time, then its manifest; when it
goes, its manifest goes first. Files that people write beside them go as they come to rest. A later try gets the newest checkpoint that is
whole, and the best one; the others stay on the server until the policy drops them. A replica of a gang gets of a checkpoint in parts those
of its own ranks; the server says whether the others are whole, and they come when they are asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from fairway.errors import FairwayError, NotFoundError
from fairway.spec.attempt import AttemptSpec
from fairway.spec.layout import CHECKPOINTS, task_folder
from fairway.step.control import Control
from fairway.step.saved import (
    ELSEWHERE,
    LOST,
    WANTED,
    Manifest,
    Saved,
    best_of,
    dropped,
    is_folder,
    is_manifest,
    manifest_name,
    parse_manifest,
    spell_ranks,
)

_EVERY_S = 1.0
_NEVER_RESTS_S = 30.0  # a file that is written all the time is shipped as it is, this often
_STREAMS = 4  # files on their way at once
_TRIES = 2  # for bytes that arrive damaged
_PART = ".part"

State = tuple[int, int]
"""Size and time of a file."""


class CheckpointShipper:
    """One attempt's. Paths are TASK/FILE or TASK/STEP/FILE, as on the server. `say` takes a line for the attempt's log."""

    def __init__(self, control: Control, home: str, spec: AttemptSpec, say: Callable[[str], None] = lambda text: None) -> None:
        self._control, self._attempt, self._n, self._say = control, spec.id, spec.n, say
        self._root = f"{home}/{CHECKPOINTS}/{spec.run}"
        self._tasks = [task_folder(item.task) for item in spec.items]
        self._known: dict[str, State] = {}  # path -> as it is on the server
        self._seen: dict[str, tuple[State, float]] = {}  # path -> as it was, and since when it is not shipped
        self._there: dict[str, dict[str, Saved]] = {task: {} for task in self._tasks}  # checkpoints on the server
        self._left: dict[str, list[str]] = {}  # TASK/STEP on the server that is not here -> its paths
        self._due = 0.0
        self._thread: threading.Thread | None = None
        self._error: FairwayError | None = None
        self._ranks: Sequence[int] = ()
        self._world_size = 0

    def restore(self, ranks: Sequence[int] = (), world_size: int = 0) -> None:
        """Bring what earlier tries have left: the newest whole checkpoint, the best ones, and other files. What is here already stays.
        `ranks`: those of a gang's `world_size` that run here."""
        self._ranks, self._world_size = ranks, world_size
        steps: dict[str, list[str]] = {}
        plain: list[tuple[str, str]] = []
        for file in self._control.list_checkpoint(self._attempt):
            path: str = file["path"]
            parts = path.split("/")
            if parts[0] not in self._tasks or ".." in parts or os.path.exists(f"{self._root}/{path}"):
                continue
            if len(parts) > 2 and is_folder(parts[1]):
                steps.setdefault(f"{parts[0]}/{parts[1]}", []).append(path)
            else:
                plain.append((path, file.get("sha256", "")))
        with ThreadPoolExecutor(_STREAMS) as pool:
            for _ in pool.map(lambda one: self._fetch(*one), plain):
                pass
            for folder, found in zip(steps, pool.map(self._read_manifests, steps.values()), strict=True):
                task, _, name = folder.partition("/")
                self._there[task][name] = Saved(name, found)
                self._left[folder] = steps[folder]
            for task in self._tasks:
                self._bring_back(task, pool)

    def adopt(self) -> None:
        """What is here and with the server alike has been brought from there: it need not go back."""
        for file in self._control.list_checkpoint(self._attempt):
            state = _state(f"{self._root}/{file['path']}")
            if state is not None and state[0] == file["size"]:
                self._known[file["path"]] = state

    def ship(self, *, all: bool = False) -> None:
        """Send what has changed and come to rest, beside what the caller does; with `all`, whatever has changed, before this returns.
        Raises as the control channel does, what an earlier call has met as well."""
        if self._thread is not None and (all or not self._thread.is_alive()):
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None and not all:
            raise error
        now = time.monotonic()
        if all:
            self._ship(now, True)
        elif self._thread is None and (now >= self._due or any(map(self._find_wanted, self._tasks))):
            self._due = now + _EVERY_S
            self._thread = threading.Thread(target=self._ship_beside, args=(now,), daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Until what is on its way has arrived."""
        if self._thread is not None:
            self._thread.join()

    def forget(self) -> None:
        """Remove them from this machine."""
        self.wait()
        for task in self._tasks:
            shutil.rmtree(f"{self._root}/{task}", ignore_errors=True)

    def _ship_beside(self, now: float) -> None:
        try:
            self._ship(now, False)
        except FairwayError as error:
            self._error = error

    def _ship(self, now: float, all: bool) -> None:
        for task in self._tasks:
            for name in self._find_wanted(task):
                self._bring_rest(task, name)
            if os.path.isdir(f"{self._root}/{task}"):
                self._ship_task(task, now, all)

    def _ship_task(self, task: str, now: float, all: bool) -> None:
        paths = self._list(task)
        steps = {path for path in paths if _is_in_step(path)}
        for path in sorted(path for path in steps if is_manifest(path.rpartition("/")[2]) and path not in self._known):
            self._send_saved(task, path)
        for path in sorted(paths - steps, key=self._written_at):  # what marks others as complete is written after them, and goes after them
            if self._is_due(path, now, all):
                self._send(path)
        gone = [path for path in self._known if path.startswith(f"{task}/") and path not in paths]
        gone.sort(key=lambda path: self._known[path][1], reverse=True)
        for path in _manifests_first(gone):
            self._control.delete_checkpoint(self._attempt, path)
            del self._known[path]
            if is_manifest(path.rpartition("/")[2]):
                self._there[task].pop(path.split("/")[1], None)

    def _send_saved(self, task: str, path: str) -> None:
        """One manifest, after all that it names. Nothing, if the policy has dropped it meanwhile."""
        folder = path.rpartition("/")[0]
        try:
            with open(f"{self._root}/{path}", "rb") as file:
                manifest = parse_manifest(file.read())
        except (FileNotFoundError, ValueError):
            return
        with ThreadPoolExecutor(_STREAMS) as pool:
            list(pool.map(self._send, (f"{folder}/{name}" for name in manifest.files if f"{folder}/{name}" not in self._known)))
        if any(f"{folder}/{name}" not in self._known for name in manifest.files):
            return
        self._send(path)
        if path in self._known:
            name = folder.partition("/")[2]
            before = self._there[task].get(name)
            self._there[task][name] = Saved(name, [*(before.manifests if before else ()), manifest])
            self._drop_left(task, manifest)

    def _drop_left(self, task: str, manifest: Manifest) -> None:
        """Of what earlier tries have left on the server and nobody has brought here: what the policy does not keep, what is not whole."""
        if manifest.rank:
            return
        there = self._there[task].values()
        going = [*dropped(there, manifest.policy), *(one for one in there if one.n < self._n and not one.complete)]
        for one in going:
            for path in _manifests_first(self._left.pop(f"{task}/{one.name}", ())):
                self._control.delete_checkpoint(self._attempt, path)
                self._there[task].pop(one.name, None)

    def _bring_back(self, task: str, pool: ThreadPoolExecutor) -> None:
        """The newest checkpoint of earlier tries that is whole, and the best ones by its policy."""
        complete = [one for one in self._there[task].values() if one.complete and one.n < self._n]
        newest = None
        for one in sorted(complete, key=lambda one: one.order, reverse=True):
            why = self._bring(task, one, pool)
            if not why:
                newest = one
                break
            self._say(f"the checkpoint of step {one.step} is damaged and is not used: {why}")
        if not self._ranks or 0 in self._ranks:  # once in a gang
            self._say_unfinished(task, newest)
        if newest is not None:
            for one in best_of(complete, newest.policy):
                if one is not newest:
                    self._bring(task, one, pool)

    def _say_unfinished(self, task: str, newest: Saved | None) -> None:
        """Of what is later than the one that is gone on from, the newest that lacks parts: killed ranks leave some, and so does who never
        saved."""
        later = [one for one in self._there[task].values() if one.n < self._n and one.lacking and (not newest or one.order > newest.order)]
        if later:
            last = max(later, key=lambda one: one.order)
            whose = "its part" if len(last.lacking) == 1 else "their parts"
            self._say(f"the checkpoint of step {last.step} is not whole and is not used: {spell_ranks(last.lacking)} had not saved {whose}")

    def _bring(self, task: str, saved: Saved, pool: ThreadPoolExecutor) -> str:
        """All its files that are needed here, its manifests last. Why it could not be had, "" if it is here."""
        folder = f"{task}/{saved.name}"
        needed = saved.parts_of(self._ranks, self._world_size)
        wanted = [(f"{folder}/{name}", held.sha256) for one in needed for name, held in one.files.items()]
        others = {f"{folder}/{name}": held.sha256 for one in saved.manifests if one not in needed for name, held in one.files.items()}
        if others:
            there = {one["path"]: one["sha256"] for one in self._control.list_checkpoint(self._attempt, folder)}
            bad = [path for path, digest in others.items() if there.get(path) != digest]
            if bad:
                return f"{bad[0].rpartition('/')[2]} is not what its manifest says"
            os.makedirs(f"{self._root}/{folder}", exist_ok=True)
            _write(f"{self._root}/{folder}/{ELSEWHERE}", json.dumps({path[len(folder) + 1 :]: digest for path, digest in others.items()}))
        whole = list(pool.map(lambda one: self._fetch(*one), wanted))
        if not all(whole):
            shutil.rmtree(f"{self._root}/{folder}", ignore_errors=True)
            for path, _ in wanted:
                self._known.pop(path, None)
            return f"{wanted[whole.index(False)][0].rpartition('/')[2]} is not what its manifest says"
        for one in saved.manifests:
            self._fetch(f"{folder}/{manifest_name(one.rank, one.world_size, one.sharded)}", "")
        self._left.pop(folder, None)
        return ""

    def _find_wanted(self, task: str) -> list[str]:
        """Checkpoints whose files elsewhere are asked for."""
        folder, _, prefix = WANTED.rpartition("/")
        try:
            return [name.removeprefix(prefix) for name in os.listdir(f"{self._root}/{task}/{folder}") if name.startswith(prefix)]
        except FileNotFoundError:
            return []

    def _bring_rest(self, task: str, name: str) -> None:
        """The files of a checkpoint that are elsewhere; then nothing says so any more."""
        folder, listed = f"{task}/{name}", f"{self._root}/{task}/{name}/{ELSEWHERE}"
        try:
            with open(listed, encoding="utf-8") as file:
                wanted: dict[str, str] = json.load(file)
            with ThreadPoolExecutor(_STREAMS) as pool:
                whole = list(pool.map(lambda one: self._fetch(f"{folder}/{one[0]}", one[1]), wanted.items()))
            if all(whole):
                os.unlink(listed)
            else:
                _write(f"{self._root}/{task}/{LOST}{name}", f"{list(wanted)[whole.index(False)]} is not what its manifest says")
        except FileNotFoundError:
            pass  # it came in the meantime, or was dropped
        except FairwayError as error:
            _write(f"{self._root}/{task}/{LOST}{name}", error.message)
            raise
        finally:
            _remove(f"{self._root}/{task}/{WANTED}{name}")

    def _read_manifests(self, paths: Iterable[str]) -> list[Manifest]:
        found: list[Manifest] = []
        for path in paths:
            if is_manifest(path.rpartition("/")[2]):
                held = BytesIO()
                try:
                    self._control.get_checkpoint(self._attempt, path, held, "")
                    found.append(parse_manifest(held.getvalue()))
                except (NotFoundError, ValueError):
                    continue
        return found

    def _fetch(self, path: str, digest: str) -> bool:
        """One file; False if it is gone or not what it should be."""
        target = f"{self._root}/{path}"
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = f"{target}.{os.urandom(4).hex()}{_PART}"
        try:
            for _ in range(_TRIES):
                with open(part, "w+b") as out:
                    self._control.get_checkpoint(self._attempt, path, out, "")
                    out.seek(0)
                    whole = not digest or hashlib.file_digest(out, "sha256").hexdigest() == digest
                if whole:
                    os.rename(part, target)
                    self._known[path] = _state(target) or (0, 0)
                    return True
            return False
        except NotFoundError:
            return False
        finally:
            if os.path.exists(part):
                os.unlink(part)

    def _written_at(self, path: str) -> int:
        return (_state(f"{self._root}/{path}") or (0, 0))[1]

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

    def _list(self, task: str) -> set[str]:
        found: set[str] = set()
        for here, folders, names in os.walk(f"{self._root}/{task}"):
            folders[:] = [name for name in folders if name != ".tmp" and not name.endswith(_PART)]
            inside = os.path.relpath(here, self._root)
            found |= {f"{inside}/{name}" for name in names if not name.endswith(_PART)}
        return found


def _is_in_step(path: str) -> bool:
    parts = path.split("/")
    return len(parts) > 2 and is_folder(parts[1])


def _manifests_first(paths: Iterable[str]) -> list[str]:
    return sorted(paths, key=lambda path: not is_manifest(path.rpartition("/")[2]))


def _write(path: str, text: str) -> None:
    """Whole or not at all."""
    with open(f"{path}{_PART}", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(f"{path}{_PART}", path)


def _remove(path: str) -> None:
    """Absent = success."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _state(path: str) -> State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
