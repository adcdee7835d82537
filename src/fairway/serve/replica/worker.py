"""A model worker: takes a batch, predicts, answers; nothing else. It was forked from a parent that loaded the model and never predicted.

A batch whose prediction raises is done again call by call, so that only the call that is to blame gets the error.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fairway.data.schema.modelschema import ModelSchema
from fairway.serve.call import Call, Result, failed
from fairway.serve.package import inputs as model_inputs
from fairway.serve.package import results as model_results
from fairway.serve.package.answertables import ACCEPT, as_table, params_of
from fairway.serve.package.predictor import Predictor
from fairway.serve.refusal import Refused
from fairway.serve.replica.failures import own_traceback
from fairway.serve.replica.frames import Bytes, Link, describe_result, restore_calls


class Worker:
    """Serves one link until the front hangs up."""

    def __init__(self, link: Link, predictor: Predictor, schema: ModelSchema, threads: int) -> None:
        self._link, self._predictor, self._schema, self._threads = link, predictor, schema, threads
        self._names_in = tuple(column.name for column in schema.columns)
        self._cancelled = set[int]()
        self._sending = threading.Lock()

    def serve(self) -> None:
        """Until the front has gone."""
        self._predictor.warm_up()
        self._link.send(["ready", os.getpid()])
        if self._predictor.is_async:
            asyncio.run(self._serve_async())
        elif self._threads > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                self._receive(pool.submit)
        else:
            self._receive(_call)

    def _receive(self, run: Callable[..., Any]) -> None:
        while True:
            frame = self._link.receive()
            if frame is None:
                return
            header, payload = frame
            if header[0] == "matrix":
                run(self._do_matrix, header, payload)
            elif header[0] == "calls":
                run(self._do, header[1], restore_calls(header[2], payload))
            elif header[0] == "cancel":
                self._cancelled.add(header[1])

    def _do_matrix(self, header: Any, payload: memoryview) -> None:
        """Many calls' rows as one: the usual case, and nothing is done for each call here."""
        _, batch, counts, _, method, params = header
        whole = self._restore_matrix(header, payload)
        if ACCEPT in params:
            self._do(batch, _split(whole, counts))
            return
        began = time.perf_counter()
        try:
            inputs = model_inputs.to_inputs([whole], self._predictor, self._schema)
            value = self._predictor.predict(inputs, method, params)
            array = _find_array(value, whole.rows)
        except Exception as error:  # noqa: BLE001 - the model's own
            if len(counts) == 1:
                self._send_results(batch, [self._failure(error)], began)
            else:
                self._do(batch, _split(whole, counts))
            return
        if array is None:
            calls = _split(whole, counts)
            try:
                results = self._results(value, calls)
            except Exception as error:  # noqa: BLE001 - what the model gave is no answer
                results = [self._failure(error) for _ in calls]
            if len(results) == 1 and results[0].form == "stream":
                self._send_stream(batch, results[0], began)
            else:
                self._send_results(batch, results, began)
            return
        names = self._output_names(method, array)
        self._send(["array", batch, time.perf_counter() - began, array.dtype.str, array.shape, names], array)

    def _restore_matrix(self, header: Any, payload: memoryview) -> Call:
        _, _, counts, dtype, method, params = header
        whole = Call("matrix", payload, rows=sum(counts), names=self._names_in, dtype=dtype)
        whole.method, whole.params = method, params
        return whole

    def _output_names(self, method: str, array: Any) -> tuple[str, ...]:
        names = self._predictor.output_names(method)
        return names if array.ndim == 2 and len(names) == array.shape[1] else ()

    def _do(self, batch: int, calls: list[Call]) -> None:
        began = time.perf_counter()
        results = self._answers(calls)
        if len(results) == 1 and results[0].form == "stream":
            self._send_stream(batch, results[0], began)
        else:
            self._send_results(batch, results, began)

    def _answers(self, calls: list[Call]) -> list[Result]:
        """A result for each call, whatever happens."""
        first = calls[0]
        try:
            inputs = model_inputs.to_inputs(calls, self._predictor, self._schema)
            return self._results(self._predictor.predict(inputs, first.method, params_of(first)), calls)
        except Exception as error:  # noqa: BLE001 - the model's own
            if len(calls) == 1:
                return [self._failure(error)]
        return [self._answers([call])[0] for call in calls]

    def _results(self, value: Any, calls: list[Call]) -> list[Result]:
        results = model_results.to_results(value, calls, self._schema, self._predictor.output_names(calls[0].method))
        kind = calls[0].params.get(ACCEPT)
        return [as_table(result, kind, self._schema.outputs) for result in results] if kind else results

    def _failure(self, error: Exception) -> Result:
        if isinstance(error, Refused):
            return failed(error.status, error.code, "; ".join([error.message, *(fault.text for fault in error.faults[:5])]))
        sys.stderr.write(own_traceback(error))
        sys.stderr.flush()
        status = getattr(error, "fairway_status", 500)
        return failed(status, "FW-MODEL", f"the model failed: {type(error).__name__}: {error}"[:2000])

    def _send_results(self, batch: int, results: list[Result], began: float) -> None:
        heads, parts = list[Any](), list[Bytes]()
        for result in results:
            head, bytes_ = describe_result(result)
            heads.append(head)
            parts.extend(bytes_)
        self._send(["results", batch, time.perf_counter() - began, heads], *parts)

    def _send(self, header: Any, *parts: Any) -> None:
        with self._sending:
            self._link.send(header, *(part if isinstance(part, bytes) else memoryview(part).cast("B") for part in parts))

    def _send_stream(self, batch: int, result: Result, began: float) -> None:
        chunks: Any = result.chunks
        try:
            for chunk in chunks:
                head, parts = describe_result(chunk)
                self._send(["chunk", batch, head], *parts)
                if self._is_cancelled(batch):
                    break
        except Exception as error:  # noqa: BLE001 - the script's own
            head, _ = describe_result(self._failure(error))
            self._send(["chunk", batch, head])
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        self._send(["end", batch, time.perf_counter() - began])

    def _is_cancelled(self, batch: int) -> bool:
        """Has the one who listens left? Frames that came meanwhile are looked at without waiting."""
        if self._threads == 1:
            while select.select([self._link.sock], [], [], 0)[0]:
                frame = self._link.receive()
                if frame is None:
                    raise SystemExit(0)
                if frame[0][0] == "cancel":
                    self._cancelled.add(frame[0][1])
        if batch in self._cancelled:
            self._cancelled.discard(batch)
            return True
        return False

    # asynchronous scripts

    async def _serve_async(self) -> None:
        loop = asyncio.get_running_loop()
        tasks: dict[int, asyncio.Task[None]] = {}
        frames: asyncio.Queue[Any] = asyncio.Queue()

        def read() -> None:
            while True:
                frame = self._link.receive()
                loop.call_soon_threadsafe(frames.put_nowait, frame)
                if frame is None:
                    return

        threading.Thread(target=read, daemon=True).start()
        while True:
            frame = await frames.get()
            if frame is None:
                for task in tasks.values():
                    task.cancel()
                return
            header, payload = frame
            if header[0] == "cancel":
                if header[1] in tasks:
                    tasks[header[1]].cancel()
                continue
            if header[0] == "matrix":
                batch, calls = header[1], _split(self._restore_matrix(header, payload), header[2])
            else:
                batch, calls = header[1], restore_calls(header[2], payload)
            task = loop.create_task(self._do_async(batch, calls))
            tasks[batch] = task
            task.add_done_callback(lambda _, batch=batch: tasks.pop(batch, None))

    async def _do_async(self, batch: int, calls: list[Call]) -> None:
        began = time.perf_counter()
        try:
            results = await self._answers_async(calls)
            if len(results) == 1 and results[0].form == "stream":
                await self._stream_async(batch, results[0])
                self._send(["end", batch, time.perf_counter() - began])
                return
        except asyncio.CancelledError:
            results = [failed(499, "FW-CANCELLED", "nobody waits for this any more") for _ in calls]
        self._send_results(batch, results, began)

    async def _answers_async(self, calls: list[Call]) -> list[Result]:
        first = calls[0]
        try:
            inputs = model_inputs.to_inputs(calls, self._predictor, self._schema)
            value = self._predictor.predict(inputs, first.method, params_of(first))
            if hasattr(value, "__await__"):
                value = await value
            return self._results(value, calls)
        except Exception as error:  # noqa: BLE001 - the script's own
            if len(calls) == 1:
                return [self._failure(error)]
        return [(await self._answers_async([call]))[0] for call in calls]

    async def _stream_async(self, batch: int, result: Result) -> None:
        chunks: Any = result.chunks
        try:
            if hasattr(chunks, "__aiter__"):
                async for chunk in chunks:
                    head, parts = describe_result(chunk)
                    self._send(["chunk", batch, head], *parts)
                    await asyncio.sleep(0)
            else:
                for chunk in chunks:
                    head, parts = describe_result(chunk)
                    self._send(["chunk", batch, head], *parts)
                    await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - the script's own
            head, _ = describe_result(self._failure(error))
            self._send(["chunk", batch, head])


