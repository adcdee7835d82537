"""Replicas as processes of this machine. They outlive the server that started them; the next one finds them by what is written on disk.

`HOME/serve/replicas/ID.json` says which process a replica is, `HOME/serve/logs/ENDPOINT/ID.log` has what it wrote. One that dies is
started again, at once the first time, then later and later.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.engine.processes import identify_process
from fairway.errors import FairwayError
from fairway.serve.control.fleet import Replica, phases_of
from fairway.serve.control.launching import Launch, Launching, launch_process
from fairway.serve.control.processes import (
    ask_live,
    ask_ready,
    is_running,
    measure_memory,
    open_socket_folder,
    read_last_lines,
    signal_group,
    spell_end,
    split_time,
    wait_end,
)
from fairway.serve.control.zygote import Zygotes
from fairway.spec.endpoint import Endpoint, Revision
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, record, replace, to_plain

_DRAIN_DELAY_S = 0.3  # the gateway is told first that a replica gets nothing new
_SLACK_S = 10.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 60.0
_STEADY_S = 30.0  # who was ready for so long has not failed to start
_ASK_FIRST_S, _ASK_S = 0.001, 0.02
_MEASURE_S = 5.0
_HANG_S = 20.0
_LEARNT_S = 0.25
_UNHEARD = 4  # times in a row that a replica which hangs was asked in vain
_LOG_BYTES = 8 << 20
_LOGS_KEPT = 20
_ID_BYTES = 60


@record
class _Kept(Record):
    """What is written down of a replica."""

    id: str
    endpoint: str
    revision: int
    pid: int
    process: str
    uds: str
    began_at: float
    drain_s: float = 30.0
    warm: bool = False
    ready_at: float = 0.0


class _Tended:
    """One replica and what is known of it."""

    def __init__(self, view: Replica, uds: str, drain_s: float) -> None:
        self.view, self.uds, self.drain_s = view, uds, drain_s
        self.kept: _Kept | None = None
        self.ready_at = 0.0
        self.unheard = 0
        self.verdict = ""
        self.task: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None


@record
class _Failures(Record):
    """How often in a row a revision's replicas failed, why the last one did, and when the next is tried."""

    count: int
    view: Replica
    next_at: float


Key = tuple[str, int]


