"""Segments become a partitioned Parquet data set in the artifact store: `python -m fairway.serve.feedback.compact`, a process of its own.

The files are immutable blobs. One manifest for each endpoint (`traffic/ENDPOINT`) names them and says how far each segment has been
read; it is replaced in one step, and segments go only after that. So whenever this is killed, nothing is lost and nothing is there twice.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.errors import NotFoundError
from fairway.serve.feedback import raw
from fairway.spec.artifact import blob_key
from fairway.spec.endpoint import Capture
from fairway.spec.record import Record, field, from_plain, record, replace, to_plain
from fairway.step.folder import write_through

if TYPE_CHECKING:
    from fairway.spec.ports import ArtifactStore

_PASS_BYTES = 64 << 20
_TIERS = (1 << 20, 8 << 20, 64 << 20)
_MERGED = 8
_ASKED = 32
_FRESH = 256
"""Files that may wait for a watch which does not come: those before them are merged all the same."""


@record
class Part(Record):
    """One Parquet file, or one of JSON lines (".jsonl.gz") where there was no pyarrow. `path`: in the data set
    ("date=2026-11-28/traffic-ab12.parquet"); `first` and `last`: times of its rows."""

    path: str
    digest: str
    size_bytes: int
    rows: int = 0
    first: float = 0.0
    last: float = 0.0

    @property
    def kind(self) -> str:
        """ "traffic" or "feedback"."""
        return self.path.rpartition("/")[2].partition("-")[0]

    @property
    def is_raw(self) -> bool:
        """Is it no Parquet yet?"""
        return self.path.endswith(raw.SUFFIX)

    @property
    def date(self) -> str:
        """ "2026-11-28"."""
        return self.path[5:15]


@record
class Replaced(Record):
    """A file that was merged into another. A run may have been made with it, so it goes with its age, or by garbage collection if no run
    was (`key` is written so that it does not look like a digest which the manifest needs)."""

    key: str
    size_bytes: int
    last: float


@record
class TrafficManifest(Record):
    """The data set of an endpoint. `read`: how many bytes of each segment are in it; `at`: when something was
    taken from segments last; `projects`: of whose endpoints of this name it has traffic, () where that was not said. `is_watched`: its rows
    are held to a baseline or a schema (see `watching`); `fresh`: digests of the parts that were not, yet: they stay as they are."""

    endpoint: str
    parts: tuple[Part, ...] = ()
    replaced: tuple[Replaced, ...] = ()
    read: dict[str, int] = field(default_factory=dict)
    at: float = 0.0
    version: int = 0
    projects: tuple[str, ...] = ()
    is_watched: bool = False
    fresh: tuple[str, ...] = ()


def manifest_key(endpoint: str) -> str:
    """The artifact store's key of an endpoint's manifest."""
    return f"traffic/{endpoint}"


def read_manifest(store: ArtifactStore, endpoint: str) -> TrafficManifest:
    """The manifest; one without parts if nothing was kept yet."""
    try:
        return from_plain(TrafficManifest, json.loads(store.get(manifest_key(endpoint))))
    except NotFoundError:
        return TrafficManifest(endpoint)


def compact(
    spool: Path,
    store: ArtifactStore,
    endpoint: str,
    capture: Capture,
    *,
    patience_s: float = 0.0,
    project: str | None = None,
    watched: bool | None = None,
    now: float | None = None,
) -> TrafficManifest:
    """Bring what the segments have into the data set, and hold it to its limits (0: none). Safe to be called by several at once, and to be
    killed. Within `patience_s` of the last time, little is left where it is: a few large files are better than many small ones. `project`:
    whose endpoint that is; `watched`: whether its rows are watched from now on (None: as before)."""
    now = time.time() if now is None else now
    folder = spool / endpoint
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        while True:
            manifest = _without_seen(store, read_manifest(store, endpoint), watched)
            if now - manifest.at < patience_s and _waiting_bytes(folder, manifest) < _PASS_BYTES // 4:
                _write(store, manifest)
                return manifest
            if project is not None and project not in manifest.projects:
                manifest = replace(manifest, projects=(*manifest.projects, project))
            manifest, is_more = _take(folder, store, manifest, now)
            manifest = _hold(store, _merge(folder, store, manifest), capture, now)
            _write(store, manifest)
            _delete_read(folder, manifest)
            if not is_more:
                return manifest


def _without_seen(store: ArtifactStore, manifest: TrafficManifest, watched: bool | None) -> TrafficManifest:
    """With what the watch has seen by now no longer fresh."""
    is_watched = manifest.is_watched if watched is None else watched
    if not is_watched:
        return replace(manifest, is_watched=False, fresh=())
    if not manifest.fresh:
        return replace(manifest, is_watched=True)
    from fairway.serve.feedback.watching import consumed

    seen, there = consumed(store, manifest.endpoint), {part.digest for part in manifest.parts}
    return replace(manifest, is_watched=True, fresh=tuple(one for one in manifest.fresh if one not in seen and one in there))


def _waiting_bytes(folder: Path, manifest: TrafficManifest) -> int:
    return sum(path.stat().st_size - manifest.read.get(path.name, 0) for path in folder.glob("*.jsonl"))


def _take(folder: Path, store: ArtifactStore, manifest: TrafficManifest, now: float) -> tuple[TrafficManifest, bool]:
    """With rows of the segments, as many as fit into memory at once; whether there are more."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    read: dict[str, int] = {}
    taken, is_more = 0, False
    for path in sorted(folder.glob("*.jsonl")):
        kind = path.name.partition("-")[0]
        begin = read[path.name] = manifest.read.get(path.name, 0)
        if kind not in raw.KINDS:
            continue
        if taken > _PASS_BYTES:
            is_more = True
            continue
        with path.open("rb") as file:
            file.seek(begin)
            data = file.read(_PASS_BYTES)
        data = data[: data.rfind(b"\n") + 1]
        is_more = is_more or len(data) > _PASS_BYTES // 2
        taken += len(data)
        read[path.name] = begin + len(data)
        stamp = int(path.name.split("-")[1]) / 1000 if path.name.split("-")[1].isdigit() else 0.0
        for line in data.splitlines():
            found = _read_line(line, kind, manifest.endpoint, stamp)
            if found is not None:
                rows.setdefault((kind, found["at"].strftime("%Y-%m-%d")), []).append(found)
    parts = [_store_rows(folder, store, kind, date, found) for (kind, date), found in sorted(rows.items())]
    fresh = (*manifest.fresh, *(part.digest for part in parts))[-_FRESH:] if manifest.is_watched else ()
    return replace(manifest, parts=(*manifest.parts, *parts), read=read, at=now if parts else manifest.at, fresh=fresh), is_more


