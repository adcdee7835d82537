"""A pod's agent: it speaks with the server in the name of attempts and has one worker run them, as the local executor does on a laptop.

One thread, the main one, owns the worker's socket; each attempt has a thread of its own (see `tending`), which reaches the worker through
a queue and a pipe that wakes the main thread.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from fairway.spec.layout import BLOBS
from fairway.spec.outcome import Outcome
from fairway.spec.tokens import worker_id
from fairway.step import processes
from fairway.step.control import Control
from fairway.step.link import PATIENCE_S, Link
from fairway.step.remote import RemoteArtifactStore
from fairway.step.tending import Site, Tended, WorkerDesk, encode_outcome
from fairway.step.workerprocess import WorkerProcess

_SECRET = "FAIRWAY_SECRET_"
_OURS = (
    "URL",
    "BLOBS_URL",
    "TOKEN",
    "RUNTIME",
    "RUNTIMES",
    "BUNDLES",
    "HOME",
    "ATTEMPT",
    "POOL",
    "POD",
    "REPLICA",
    "TOLD",
    "SLOTS",
    "PATIENCE_S",
    "GRACE_S",
    "CACHE_BYTES",
)
_BLOBS_PORT = 8081
_GRACE_S = 10.0
_CACHE_BYTES = 4 << 30
_LAST_WORDS_S = 4.0


class Settings:
    """What the pod was told in variables. Taking them removes them: what runs here sees neither tokens nor other steps' secrets."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        found = {name: environ.pop(f"FAIRWAY_{name}", "") for name in _OURS}
        self.secrets = {name.removeprefix(_SECRET): environ.pop(name) for name in [n for n in environ if n.startswith(_SECRET)]}
        self.url, self.token = found["URL"].rstrip("/"), found["TOKEN"]
        self.blobs_url = found["BLOBS_URL"] or _at_port(self.url, _BLOBS_PORT)
        self.home = os.path.abspath(found["HOME"] or "/fairway")
        self.bundles = found["BUNDLES"] or "/opt/fairway/bundles"
        named = worker_id(self.token)
        self.attempt, self.pool = found["ATTEMPT"] or named, found["POOL"] or named
        self.pod = found["POD"] or os.uname().nodename
        self.replica, self.address = int(found["REPLICA"] or -1), environ.get("POD_IP", "")
        self.told = found["TOLD"]
        self.slots = int(found["SLOTS"] or 1)
        self.patience_s = float(found["PATIENCE_S"] or PATIENCE_S)
        self.cache_bytes = int(found["CACHE_BYTES"] or _CACHE_BYTES)
        self.grace_s = float(found["GRACE_S"] or _GRACE_S)


class Office:
    """The way to the server, and what it knows of artifacts."""

    def __init__(self, settings: Settings) -> None:
        self.link = Link(patience_s=settings.patience_s, say=say)
        self.control = Control(self.link, settings.url, settings.token)
        self.store = RemoteArtifactStore(f"{settings.home}/{BLOBS}", self.control, settings.blobs_url)

    def put_outcome(self, outcome: Outcome) -> None:
        """Tell the server how an attempt has ended."""
        self.control.put_outcome(outcome.attempt, encode_outcome(outcome))


