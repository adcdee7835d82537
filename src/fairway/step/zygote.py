"""A zygote: a clean process that has imported the user's modules, computed nothing, and is forked once per attempt.

It answers the worker over a socket ("import" and "start" come in, "ready" and "exit" go out). An attempt rings the worker's bell, a pipe
that all attempts share, when it begins (`+ID PID`) and when its outcome is written (`-ID`).
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn

from fairway.errors import FairwayError
from fairway.spec.gang import World
from fairway.spec.graph import StepDef
from fairway.spec.layout import BLOBS
from fairway.spec.record import from_plain
from fairway.step import processes
from fairway.step.defeat import raise_when_terminated, report_defeat
from fairway.step.forks import bears_fork
from fairway.step.late import LateImports, load
from fairway.step.parcel import read_attempt, read_step
from fairway.step.standard import open_missing_streams
from fairway.step.wire import Channel


class Spare:
    """A process that is forked ahead and waits to become an attempt: what a fork and first writes to memory cost is paid meanwhile.

    `loads`: it imports something in idle time, and tells when that is done.
    """

    __slots__ = ("channel", "loads", "pid")

    def __init__(self, pid: int, channel: Channel, *, loads: bool) -> None:
        self.pid, self.channel, self.loads = pid, channel, loads

    def is_ready(self) -> bool:
        """It could become an attempt now."""
        if self.loads and select.select([self.channel.sock], [], [], 0)[0]:
            self.loads = not self.channel.receive()
        return not self.loads

    def is_alive(self) -> bool:
        """It has not been killed from outside."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


class Zygote:
    """Serves one worker until it hangs up. `forks` False: the process itself becomes the first attempt it is given."""

    def __init__(self, channel: Channel, bell: int, home: str, *, forks: bool) -> None:
        self._channel, self._bell, self._home, self._forks = channel, bell, home, forks
        self._poller = select.poll()
        self._poller.register(channel.fileno(), select.POLLIN)
        self._attempts: dict[int, tuple[str, int]] = {}  # pidfd -> (attempt, pid)
        self._preloaded: set[tuple[str, ...]] = {()}
        self._spare: Spare | None = None
        self._ahead: set[str] | None = set()
        self._late = LateImports()

    def serve(self) -> NoReturn:
        """Until the worker hangs up; then everything below is killed."""
        while True:
            for fd, _ in self._poller.poll():
                if fd != self._channel.fileno():
                    self._reap(fd)
                    continue
                frames = self._channel.receive()
                if frames is None:
                    self._end()
                for frame in frames:
                    if frame["op"] == "import":
                        self._import(frame)
                    elif frame["op"] == "ahead":
                        self._ahead = _import_ahead(frame["imports"])
                    else:
                        self._start(frame)

    def _import(self, frame: dict[str, Any]) -> None:
        """Failures are kept for the attempt, which imports again and reports them as the user's own."""
        self._drop_spare()
        if self._ahead is None or _shadows(frame["root"], self._ahead):
            self._channel.send({"op": "unfit"})
            return
        self._ahead = set()
        if frame["module"]:
            _import_quietly(frame["module"], frame["root"])
        self._late.look_around()
        safe = bears_fork() if self._forks else True
        gc.collect()
        gc.freeze()
        self._channel.send({"op": "ready", "module": frame["module"], "forks": safe})
        if self._forks and safe:
            self._fork_spare()

    def _start(self, frame: dict[str, Any]) -> None:
        (log,) = self._channel.take_fds(1)
        if not self._forks:
            become_attempt(frame, log, self._bell, self._home, None)
        step = read_step(frame["step"])
        if self._preload(frame.get("types", ()), step):
            self._drop_spare()
        if self._spare is not None and not self._spare.is_ready():
            self._drop_spare()
        spare, self._spare = self._spare, None
        if spare is not None and spare.is_alive():
            spare.channel.send(frame, (log,))
            spare.channel.close()
            pid = spare.pid
        else:
            if spare is not None:
                os.waitpid(spare.pid, 0)
                spare.channel.close()
            pid = self._fork()
            if pid == 0:
                become_attempt(frame, log, self._bell, self._home, self._late)
        os.close(log)
        pidfd = os.pidfd_open(pid)
        self._attempts[pidfd] = (frame["id"], pid)
        self._poller.register(pidfd, select.POLLIN)
        _learn(frame, self._home)
        self._fork_spare(find_ahead(step))  # for the next ones, which will be of the same step as a rule

    def _fork(self) -> int:
        """As `os.fork`; the child has nothing of the zygote's."""
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            processes.die_with_parent(me)
            self._channel.sock.close()
            self._late.leave_to_zygote()
            for fd in self._attempts:
                os.close(fd)
        return pid

    def _fork_spare(self, ahead: Sequence[str] = ()) -> None:
        """It rehearses if there is a core to spare for that; where attempts fill the machine it would only take time from them."""
        ours, theirs = socket.socketpair()
        pid = self._fork()
        if pid == 0:
            ours.close()
            rehearses = len(self._attempts) < processes.count_cores()
            await_attempt(Channel(theirs), self._bell, self._home, self._late, rehearses=rehearses, ahead=ahead)
        theirs.close()
        self._spare = Spare(pid, Channel(ours), loads=bool(ahead))

    def _drop_spare(self) -> None:
        """It lacks what is imported now."""
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.channel.close()
            processes.signal_quietly(spare.pid, processes.SIGKILL)
            os.waitpid(spare.pid, 0)

    def _preload(self, types: Sequence[str], step: StepDef) -> bool:
        """Import what this attempt and the next ones of its step would each import; True if anything was."""
        key, late = tuple(types), self._late.take(step)
        if key in self._preloaded and not late:
            return False
        self._preloaded.add(key)
        from fairway.step.serializers.preload import preload

        if not _quietly(lambda: preload(types) | load(late)):
            return False
        self._late.look_around()
        gc.collect()
        gc.freeze()
        return True

    def _reap(self, fd: int) -> None:
        name, pid = self._attempts.pop(fd)
        self._poller.unregister(fd)
        os.close(fd)
        _, status, used = os.wait4(pid, 0)
        left = 0
        if status != 0:
            processes.signal_quietly(pid, processes.SIGKILL, group=True)
            keep = {each for _, each in self._attempts.values()} | ({self._spare.pid} if self._spare is not None else set())
            left = processes.kill_children(keep)
        self._channel.send(
            {
                "op": "exit",
                "id": name,
                "pid": pid,
                "status": status,
                "rss": used.ru_maxrss,
                "left": left,
                "cpu": used.ru_utime + used.ru_stime,
            }
        )

    def _end(self) -> NoReturn:
        for _, pid in self._attempts.values():
            processes.signal_quietly(pid, processes.SIGKILL, group=True)
        processes.kill_children()
        os._exit(0)