def _read_line(line: bytes, kind: str, endpoint: str, stamp: float) -> dict[str, Any] | None:
    """The row of a line; None for what a power cut has left of one."""
    try:
        data = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or not isinstance(data.get("id"), str):
        return None
    row: dict[str, Any] = dict.fromkeys(name for name, _ in raw.KINDS[kind])
    at = data.get("at")
    try:
        row["at"] = datetime.fromtimestamp(at if isinstance(at, int | float) and at > 0 else stamp, UTC)
    except (ValueError, OverflowError, OSError):
        row["at"] = datetime.fromtimestamp(stamp, UTC)
    row["id"], row["endpoint"] = data["id"], endpoint
    if kind == "feedback":
        row["label"] = msgspec.json.encode(data.get("label")).decode()
        row["row"] = _whole(data.get("row"))
        row["user"], row["caller"] = _text(data.get("user")), _text(data.get("caller"))
        more = {name: value for name, value in data.items() if name not in ("id", "at", "label", "row", "user", "caller")}
        row["more"] = msgspec.json.encode(more).decode() if more else None
        return row
    row["revision"], row["status"] = _whole(data.get("revision")) or 0, _whole(data.get("status")) or 0
    latency = data.get("latency_ms")
    row["latency_ms"] = float(latency) if isinstance(latency, int | float) else None
    for name in ("replica", "caller", "path", "request", "answer"):
        row[name] = _text(data.get(name))
    why = [f"{name}: {data[f'{name}_withheld']}" for name in ("request", "answer") if f"{name}_withheld" in data]
    row["withheld"] = "; ".join(why) or None
    return row


