"""The local server of a home: one process of the user's that serves the dashboard and drives what must outlive a command.

It is found by `HOME/server/server.json`, which it writes itself, and it holds a lock on `HOME/server/lock` for as long as it lives: that is
how everybody knows that it lives, however it ends. Nothing here imports the server: it boots while its starter does something else.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from fairway.engine.processes import is_process, signal_process
from fairway.engine.project import Project
from fairway.errors import ConflictError, InfraError, StoreUnavailable
from fairway.spec.layout import SERVER
from fairway.spec.record import Record, record, replace, to_plain

RECORD, LOCK, STARTING, SETTINGS, LOG = "server.json", "lock", "starting", "settings.json", "log"
TOKEN, PORT, KEPT = "token", "port", "kept"
START_S = 20.0
ANSWER_S = 5.0
GOODBYE_S = 12.0
_LOOK_S = 0.01


@record
class LocalServer(Record):
    """A local server that lives. `made_with` tells one Fairway, Python and set of settings from another; `is_new`: it was started just
    now. `kept`: it does not end by itself."""

    url: str
    pid: int
    process: str
    version: str
    made_with: str
    started_at: float
    token: str = ""
    is_new: bool = False
    kept: bool = False


def find_server(home: str) -> LocalServer | None:
    """The server of the home if one lives. One that is only just starting is waited for."""
    folder = os.path.join(home, SERVER)
    end = time.monotonic() + START_S
    while is_locked(folder):
        found = _read_record(folder)
        if found is not None and is_process(found.pid, found.process):
            return found
        if time.monotonic() > end:
            raise InfraError("the local server does not start", hint=f"what it says is in {folder}/{LOG}")
        time.sleep(_LOOK_S)
    return None


def ensure_server(project: Project, *, port: int = 0, keep: bool = False) -> LocalServer:
    """The server of the project's home, started unless it lives: any number of callers at once get the same one.

    One of another version, or with other settings, is replaced where it has nothing to do. `port`: it must be this one; `keep`: it is not
    to end by itself when nobody uses it. Raises StoreUnavailable, InfraError, ConflictError.
    """
    folder = make_folder(project.home)
    settings = render_settings(project)
    made_with = fingerprint(settings)
    if keep:
        _write(folder, KEPT, "")
    found = find_server(project.home)
    if found is not None and _suits(found, made_with, port):
        return found
    with _starting(folder):
        found = find_server(project.home)
        if found is not None and _suits(found, made_with, port):
            return found
        if found is not None:
            _make_way(found, project.home, port)
        _write(folder, SETTINGS, settings)
        try:
            return _start(folder, project, port, made_with)
        finally:
            _remove(folder, SETTINGS)  # the password of a journal may stand in it


def stop_server(home: str, *, patience_s: float = GOODBYE_S) -> LocalServer | None:
    """End the server of the home and wait until it is gone; returns what it was, None if there was none. What it drives is kept where it
    is, for the next one. Nobody but a server of this home is ever sent a signal."""
    folder = os.path.join(home, SERVER)
    _remove(folder, KEPT)
    found = find_server(home)
    if found is None:
        return None
    end = time.monotonic() + patience_s
    signal_process(found.pid, found.process, "TERM")
    while is_locked(folder):
        if time.monotonic() > end:
            signal_process(found.pid, found.process, "KILL")
            end = time.monotonic() + patience_s
        time.sleep(_LOOK_S)
    return found


def list_driven(server: LocalServer) -> list[str]:
    """Runs that the server drives now. Raises InfraError if it does not answer."""
    return sorted(ask(server, "GET", "/api/v1/health").get("driven", ()))


def ask(server: LocalServer, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """The JSON that the server answers. Raises InfraError, with the status in `code` words, if that is none."""
    status, data = exchange(server, method, path, body)
    if status >= 300:
        raise InfraError(f"the local server answers {status} to {method} {path}", hint="restart it: fairway down --on local")
    return json.loads(data)


def exchange(server: LocalServer, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    """(status, body) of one request to the server. Raises InfraError if it does not answer."""
    import socket

    host, _, port = server.url.rpartition("://")[2].rpartition(":")
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nFairway-Token: {server.token}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n" if data else "\r\n"
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER_S) as link:
            link.sendall(head.encode() + data)
            answer = bytearray()
            while part := link.recv(65536):
                answer += part
    except OSError as error:
        raise InfraError(
            f"the local server (process {server.pid}) does not answer: {error}", hint="restart it: fairway down --on local"
        ) from error
    lines, _, rest = bytes(answer).partition(b"\r\n\r\n")
    words = lines.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise InfraError(f"the local server (process {server.pid}) hung up", hint="try again")
    return int(words[1]), rest


def make_folder(home: str) -> str:
    """The folder of the home's server, for its owner alone. Raises StoreUnavailable."""
    folder = os.path.join(home, SERVER)
    try:
        os.makedirs(home, exist_ok=True)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.chmod(folder, 0o700)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot make the folder {folder}: {error.strerror}", hint="set FAIRWAY_HOME to a folder that you may write to"
        ) from error
    return folder


