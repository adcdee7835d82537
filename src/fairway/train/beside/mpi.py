"""What stands in for ssh when `mpirun` starts ranks on other machines.

`python -m fairway.train.beside.mpi serve HOST PORT` is the agent: it runs command lines for whoever proves to know the gang's key.
`python -m fairway.train.beside.mpi rsh HOST WORD...` is what mpirun calls: it runs the words on HOST, and ends as they end.
The key is in FAIRWAY_GANG_KEY, agents are in FAIRWAY_MPI_AGENTS ("host=address:port,…"). A command whose caller has gone is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from typing import IO, Any, NoReturn

from fairway.train.beside.calls import listen, reach

_COME_S = 120.0
_LEAVE_S = 0.7
_CHUNK = 1 << 16


def serve(host: str, port: int, key: str) -> None:
    """Run commands until this process is ended by SIGTERM. Ranks that have just ended are still taking leave of mpirun: for a moment it
    waits for them."""
    running: list[threading.Thread] = []
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)  # a signal that comes just before one begins to wait would not wake who waits for a connection
    signal.signal(signal.SIGTERM, lambda *_: None)
    listener = listen(host, port, key)
    threading.Thread(target=_accept, args=(listener, running), daemon=True).start()
    os.read(told, 1)
    until = time.monotonic() + _LEAVE_S
    for thread in running:
        thread.join(max(0.0, until - time.monotonic()))


def _accept(listener: Listener, running: list[threading.Thread]) -> NoReturn:
    while True:
        try:
            caller = listener.accept()
        except (AuthenticationError, OSError, EOFError):
            print("fairway: refused a caller that does not know the gang's key", file=sys.stderr, flush=True)
            continue
        running[:] = [thread for thread in running if thread.is_alive()]
        running.append(threading.Thread(target=_run_for, args=(caller,), daemon=True))
        running[-1].start()


def _run_for(caller: Any) -> None:
    """One command: what it writes goes back in pieces, ("out" | "err", bytes), and last ("end", status)."""
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock, contextlib.suppress(OSError):
            caller.send(message)

    try:
        line, folder = caller.recv()
    except (EOFError, OSError):
        return
    _stand_in(folder)
    process = subprocess.Popen(
        ["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    pipes = ((process.stdout, "out"), (process.stderr, "err"))
    pumps = [threading.Thread(target=_pump, args=(pipe, name, send), daemon=True) for pipe, name in pipes]
    for thread in (*pumps, threading.Thread(target=_end_with_caller, args=(caller, process), daemon=True)):
        thread.start()
    for thread in pumps:
        thread.join()
    send("end", process.wait())
    caller.close()


def _stand_in(folder: str) -> None:
    """Programs that mpirun starts here name files of the folder that it is in itself: that name leads to ours."""
    if not os.path.exists(folder):
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            os.symlink(os.getcwd(), folder)


def _pump(pipe: IO[bytes], name: str, send: Any) -> None:
    while data := os.read(pipe.fileno(), _CHUNK):
        send(name, data)


def _end_with_caller(caller: Connection, process: subprocess.Popen[bytes]) -> None:
    """Nothing more comes from a caller: when reading ends, it has gone."""
    with contextlib.suppress(OSError, EOFError):
        caller.recv()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


def rsh(host: str, words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the words on `host` as ssh would (its shell sees them joined); their exit status."""
    agents = dict(pair.split("=") for pair in environ["FAIRWAY_MPI_AGENTS"].split(","))
    if host not in agents:
        print(f"fairway: no agent is known for {host}: there are {', '.join(agents)}", file=sys.stderr)
        return 255
    try:
        agent = reach(agents[host], environ["FAIRWAY_GANG_KEY"], _COME_S)
    except (AuthenticationError, OSError) as error:
        print(f"fairway: {host} has no agent of this gang at {agents[host]}: {error}", file=sys.stderr)
        return 255
    with agent:
        agent.send((" ".join(words), os.getcwd()))
        while True:
            try:
                kind, value = agent.recv()
            except (EOFError, OSError):
                print(f"fairway: the agent of {host} has gone", file=sys.stderr)
                return 255
            if kind == "end":
                return value if value >= 0 else 128 - value
            stream = sys.stdout.buffer if kind == "out" else sys.stderr.buffer
            stream.write(value)
            stream.flush()


def main(argv: Sequence[str]) -> int:
    """Dispatch; returns the exit status."""
    if argv[:1] == ["serve"] and len(argv) == 3:
        serve(argv[1], int(argv[2]), os.environ["FAIRWAY_GANG_KEY"])
        return 0
    if argv[:1] == ["rsh"] and len(argv) > 2:
        return rsh(argv[1], argv[2:], os.environ)
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
