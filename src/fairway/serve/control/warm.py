"""`python -m fairway.serve.control.warm SOCKET`: a process with a model's libraries imported and no model, forked into replicas.

What is to be imported it learns by a rehearsal: a fork loads the package and predicts once, says which modules that took, and ends. The
process itself only imports: whatever has started threads of its own cannot be forked. It travels as light as a replica does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from fairway.serve.package import open_package
from fairway.serve.package.loading import load
from fairway.serve.replica import __main__ as program
from fairway.serve.replica.threads import limit_threads

_ASK_S = 10.0
_REHEARSE_S = 300.0
_LEFT_OUT = ("tensorflow", "jax", "grpc", "polars", "__main__", "__mp_main__")
"""Modules that bear no fork, or are no libraries. What needs them imports them itself."""


def main() -> int:
    """Serve the socket until SIGTERM."""
    path = sys.argv[1]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    limit_threads(1)
    listener = socket.socket(socket.AF_UNIX)
    Path(path).unlink(missing_ok=True)
    listener.bind(path)
    Path(path).chmod(0o600)
    listener.listen(64)
    gc.freeze()
    while True:
        link, _ = listener.accept()
        with link:
            link.settimeout(_ASK_S)
            try:
                asked = json.loads(_read_line(link))
                answer = _rehearse(asked) if "rehearse" in asked else _start(asked, listener, link)
                link.sendall(json.dumps(answer).encode() + b"\n")
            except (OSError, ValueError, KeyError, TypeError) as error:
                print(f"a request failed: {error!r}", file=sys.stderr, flush=True)


def _rehearse(asked: dict[str, Any]) -> dict[str, Any]:
    """Import what loading this package imports."""
    began = time.monotonic()
    names, why = _list_modules(asked["rehearse"], asked.get("options", {}))
    for name in names:
        if name not in sys.modules and name.partition(".")[0] not in _LEFT_OUT:
            with suppress(Exception):  # a module of the package's own script, or one that another has made
                importlib.import_module(name)
    gc.collect()
    gc.freeze()
    return {"modules": len(names), "took_s": time.monotonic() - began, "why": why}


def _list_modules(folder: str, options: dict[str, Any]) -> tuple[list[str], str]:
    """The modules that are there when the package has been loaded, in the order of their import; or why it could not be."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        _perform(folder, options, writer)
    os.close(writer)
    data, end = bytearray(), time.monotonic() + _REHEARSE_S
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([reader], [], [], left)
        part = os.read(reader, 65536) if ready else b""
        if not part:
            break
        data += part
    os.close(reader)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    try:
        found = json.loads(data)
    except ValueError:
        return [], "the package could not be loaded in time, or its process died"
    return found["modules"], found["why"]


def _perform(folder: str, options: dict[str, Any], writer: int) -> NoReturn:
    why = ""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        predictor = load(open_package(folder, schema=None, options=options))
        predictor.warm_up()
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises; the replica itself will say it to the user
        why = f"{type(error).__name__}: {error}"
    data = json.dumps({"modules": list(sys.modules), "why": why}).encode()
    while data:
        data = data[os.write(writer, data) :]
    os._exit(0)


def _start(asked: dict[str, Any], listener: socket.socket, link: socket.socket) -> dict[str, Any]:
    """A replica as a fork of this process."""
    pid = os.fork()
    if not pid:
        try:
            listener.close()
            link.close()
            _become(asked["start"], asked["variables"], asked["log"])
        finally:
            os._exit(70)
    return {"pid": pid}


def _become(words: list[str], variables: dict[str, str], log: str) -> NoReturn:
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.environ.clear()
    os.environ.update(variables)
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    sys.argv = ["fairway.serve.replica", *words]
    status = 70
    try:
        status = program.main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except Exception:  # noqa: BLE001 - the end of this process: it says why into its log
        import traceback

        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _read_line(link: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        part = link.recv(65536)
        if not part:
            raise ValueError("the request is cut short")
        data += part
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
