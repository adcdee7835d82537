"""`python -m fairway.serve.control.warm SOCKET`: a process with a model's libraries imported and no model, forked into replicas.

What is to be imported it learns by a rehearsal: a fork loads the package and predicts once, says which modules that took, and ends. The
process itself only imports: whatever has started threads of its own cannot be forked. It travels as light as a replica does.
"""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import random
import select
import signal
import socket
import sys
import time
from collections import deque
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


def main() -> NoReturn:
    """Serve the socket until SIGTERM."""
    path = sys.argv[1]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    limit_threads(1)
    listener, part = socket.socket(socket.AF_UNIX), Path(f"{path}~")
    part.unlink(missing_ok=True)
    listener.bind(str(part))
    part.chmod(0o600)
    listener.listen(64)
    part.replace(path)  # whoever sees it is answered
    gc.freeze()
    _Warm(listener).run()


class _Rehearsal:
    """One that was asked for: by whom, of what; `pid` of the fork that performs it, which says into `reader` what it imported."""

    def __init__(self, link: socket.socket, asked: dict[str, Any]) -> None:
        self.link, self.folder, self.options = link, str(asked["rehearse"]), asked.get("options", {})
        self.began = time.monotonic()
        self.pid = self.reader = -1
        self.said = bytearray()

    def begin(self) -> None:
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.reader)
            _perform(self.folder, self.options, writer)
        os.close(writer)

    def hear(self) -> bool:
        """True at its end."""
        part = os.read(self.reader, 65536)
        self.said += part
        return not part

    def end(self) -> tuple[list[str], str]:
        """The modules that were there when the package had been loaded, in the order of their import; or why it could not be."""
        os.close(self.reader)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        try:
            found = json.loads(self.said)
        except ValueError:
            return [], "the package could not be loaded in time, or its process died"
        return found["modules"], found["why"]


class _Warm:
    """Forks replicas, also while it learns: between two imports it looks whether one is asked for."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._rehearsals: deque[_Rehearsal] = deque()
        self._names: deque[str] = deque()
        self._found: tuple[list[str], str] | None = None

    def run(self) -> NoReturn:
        while True:
            going = self._rehearsals[0] if self._rehearsals else None
            if going is not None and going.pid < 0:
                going.begin()
            pipes = [going.reader] if going is not None and self._found is None else []
            patience = 0.0 if self._names else going.began + _REHEARSE_S - time.monotonic() if pipes and going is not None else None
            ready, _, _ = select.select([self._listener, *pipes], [], [], patience if patience is None else max(0.0, patience))
            if self._listener in ready:
                self._accept()
            elif going is not None:
                self._learn(going, is_late=not ready, is_heard=bool(ready))

    def _learn(self, going: _Rehearsal, *, is_late: bool, is_heard: bool) -> None:
        """One step further: hear what is to be imported, import one of them, tell that all are."""
        if self._found is None:
            if (is_heard and going.hear()) or is_late:
                self._found = going.end()
                self._names.extend(self._found[0])
        elif self._names:
            _import(self._names.popleft())
        if self._found is not None and not self._names:
            gc.collect()
            gc.freeze()
            self._rehearsals.popleft()
            names, why = self._found
            self._found = None
            with going.link, suppress(OSError):
                _reply(going.link, {"modules": len(names), "took_s": time.monotonic() - going.began, "why": why})

    def _accept(self) -> None:
        link, _ = self._listener.accept()
        kept = False
        try:
            link.settimeout(_ASK_S)
            asked = json.loads(_read_line(link))
            if "rehearse" in asked:
                self._rehearsals.append(_Rehearsal(link, asked))
                kept = True
            elif time.time() > asked.get("until", math.inf):  # who asked has gone, and helps himself
                _reply(link, {"late": True})
            else:
                _reply(link, self._start(asked, link))
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"a request failed: {error!r}", file=sys.stderr, flush=True)
        finally:
            if not kept:
                link.close()

    def _start(self, asked: dict[str, Any], link: socket.socket) -> dict[str, Any]:
        """A replica as a fork of this process."""
        pid = os.fork()
        if not pid:
            try:
                for one in (self._listener, link, *(rehearsal.link for rehearsal in self._rehearsals)):
                    one.close()
                _become(asked["start"], asked["variables"], asked["log"])
            finally:
                os._exit(70)
        return {"pid": pid}


def _import(name: str) -> None:
    if name not in sys.modules and name.partition(".")[0] not in _LEFT_OUT:
        with suppress(Exception):  # one that another module has made
            importlib.import_module(name)


def _reply(link: socket.socket, answer: dict[str, Any]) -> None:
    link.sendall(json.dumps(answer).encode() + b"\n")


def _perform(folder: str, options: dict[str, Any], writer: int) -> NoReturn:
    why = ""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        predictor = load(open_package(folder, schema=None, options=options))
        predictor.warm_up()
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises; the replica itself will say it to the user
        why = f"{type(error).__name__}: {error}"
    data = json.dumps({"modules": _list_libraries(folder), "why": why}).encode()
    while data:
        data = data[os.write(writer, data) :]
    os._exit(0)


def _list_libraries(folder: str) -> list[str]:
    """Modules that are none of the package's own: another revision has others by the same names."""
    own = tuple({f"{folder}{os.sep}", f"{os.path.realpath(folder)}{os.sep}"})
    return [name for name, module in list(sys.modules.items()) if not _origin_of(module).startswith(own)]


def _origin_of(module: Any) -> str:
    """The file it comes from, or a folder of its parts; "" for neither."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return file
    with suppress(Exception):  # whatever stands in sys.modules
        return next((str(path) + os.sep for path in module.__path__), "")
    return ""


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
    main()
