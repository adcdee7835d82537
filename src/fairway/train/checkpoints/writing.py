"""One checkpoint into its folder: files by streaming with their digests in the same pass, the manifest last; then what may go goes."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from typing import TYPE_CHECKING

from fairway.errors import StoreUnavailable
from fairway.spec.record import replace
from fairway.step.folder import write_through
from fairway.step.saved import (
    ELSEWHERE,
    Held,
    Manifest,
    Policy,
    Saved,
    dropped,
    find_saved,
    folder_name,
    manifest_name,
    render_manifest,
)
from fairway.step.serializers.hashed import HashedFile, hash_file

if TYPE_CHECKING:
    from fairway.train.checkpoints.arena import Arena
    from fairway.train.checkpoints.capture import Captured

_PIECE_BYTES = 16 << 20
_TRIES = 100  # each needs another rank that removes the folder at that very moment
_SLACK = 2  # own parts kept beyond the policy where it cannot be seen which others are there
TREE, BLOBS = "tree.json", "blobs"
WRITING = "writing"
"""The name of the file that a part has in the folder as long as it is written: other ranks take away folders that are empty."""
_IN_PARTS = re.compile(r"\d{5,}\.|manifest\.\d")
CHECKED = "checked-"
"""Before the names of files in which ranks leave word of what they have found when they read a checkpoint."""


class Job:
    """One checkpoint, or one rank's part of it, on its way to `root`. `synced`: it survives a power cut, too."""

    def __init__(self, root: str, manifest: Manifest, *, synced: bool = False) -> None:
        self.root, self.manifest, self.synced = root, manifest, synced
        self.path = f"{root}/{folder_name(manifest.step, manifest.n, manifest.count)}"
        self.prefix = prefix_of(manifest)
        self.written = 0  # bytes so far

    def begin(self) -> None:
        """Its folder, without what an earlier process of the same try may have left there. It stays until this part is written, or is
        undone, whatever other ranks remove. Raises OSError."""
        self._take_folder()
        for name in list_names(self.path):
            if self.is_ours(name) and name != f"{self.prefix}{WRITING}":
                remove(f"{self.path}/{name}")

    def _take_folder(self) -> None:
        for left in reversed(range(_TRIES)):
            os.makedirs(self.path, exist_ok=True)
            try:
                os.close(os.open(f"{self.path}/{self.prefix}{WRITING}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
                return
            except FileNotFoundError:  # another rank's part was refused, or dropped, and the folder was empty just now
                if not left:
                    raise

    def is_ours(self, name: str) -> bool:
        """Does that file of the folder belong to this part?"""
        manifest = manifest_name(self.manifest.rank, self.manifest.world_size, self.manifest.sharded)
        return not self.manifest.sharded or name.startswith((self.prefix, manifest))

    def write(self, captured: Captured, arena: Arena) -> None:
        """Whole or not at all. Raises OSError; then nothing of it is left."""
        try:
            captured.await_copies()
            files = self._find_blobs()
            for index, (header, start, size) in enumerate(captured.files):
                name = f"{self.prefix}tensors-{index:05d}.safetensors"
                files[name] = self._write_file(name, [header], arena.view(start, size))
            name = f"{self.prefix}{TREE}"
            files[name] = self._write_file(name, [captured.tree], memoryview(b""))
            self._finish(replace(self.manifest, files=files, saved_at=time.time()))
        except BaseException:
            self.undo()
            raise

    def undo(self) -> None:
        """Nothing of this part is left."""
        for name in list_names(self.path):
            if self.is_ours(name):
                remove(f"{self.path}/{name}")
        _remove_empty(self.path)

    def _write_file(self, name: str, front: list[bytes], data: memoryview) -> Held:
        path = f"{self.path}/{name}"
        with HashedFile(path) as file:
            for part in front:
                file.write(part)
            for start in range(0, len(data), _PIECE_BYTES):
                self.written += file.write(data[start : start + _PIECE_BYTES])
        if self.synced:
            write_through(path)
        return Held(file.size_bytes, file.digest)

    def _find_blobs(self) -> dict[str, Held]:
        """What other serializers have written already."""
        found: dict[str, Held] = {}
        root = f"{self.path}/{self.prefix}{BLOBS}"
        for folder, folders, names in os.walk(root):
            if ".tmp" in folders:
                folders.remove(".tmp")
                shutil.rmtree(f"{folder}/.tmp", ignore_errors=True)
            for name in names:
                path = f"{folder}/{name}"
                if self.synced:
                    write_through(path)
                found[os.path.relpath(path, self.path)] = Held(os.stat(path).st_size, hash_file(path))
        return found

    def _finish(self, manifest: Manifest) -> None:
        path = f"{self.path}/{manifest_name(manifest.rank, manifest.world_size, manifest.sharded)}"
        with open(f"{path}.part", "wb") as file:
            file.write(render_manifest(manifest))
            file.flush()
            if self.synced:
                os.fsync(file.fileno())
        remove(f"{self.path}/{self.prefix}{WRITING}")  # before the manifest: no whole one has it
        if self.synced:
            write_through(self.path)
        os.rename(f"{path}.part", path)
        if self.synced:
            write_through(self.path)
            write_through(self.root)


def prefix_of(manifest: Manifest) -> str:
    """Before the names of a part's files."""
    return f"{manifest.rank:05d}." if manifest.sharded else ""


def clear(root: str, policy: Policy, mine: Manifest) -> list[Saved]:
    """Remove what the policy does not keep after `mine` was saved, and what killed saves have left. Never raises. What there was before.

    Of parts each rank removes its own; what ranks that are no more have left falls to rank 0. What the first rank of a gang alone saves
    does not show whether the others have begun: the checkpoint from which this try goes on stays for them.
    """
    found = find_saved(root)
    going = dropped(found, policy)
    if mine.world_size > 1 and not mine.sharded:
        begun_from = max((one.order for one in found if one.complete and one.n < mine.n), default=None)
        going = [one for one in going if one.order != begun_from]
    if mine.sharded:
        ours = [one for one in found if any(part.rank == mine.rank and part.sharded for part in one.manifests)]
        complete = [one for one in found if one.complete]
        for number, one in enumerate(ours):
            newer = sum(other.order > one.order for other in complete)
            unseen = len(ours) - number > policy.last + _SLACK  # others' parts may lie on other machines: nothing looks complete here
            if not one.complete and (newer >= policy.last or unseen):
                going.append(one)
    for one in going:
        _remove_saved(f"{root}/{one.name}", one, mine)
    for one in found:
        abandoned = one.n < mine.n or (one.n == mine.n and not mine.sharded)
        if not one.complete and abandoned and one.order < (mine.n, mine.count) and mine.rank == 0 and one not in going:
            if _is_elsewhere(one) or (one.n == mine.n and any(map(_IN_PARTS.match, list_names(f"{root}/{one.name}")))):
                continue  # its other ranks may still be writing
            remove(f"{root}/{one.name}")
    return found


def _is_elsewhere(one: Saved) -> bool:
    """Parts of a sharded checkpoint whose others may lie on another machine."""
    return bool(one.manifests) and one.manifests[0].sharded and not one.damaged


def _remove_saved(path: str, saved: Saved, mine: Manifest) -> None:
    """Manifests first: from then on it is none."""
    for one in saved.manifests:
        if mine.sharded and one.sharded and one.rank != mine.rank and (mine.rank or one.rank < mine.world_size):
            continue
        remove(f"{path}/{manifest_name(one.rank, one.world_size, one.sharded)}")
        for name in one.files:
            remove(f"{path}/{name}")
        remove(f"{path}/{prefix_of(one)}{BLOBS}")
    for name in list_names(path):
        if name.startswith(CHECKED) or name == ELSEWHERE:
            remove(f"{path}/{name}")
    _remove_empty(path)


def list_names(path: str) -> list[str]:
    """What is in a folder: nothing, if another rank has just taken it away."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def remove(path: str) -> None:
    """A file or a folder; a manifest in it goes first. Absent = success."""
    try:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        return


def explain(error: OSError, step: int, path: str) -> StoreUnavailable:
    """Why a checkpoint could not be written, in words."""
    code = error.errno
    kept = "the checkpoints before it are as they were"
    if code in (errno.ENOSPC, errno.EDQUOT):
        why = "the disk is full" if code == errno.ENOSPC else "your disk quota is used up"
        hint = f"{kept}; free some space, or keep fewer: fw.checkpoint.keep(last=1)"
    elif code == errno.EFBIG:
        why, hint = "a file would be larger than this process may write", f"{kept}; look at `ulimit -f`"
    else:
        why, hint = error.strerror or str(error), f"{kept}; the folder is {path}"
    return StoreUnavailable(f"the checkpoint of step {step} cannot be written: {why}", hint=hint)


def _remove_empty(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        return
