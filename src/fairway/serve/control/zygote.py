"""Processes that keep libraries warm for endpoints that may have no replica at all: their first answer is a fork away.

One for each Python and framework, kept while an endpoint with a minimum of 0 has a revision of it that takes traffic. Like replicas they
outlive the server: `HOME/serve/zygotes/NAME.json` says which process one is.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.engine.processes import identify_process
from fairway.errors import FairwayError, InfraError
from fairway.serve.control.launching import Launching, Start, package_root
from fairway.serve.control.processes import is_running, measure_memory, open_socket_folder, signal_group, start_detached
from fairway.spec.endpoint import Endpoint, Revision
from fairway.spec.record import Record, from_plain, record, to_plain

NO_FORK = frozenset({"tensorflow", "keras", "torch-export", "mlflow", "r"})
"""Kinds of packages whose libraries bear no fork, or live in another program: there is nothing to keep warm."""
_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from fairway.serve.control.warm import main; sys.exit(main())"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_START_S, _REHEARSE_S, _FORK_S = 30.0, 330.0, 3.0
_MARGIN_S = 1.0
_LEARN_S = 60.0
_LOOK_S = 0.01
_RETRY_S = 60.0
_MEASURE_S = 5.0
User = tuple[str, int]


@record
class _Kept(Record):
    """What is written down of a zygote: its process and socket, and the folders whose libraries it has imported."""

    name: str
    pid: int
    process: str
    uds: str
    folders: tuple[str, ...] = ()


class _Warm:
    def __init__(self, name: str) -> None:
        self.name = name
        self.users: dict[User, Start] = {}
        self.kept: _Kept | None = None
        self.folders: set[str] = set()
        self.memory_bytes = 0
        self.failed_at = self.began_at = 0.0
        self.task: asyncio.Task[None] | None = None


class Zygotes:
    """All of a home's. Of one event loop."""

    def __init__(self, home: str) -> None:
        self._folder, self._home = Path(home).absolute() / "serve" / "zygotes", home
        self._warm: dict[str, _Warm] = {}
        self._preparing: dict[User, asyncio.Task[None]] = {}
        self._measuring: asyncio.Task[None] | None = None

    def want(self, endpoint: Endpoint, revision: Revision, launching: Launching) -> None:
        """Keep libraries warm for the revision if its endpoint may have no replicas; stop it if not. Returns at once."""
        user = (endpoint.name, revision.number)
        takes = dict(endpoint.traffic).get(revision.number) or endpoint.shadow == revision.number
        if endpoint.scaling.minimum or not takes or endpoint.paused or revision.spec.framework in NO_FORK:
            self.forget(*user)
        elif user not in self._preparing and not any(user in one.users for one in self._warm.values()):
            self._preparing[user] = asyncio.get_running_loop().create_task(self._prepare(user, revision, launching))

    async def _prepare(self, user: User, revision: Revision, launching: Launching) -> None:
        try:
            start = await launching.prepare(revision.spec, user[0], user[1], uds="", log="")
        except (FairwayError, OSError):
            return  # whoever starts the replica says so
        finally:
            self._preparing.pop(user, None)
        name = _name_of(start, revision.spec.framework)
        one = self._warm.setdefault(name, _Warm(name))
        one.users[user] = start
        self._look_after(one)

    def forget(self, endpoint: str, revision: int = 0) -> None:
        """No libraries for it any more (0: for the whole endpoint). What serves nobody else ends."""
        for user, task in list(self._preparing.items()):
            if user[0] == endpoint and revision in (0, user[1]):
                task.cancel()
                self._preparing.pop(user, None)
        for one in list(self._warm.values()):
            for user in [user for user in one.users if user[0] == endpoint and revision in (0, user[1])]:
                del one.users[user]
            if not one.users:
                self._end(one)

    def memory_of(self, endpoint: str) -> int:
        """Bytes of the zygotes that serve the endpoint."""
        return sum(one.memory_bytes for one in self._warm.values() if any(user[0] == endpoint for user in one.users))

    def is_learning(self, endpoint: str, revision: int) -> bool:
        """Are its libraries being imported at this moment? Not for ever: whatever takes a minute is not waited for."""
        user = (endpoint, revision)
        if user in self._preparing:
            return True
        one = next((one for one in self._warm.values() if user in one.users), None)
        return one is not None and one.task is not None and not one.task.done() and time.monotonic() - one.began_at < _LEARN_S

    async def launch(self, endpoint: str, revision: Revision, start: Start) -> int:
        """A replica as a fork of a process with its libraries, or as many of them as it has by now; returns its process id, 0 if there is
        none."""
        one = next((one for one in self._warm.values() if (endpoint, revision.number) in one.users), None)
        if one is None or one.kept is None:
            return 0
        if not is_running(one.kept.pid, one.kept.process):
            self._look_after(one)
            return 0
        # Who asks in vain starts a process of its own: then no fork may come, later, as a second one at the same address.
        asked = {"start": list(start.words), "variables": start.variables, "log": start.log, "until": time.time() + _FORK_S - _MARGIN_S}
        try:
            return int((await _ask(one.kept.uds, asked, _FORK_S))["pid"])
        except (OSError, TimeoutError, ValueError, KeyError):
            return 0

    async def close(self) -> None:
        """Let go of them; they go on."""
        tasks = [one.task for one in self._warm.values() if one.task is not None] + list(self._preparing.values())
        tasks += [self._measuring] if self._measuring is not None else []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def sweep(self) -> None:
        """End those that an earlier server has left and nobody wants now. Once the endpoints are known."""
        for path in self._folder.glob("*.json"):
            if path.stem not in self._warm and (kept := self._read(path.stem)) is not None:
                self._kill(kept)

    def _look_after(self, one: _Warm) -> None:
        """Have it, and have it know all folders."""
        if one.task is None or one.task.done():
            one.began_at = time.monotonic()
            one.task = asyncio.get_running_loop().create_task(self._keep(one), name=f"libraries of {one.name}")
        if self._measuring is None:
            self._measuring = asyncio.get_running_loop().create_task(self._measure())

    async def _keep(self, one: _Warm) -> None:
        if time.monotonic() - one.failed_at < _RETRY_S and one.failed_at:
            return
        try:
            if one.kept is None or not is_running(one.kept.pid, one.kept.process):
                await self._find_or_start(one)
            while new := next((start for start in one.users.values() if start.folder not in one.folders), None):
                assert one.kept is not None
                asked = {"rehearse": new.folder, "options": json.loads(new.words[new.words.index("--options") + 1])}
                await _ask(one.kept.uds, asked, _REHEARSE_S)
                one.folders.add(new.folder)
                self._write(one)
        except (OSError, TimeoutError, ValueError, InfraError):
            one.failed_at = time.monotonic()  # replicas start without it, only not so soon
            if one.kept is not None:
                self._kill(one.kept)
                one.kept = None

    async def _find_or_start(self, one: _Warm) -> None:
        kept = self._read(one.name)
        if kept is not None and is_running(kept.pid, kept.process):
            one.kept, one.folders = kept, set(kept.folders)
            return
        one.folders = set()
        start = next(iter(one.users.values()))
        sockets = await asyncio.to_thread(open_socket_folder, self._folder.parent / "sockets", self._home, 60)
        uds = str(sockets / f"z-{one.name}.sock")
        Path(uds).unlink(missing_ok=True)
        log = self._folder / f"{one.name}.log"
        log.unlink(missing_ok=True)
        pid = start_detached([start.python, "-P", "-c", _CODE, package_root(), uds], log, start.variables)
        one.kept = _Kept(one.name, pid, identify_process(pid), uds)
        self._write(one)
        end = time.monotonic() + _START_S
        while not Path(uds).exists():
            if time.monotonic() > end or not is_running(pid, one.kept.process):
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
                raise InfraError(f"the process for the libraries of {one.name} does not start", hint=f"what it says is in {log}")
            await asyncio.sleep(_LOOK_S)

    def _end(self, one: _Warm) -> None:
        self._warm.pop(one.name, None)
        if one.task is not None:
            one.task.cancel()
        if one.kept is not None:
            self._kill(one.kept)

    def _kill(self, kept: _Kept) -> None:
        signal_group(kept.pid, kept.process, "TERM")
        with suppress(ChildProcessError):
            os.waitpid(kept.pid, os.WNOHANG)
        Path(kept.uds).unlink(missing_ok=True)
        (self._folder / f"{kept.name}.json").unlink(missing_ok=True)

    async def _measure(self) -> None:
        while True:
            for one in list(self._warm.values()):
                if one.kept is None or not is_running(one.kept.pid, one.kept.process):
                    self._look_after(one)
                else:
                    one.memory_bytes = await asyncio.to_thread(measure_memory, one.kept.pid)
            await asyncio.sleep(_MEASURE_S)

    def _read(self, name: str) -> _Kept | None:
        try:
            return from_plain(_Kept, json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _write(self, one: _Warm) -> None:
        assert one.kept is not None
        one.kept = _Kept(one.name, one.kept.pid, one.kept.process, one.kept.uds, tuple(sorted(one.folders)))
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{one.name}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(to_plain(one.kept)), encoding="utf-8")
        part.replace(path)


async def _ask(uds: str, asked: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_unix_connection(uds)
        try:
            writer.write(json.dumps(asked).encode() + b"\n")
            return json.loads(await reader.readline())
        finally:
            writer.close()


def _name_of(start: Start, framework: str) -> str:
    """The same for the same Python, framework, and number of threads: those are asked for when a library is imported."""
    threads = " ".join(start.variables.get(name, "") for name in _THREADS)
    return f"{framework or 'other'}-{hashlib.sha256(f'{start.python} {threads}'.encode()).hexdigest()[:8]}"