class Agent:
    """See the module. `note_end(tended)` is called in the main thread when an attempt is done with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        office = Office(settings)
        self.link, self.control = office.link, office.control
        self.store = office.store
        self._site = Site(settings.home, office.store, settings.secrets, settings.bundles)
        self._worker = WorkerProcess(settings.home)
        self._desk = WorkerDesk(self._queue, self._queue_end, say)
        self._frames: deque[dict[str, Any]] = deque()
        self._done: deque[Tended] = deque()
        self.running: dict[str, Tended] = {}
        self.terminated = self.lost_worker = self._sigterm = False
        self._bell, self._ring = os.pipe()
        for fd in (self._bell, self._ring):
            os.set_blocking(fd, False)

    def start(self) -> None:
        """Before any thread: be the parent of what others leave, hear SIGTERM, start the worker."""
        processes.adopt_orphans()
        signal.signal(signal.SIGTERM, self._hear_sigterm)
        signal.set_wakeup_fd(self._ring, warn_on_full_buffer=False)  # a signal that another thread gets would not wake this one
        try:
            os.makedirs(self.settings.home, exist_ok=True)
        except OSError as error:
            raise SystemExit(f"fairway: cannot make {self.settings.home}: {error.strerror}") from None
        self._worker.start()
        processes.hide()

    def take(self, answer: Mapping[str, Any], control: Control) -> None:
        """Begin with an attempt."""
        tended = self._tended(answer, control)
        if tended.id not in self.running:
            self.running[tended.id] = tended
            tended.start()

    def _tended(self, answer: Mapping[str, Any], control: Control) -> Tended:
        settings = self.settings
        if settings.replica < 0:
            return Tended(answer, control, self._site, self._desk)
        from fairway.step.gangpod import Here, TendedReplica

        return TendedReplica(answer, control, self._site, self._desk, Here(settings.replica, settings.pod, settings.address))

    def run(self, timeout_s: float | None) -> list[Tended]:
        """Serve the worker until something has happened, or for `timeout_s`; returns the attempts that are done with."""
        channel = self._worker.channel
        poller = select.poll()
        poller.register(self._bell, select.POLLIN)
        if channel is not None:
            poller.register(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.pending else 0))
        ready = {fd for fd, _ in poller.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)}
        if self._bell in ready:
            os.read(self._bell, 1 << 16)
        if self._sigterm and not self.terminated:
            self._terminate()
        if channel is not None and channel.fileno() in ready:
            self._hear_worker()
        while self._frames:
            frame = self._frames.popleft()
            if not self.lost_worker:
                self._worker.send(frame)
            elif frame["op"] == "start":
                self.running[frame["id"]].note_ended()
        ended: list[Tended] = []
        while self._done:
            tended = self._done.popleft()
            self.running.pop(tended.id, None)
            ended.append(tended)
        return ended

    def wake(self) -> None:
        """Make a `run` in progress return; safe from any thread and from a signal handler."""
        try:
            os.write(self._ring, b".")
        except BlockingIOError:
            return

    def close(self) -> None:
        """Leave no process behind."""
        self._worker.close()
        processes.kill_children()
        self.link.close()

    def _hear_worker(self) -> None:
        frames = self._worker.receive()
        if frames is None:
            self.lost_worker = True
            processes.kill_children()
            for tended in self.running.values():
                tended.note_ended()
            return
        for frame in frames:
            for id in frame["ids"]:
                if id in self.running:
                    self.running[id].note_ended()

    def _hear_sigterm(self, *_: object) -> None:
        self._sigterm = True
        self.wake()

    def _terminate(self) -> None:
        """The pod is to go. Each attempt is told so; what is not done with the server in time stays undone."""
        self.terminated = True
        self.link.hurry(self.settings.grace_s + _LAST_WORDS_S)
        for tended in self.running.values():
            tended.stop("terminated", self.settings.grace_s)

    def _queue(self, frame: dict[str, Any]) -> None:
        self._frames.append(frame)
        self.wake()

    def _queue_end(self, tended: Tended) -> None:
        self._done.append(tended)
        self.wake()


def say(text: str) -> None:
    """A line into the pod's own log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def guarded(main: Callable[[], int]) -> int:
    """The agent's boundary: an error of Fairway's is one line, and exit code 1."""
    from fairway.errors import FairwayError

    try:
        return main()
    except FairwayError as error:
        say(f"fairway: {error.message}" + (f" ({error.hint})" if error.hint else ""))
        return 1


def _at_port(url: str, port: int) -> str:
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return f"{scheme}://{name}:{port}"
