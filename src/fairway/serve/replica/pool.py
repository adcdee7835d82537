"""The model processes of a replica: one parent that has loaded the model, and its forks. Whoever dies is replaced.

`Pool` starts them, says when one is ready, and tells the batcher who was lost and why.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fairway.data.schema.modelschema import ModelSchema
from fairway.errors import FairwayError
from fairway.serve.call import Call
from fairway.serve.package.package import Package
from fairway.serve.replica.frames import Bytes, FrameReader, describe_call, pack, restore_results, socket_pair
from fairway.serve.replica.parent import fork_parent

_WARM_UP = -1
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 5.0
_DIED: dict[int, str] = {
    signal.SIGKILL: "was killed, by its own hang or by the system (out of memory?)",
    signal.SIGSEGV: "crashed in compiled code (segmentation fault)",
    signal.SIGABRT: "was aborted by compiled code",
    signal.SIGBUS: "crashed (bus error: a mapped file was cut short, or memory is full)",
}


class ModelFailed(FairwayError):
    """The model could not be loaded. `trace`: of the user's own code."""

    code, exit_status = "FW-MODEL", 3

    def __init__(self, message: str, *, hint: str = "", trace: str = "") -> None:
        super().__init__(message, hint=hint)
        self.trace = trace


class ModelWorker(asyncio.Protocol):
    """The front's end of one worker."""

    def __init__(self, pool: Pool, number: int) -> None:
        self._pool, self.number = pool, number
        self._reader = FrameReader()
        self._transport: Any = None
        self.pid = 0
        self.is_ready = False
        self.busy = 0

    def connection_made(self, transport: Any) -> None:
        transport.set_write_buffer_limits(high=64 << 20)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for header, payload in self._reader.feed(data):
            self._pool.hear(self, header, payload)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_ready = False
        self._transport = None

    @property
    def room(self) -> int:
        """How many batches it takes now."""
        return self._pool.capacity - self.busy if self.is_ready else 0

    def send(self, header: Any, parts: list[Bytes]) -> None:
        """A frame for the worker. One that has died is told of elsewhere."""
        size = sum(map(len, parts))
        head = pack(header, size)  # before anything is noted: what cannot be packed was never sent
        if header[0] != "cancel":
            self.busy += 1
        if self._transport is None:
            return
        if len(parts) == 1 and size > 65536:
            self._transport.write(head)
            self._transport.write(parts[0])
            return
        self._transport.write(b"".join((head, *parts)))

    def kill(self) -> None:
        """It is lost: what it does is of no use to anybody."""
        self.is_ready = False
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Pool:
    """`count` workers of `package`'s model. `on_frame` gets what workers answer, `on_free` is called when one may have room,
    `on_lost(worker, why)` when one has died. `warm_up`: calls that each worker answers before it counts as ready."""

    def __init__(self, package: Package, schema: ModelSchema, count: int, *, threads: int = 1, warm_up: list[Call] | None = None) -> None:
        self._package, self._schema, self._count, self._threads = package, schema, count, threads
        self.warm_up = list[Call]()
        self._workers: dict[int, ModelWorker] = {}
        self._control: socket.socket | None = None
        self._control_reader = FrameReader()
        self.parent_pid = 0
        self._numbers = 0
        self._delay_s = _FIRST_DELAY_S
        self._closing = self._was_ready = self._alone = self._starts_over = False
        self._task: asyncio.Task[None] | None = None
        self.capacity = 1
        self.info: dict[str, Any] = {}
        self.replaced = 0
        self.phases: tuple[tuple[str, float], ...] = ()
        """What took how many seconds until the first worker was ready: "libraries", "model", "warm-up"."""
        self._loaded_at = 0.0
        self.started: asyncio.Future[None] | None = None
        self.on_frame: Callable[[Any, memoryview], None] = lambda header, payload: None
        self.on_free: Callable[[], None] = lambda: None
        self.on_lost: Callable[[ModelWorker, str], None] = lambda worker, why: None

    def fork(self) -> None:
        """Start the parent; it loads the model from now on. Best called before there is an event loop."""
        self.parent_pid, self._control = fork_parent(self._package, self._schema, self._threads, alone=self._alone)

    async def start(self) -> None:
        """Wait until the first worker is ready. Raises ModelFailed."""
        loop = asyncio.get_running_loop()
        if self.started is None:
            self.started = loop.create_future()
        if self._control is None:
            self.fork()
        assert self._control is not None
        self._control.setblocking(False)
        loop.add_reader(self._control, self._hear_parent)
        for _ in range(self._count):
            await self._start_worker()
        await self.started

    def find_free(self) -> ModelWorker | None:
        """The worker with the most room."""
        best, room = None, 0
        for worker in self._workers.values():
            if worker.room > room:
                best, room = worker, worker.room
        return best

    @property
    def ready(self) -> int:
        """How many workers are ready."""
        return sum(worker.is_ready for worker in self._workers.values())

    @property
    def pids(self) -> list[int]:
        return [self.parent_pid, *(worker.pid for worker in self._workers.values() if worker.pid)]

    async def _start_worker(self) -> None:
        self._numbers += 1
        worker = ModelWorker(self, self._numbers)
        self._workers[worker.number] = worker
        ours, theirs = socket_pair()
        await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=ours)
        if self._control is None:  # the parent has died meanwhile
            worker.close()
            theirs.close()
            return
        with theirs:
            self._control.setblocking(True)  # a few bytes: it never waits
            try:
                socket.send_fds(self._control, [pack(["start", worker.number])], [theirs.fileno()])
            except OSError:
                return  # the parent has died: its end is seen elsewhere
            finally:
                self._control.setblocking(False)

    def hear(self, worker: ModelWorker, header: Any, payload: memoryview) -> None:
        """A worker's frame."""
        kind = header[0]
        if kind == "ready":
            worker.pid = header[1]
            if self.warm_up:
                self._send_warm_up(worker)
            else:
                self._make_ready(worker)
        elif kind == "loaded":
            self._know(header[1])
        elif kind == "failed":
            self._fail(header)
        elif header[1] == _WARM_UP:
            if kind != "chunk":
                self._warmed_up(worker, header, payload)
        else:
            if kind != "chunk":
                worker.busy -= 1
            self.on_frame(header, payload)

    def _send_warm_up(self, worker: ModelWorker) -> None:
        heads, parts = list[Any](), list[Bytes]()
        for call in self.warm_up:
            head, bytes_ = describe_call(call)
            heads.append(head)
            parts.extend(bytes_)
        worker.send(["calls", _WARM_UP, heads], parts)

    def _warmed_up(self, worker: ModelWorker, header: Any, payload: memoryview) -> None:
        worker.busy = 0
        for result in restore_results(header[3], payload) if header[0] == "results" else ():
            if result.form == "error":
                print(f"the example request of {self._package.name} fails: {result.message}", file=sys.stderr, flush=True)
        self._make_ready(worker)

    def _make_ready(self, worker: ModelWorker) -> None:
        worker.is_ready = True
        self._delay_s = _FIRST_DELAY_S
        self._was_ready = True
        if not self.phases:
            warm_up_s = time.perf_counter() - self._loaded_at if self._loaded_at else 0.0
            self.phases = (*self.info.get("took", {}).items(), ("warm-up", round(warm_up_s, 4)))
        if self.started is not None and not self.started.done():
            self.started.set_result(None)
        self.on_free()

    def _know(self, info: dict[str, Any]) -> None:
        self.info = info
        self._loaded_at = self._loaded_at or time.perf_counter()

    def _fail(self, header: Any) -> None:
        _, message, hint, trace = header
        if not self._was_ready:
            self._give_up(ModelFailed(message, hint=hint, trace=trace))
            return
        print(f"the model cannot be loaded again: {message}\n{trace}", file=sys.stderr, flush=True)

    def _give_up(self, error: ModelFailed) -> None:
        """It never was ready: the first reason counts."""
        if self.started is not None and not self.started.done():
            self.started.set_exception(error)

    # ends

    def _hear_parent(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose_parent()
            return
        for header, _ in self._control_reader.feed(data):
            if header[0] == "loaded":
                self._know(header[1])
            elif header[0] == "alone":  # it cannot be forked any more, now that it has loaded the model
                self._alone = self._starts_over = True
            elif header[0] == "failed":
                self._fail(header)
            elif header[0] == "ended":
                self._lose_worker(header[1], header[3])

    def _lose_worker(self, number: int, status: int) -> None:
        worker = self._workers.pop(number, None)
        if worker is None or self._closing:
            return
        worker.close()
        why = describe_end(status)
        if not self._was_ready:
            self._give_up(ModelFailed(f"{why} before it was ready", hint="its last words are above"))
            return
        print(f"{why}; another one takes its place", file=sys.stderr, flush=True)
        self.replaced += 1
        self.on_lost(worker, why)
        self._again(self._start_worker)

    def _lose_parent(self) -> None:
        assert self._control is not None
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._control = None
        if self._closing:
            return
        with suppress(ChildProcessError):
            os.waitpid(self.parent_pid, 0)
        if self._starts_over:
            self._starts_over = False
            for worker in self._workers.values():
                worker.close()
            self._workers.clear()
            self._control_reader = FrameReader()
            self._task = asyncio.get_running_loop().create_task(self.start())
            return
        if self.started is None or not self._was_ready:
            self._give_up(ModelFailed("the process that loads the model has died", hint="its last words are above"))
            return
        print("the process that holds the model has died; the model is loaded again", file=sys.stderr, flush=True)
        lost = list(self._workers.values())
        self._workers.clear()
        self._control_reader = FrameReader()
        for worker in lost:
            worker.is_ready = False
            worker.close()
            self.on_lost(worker, "the process that holds the model has died")
        self.replaced += 1
        self._again(self.start)

    def _again(self, start: Callable[[], Any]) -> None:
        """Start one anew: the first time at once, slower and slower if it keeps dying."""
        delay_s, self._delay_s = self._delay_s, min(_LONGEST_DELAY_S, self._delay_s * 2)
        loop = asyncio.get_running_loop()

        def run() -> None:
            if not self._closing:
                self._task = loop.create_task(start())

        loop.call_later(delay_s if self._delay_s > 2 * _FIRST_DELAY_S else 0.0, run)

    def close(self) -> None:
        """End all of them."""
        self._closing = True
        for worker in self._workers.values():
            worker.close()
        if self._control is not None:
            with suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None


def describe_end(status: int) -> str:
    """Why a model process ended, in words, from its exit code (negative: a signal)."""
    if status < 0:
        number = -status
        return f"the model process {_DIED.get(number, f'was ended by the signal {number}')}"
    return f"the model process ended by itself with the status {status}"