def _import_quietly(module: str, root: str) -> None:
    from fairway.step.importing import import_module

    try:
        _quietly(lambda: import_module(module, root))
    except BaseException:  # noqa: BLE001 - any module of the user's: the attempt imports it again and reports what it raises
        sys.modules.pop(module, None)


def _import_ahead(imports: Sequence[tuple[str, Sequence[str]]]) -> set[str] | None:
    """Import libraries as the user's module will. Returns the names that are taken by them and what they import; None if one cannot be
    imported: the second try may end otherwise than the first, which has to be the user's module's."""
    from fairway.step.importing import run_import

    before = set(sys.modules)
    try:
        for name, names in imports:
            _quietly(lambda name=name, names=names: run_import(name, lambda: __import__(name, None, None, names)))
    except BaseException:  # noqa: BLE001 - as above
        return None
    return {name.partition(".")[0] for name in sys.modules.keys() - before}


def _learn(frame: dict[str, Any], home: str) -> None:
    """A module of our own may keep what this attempt was given for those after it (`learn`): it would be made again in each of them."""
    module = sys.modules.get(frame["module"]) if frame["module"].startswith("fairway.") else None
    learn = getattr(module, "learn", None)
    if learn is None:
        return
    from fairway.step.folder import FolderArtifactStore

    try:
        learned = learn(read_attempt(frame["step"], frame["rest"]), FolderArtifactStore(f"{home}/{BLOBS}"))
    except Exception:  # noqa: BLE001 - the attempt itself says what is wrong
        return
    if learned:
        gc.collect()
        gc.freeze()


def find_ahead(step: StepDef) -> Sequence[str]:
    """What the ranks of a gang load late, if the gang may start again: its next start then finds it loaded."""
    if step.kind != "python" or not step.gang.replicas or step.retry.attempts < 2:
        return ()
    from fairway.step.gangrank import get_framework

    try:
        return getattr(get_framework(step.gang.framework), "ahead", ())
    except FairwayError:
        return ()  # the attempt says so


def load_in_idle_time(modules: Sequence[str]) -> bool:
    """Import them in a thread that runs only while a core has nothing else to do, so that this process itself stays as urgent as it is.
    False if one cannot be imported."""
    import threading

    loaded: list[str] = []

    def load() -> None:
        try:
            os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))
            loaded.extend(__import__(name).__name__ for name in modules)
        except Exception:  # noqa: BLE001 - a rank that needs it imports it again, and says so
            return

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    return len(loaded) == len(modules)