def is_locked(folder: str) -> bool:
    """Does a server live whose folder this is?"""
    try:
        file = os.open(os.path.join(folder, LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def save_private(folder: str, name: str, text: str) -> None:
    """Write a file of the folder for its owner alone, whole or not at all. Raises OSError."""
    part = os.path.join(folder, f".{name}.{os.getpid()}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, os.path.join(folder, name))


def render_settings(project: Project) -> str:
    """What the server of a project is told, as the text of its file of settings."""
    target = project.targets.get("local")
    journal = project.journal if "://" in project.journal else ""
    told = {
        "root": project.root,
        "name": project.name,
        "journal": journal,
        "dotenv": project.secrets_file,
        "durability": project.durability,
        "serving": project.serving,
    }
    return json.dumps({**told, "target": to_plain(target) if target is not None else None})


def fingerprint(settings: str) -> str:
    """What tells a server that was started with these settings, by this Fairway and Python, from others."""
    import hashlib

    from fairway import __version__

    return f"{__version__} {sys.executable} {hashlib.sha256(settings.encode()).hexdigest()[:16]}"


def _suits(found: LocalServer, made_with: str, port: int) -> bool:
    return found.made_with == made_with and (not port or found.url.endswith(f":{port}"))


def _make_way(found: LocalServer, home: str, port: int) -> None:
    """End a server that does not suit. Raises ConflictError if it is at work."""
    driven = list_driven(found)
    if driven:
        what = f"at {found.url}" if port and not found.url.endswith(f":{port}") else f"of Fairway {found.version}, or with other settings"
        raise ConflictError(
            f"a local server {what} drives {driven[0]}" + (f" and {len(driven) - 1} more" if len(driven) > 1 else ""),
            hint="wait for its runs, or end it: fairway down --on local",
        )
    kept = found.kept
    stop_server(home)
    if kept:
        _write(os.path.join(home, SERVER), KEPT, "")


def _start(folder: str, project: Project, port: int, made_with: str) -> LocalServer:
    from fairway import __file__ as package

    reader, writer = os.pipe()
    log = os.path.join(folder, LOG)
    code = "import sys; sys.path.append(sys.argv.pop(1)); from fairway.web.__main__ import main; sys.exit(main())"
    words = ["--target", "local", "--home", project.home, "--settings", os.path.join(folder, SETTINGS), "--port", str(port)]
    argv = [sys.executable, "-P", "-c", code, os.path.dirname(os.path.dirname(package)), *words]
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        ]
        pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions)
    finally:
        os.close(writer)
    said = _read_line(reader)
    if not said.startswith("listening on "):
        found = find_server(project.home)  # one whose starter was killed may have come first
        if found is not None and _suits(found, made_with, port):
            return found
        raise InfraError(f"the local server did not start: {_last_words(log)}", hint=f"what it said is in {log}")
    found = _read_record(folder)
    if found is None or found.pid != pid:
        raise InfraError("the local server ended as soon as it had started", hint=f"what it said is in {log}")
    return replace(found, is_new=True)


def _read_line(reader: int) -> str:
    """The first line that comes, "" if none does in time."""
    import select

    said, end = b"", time.monotonic() + START_S
    try:
        while b"\n" not in said:
            ready, _, _ = select.select([reader], [], [], max(0.0, end - time.monotonic()))
            part = os.read(reader, 4096) if ready else b""
            if not part:
                return ""
            said += part
    finally:
        os.close(reader)
    return said.decode("utf-8", "replace").partition("\n")[0]


def _last_words(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError:
        lines = []
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")


def _read_record(folder: str) -> LocalServer | None:
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            plain = json.load(file)
        with open(os.path.join(folder, TOKEN), encoding="ascii") as file:
            token = file.read().strip()
        return LocalServer(**plain, token=token, kept=os.path.exists(os.path.join(folder, KEPT)))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _starting(folder: str) -> Generator[None]:
    """One caller at a time starts a server; the others wait, and find it."""
    file = os.open(os.path.join(folder, STARTING), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _write(folder: str, name: str, text: str) -> None:
    try:
        save_private(folder, name, text)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {folder}/{name}: {error.strerror}", hint="free some space, or mend its rights") from error


def _remove(folder: str, name: str) -> None:
    try:
        os.unlink(os.path.join(folder, name))
    except OSError:
        return
