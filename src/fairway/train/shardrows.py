"""Tables that can only be read from the front: one rank of a machine reads them, for all ranks there, into a file of rows beside the gang.

The file comes into being under another name, while its writer holds a lock; the kernel lets the lock go when the writer dies. So whoever
gets the lock next finds the file whole, or makes it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fairway.errors import FairwayError
from fairway.step import context, pulse
from fairway.train.sources import Numbered, joined_columns

if TYPE_CHECKING:
    from fairway.data.rowfile import RowFile
    from fairway.data.table import Table

SPARE_BYTES = 256 << 20
"""So much room is left on the disk: others have to write, too."""
MOST_OBJECTS = 100
"""A server is asked about so many, each time that an epoch begins."""


def find_rows(table: Table, window: int, epochs: int | None) -> Numbered | None:
    """The rows of a table by number, in the order of windows of `window`; None where it pays better, or only is possible, that each rank
    reads all of them."""
    place = context.context().place
    if place is None or not place.folder:
        return None
    sharing = place.world_size if place.on_one_machine else place.local_world_size
    found = _files_of(table) if sharing > 1 or epochs != 1 else None
    if found is None:
        return None
    rows = share_rows(table, f"{os.path.dirname(place.folder)}/rows/{found.key}", window, found.size_bytes)
    return None if rows is None else _numbered(table, rows, window)


def share_rows(table: Table, path: str, window: int, size_bytes: int = 0) -> RowFile | None:
    """The rows of a table in the file `path`, which is written if nobody has done so yet; None where it cannot be, which is said once.
    `size_bytes`: of the files that the table is read from; so much room is asked for at least.

    Raises what reading the table raises.
    """
    from fairway.data.rowfile import RowFile

    refused = Path(f"{path}.refused")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with _locked(f"{path}.lock"):
            if refused.exists():
                return None
            ours = not Path(path).exists()
            if ours:
                _write(table, path, size_bytes, refused)
        rows = RowFile(path, window)
    except OSError as error:
        said = f"{table.uri} cannot be read once for all ranks of this machine ({error.strerror or error})"
        print(f"fairway: {said}: each rank reads all of it", file=sys.stderr)
        return None
    if not ours:
        _tell_rejects(table, rows.told)
    return rows


def _write(table: Table, path: str, size_bytes: int, refused: Path) -> None:
    """Write it beside, then give it its name. Where that cannot be, `refused` says so to the others: they need not try."""
    from fairway.data.rowfile import CHUNK_ROWS, write_rows

    part = f"{path}.part"  # what a killed writer has left there is overwritten
    rejects = table.rejects

    def batches() -> Iterator[Any]:
        for batch in table.batches(rows=CHUNK_ROWS):
            _check_room(path, 0)
            pulse.beat()
            yield batch

    try:
        _check_room(path, size_bytes)
        write_rows(batches(), part, lambda: {"rejected": rejects.count, "rejects": [asdict(one) for one in rejects.rows]})
        os.rename(part, path)
    except (OSError, FairwayError) as error:
        with suppress(OSError):
            os.unlink(part)
        if isinstance(error, OSError):
            with suppress(OSError):
                refused.touch()
        raise


def _check_room(path: str, size_bytes: int) -> None:
    free = shutil.disk_usage(os.path.dirname(path)).free
    if free < size_bytes + SPARE_BYTES:
        raise OSError(errno.ENOSPC, f"only {free >> 20:,} MB are free in {os.path.dirname(path)}")


@contextmanager
def _locked(path: str) -> Generator[None]:
    with Path(path).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _tell_rejects(table: Table, told: dict[str, Any]) -> None:
    """What the reading rejected, for who looks at `table.rejects`; the file of rejects, where this rank has one, stays."""
    from fairway.data.sources.rejects import Reject

    table.rejects.count, table.rejects.rows = told["rejected"], [Reject(**one) for one in told["rejects"]]


class _Files(NamedTuple):
    """The files of a table: `key` is of all that its rows depend on."""

    key: str
    size_bytes: int


def _files_of(table: Table) -> _Files | None:
    """None for data that are not in files, or in such as nobody says of whether they are still the same."""
    from fairway.data.sources import FORMATS, files

    entry = FORMATS.get(table.format)
    if table.origin is None or entry is None or not entry.extensions:
        return None
    uris, options = table.origin
    told: list[Any] = [table.format, sorted(options.items()), table.steps, table.columns]
    paths = files.expand(uris, entry.extensions)
    if len(paths) > MOST_OBJECTS and any(map(files.is_remote, paths)):
        return None
    size_bytes = 0
    for path in paths:
        found = _remote_version(path) if files.is_remote(path) else _version(path)
        if found is None:
            return None
        told.append(found)
        size_bytes += found[1]
    return _Files(hashlib.sha256(repr(told).encode("utf-8", "surrogateescape")).hexdigest()[:32], size_bytes)


def _version(path: str) -> tuple[Any, int] | None:
    """(what changes whenever the file does, its size); None for a pipe or device. Not its name, which each rank may have its own for."""
    found = os.stat(path)
    partition = [part for part in path.split("/")[:-1] if "=" in part]  # Hive's columns stand there
    return ((found.st_dev, found.st_ino, found.st_mtime_ns, partition), found.st_size) if stat.S_ISREG(found.st_mode) else None


def _remote_version(uri: str) -> tuple[Any, int] | None:
    from fairway.data.sources import remote

    try:
        found = remote.find_version(uri)
    except FairwayError:  # a server may give a file, and no word about it
        return None
    return found and ((uri, found[0]), found[1])


def _numbered(table: Table, rows: RowFile, window: int) -> Numbered:
    names = table.columns

    def take(numbers: Sequence[int]) -> dict[str, Any]:
        return joined_columns([(columns, places, ours) for columns, places, ours in rows.find(numbers)], names, len(numbers))

    def get(number: int) -> dict[str, Any]:
        (columns, _, ours), *_ = rows.find([number])
        return {name: columns[name].value(ours[0]) for name in names}

    return Numbered(rows.size, take, get, window=window)
