"""Processes of this machine that outlive who started them: started, found again, watched, measured, ended."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.engine.processes import identify_process, signal_process
from fairway.serve.control.fleet import parse_ready
from fairway.step.processes import find_children

SOCKET_BYTES = 99
"""A path of a socket may not be longer (104 on macOS, 108 on Linux, a zero among them)."""
_LOOK_S = 0.25
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ")
_REASON = 400
_HOME = ".home"  # in a folder of sockets that has a short path: the home that it belongs to


def start_detached(argv: Sequence[str], log: Path, variables: Mapping[str, str]) -> int:
    """Start a program in a session of its own, its output added to `log`; returns its process id. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.fspath(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(argv[0], list(argv), {**variables}, file_actions=actions, setsid=True)


def is_running(pid: int, identity: str) -> bool:
    """Is that very process there, and not only what is left of it until somebody asks how it ended?"""
    if not identity or identify_process(pid) != identity:
        return False
    try:
        with Path(f"/proc/{pid}/stat").open("rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return not Path("/proc/self/stat").exists()


async def wait_end(pid: int, identity: str) -> int | None:
    """Wait until the process has ended; returns its status as `waitpid` says it, None where it is no child of ours."""
    try:
        held = os.pidfd_open(pid)
    except (OSError, AttributeError):
        held = -1
    try:
        if held >= 0:
            loop, ended = asyncio.get_running_loop(), asyncio.Event()
            loop.add_reader(held, ended.set)
            try:
                if is_running(pid, identity):
                    await ended.wait()
            finally:
                loop.remove_reader(held)
        else:
            while is_running(pid, identity):
                await asyncio.sleep(_LOOK_S)
                reap(pid)
    finally:
        if held >= 0:
            os.close(held)
    return reap(pid)


def reap(pid: int) -> int | None:
    """How the child ended; None if it has not, or is none of ours."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return status if found else None


def signal_group(pid: int, identity: str, name: str) -> None:
    """Send SIG`name` to the process, with KILL also to all that it has started in its session. Gone is success."""
    with suppress(PermissionError, ProcessLookupError):
        if is_running(pid, identity) and name == "KILL":
            os.killpg(pid, signal.SIGKILL)
        else:
            signal_process(pid, identity, name)


def measure_memory(pid: int) -> int:
    """Bytes that the process and its descendants take up, what they share among themselves and with others counted by its part."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        total += _measure_one(one)
        waiting += find_children(one)
    return total


def _measure_one(pid: int) -> int:
    try:
        with Path(f"/proc/{pid}/smaps_rollup").open("rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) << 10
    except OSError:
        return 0
    return 0


def read_last_lines(path: Path, lines: int, *, at_most: int = 1 << 18) -> list[str]:
    """The last lines of a file, [] if it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - at_most))
            data = file.read()
    except OSError:
        return []
    found = data.decode("utf-8", "replace").splitlines()
    return found[1:][-lines:] if size > at_most else found[-lines:]


def split_time(line: str) -> tuple[str, str]:
    """(when, text) of a line as inference servers write them; "" for one without its time."""
    found = _TIME.match(line)
    return (found[1], line[found.end() :]) if found is not None else ("", line)


def spell_end(status: int | None, log: Path) -> str:
    """Why a process ended, in a line: its last words, or how it was ended."""
    if status is not None and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        name = signal.Signals(number).name if any(number == one for one in signal.Signals) else f"signal {number}"
        return f"it was ended by {name}" + (" (out of memory, or somebody killed it)" if number == signal.SIGKILL else "")
    lines = [split_time(line)[1].strip() for line in read_last_lines(log, 20)]
    said = [line for line in lines if line and not line.startswith("{")]
    errors = [line for line in said if line.startswith("error: ")]
    words = (errors or said or [""])[-1].removeprefix("error: ")[:_REASON]
    if words:
        return words
    return "it ended and said nothing" if status is None else f"it ended with status {os.waitstatus_to_exitcode(status)} and said nothing"


def open_socket_folder(folder: Path, home: str, longest: int) -> Path:
    """A folder of the user's alone for sockets whose names have up to `longest` bytes: `folder`, or one with a short path if that is
    too deep; always the same for the same home."""
    if len(os.fsencode(folder)) + 1 + longest > SOCKET_BYTES:
        import hashlib

        name = hashlib.sha256(os.fsencode(os.path.realpath(home))).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"fairway-{os.getuid()}" / name
        if len(os.fsencode(folder)) + 1 + longest > SOCKET_BYTES:
            folder = Path("/tmp") / f"fairway-{os.getuid()}" / name  # the folder is checked to be ours below
        _make_own(folder.parent)
        _make_own(folder)
        _note_home(folder, home)
        _remove_abandoned(folder.parent)
    _make_own(folder)
    return folder


def _note_home(folder: Path, home: str) -> None:
    """Whose folder it is, whole or not at all: half a path would be one that is gone."""
    if not (folder / _HOME).exists():
        part = folder / f"{_HOME}.{os.urandom(4).hex()}"
        part.write_bytes(os.fsencode(os.path.realpath(home)))
        part.replace(folder / _HOME)


def _remove_abandoned(parent: Path) -> None:
    """Folders of homes that are gone, if nobody listens in them any more: nobody else would ever remove them."""
    for note in parent.glob(f"*/{_HOME}"):
        with suppress(OSError):
            if _is_gone(os.fsdecode(note.read_bytes())) and not any(map(_is_listening, note.parent.glob("*.sock"))):
                shutil.rmtree(note.parent, ignore_errors=True)


def _is_gone(home: str) -> bool:
    """Not where it only cannot be looked at now."""
    try:
        Path(home).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is too busy to answer
            return True
    return True


def _make_own(folder: Path) -> None:
    """Raises PermissionError if the folder belongs to somebody else, who could put other sockets there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid():
        raise PermissionError(1, f"the folder {folder} is not yours")
    folder.chmod(0o700)


async def ask_ready(path: str, timeout_s: float = 2.0) -> dict[str, Any] | None:
    """What a replica at this socket says once it is ready: "phases" and more. None before."""
    return parse_ready(await _ask(path, b"/health/ready", timeout_s))


async def ask_live(path: str, timeout_s: float) -> bool:
    """Does a replica at this socket say anything at all?"""
    return bool(await _ask(path, b"/health/live", timeout_s))


async def _ask(path: str, target: bytes, timeout_s: float) -> bytes:
    """The answer with its head; b"" for none."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET %b HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n\r\n" % target)
            return await reader.read(-1)
    except (OSError, TimeoutError, ValueError):
        return b""
    finally:
        if writer is not None:
            writer.close()
