"""Traffic and feedback on their way into data sets: append-only segments of JSON lines, one writer each.

`FOLDER/ENDPOINT/{traffic,feedback}-TIME-TOKEN.jsonl`. A writer holds a lock on each segment that it still appends to; when the lock is
free, the segment is whole. A last line without its end was cut off by a kill and was never acknowledged: readers leave it out.

Traffic may be lost, within bounds: what came in the last tenth of a second when the process is killed, and what does not fit into
`room_bytes` while the disk is slow or full (counted in `Spool.counts`). Feedback that `write_durably` returned for is on the disk.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from fairway.serve.feedback.privacy import Privacy, Withheld
from fairway.serve.refusal import Refused
from fairway.step.folder import write_through

TRAFFIC, FEEDBACK = "traffic", "feedback"
_GATHER_S = 0.1
_RECORD_BYTES = 400  # what a record costs beside its bodies
_Waiter = Callable[[OSError | None], None]


class SpoolCounts:
    """Since the start: records written; dropped because the disk was too slow or full; bodies that were not kept (too long, not to be
    covered); feedback acknowledged and refused."""

    __slots__ = ("acknowledged", "dropped", "refused", "withheld", "written")

    def __init__(self) -> None:
        self.written = self.dropped = self.withheld = self.acknowledged = self.refused = 0


class Spool:
    """Writes traffic and feedback of all endpoints of one process.

    `room_bytes`: most that waits in memory; `body_bytes`: a longer request or answer is not kept (its record is); `free_bytes`: with less
    room on the disk, traffic is dropped, so that feedback still finds some; `backlog_bytes`: most traffic of an endpoint that waits on the
    disk.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        room_bytes: int = 16 << 20,
        body_bytes: int = 1 << 20,
        segment_bytes: int = 16 << 20,
        free_bytes: int = 64 << 20,
        backlog_bytes: int = 1 << 30,
    ) -> None:
        self.folder = Path(folder)
        self.counts = SpoolCounts()
        self._room_bytes, self._body_bytes, self._segment_bytes = room_bytes, body_bytes, segment_bytes
        self._free_bytes, self._backlog_bytes = free_bytes, backlog_bytes
        self._privacy: dict[str, dict[int, Privacy]] = {}
        self._traffic: deque[tuple[str, dict[str, Any], int]] = deque()
        self._feedback: deque[tuple[str, bytes, _Waiter]] = deque()
        self._waiting_bytes = 0
        self._segments: dict[tuple[str, str], _Segment] = {}
        self._lock = threading.Lock()
        self._wake, self._urgent = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def set_privacy(
        self,
        endpoint: str,
        *,
        drop: Sequence[str] = (),
        hash: Sequence[str] = (),
        secret: bytes = b"",
        columns: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        """What is covered from now on. `secret`: the endpoint's, so that all gateways make the same digests; without one, the folder keeps
        one of its own. `columns`: by revision, names for rows that come as bare arrays; such rows of others are not kept if there are
        rules."""
        if hash and not secret:
            secret = _own_secret(self._folder_of(endpoint))
        named = {number: Privacy(drop, hash, secret=secret, columns=names) for number, names in (columns or {}).items()}
        self._privacy[endpoint] = {**named, 0: Privacy(drop, hash, secret=secret)}

    def write(self, endpoint: str, record: dict[str, Any]) -> bool:
        """Keep one record of traffic; returns at once. False: dropped.

        Fields: `id`, `at` (epoch), `revision`, `replica`, `status`, `latency_ms`, `caller` (a key's name), `path`, `request` and `answer`
        (bytes, as they went by), `request_type` and `answer_type` (content types; none: JSON). The record belongs to the spool from now on.
        """
        size = _RECORD_BYTES
        for name in ("request", "answer"):
            body = record.get(name)
            if body is not None:
                if len(body) > self._body_bytes:
                    record[name], record[f"{name}_withheld"] = None, f"it has {len(body):,} bytes"
                    self.counts.withheld += 1
                else:
                    size += len(body)
        if self._waiting_bytes + size > self._room_bytes or self._is_closing:
            self.counts.dropped += 1
            return False
        with self._lock:
            self._waiting_bytes += size
            self._traffic.append((endpoint, record, size))
        if not self._wake.is_set():
            self._start()
            self._wake.set()
        return True

    async def write_durably(self, endpoint: str, *records: dict[str, Any]) -> None:
        """Keep records of feedback (`id`, `label`, `user`, `at`, what else the caller sent), all or none; when this returns they survive a
        power cut.

        What comes at once shares one fsync. Raises Refused: 507 with a full disk, 503 if they cannot be written.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[OSError | None] = loop.create_future()

        def settle(error: OSError | None) -> None:
            with suppress(RuntimeError):  # the loop is gone, and who waited with it
                loop.call_soon_threadsafe(lambda: done.done() or done.set_result(error))

        privacy = self._privacy_of(endpoint)
        line = b"".join(_to_line(privacy.cover_fields(record)) for record in records)
        if self._is_closing:
            raise Refused(503, "FW-BUSY", "this gateway is stopping", retry_after_s=1.0)
        self._feedback.append((endpoint, line, settle))
        self._start()
        self._urgent.set()
        self._wake.set()
        error = await done
        if error is not None:
            self.counts.refused += len(records)
            raise _refusal(error)
        self.counts.acknowledged += len(records)

    async def close(self) -> None:
        """Write what waits, and let go of the segments."""
        await asyncio.get_running_loop().run_in_executor(None, self.close_now)

    def close_now(self) -> None:
        """`close`, for callers without an event loop."""
        self._is_closing = True
        self._urgent.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        for segment in self._segments.values():
            segment.close()
        self._segments.clear()

    # the writing thread

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fairway-spool", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._urgent.wait(_GATHER_S)
            self._wake.clear()
            self._urgent.clear()
            is_last = self._is_closing
            self._write_feedback()
            self._write_traffic()
            if is_last and not self._feedback and not self._traffic:
                return
            if self._feedback or self._traffic:
                self._wake.set()

    def _write_feedback(self) -> None:
        groups: dict[str, list[tuple[bytes, _Waiter]]] = {}
        while self._feedback:
            endpoint, line, settle = self._feedback.popleft()
            groups.setdefault(endpoint, []).append((line, settle))
        for endpoint, group in groups.items():
            error = self._append(endpoint, FEEDBACK, b"".join(line for line, _ in group), is_durable=True)
            for _, settle in group:
                settle(error)

    def _write_traffic(self) -> None:
        """What waited when it began, a megabyte at a time; feedback comes first in between."""
        groups: dict[str, list[bytes]] = {}
        gathered = 0
        for _ in range(len(self._traffic)):
            endpoint, record, size = self._traffic.popleft()
            with self._lock:
                self._waiting_bytes -= size
            line = self._try_cover(endpoint, record)
            if line:
                groups.setdefault(endpoint, []).append(line)
            gathered += size
            time.sleep(0)  # lets the event loop have the interpreter between two records
            if gathered > 1 << 20:
                self._append_groups(groups)
                groups, gathered = {}, 0
            if self._feedback:
                self._write_feedback()
        self._append_groups(groups)

    def _append_groups(self, groups: dict[str, list[bytes]]) -> None:
        for endpoint, lines in groups.items():
            is_short = not self._has_room(endpoint)
            if is_short or self._append(endpoint, TRAFFIC, b"".join(lines), is_durable=False) is not None:
                self.counts.dropped += len(lines)
            else:
                self.counts.written += len(lines)

    def _cover(self, endpoint: str, record: dict[str, Any]) -> bytes:
        privacy = self._privacy_of(endpoint, record.get("revision", 0))
        for name in ("request", "answer"):
            body, kind = record.get(name), record.pop(f"{name}_type", "")
            if body is None:
                continue
            try:
                if privacy and name == "answer" and record.get("status", 200) >= 400:
                    raise Withheld("an error may quote what was sent")
                record[name] = privacy.cover_body(bytes(body), kind, is_request=name == "request")
            except Withheld as why:
                record[name], record[f"{name}_withheld"] = None, str(why)
                self.counts.withheld += 1
        return _to_line(privacy.cover_fields(record))

    def _try_cover(self, endpoint: str, record: dict[str, Any]) -> bytes:
        """The line; b"" for a record that cannot be written: no record may stop this thread."""
        try:
            return self._cover(endpoint, record)
        except Exception:  # noqa: BLE001 - whatever it is, what was not covered is not kept
            self.counts.dropped += 1
            return b""

    def _append(self, endpoint: str, kind: str, data: bytes, *, is_durable: bool) -> OSError | None:
        key = (endpoint, kind)
        try:
            segment = self._segments.get(key)
            if segment is None:
                segment = self._segments[key] = _Segment(self._folder_of(endpoint), kind)
            segment.append(data, is_durable=is_durable)
        except OSError as error:
            broken = self._segments.pop(key, None)
            if broken is not None:
                broken.close()
            return error
        if segment.size > self._segment_bytes:
            self._segments.pop(key).close()
        return None

    def _has_room(self, endpoint: str) -> bool:
        folder = self._folder_of(endpoint)
        try:
            with os.scandir(folder) as entries:
                waiting = sum(entry.stat().st_size for entry in entries if entry.name.startswith(TRAFFIC))
            found = os.statvfs(folder)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return waiting < self._backlog_bytes and found.f_bavail * found.f_frsize > self._free_bytes

    def _privacy_of(self, endpoint: str, revision: int = 0) -> Privacy:
        known = self._privacy.get(endpoint)
        return _OPEN if known is None else known.get(revision) or known[0]

    def _folder_of(self, endpoint: str) -> Path:
        return self.folder / endpoint


_OPEN = Privacy()


class _Segment:
    """One file that only this process appends to."""

    def __init__(self, folder: Path, kind: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        token = secrets.token_hex(4)
        made = folder / f".new-{token}"
        self.size = 0
        self._folder = folder
        self._is_known = False  # is its name on the disk?
        self._file = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)  # before the name that readers look for: a free lock means that nobody writes
            made.rename(folder / f"{kind}-{time.time_ns() // 1_000_000:013d}-{token}.jsonl")
        except OSError:
            self.close()
            raise

    def append(self, data: bytes, *, is_durable: bool) -> None:
        """All of it or nothing. Raises OSError."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            if is_durable:
                os.fsync(self._file)
                if not self._is_known:
                    write_through(str(self._folder))
                    write_through(str(self._folder.parent))
                    self._is_known = True
        except OSError:
            with suppress(OSError):  # what is refused is not kept; nobody appends to this segment again
                os.ftruncate(self._file, self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._file)


def _to_line(record: dict[str, Any]) -> bytes:
    return msgspec.json.encode(record) + b"\n"


def _refusal(error: OSError) -> Refused:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(
            507,
            "FW-FEEDBACK-UNWRITTEN",
            "the disk for feedback is full: nothing was kept",
            hint="make room where the server keeps its data, then send it again",
            retry_after_s=30.0,
        )
    return Refused(
        503,
        "FW-FEEDBACK-UNWRITTEN",
        f"feedback cannot be written: {error.strerror or error}",
        hint="nothing was kept; send it again",
        retry_after_s=5.0,
    )


def _own_secret(folder: Path) -> bytes:
    """The one in the folder, made if there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "secret"
    made = folder / f".new-{secrets.token_hex(4)}"
    if not path.exists():
        handle = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, secrets.token_bytes(32))
            os.fsync(handle)
        finally:
            os.close(handle)
        with suppress(FileExistsError):
            path.hardlink_to(made)  # unlike a rename, it never takes another's place
        made.unlink()
        write_through(str(folder))
    return path.read_bytes()[:64]