def _whole(value: Any) -> int | None:
    return value if type(value) is int and -(2**31) <= value < 2**31 else None


def _text(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _store_rows(folder: Path, store: ArtifactStore, kind: str, date: str, rows: list[dict[str, Any]]) -> Part:
    if raw.has_arrow():
        return _store_table(folder, store, kind, date, raw.to_table(kind, rows))
    path = folder / f".parquet-{os.getpid()}"
    raw.write_rows(path, rows)
    times = [row["at"].timestamp() for row in rows]
    return _store_file(path, store, (kind, date, raw.SUFFIX), (len(rows), min(times), max(times)))


def _store_table(folder: Path, store: ArtifactStore, kind: str, date: str, table: Any) -> Part:
    import pyarrow.compute

    path = folder / f".parquet-{os.getpid()}"
    raw.write_table(path, table)
    bounds: Any = pyarrow.compute.call_function("min_max", [table["at"]]).as_py()
    return _store_file(path, store, (kind, date, ".parquet"), (table.num_rows, bounds["min"].timestamp(), bounds["max"].timestamp()))


def _store_file(path: Path, store: ArtifactStore, name: tuple[str, str, str], holds: tuple[int, float, float]) -> Part:
    """`name`: kind, date and suffix; `holds`: rows, the first time and the last."""
    kind, date, suffix = name
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    store.put(blob_key(digest), path, move=True)
    path.unlink(missing_ok=True)
    return Part(f"date={date}/{kind}-{digest[:16]}{suffix}", digest, size, *holds)


def _merge(folder: Path, store: ArtifactStore, manifest: TrafficManifest) -> TrafficManifest:
    """Eight files of a day and a size become one, so that there are few, and each row is written four times at most. Rows that were kept
    raw become Parquet as soon as that can be written."""
    can_convert = raw.has_arrow()
    groups: dict[tuple[str, str, int], list[Part]] = {}
    for part in manifest.parts:
        if part.digest in manifest.fresh:
            continue
        tier = next((tier for tier, most in enumerate(_TIERS) if part.size_bytes < most), len(_TIERS))
        if (tier < len(_TIERS) or part.is_raw) and (can_convert or part.is_raw):
            groups.setdefault((part.kind, part.date, tier), []).append(part)
    parts, replaced = list(manifest.parts), list(manifest.replaced)
    for (kind, date, _), group in groups.items():
        if len(group) < _MERGED and not (can_convert and any(part.is_raw for part in group)):
            continue
        made = _store_table(folder, store, kind, date, _read_parts(store, kind, group)) if can_convert else _join(folder, store, group)
        parts = [part for part in parts if part not in group]
        parts.append(made)
        replaced += [Replaced(blob_key(part.digest), part.size_bytes, part.last) for part in group]
    return replace(manifest, parts=tuple(sorted(parts, key=lambda part: part.path)), replaced=tuple(replaced))


def _join(folder: Path, store: ArtifactStore, parts: Sequence[Part]) -> Part:
    """Raw ones as one."""
    path = folder / f".parquet-{os.getpid()}"
    with path.open("wb") as out:
        for part in parts:
            with store.open(blob_key(part.digest)) as file:
                shutil.copyfileobj(file, out)
    holds = sum(part.rows for part in parts), min(part.first for part in parts), max(part.last for part in parts)
    return _store_file(path, store, (parts[0].kind, parts[0].date, raw.SUFFIX), holds)


def _read_parts(store: ArtifactStore, kind: str, parts: Sequence[Part]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables: list[Any] = []
    for part in parts:
        with store.open(blob_key(part.digest)) as file:
            tables.append(raw.to_table(kind, raw.read_rows(file)) if part.is_raw else pq.read_table(file, schema=raw.schema_of(kind)))
    return pa.concat_tables(tables)


def _hold(store: ArtifactStore, manifest: TrafficManifest, capture: Capture, now: float) -> TrafficManifest:
    """Without what is too old, and without the oldest that is too much. Copies that were merged away go first."""
    oldest = now - capture.max_age_s if capture.max_age_s > 0 else 0.0
    replaced = [one for one in manifest.replaced if one.last >= oldest]
    if manifest.at == now:  # garbage collection may have taken some: a few are looked for each time, in turn
        asked, later = replaced[:_ASKED], replaced[_ASKED:]
        replaced = [*later, *(one for one in asked if store.stat(one.key) is not None)]
    parts = [part for part in manifest.parts if part.last >= oldest]
    excess = sum(one.size_bytes for one in (*parts, *replaced)) - capture.max_bytes if capture.max_bytes > 0 else 0
    for one in sorted(replaced, key=lambda one: one.last):
        if excess > 0:
            replaced.remove(one)
            excess -= one.size_bytes
    for part in sorted(parts, key=lambda part: (part.date, part.kind == "feedback", part.last)):
        if excess > 0:
            parts.remove(part)
            excess -= part.size_bytes
    return replace(manifest, parts=tuple(parts), replaced=tuple(replaced))


def _write(store: ArtifactStore, manifest: TrafficManifest) -> None:
    """Replace the manifest; then delete what the one before named and this one does not. Nothing changes: nothing is written."""
    before = read_manifest(store, manifest.endpoint)
    if replace(before, version=0) == replace(manifest, version=0):
        return
    key = manifest_key(manifest.endpoint)
    text = json.dumps(to_plain(replace(manifest, version=before.version + 1)), separators=(",", ":")).encode()
    store.put(key, text, if_absent=False)
    sync(store, key)  # segments are deleted next: the disk must know by then
    kept = {blob_key(part.digest) for part in manifest.parts} | {one.key for one in manifest.replaced}
    for gone in {blob_key(part.digest) for part in before.parts} | {one.key for one in before.replaced}:
        if gone not in kept:
            store.delete(gone)


def sync(store: ArtifactStore, key: str) -> None:
    """What was put there survives a power cut."""
    path = store.local_path(key)
    if path is None:
        return
    for one in (path, path.parent):
        write_through(str(one))


def _delete_read(folder: Path, manifest: TrafficManifest) -> None:
    """Segments that nobody writes any more and that are in the data set; what killed processes left behind."""
    for name, read in manifest.read.items():
        path = folder / name
        with suppress(FileNotFoundError), path.open("rb") as file:
            if not _is_closed(file):
                continue
            tail = file.seek(0, os.SEEK_END) - read
            file.seek(read)
            if tail <= 0 or b"\n" not in file.read():  # half a line: it was never acknowledged
                path.unlink(missing_ok=True)
    for path in folder.glob(".new-*"):
        with suppress(FileNotFoundError), path.open("rb") as file:
            if _is_closed(file) and path.stat().st_mtime < time.time() - 60:
                path.unlink(missing_ok=True)
    for path in folder.glob(".parquet-*"):
        path.unlink(missing_ok=True)  # under the lock there is one process that writes such, and this is it


def _is_closed(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Nobody else compacts or watches this endpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".compacting", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compact the endpoints of a spool; a JSON line about each: endpoint, files, rows, size_bytes, first, last."""
    parser = argparse.ArgumentParser(prog="python -m fairway.serve.feedback.compact", description=main.__doc__)
    parser.add_argument("--spool", required=True, type=Path, help="the folder with a folder of segments for each endpoint")
    parser.add_argument("--blobs", required=True, type=Path, help="the folder of the artifact store")
    parser.add_argument("--bucket", default="", help="the bucket of the artifact store, if it is in one")
    about = 'JSON, name -> {"max_bytes", "max_age_s", "project", "since", "metric", "patience_s", "revisions", "notify", "is_local"}'
    parser.add_argument("--capture", default="{}", help=about)
    parser.add_argument("--patience", type=float, default=300.0, help="seconds within which little is left where it is")
    parser.add_argument("--accuracy", action="store_true", help="say also how good the predictions were, by revision and hour")
    given = parser.parse_args(arguments)
    store = _open(given.blobs, given.bucket)
    captures: Mapping[str, Any] = json.loads(given.capture)
    lacks = "" if find_spec("numpy") is not None else "numpy"
    failed = False
    for endpoint, plain in captures.items():
        try:
            patience_s, project = plain.get("patience_s", given.patience), plain.get("project")
            watched = _watched(store, plain)
            capture, is_watched = from_plain(Capture, plain), bool(watched) and not lacks
            manifest = compact(given.spool, store, endpoint, capture, patience_s=patience_s, project=project, watched=is_watched)
            line = describe(manifest)
            if watched and lacks:
                line["drift"] = {"error": f"{lacks} is not installed where this server runs: pip install 'fairway[data]'"}
            elif watched:
                line["drift"] = _watch(given.spool, store, endpoint, plain, watched)
            if not raw.has_arrow():
                line["lacks"] = "pyarrow"
            elif given.accuracy:
                line["accuracy"] = measure(given.spool, store, manifest)
            if plain.get("since") and "lacks" not in line:
                line["since"] = measure(given.spool, store, manifest, since=plain["since"], output=plain.get("metric", ""))
        except Exception as error:  # noqa: BLE001 - the others are not to wait for this one
            line, failed = {"endpoint": endpoint, "error": f"{type(error).__name__}: {error}"}, True
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return 1 if failed else 0


def _watched(store: ArtifactStore, plain: Mapping[str, Any]) -> Mapping[int, Mapping[str, Any]]:
    from fairway.serve.feedback.watching import wanted

    return wanted(store, plain.get("revisions", {}))


def _watch(
    spool: Path, store: ArtifactStore, endpoint: str, plain: Mapping[str, Any], watched: Mapping[int, Mapping[str, Any]]
) -> dict[str, Any]:
    """Hold what is new to the models' schemas and baselines, and send the alarms. What goes wrong with it stops nothing else."""
    try:
        from fairway.serve.feedback import telling, watching

        state = watching.watch(spool, store, endpoint, watched, max_age_s=from_plain(Capture, plain).max_age_s, now=time.time())
        told = telling.tell(spool, store, endpoint, plain.get("notify", ()), is_local=bool(plain.get("is_local")))
        return {**watching.describe(state), **told}
    except Exception as error:  # noqa: BLE001 - requests are kept all the same
        return {"error": f"{type(error).__name__}: {error}"}


def describe(manifest: TrafficManifest) -> dict[str, Any]:
    """What is in the data set, in figures."""
    parts = manifest.parts
    return {
        "endpoint": manifest.endpoint,
        "files": len(parts),
        "requests": sum(part.rows for part in parts if part.kind == "traffic"),
        "labels": sum(part.rows for part in parts if part.kind == "feedback"),
        "size_bytes": sum(part.size_bytes for part in parts),
        "first": min((part.first for part in parts), default=0.0),
        "last": max((part.last for part in parts), default=0.0),
    }


def measure(spool: Path, store: ArtifactStore, manifest: TrafficManifest, *, since: float = 0.0, output: str = "") -> list[dict[str, Any]]:
    """How good the predictions of the last day are that have a label, by revision and hour: {at, revision, labels, value, measure}.

    With `since`: of those made since then, by revision. `output`: not labels but a number in each answer, by its name, is what counts.
    """
    from fairway.serve.feedback.dataset import open_parts
    from fairway.step.traffic import choose_measure, score

    with open_parts(store, manifest, spool / manifest.endpoint, since=since or time.time() - 86_400.0) as traffic:
        if output not in ("", "accuracy", "mean absolute error"):
            return [
                {"revision": number, "labels": count, "value": mean, "measure": output} for number, count, mean in traffic.means(output)
            ]
        groups: dict[tuple[int, float], list[tuple[Any, Any]]] = {}
        for row in traffic.pairs():
            hour = 0.0 if since else row["at"].timestamp() // 3600 * 3600
            groups.setdefault((row["revision"], hour), []).append((row["prediction"], row["label"]))
    chosen = output or choose_measure([pair for pairs in groups.values() for pair in pairs])
    return [
        {"revision": revision, **({} if since else {"at": at}), "labels": len(pairs), "value": score(pairs, chosen), "measure": chosen}
        for (revision, at), pairs in sorted(groups.items())
    ]


def _open(blobs: Path, bucket: str) -> ArtifactStore:
    if bucket:
        from fairway.store.bucket import BucketArtifactStore

        return BucketArtifactStore(bucket, blobs)
    from fairway.step.folder import FolderArtifactStore

    return FolderArtifactStore(blobs, durability="power")


if __name__ == "__main__":
    raise SystemExit(main())
