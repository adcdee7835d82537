"""The gateway's parent: holds the listening sockets and nothing else, so that a working process that dies costs only what it had in hand.

Connections that come while there is no child wait in the socket's backlog. The parent has everything imported: a new child is a fork, and
answers within milliseconds. SIGTERM: the child answers what it has, then both end. SIGHUP: the parent becomes its newest code, starts a new
child, and ends the old one when the new one answers.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

from fairway.errors import ConfigError
from fairway.serve.gateway.child import BACKLOG, Sockets, handed, own_command, run_child, without_handed
from fairway.serve.gateway.options import Options
from fairway.serve.listening import listen_on, listen_on_path

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_SOON_S, _PAUSE_S, _PAUSE_MOST_S = 1.0, 0.05, 2.0


def hold(options: Options, arguments: Sequence[str]) -> int:
    """Run the gateway until it is told to stop; the exit status. Raises ConfigError if an address cannot be had."""
    sock = take_socket(options.fd) if options.fd >= 0 else _bind(options.listen)
    admin = take_socket(options.admin_fd) if options.admin_fd >= 0 else _bind_admin(options.admin)
    grpc = None
    if options.grpc is not None:
        grpc = take_socket(options.grpc_fd) if options.grpc_fd >= 0 else _bind(options.grpc)
    sockets = Sockets(sock, admin, grpc)
    for item in sockets.all:
        item.listen(BACKLOG)
    return _Holder(options, arguments, sockets).run()


def take_socket(fd: int) -> socket.socket:
    """The listening socket that was handed down."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    sock.setblocking(False)
    return sock


def _bind(address: tuple[str, int]) -> socket.socket:
    try:
        return listen_on(*address)
    except OSError as error:
        raise ConfigError(
            f"{address[0]}:{address[1]} cannot be listened on: {error.strerror or error}", hint="choose another port: --listen HOST:PORT"
        ) from error


def _bind_admin(address: str) -> socket.socket:
    if not address.startswith("unix:"):
        host, _, port = address.rpartition(":")
        return _bind((host.strip("[]"), int(port)))
    try:
        return listen_on_path(address.removeprefix("unix:"))
    except OSError as error:
        raise ConfigError(f"--admin: {address}: {error.strerror or error}") from error


class _Holder:
    def __init__(self, options: Options, arguments: Sequence[str], sockets: Sockets) -> None:
        self._options, self._arguments = options, without_handed(arguments)
        self._sockets = sockets
        self._child = 0
        self._begun_at = 0.0
        self._quick_ends = 0
        self._was_ready = options.replaces > 0
        self._alive, self._held_end = os.pipe()  # ends with this process: the child sees it

    def run(self) -> int:
        gc.collect()
        gc.freeze()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._start()
        while True:
            number = signal.sigwait(_SIGNALS)
            if number == signal.SIGCHLD:
                status = self._reap()
                if status is not None:
                    if not self._was_ready:
                        return status or 1
                    self._restart()
            elif number == signal.SIGHUP:
                self._renew()
            else:
                return self._stop()

    def _start(self) -> None:
        answers, says = os.pipe()
        self._begun_at = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self._child = os.fork()
        if self._child == 0:
            os.close(answers)
            os.close(self._held_end)
            _become_child(self._options, self._sockets, self._alive, says)
        os.close(says)
        is_ready = os.read(answers, 1) == b"1"  # it ends, too, if the child does
        os.close(answers)
        if not is_ready:
            return
        if self._options.replaces:
            _end(self._options.replaces)
            self._options = _without_replaces(self._options)
        elif not self._was_ready:
            host, port = self._options.listen[0], self._sockets.callers.getsockname()[1]
            scheme = "https" if self._options.tls_cert else "http"
            shown = f"[{host}]" if ":" in host else host
            line: dict[str, Any] = {
                "ready": True,
                "url": f"{scheme}://{shown}:{port}",
                "pid": os.getpid(),
                "child": self._child,
                "admin": self._options.admin,
            }
            if self._sockets.grpc is not None:
                line["grpc"] = f"{shown}:{self._sockets.grpc.getsockname()[1]}"
            print(json.dumps(line), flush=True)
        self._was_ready = True

    def _reap(self) -> int | None:
        """The exit status of the child, if it has ended. Others that were left to us are let go."""
        found: int | None = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            if pid == self._child:
                found = os.waitstatus_to_exitcode(status)

    def _restart(self) -> None:
        if time.monotonic() - self._begun_at < _SOON_S:
            self._quick_ends += 1
        else:
            self._quick_ends = 0
        if self._quick_ends > 3:  # it cannot live: do not burn the machine
            time.sleep(min(_PAUSE_S * 2 ** (self._quick_ends - 4), _PAUSE_MOST_S))
        print("fairway gateway: its working process has ended; starting another", file=sys.stderr, flush=True)
        self._start()

    def _renew(self) -> None:
        for sock in self._sockets.all:
            sock.set_inheritable(True)
        os.set_inheritable(self._held_end, True)  # the old child is not to think that it is alone
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        given = handed(self._sockets, self._child)
        os.execv(sys.executable, [*own_command(), *self._arguments, *given])

    def _stop(self) -> int:
        _end(self._child)
        end = time.monotonic() + self._options.drain_s + 5.0
        while time.monotonic() < end:
            if self._reap() is not None:
                break
            signal.sigtimedwait({signal.SIGCHLD}, 1.0)
        else:
            os.kill(self._child, signal.SIGKILL)
        return 0


def _become_child(options: Options, sockets: Sockets, parent: int, says: int) -> None:
    """Never returns."""
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)  # whoever started the parent reads its output to the end

        def ready() -> None:
            os.write(says, b"1")
            os.close(says)

        run_child(options, sockets, parent, ready)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not become a second parent
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def _without_replaces(options: Options) -> Options:
    from fairway.spec.record import replace

    return replace(options, replaces=0)