def _find_array(value: Any, rows: int) -> Any:
    """The value as numbers that can be sent as they lie in memory; None for anything else, which takes a closer look."""
    if type(value).__module__ != "numpy" or getattr(value, "ndim", 0) == 0 or value.shape[0] != rows:
        return None
    kind = value.dtype.kind
    if kind not in "biuf" or value.dtype.itemsize > 8:
        return None
    import numpy as np

    if kind == "f" and not np.isfinite(value).all():
        return None
    return np.ascontiguousarray(value, value.dtype.newbyteorder("<"))


def _call(function: Callable[..., Any], *args: Any) -> None:
    function(*args)


def _split(whole: Call, counts: list[int]) -> list[Call]:
    """The calls that were joined."""
    if len(counts) == 1:
        return [whole]
    calls, at, payload = list[Call](), 0, memoryview(whole.payload)
    width = len(payload) // whole.rows
    for rows in counts:
        call = Call("matrix", payload[at : at + rows * width], rows=rows, names=whole.names, dtype=whole.dtype)
        call.method, call.params = whole.method, whole.params
        at += rows * width
        calls.append(call)
    return calls


def run_worker(link: Link, predictor: Predictor, schema: ModelSchema, threads: int) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the front drains first, then hangs up
    Worker(link, predictor, schema, threads).serve()
