"""Which requests wait, and which go to the model next: whatever waits when a worker is free is the next batch. Nobody waits for company.

A caller who is alone is served at once; under load batches grow by themselves, up to `batch_rows`. Nothing here knows of sockets or
processes: a worker is what takes a frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from fairway.serve.call import Call, Done, Result, failed
from fairway.serve.refusal import Refused
from fairway.serve.replica.chunks import Chunks
from fairway.serve.replica.frames import Bytes, describe_call, restore_results
from fairway.spec.endpoint import Limits

_LATE = "no answer in time: {:.3g} s were allowed"


class Workman(Protocol):
    """A worker as the batcher sees it."""

    @property
    def room(self) -> int:
        """How many batches it takes now."""
        ...

    def send(self, header: Any, parts: list[Bytes]) -> None: ...
    def kill(self) -> None:
        """It is lost: what it does is of no use to anybody."""
        ...


class Pending:
    """A call that waits or runs. `alone`: it was in a batch whose process died, and goes by itself now."""

    __slots__ = ("alone", "call", "done", "over", "queued_at")

    def __init__(self, call: Call, done: Done, queued_at: float) -> None:
        self.call, self.done, self.queued_at = call, done, queued_at
        self.alone = self.over = False

    def end(self, result: Result) -> None:
        """Answer, once."""
        if not self.over:
            self.over = True
            self.done(result)


class Batch:
    __slots__ = ("chunks", "id", "members", "started", "worker")

    def __init__(self, id: int, members: list[Pending], worker: Workman, started: float) -> None:
        self.id, self.members, self.worker, self.started = id, members, worker, started
        self.chunks: Chunks | None = None


class Batcher:
    """The queue of a replica.

    `soon` calls a function at the end of the current turn of the loop, so that all that came in it go together. `free` names the worker
    that is to have the next batch, None if all are busy. `batches`: rows of several calls may be joined.
    """

    def __init__(
        self, limits: Limits, *, soon: Callable[[Callable[[], None]], Any], free: Callable[[], Workman | None], batches: bool
    ) -> None:
        self.limits, self.batches = limits, batches
        self._soon, self._free = soon, free
        self._queue: deque[Pending] = deque()
        self._running: dict[int, Batch] = {}
        self._flushing = False
        self._next = 0
        self.sizes: dict[int, int] = {}  # rows of a batch, rounded up to a power of two -> how many there were
        self.busy_s = 0.0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> int:
        """Calls that a worker has."""
        return sum(len(batch.members) for batch in self._running.values())

    @property
    def is_idle(self) -> bool:
        return not self._queue and not self._running

    def submit(self, call: Call, done: Done) -> None:
        """Have the call answered: `done` is called once. Raises Refused (503) if too many wait already."""
        if len(self._queue) >= self.limits.queue:
            raise Refused(
                503, "FW-BUSY", f"{len(self._queue)} requests wait already, which is as many as may", retry_after_s=1.0,
                hint="come again a little later; more replicas or a longer queue (--limits queue=…) take more at once",
            )  # fmt: skip
        now = time.monotonic()
        if not call.deadline:
            call.deadline = now + self.limits.deadline_s
        self._queue.append(Pending(call, done, now))
        if not self._flushing:
            self._flushing = True
            self._soon(self.flush)

    def flush(self) -> None:
        """Give free workers what waits."""
        self._flushing = False
        while self._queue:
            worker = self._free()
            if worker is None:
                return
            members = self._take()
            if not members:
                continue
            try:
                self._send(members, worker)
            except (TypeError, ValueError, OverflowError) as error:  # what MessagePack cannot carry
                self._running.pop(self._next, None)
                for pending in members:
                    pending.end(failed(400, "FW-REQUEST", f"the request cannot be passed on: {error}"))

    def _take(self) -> list[Pending]:
        """The next batch: the first that waits, and those behind it that can be joined with it."""
        queue, now = self._queue, time.monotonic()
        members, rows = list[Pending](), 0
        kind: tuple[Any, ...] = ()
        while queue:
            pending = queue[0]
            call = pending.call
            if pending.over or call.deadline < now:
                queue.popleft()
                pending.end(failed(504, "FW-DEADLINE", _LATE.format(call.deadline - pending.queued_at)))
                continue
            if not members:
                members.append(queue.popleft())
                rows, kind = call.rows, _kind_of(call)
                if not self.batches or not rows or pending.alone or call.streams:
                    break
            elif call.rows and rows + call.rows <= self.limits.batch_rows and not pending.alone and _kind_of(call) == kind:
                members.append(queue.popleft())
                rows += call.rows
            else:
                break
        return members

    def _send(self, members: list[Pending], worker: Workman) -> None:
        self._next += 1
        batch = self._running[self._next] = Batch(self._next, members, worker, time.monotonic())
        first = members[0].call
        if first.form == "matrix" and not first.streams:
            counts = [pending.call.rows for pending in members]
            header: list[Any] = ["matrix", batch.id, counts, first.dtype, first.method, first.params]
            parts: list[Bytes] = [pending.call.payload for pending in members]
            size = sum(counts)
        else:
            heads, parts, size = list[Any](), list[Bytes](), 0
            for pending in members:
                head, bytes_ = describe_call(pending.call)
                heads.append(head)
                parts.extend(bytes_)
                size += pending.call.rows
            header = ["calls", batch.id, heads]
        bucket = 1 << max(0, size - 1).bit_length()
        self.sizes[bucket] = self.sizes.get(bucket, 0) + 1
        worker.send(header, parts)

    # what workers say

    def receive(self, header: Any, payload: memoryview) -> None:
        """A worker's frame: results of a batch, or a piece of a stream."""
        batch = self._running.get(header[1])
        if batch is None:
            return
        if header[0] == "chunk":
            (result,) = restore_results([header[2]], payload)
            self._take_chunk(batch, result)
            return
        del self._running[batch.id]
        self.busy_s += header[2]
        if self._queue:
            self.flush()  # the worker first: it goes on while answers are written
        if header[0] == "array":
            self._share_array(batch, header, payload)
        elif header[0] == "end":
            if batch.chunks is None:
                self._take_chunk(batch, None)
            if batch.chunks is not None:
                batch.chunks.end()
        else:
            for pending, result in zip(batch.members, restore_results(header[3], payload), strict=True):
                result.took_s = header[2]
                pending.end(result)

    def _share_array(self, batch: Batch, header: Any, payload: memoryview) -> None:
        _, _, took_s, dtype, shape, names = header
        rest, names = tuple(shape[1:]), tuple(names)
        width, at = len(payload) // shape[0] if shape[0] else 0, 0
        for pending in batch.members:
            rows = pending.call.rows
            result = Result("array", payload[at : at + rows * width])
            result.dtype, result.shape, result.names, result.took_s = dtype, (rows, *rest), names, took_s
            at += rows * width
            pending.end(result)

    def _take_chunk(self, batch: Batch, result: Result | None) -> None:
        pending = batch.members[0]
        if batch.chunks is None:
            batch.chunks = Chunks(lambda: batch.worker.send(["cancel", batch.id], []))
            stream = Result("stream")
            stream.chunks = batch.chunks
            if result is not None:
                batch.chunks.put(result)
            pending.end(stream)
        elif result is not None:
            batch.chunks.put(result)

    def lose(self, worker: Workman, why: str) -> None:
        """A worker died. Who was alone with it gets the error; those who were in a batch go again, each by itself."""
        for batch in [batch for batch in self._running.values() if batch.worker is worker]:
            del self._running[batch.id]
            if batch.chunks is not None:
                batch.chunks.put(failed(502, "FW-MODEL-DIED", why))
                batch.chunks.end()
            elif len(batch.members) == 1:
                batch.members[0].end(failed(502, "FW-MODEL-DIED", why))
            else:
                for pending in reversed(batch.members):
                    pending.alone = True
                    self._queue.appendleft(pending)
        if self._queue and not self._flushing:
            self._flushing = True
            self._soon(self.flush)

    def look(self) -> None:
        """See who has waited too long: they are told so, and a worker that keeps at it is lost."""
        now = time.monotonic()
        for pending in self._queue:
            if pending.call.deadline < now:
                pending.end(failed(504, "FW-DEADLINE", _LATE.format(pending.call.deadline - pending.queued_at)))
        hung = list[Batch]()
        for batch in self._running.values():
            if batch.chunks is not None:
                continue
            for pending in batch.members:
                if pending.call.deadline < now:
                    pending.end(failed(504, "FW-DEADLINE", _LATE.format(pending.call.deadline - pending.queued_at)))
            if now - batch.started > self.limits.deadline_s and all(pending.over for pending in batch.members):
                hung.append(batch)
        for batch in hung:
            batch.worker.kill()

    def refuse_all(self, result: Result) -> None:
        """Nobody will be answered any more, whether they wait or are with the model."""
        for batch in self._running.values():
            if batch.chunks is not None:
                batch.chunks.put(result)
                batch.chunks.end()
            for pending in batch.members:
                pending.end(result)
        self._running.clear()
        for pending in self._queue:
            pending.end(result)
        self._queue.clear()


def _kind_of(call: Call) -> tuple[Any, ...]:
    """Calls of the same kind can be joined."""
    params = repr(call.params) if call.params else ""
    return (call.form, call.dtype, call.method, call.names, call.wanted, call.content_type, call.streams, params)