def _shadows(root: str, names: set[str]) -> bool:
    """Has the user a module of one of these names? Then it is theirs that would have been imported."""
    from fairway.step.importing import find_modules

    if not names or not root:
        return False
    try:
        return not names.isdisjoint(find_modules(root))
    except OSError:
        return True


def _quietly(work: Callable[[], Any]) -> Any:
    """What a module prints was printed when the pipeline was loaded; here it would land in the middle of the run's own output."""
    kept = [(fd, os.dup(fd)) for fd in (1, 2)]
    quiet = os.open(os.devnull, os.O_WRONLY)
    for fd, _ in kept:
        os.dup2(quiet, fd)
    os.close(quiet)
    try:
        return work()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for fd, copy in kept:
            os.dup2(copy, fd)
            os.close(copy)


def await_attempt(channel: Channel, bell: int, home: str, late: LateImports, *, rehearses: bool, ahead: Sequence[str] = ()) -> NoReturn:
    """Be a spare: get ready, wait for a frame, become its attempt. Ends when the zygote hangs up, or where what it is to import ahead makes
    it unfit."""
    from fairway.step.attempt import rehearse

    frames: list[dict[str, Any]] | None = []
    try:
        os.setsid()
        if rehearses:
            rehearse(home)
        if ahead:
            if not _quietly(lambda: load_in_idle_time(ahead)) or not bears_fork():
                os._exit(0)
            gc.collect()
            gc.freeze()
            channel.send({"op": "ready"})
        while not frames:
            frames = channel.receive()
            if frames is None:
                os._exit(0)
        (log,) = channel.take_fds(1)
        channel.close()
    except BaseException as error:  # noqa: BLE001 - must never unwind into the zygote's own loop
        os._exit(report_defeat(error, "the attempt"))
    become_attempt(frames[0], log, bell, home, late)


def become_attempt(frame: dict[str, Any], log: int, bell: int, home: str, late: LateImports | None) -> NoReturn:
    """Be the attempt in `frame`: a session of its own, output into `log`; ends the process."""
    if os.getpid() != os.getsid(0):
        os.setsid()
    processes.adopt_orphans()
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(quiet)
    _ring(bell, f"+{frame['id']} {os.getpid()}\n")
    status = 70
    try:
        _run(frame, home, late)
        _ring(bell, f"-{frame['id']}\n")
        status = 0
    except BaseException as error:  # noqa: BLE001 - the process's last boundary; the worker reports what it left in the log
        status = report_defeat(error, "the attempt")
    os._exit(status)


def _run(frame: dict[str, Any], home: str, late: LateImports | None) -> None:
    from fairway.step.attempt import Attempt

    spec = read_attempt(frame["step"], frame["rest"])
    if frame.get("environ"):
        os.environ.update(frame["environ"])
    for name in frame.get("hidden", ()):
        os.environ.pop(name, None)
    given = {name: frame[name] for name in ("secrets", "source", "queued_at", "scratch") if name in frame}
    if frame.get("world"):
        given["world"] = from_plain(World, frame["world"])
    attempt = Attempt(spec, home, **given)
    raise_when_terminated()
    roots, hidden = (attempt.root, attempt.source), frame.get("hidden", ())
    with late.noted(spec.step, roots, hidden) if late is not None and frame["module"] else nullcontext():
        attempt.run()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    left = processes.kill_children()
    if left:
        os.write(2, f"fairway: ended {left} process{'es' if left > 1 else ''} that the step had left behind\n".encode())


def _ring(bell: int, text: str) -> None:
    try:
        os.write(bell, text.encode())
    except OSError:
        os._exit(1)


def prepare(home: str) -> None:
    """What a zygote does before it imports anything of the user's."""
    import faulthandler

    from fairway.step.attempt import warm_up

    open_missing_streams()
    faulthandler.enable(2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    warm_up()
    os.makedirs(home, exist_ok=True)


def main(channel_fd: int, bell: int, home: str, parent: int, *, forks: bool) -> NoReturn:
    """A zygote in a process of its own (`python -m fairway.step zygote …`)."""
    processes.die_with_parent(parent)
    processes.adopt_orphans()
    os.set_inheritable(channel_fd, False)
    os.set_inheritable(bell, False)
    prepare(home)
    Zygote(Channel(socket.socket(fileno=channel_fd)), bell, home, forks=forks).serve()
