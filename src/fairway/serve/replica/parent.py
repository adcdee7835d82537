"""The model parent: a process that loads the model, never predicts, and is forked into workers.

A fork after OpenMP or BLAS threads have run hangs in the child, and what is loaded before a fork is shared by all workers: so the parent
only loads. A library that bears no fork is loaded by each worker by itself.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any, NoReturn

from fairway.data.schema.load import load_schema
from fairway.data.schema.modelschema import ModelSchema
from fairway.errors import FairwayError
from fairway.serve.package.guessing import guess_schema
from fairway.serve.package.loading import loads_alone
from fairway.serve.package.package import Package
from fairway.serve.package.predictor import Predictor
from fairway.serve.replica.failures import own_traceback
from fairway.serve.replica.frames import Link
from fairway.serve.replica.timing import load_timed
from fairway.serve.replica.worker import run_worker
from fairway.step.processes import die_with_parent


class Parent:
    """Serves one control link: "start" with a descriptor makes a worker of it; the end of a worker is told."""

    def __init__(self, link: Link, package: Package, schema: ModelSchema, threads: int, *, alone: bool) -> None:
        self._link, self._package, self._schema, self._threads = link, package, schema, threads
        self._alone = alone
        self._predictor: Predictor | None = None
        self._workers: dict[int, tuple[int, int]] = {}  # pidfd -> (number, pid)

    def run(self) -> NoReturn:
        """Until the front has gone; the workers end with their links."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not self._alone:
            try:
                self._predictor, took = load_timed(self._package)
            except Exception as error:  # noqa: BLE001 - told to the front, which tells the user
                with suppress(OSError):
                    self._link.send(["failed", *describe_failure(error)])
                os._exit(1)
            if not self._predictor.bears_fork:  # seen only now: threads run in it
                self._link.send(["alone"])
                os._exit(0)
            self._link.send(["loaded", {**self._describe(self._predictor), "took": took}])
        gc.collect()
        gc.freeze()
        poller = select.poll()
        poller.register(self._link.sock, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self._link.sock.fileno():
                    frame = self._link.receive_with_fd()
                    if frame is None:
                        os._exit(0)
                    header, given = frame
                    poller.register(self._fork(header[1], given), select.POLLIN)
                else:
                    poller.unregister(fd)
                    self._reap(fd)

    def _describe(self, predictor: Predictor) -> dict[str, Any]:
        """What the front must know; a schema that was found out counts here, too."""
        found = guess_schema(self._package, predictor)
        if found is not None:
            self._schema = load_schema(found, self._package.name)
        return {**describe_predictor(predictor), "schema": found}

    def _fork(self, number: int, given: int) -> int:
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            die_with_parent(me)
            self._link.sock.close()
            for fd in self._workers:
                os.close(fd)
            self._become(number, Link(socket.socket(fileno=given)))
        os.close(given)
        pidfd = os.pidfd_open(pid)
        self._workers[pidfd] = (number, pid)
        return pidfd

    def _become(self, number: int, link: Link) -> NoReturn:
        status = 0
        try:
            predictor = self._predictor
            if predictor is None:
                try:
                    predictor, took = load_timed(self._package)
                except Exception as error:  # noqa: BLE001 - told to the front
                    link.send(["failed", *describe_failure(error)])
                    os._exit(1)
                link.send(["loaded", {**self._describe(predictor), "took": took}])
            gc.freeze()
            run_worker(link, predictor, self._schema, self._threads)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the front has gone
        except BaseException:  # noqa: BLE001 - the process ends here, and says why
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def _reap(self, pidfd: int) -> None:
        number, pid = self._workers.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        os.close(pidfd)
        self._link.send(["ended", number, pid, os.waitstatus_to_exitcode(status)])


def describe_predictor(predictor: Predictor) -> dict[str, Any]:
    """What the front must know of a loaded model."""
    return {
        "takes": predictor.takes,
        "batches": predictor.batches,
        "methods": list(predictor.methods),
        "is_async": predictor.is_async,
        "outputs": {method: list(predictor.output_names(method)) for method in predictor.methods},
    }


def describe_failure(error: Exception) -> tuple[str, str, str]:
    """(message, hint, traceback with the user's own frames alone where there are any)."""
    if isinstance(error, FairwayError):
        return error.message, error.hint, ""
    return f"{type(error).__name__}: {error}", "", own_traceback(error)


def fork_parent(package: Package, schema: ModelSchema, threads: int, *, alone: bool) -> tuple[int, socket.socket]:
    """Start the model parent; returns its pid and the front's end of its control link. `alone`: each worker loads the model by itself."""
    ours, theirs = socket.socketpair()
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(me)
            ours.close()
            Parent(Link(theirs), package, schema, threads, alone=alone or loads_alone(package)).run()
        except (BrokenPipeError, ConnectionResetError):
            pass  # the front has gone: it has said why, such as a port that is taken
        except BaseException:  # noqa: BLE001 - the process ends here, and says why
            traceback.print_exc()
        finally:
            os._exit(1)
    theirs.close()
    return pid, ours