class LocalFleet:
    """See `serve.control.fleet.Fleet`. To be started in the event loop that uses it, and closed."""

    def __init__(
        self,
        home: str,
        artifacts: ArtifactStore,
        *,
        launch: Launch = launch_process,
        zygotes: Zygotes | None = None,
        drain_delay_s: float = _DRAIN_DELAY_S,
        hang_s: float = _HANG_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = Path(home).absolute() / "serve"
        self._home, self._launch, self._zygotes, self._clock = home, launch, zygotes, clock
        self._drain_delay_s, self._hang_s = drain_delay_s, hang_s
        self._launching = Launching(home, artifacts)
        self._wanted: dict[Key, tuple[Endpoint, Revision, int]] = {}
        self._tended: dict[str, _Tended] = {}
        self._failures: dict[Key, _Failures] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        self._closing = False

    async def start(self) -> None:
        """Find the replicas that an earlier server has started."""
        self._sockets = await asyncio.to_thread(open_socket_folder, self._folder / "sockets", self._home, _ID_BYTES)
        records = self._folder / "replicas"
        records.mkdir(parents=True, exist_ok=True)
        for path in sorted(records.glob("*.json")):
            try:
                kept = _Kept(**json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                path.unlink(missing_ok=True)
                continue
            if is_running(kept.pid, kept.process):
                self._adopt(kept)
            else:
                self._forget(kept.id, kept.uds)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(work, name=work.__qualname__) for work in (self._measure(), self._listen())]

    def _adopt(self, kept: _Kept) -> None:
        address, where = f"unix:{kept.uds}", f"process {kept.pid}"
        view = Replica(kept.id, kept.endpoint, kept.revision, address, "starting", kept.began_at, where=where, warm=kept.warm)
        one = self._tended[kept.id] = _Tended(view, kept.uds, kept.drain_s)
        one.kept = kept
        one.task = asyncio.get_running_loop().create_task(self._tend(one, None, None), name=f"replica {kept.id}")

    async def apply(self, endpoint: Endpoint, revision: Revision, replicas: int) -> None:
        """Have that many replicas; see the port."""
        key = (endpoint.name, revision.number)
        self._wanted[key] = (endpoint, revision, replicas)
        self._reconcile(key)
        self._keep_warm(key)

    async def observe(self) -> Sequence[Replica]:
        """All replicas, and for each revision that fails to start one that says why."""
        self._news.clear()
        failed = [one.view for key, one in self._failures.items() if key in self._wanted and not self._living(key)]
        return [*(one.view for one in self._tended.values()), *failed]

    async def wait(self, timeout_s: float) -> None:
        """Until something has changed since the last `observe`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()

    async def remove(self, endpoint: str, revision: int = 0) -> None:
        """Drain and forget; see the port."""
        for key in [key for key in {*self._wanted, *self._failures, *self._keys()} if key[0] == endpoint and revision in (0, key[1])]:
            self._wanted.pop(key, None)
            self._failures.pop(key, None)
            timer = self._timers.pop(key, None)
            if timer is not None:
                timer.cancel()
            for one in self._of(key):
                self._drain(one)
        if self._zygotes is not None:
            self._zygotes.forget(endpoint, revision)
        if not revision:
            self._remove_logs(endpoint)

    async def logs(self, endpoint: str, *, revision: int = 0, replica: str = "", lines: int = 500) -> Sequence[str]:
        """The last lines, oldest first."""
        return await asyncio.to_thread(self._read_logs, endpoint, revision, replica, lines)

    def scales_itself(self, endpoint: Endpoint) -> bool:
        """Nothing else does it here."""
        return False

    def scaled_by(self, endpoint: Endpoint) -> str:
        """Nothing else."""
        return ""

    def warm_bytes(self, endpoint: str) -> int:
        """Memory of the zygote that the endpoint's replicas are forked from."""
        return self._zygotes.memory_of(endpoint) if self._zygotes is not None else 0

    async def close(self) -> None:
        """Let go of them; they go on."""
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = [task for one in self._tended.values() for task in (one.task, one.ending) if task is not None]
        tasks += self._tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in self._tended.values():
            if one.view.state == "draining" and one.kept is not None:  # nobody else would tell it to end
                signal_group(one.kept.pid, one.kept.process, "TERM")
        if self._zygotes is not None:
            await self._zygotes.close()

    def _keys(self) -> set[Key]:
        return {(one.view.endpoint, one.view.revision) for one in self._tended.values()}

    def _of(self, key: Key) -> list[_Tended]:
        return [one for one in self._tended.values() if (one.view.endpoint, one.view.revision) == key]

    def _living(self, key: Key) -> list[_Tended]:
        return [one for one in self._of(key) if one.view.state in ("starting", "ready")]

    def _reconcile(self, key: Key) -> None:
        """Start what is missing, unless the last one failed a moment ago; drain what is too much."""
        wanted = self._wanted.get(key)
        if wanted is None or self._closing:
            return
        endpoint, revision, count = wanted
        living = self._living(key)
        if living and not count and self._zygotes is not None and self._zygotes.is_learning(*key):
            # Who has no replica before its libraries are warm pays for them with its next request.
            self._reconcile_in(_LEARNT_S, key)
            return
        if len(living) > count:
            for one in sorted(living, key=lambda one: (one.view.state == "ready", one.ready_at, one.view.since))[: len(living) - count]:
                self._drain(one)
        failures = self._failures.get(key)
        if failures is not None and not count:
            self._failures.pop(key)
        elif failures is not None and failures.next_at > self._clock():
            count = min(count, sum(one.view.state == "ready" for one in living))  # the others would fail as well
        for _ in range(count - len(living)):
            self._start(endpoint, revision)

    def _reconcile_in(self, delay_s: float, key: Key) -> None:
        timer = self._timers.get(key)
        if timer is not None:
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(delay_s, self._reconcile, key)

    def _keep_warm(self, key: Key) -> None:
        """See to its libraries, once nobody waits for the same libraries to be imported by a replica."""
        if self._zygotes is not None and key in self._wanted and not any(one.view.state == "starting" for one in self._of(key)):
            self._zygotes.want(*self._wanted[key][:2], self._launching)

    def _start(self, endpoint: Endpoint, revision: Revision) -> None:
        id = f"{endpoint.name}-{revision.number}-{os.urandom(3).hex()}"
        uds = str(self._sockets / f"{id}.sock")
        limits = revision.spec.limits
        view = Replica(id, endpoint.name, revision.number, f"unix:{uds}", "starting", self._clock())
        one = self._tended[id] = _Tended(view, uds, limits.deadline_s + _SLACK_S)
        one.task = asyncio.get_running_loop().create_task(self._tend(one, endpoint, revision), name=f"replica {id}")
        self._news.set()

    async def _tend(self, one: _Tended, endpoint: Endpoint | None, revision: Revision | None) -> None:
        """From its start (or from finding it, without a revision) to its end."""
        reason = ""
        try:
            if endpoint is not None and revision is not None:
                one.kept = await self._launch_one(one, endpoint, revision)
            assert one.kept is not None
            watching = asyncio.ensure_future(wait_end(one.kept.pid, one.kept.process))
            try:
                await self._wait_ready(one, watching)
                status = await watching
            finally:
                watching.cancel()
            reason = one.verdict or spell_end(status, self._log_of(one.view.endpoint, one.view.id))
        except FairwayError as error:
            reason = error.message + (f" ({error.hint})" if error.hint else "")
        except OSError as error:
            reason = f"it cannot be started: {error}"
        except Exception as error:  # noqa: BLE001 - the port's boundary: a replica that nobody tends would be there for ever
            reason = f"a defect of Fairway: {error!r}"
        self._ended(one, reason)

    async def _launch_one(self, one: _Tended, endpoint: Endpoint, revision: Revision) -> _Kept:
        log = self._log_of(endpoint.name, one.view.id)
        began = self._clock()
        start = await self._launching.prepare(revision.spec, endpoint.name, revision.number, uds=one.uds, log=str(log))
        if one.view.state == "draining":
            raise FairwayError("it was not needed any more")
        pid = await self._zygotes.launch(endpoint.name, revision, start) if self._zygotes is not None else 0
        warm = bool(pid)
        if not pid:
            pid = await self._launch(start)
        kept = _Kept(one.view.id, endpoint.name, revision.number, pid, identify_process(pid), one.uds, began, one.drain_s, warm)
        self._write(kept)
        one.view = replace(one.view, where=f"process {pid}", warm=warm)
        return kept

    async def _wait_ready(self, one: _Tended, watching: asyncio.Future[Any]) -> None:
        """Until it says that it is ready, or has ended."""
        pause_s = _ASK_FIRST_S
        while not watching.done():
            if Path(one.uds).exists() and (said := await ask_ready(one.uds)) is not None:
                self._make_ready(one, dict(said.get("phases", ())))
                return
            await asyncio.sleep(pause_s)
            pause_s = min(_ASK_S, pause_s * 1.02)

    def _make_ready(self, one: _Tended, took: Mapping[str, float]) -> None:
        if one.view.state == "starting":
            assert one.kept is not None
            if not one.kept.ready_at:
                one.kept = replace(one.kept, ready_at=self._clock())
                self._write(one.kept)
            one.ready_at = one.kept.ready_at
            whole_s = one.ready_at - one.kept.began_at
            one.view = replace(one.view, state="ready", since=one.ready_at, cold_start_s=whole_s, phases=phases_of(whole_s, took))
            self._news.set()
            self._keep_warm((one.view.endpoint, one.view.revision))

    def _ended(self, one: _Tended, reason: str) -> None:
        key = (one.view.endpoint, one.view.revision)
        del self._tended[one.view.id]
        self._forget(one.view.id, one.uds)
        self._news.set()
        if one.view.state == "draining" or self._closing or key not in self._wanted:
            return
        now = self._clock()
        steady = one.ready_at and now - one.ready_at >= _STEADY_S
        count = 0 if steady else self._failures[key].count + 1 if key in self._failures else 1
        delay_s = 0.0 if count <= bool(one.ready_at) else min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (count - 1))
        view = replace(one.view, state="failed", since=now, reason=reason)
        self._failures[key] = _Failures(count, view, now + delay_s)
        self._reconcile_in(delay_s, key)

    def _drain(self, one: _Tended) -> None:
        if one.view.state != "draining":
            one.view = replace(one.view, state="draining", since=self._clock())
            one.ending = asyncio.get_running_loop().create_task(self._end(one), name=f"end of replica {one.view.id}")
            self._news.set()

    async def _end(self, one: _Tended) -> None:
        await asyncio.sleep(self._drain_delay_s)
        assert one.task is not None
        while one.kept is None and not one.task.done():  # it is just being started
            await asyncio.wait([one.task], timeout=_ASK_S)
        kept = one.kept
        if kept is None:
            return
        signal_group(kept.pid, kept.process, "TERM")
        await asyncio.wait([one.task], timeout=one.drain_s)
        signal_group(kept.pid, kept.process, "KILL")

    async def _listen(self) -> None:
        """Ask replicas whether they live: one that hangs is ended, and so replaced."""
        pause_s = self._hang_s / _UNHEARD / 2  # as long again it is waited for
        while True:
            await asyncio.sleep(pause_s)
            ready = [one for one in self._tended.values() if one.view.state == "ready"]
            found = await asyncio.gather(*(ask_live(one.uds, pause_s) for one in ready))
            for one, lives in zip(ready, found, strict=True):
                one.unheard = 0 if lives else one.unheard + 1
                if one.unheard >= _UNHEARD and one.kept is not None and one.view.state == "ready":
                    one.verdict = f"it gave no sign of life for {self._hang_s:g} s, and was ended"
                    with suppress(OSError), self._log_of(one.view.endpoint, one.view.id).open("a", encoding="utf-8") as log:
                        log.write(f"fairway: {one.verdict}\n")
                    signal_group(one.kept.pid, one.kept.process, "KILL")

    async def _measure(self) -> None:
        """Say from time to time how much memory they take, and keep their logs short."""
        while True:
            await asyncio.sleep(_MEASURE_S)
            pids = {one.view.id: one.kept.pid for one in self._tended.values() if one.kept is not None}
            sizes = await asyncio.to_thread(lambda pids: [measure_memory(pid) for pid in pids], list(pids.values()))
            for id, size in zip(pids, sizes, strict=True):
                if id in self._tended:
                    self._tended[id].view = replace(self._tended[id].view, memory_bytes=size)
            await asyncio.to_thread(self._cut_logs)
            if self._zygotes is not None:
                self._zygotes.sweep()

    def _log_of(self, endpoint: str, id: str) -> Path:
        return self._folder / "logs" / endpoint / f"{id}.log"

    def _write(self, kept: _Kept) -> None:
        path = self._folder / "replicas" / f"{kept.id}.json"
        part = path.with_suffix(".part")
        part.write_text(json.dumps(to_plain(kept)), encoding="utf-8")
        part.replace(path)

    def _forget(self, id: str, uds: str) -> None:
        (self._folder / "replicas" / f"{id}.json").unlink(missing_ok=True)
        Path(uds).unlink(missing_ok=True)

    def _read_logs(self, endpoint: str, revision: int, replica: str, lines: int) -> list[str]:
        folder = self._folder / "logs" / endpoint
        wanted = f"{replica}.log" if replica else f"{endpoint}-{revision}-*.log" if revision else "*.log"
        found: list[tuple[str, str]] = []
        for path in sorted(folder.glob(wanted), key=_modified_at):
            when = ""
            for line in read_last_lines(path, lines):
                when = split_time(line)[0] or when
                found.append((when, f"{path.stem}  {line}"))
        found.sort(key=lambda pair: pair[0])
        return [line for _, line in found[-lines:]]

    def _cut_logs(self) -> None:
        """Of a log that has grown long only the end is kept; of replicas that have ended only the newest logs."""
        for folder in (self._folder / "logs").glob("*"):
            logs = sorted(folder.glob("*.log"), key=_modified_at)
            for path in logs[:-_LOGS_KEPT]:
                if path.stem not in self._tended:
                    path.unlink(missing_ok=True)
            for path in logs:
                with suppress(OSError):
                    if path.stat().st_size > _LOG_BYTES:
                        end = "\n".join(read_last_lines(path, 10_000))
                        os.truncate(path, 0)  # its writer appends: it goes on at the new end
                        with path.open("a", encoding="utf-8") as file:
                            file.write(f"{end}\n")

    def _remove_logs(self, endpoint: str) -> None:
        shutil.rmtree(self._folder / "logs" / endpoint, ignore_errors=True)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
