"""One inference server from its options: the model parent first, then the front."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from fairway.serve.call import Call
from fairway.serve.package import open_package
from fairway.serve.package.package import Package
from fairway.serve.refusal import Refused
from fairway.serve.replica.front import Front, serve_front
from fairway.serve.replica.options import ReplicaOptions
from fairway.serve.replica.pool import ModelFailed, Pool
from fairway.serve.replica.threads import limit_threads
from fairway.serve.replica.times import TimedLog
from fairway.serve.schema import Checker, compile_checker, load_schema, no_schema
from fairway.spec.record import replace


def run_replica(options: ReplicaOptions, on_ready: Callable[[Front, dict[str, Any]], None]) -> int:
    """Serve until a signal; returns the exit status. Called in a process that has no event loop and no threads, such as a new fork.

    Raises UserError and its kin for a package that cannot be served, before anything is loaded.
    """
    log = TimedLog() if options.times else None
    try:
        return _run(options, on_ready, log)
    finally:
        if log is not None:
            log.finish()


def _run(options: ReplicaOptions, on_ready: Callable[[Front, dict[str, Any]], None], log: TimedLog | None) -> int:
    limit_threads(options.workers)
    package = open_package(options.folder, schema=options.schema or None, options=options.options)
    schema = load_schema(package.schema, options.schema or f"{package.folder}/schema.json") if package.schema is not None else no_schema()
    threads = options.limits.concurrency if options.limits.concurrency > 1 else 1
    pool = Pool(package, schema, options.workers, threads=threads)
    pool.fork()  # it imports and loads while the front prepares itself
    checker = compile_checker(schema)
    pool.warm_up = warm_up_calls(package, checker)
    if pool.warm_up and not schema.examples:
        schema = dataclasses.replace(schema, examples=(package.example,))  # what /docs begins with
    front = Front(_bounded(options), package, schema, checker, pool)
    gc.collect()
    gc.freeze()

    async def serve() -> int:
        if log is not None:
            log.listen(asyncio.get_running_loop())
        return await serve_front(front, lambda listening: on_ready(front, listening))

    try:
        return asyncio.run(serve())
    except ModelFailed as error:
        if error.trace:
            sys.stderr.write(error.trace)
        raise
    finally:
        pool.close()


def _bounded(options: ReplicaOptions) -> ReplicaOptions:
    """No end takes longer than the longest request may."""
    return replace(options, drain_s=min(options.drain_s, options.limits.deadline_s + 5))


def warm_up_calls(package: Package, checker: Checker) -> list[Call]:
    """The example request as a call; one that the schema refuses is left out, with a word about it."""
    if package.example is None:
        return []
    try:
        return [checker.read_json(json.dumps(package.example).encode())]
    except Refused as refused:
        print(f"the example request does not keep to the schema: {refused.message}", file=sys.stderr, flush=True)
        return []


def print_ready(front: Front, listening: dict[str, Any]) -> None:
    """One line of JSON that says where: for programs that start a replica."""
    said = {"ready": True, **listening, "pid": os.getpid(), "name": front.name, "version": front.version}
    is_log = os.path.sameopenfile(1, 2)  # nobody reads it line by line: it gets its time like all the others
    print(json.dumps(said), flush=True, file=sys.stdout if is_log else sys.__stdout__)


__all__ = ["print_ready", "run_replica", "warm_up_calls"]
