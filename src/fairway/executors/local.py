"""Attempts on this machine: slots are given out here, processes are the worker's business."""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fairway.errors import FairwayError, InfraError, UnschedulableError
from fairway.executors.machine import find_total
from fairway.executors.slots import Slots
from fairway.spec.attempt import AttemptSpec
from fairway.spec.gang import LOOPBACK, Gang, World
from fairway.spec.layout import BLOBS
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.ports import Inventory, Observation
from fairway.spec.record import from_plain, replace, to_plain
from fairway.spec.retry import LOSSES, may_retry, wait_s
from fairway.step.folder import FolderArtifactStore
from fairway.step.parcel import Parcels
from fairway.step.processes import count_cores
from fairway.step.workerprocess import WorkerProcess

_RESTART_S = 5.0  # beyond its wait, a gang's next attempt has come after this long, or does not come
_LONG_S = 5.0
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class LocalExecutor:
    """The executor `local`. `settings`: "source" (the folder in which the user edits the bundle's files), "dotenv" (a path), "cpu" (cores),
    "memory" (bytes), "accelerators" (counts by kind; all in place of what the machine has), "grace" (seconds between SIGTERM and SIGKILL
    after a timeout; 10), "durability" ("process" or "power": what an attempt's outputs and checkpoints survive).

    Nothing starts before `start`, `prewarm` or the first `submit`. A worker that dies is replaced, and what it ran is reported as lost.
    """

    name = "local"

    def __init__(self, home: Any, *, settings: Mapping[str, Any] | None = None) -> None:
        self.home = os.path.abspath(os.fspath(home))
        self._settings = dict(settings or {})
        self._store = FolderArtifactStore(f"{self.home}/{BLOBS}")
        self._slots: Slots | None = None
        self._parcels = Parcels()
        self._worker = WorkerProcess(self.home)
        self._queued: dict[str, AttemptSpec] = {}
        self._running: dict[str, AttemptSpec] = {}
        self._preparing: dict[str, list[tuple[AttemptSpec, dict[str, list[int]]]]] = {}  # lock -> those that wait for their environment
        self._made: list[tuple[str, str | FairwayError]] = []  # lock, and its Python or why there is none; filled by threads
        self._queued_at: dict[str, float] = {}
        self._lost: dict[str, int] = {}  # task of a gang -> how many of its attempts were lost
        self._changed: list[str] = []
        self._pythons: dict[str, str] = {}
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)

    @property
    def capabilities(self) -> frozenset[str]:
        """GANG; GPU where there is one, CONTAINER where docker or podman is."""
        from fairway.step.command import find_container_engine

        found = {"GANG", *(["GPU"] if self._machine().total.accelerators else [])}
        return frozenset(found | ({"CONTAINER"} if find_container_engine() else set()))

    def start(self) -> None:
        """Boot the worker now, beside whatever the caller does next."""
        self._worker.start()

    def prepare(self, source: str, secrets: Collection[str] = ()) -> None:
        """Learn in which folder the user edits the bundle's files (tracebacks name those), and which variables only those steps may see
        that name them as secrets."""
        self._settings["source"] = source
        self._settings["secrets"] = tuple(secrets)

    def prewarm(self, bundle: str, module: str, variables: Mapping[str, str] | None = None) -> None:
        """Let a zygote for the user's own interpreter import `module` now."""
        self._send(
            {"op": "warm", "bundle": bundle, "module": module, "environ": dict(variables or {}), "source": self._settings.get("source", "")}
        )

    def import_ahead(self, module: str, imports: Sequence[tuple[str, Sequence[str]]], variables: Mapping[str, str] | None = None) -> None:
        """Let a zygote import libraries that `module` of a bundle not yet made will import first, if there is a core for that."""
        if imports and count_cores() > 1:
            self._send({"op": "ahead", "module": module, "imports": imports, "environ": dict(variables or {})})

    async def inventory(self) -> Inventory:
        """What this machine has; `largest` is all of it, and all replicas of a gang have to share it."""
        slots = self._machine()
        facts = {"host": os.uname().nodename, "platform": sys.platform, "one_machine": True}
        return Inventory(slots.total, slots.free(), slots.total, facts)

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        """Queue them, and start what fits. Raises UnschedulableError for more than the machine has."""
        slots = self._machine()
        now = time.time()
        for attempt in attempts:
            if attempt.id in self._queued or attempt.id in self._running:
                continue
            excess = slots.find_excess(attempt)
            if excess:
                raise UnschedulableError(f"step {attempt.step.name!r} {excess}", hint=hint_for_excess(attempt.step.gang, "cores" in excess))
            self._queued[attempt.id] = attempt
            self._queued_at[attempt.id] = now
            slots.add(attempt)
        self._dispatch()

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        """Ended attempts are unknown here once they were reported; their outcomes are in the store."""
        seen: dict[str, Observation] = {}
        for id in ids:
            if any(id == attempt.id for waiting in self._preparing.values() for attempt, _ in waiting):
                seen[id] = Observation("starting", "its environment is being made")
            elif id in self._running:
                seen[id] = Observation("running")
            elif id in self._queued:
                seen[id] = Observation("queued", "waits for free cores, memory or devices")
        return seen

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """Blocks on the worker's socket."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            due = self._release()
            if self._changed:
                changed, self._changed = self._changed, []
                return changed
            poller = select.poll()
            poller.register(self._wake_reader, select.POLLIN)
            if self._worker.channel is not None:
                poller.register(self._worker.channel.fileno(), select.POLLIN | (select.POLLOUT if self._worker.channel.pending else 0))
            moments = [moment for moment in (deadline, due) if moment]
            ready = {fd for fd, _ in poller.poll(max(0.0, min(moments) - time.monotonic()) * 1000 if moments else None)}
            if not ready and deadline is not None and time.monotonic() >= deadline:
                return []
            if self._worker.channel is not None and self._worker.channel.fileno() in ready:
                self._receive()
            if self._wake_reader in ready:
                self._drain_wakes()
                self._start_prepared()
                if not self._changed:
                    return []

    def descriptors(self) -> dict[int, bool]:
        """The file descriptors that `wait` blocks on, for whoever waits for many things at once; True for those it also has to write to."""
        found = {self._wake_reader: False}
        if self._worker.channel is not None:
            found[self._worker.channel.fileno()] = bool(self._worker.channel.pending)
        return found

    def due_in(self) -> float | None:
        """Seconds after which `wait` has something to do although no descriptor says so; None if it has not."""
        due = self._release()
        return max(0.0, due - time.monotonic()) if due else None

    def wake(self) -> None:
        """A byte into the self-pipe."""
        try:
            os.write(self._wake_writer, b".")
        except (BlockingIOError, OSError):
            return

    async def cancel(self, id: str, grace_s: float) -> None:
        """One that waits is dropped with an outcome of its own; one that runs gets SIGTERM, then SIGKILL."""
        attempt = self._queued.pop(id, None)
        if attempt is not None:
            self._machine().drop(attempt)
            self._conclude(attempt, _not_started())
        elif self._stop_preparing(id):
            return
        elif id in self._running:
            self._send({"op": "cancel", "id": id, "grace_s": grace_s})

    async def close(self) -> None:
        """Kill what runs and wait until the worker is gone."""
        self._worker.close()
        self._queued.clear()
        self._running.clear()
        for fd in (self._wake_reader, self._wake_writer):
            if fd >= 0:
                os.close(fd)
        self._wake_reader = self._wake_writer = -1

    def _machine(self) -> Slots:
        if self._slots is None:
            total = find_total()
            total.cpu = float(self._settings.get("cpu", total.cpu))
            total.memory_bytes = self._settings.get("memory", total.memory_bytes)
            total.accelerators = self._settings.get("accelerators", total.accelerators)
            self._slots = Slots(total)
        return self._slots

    def _dispatch(self) -> None:
        for attempt, devices in self._machine().take():
            del self._queued[attempt.id]
            self._running[attempt.id] = attempt
            lock = attempt.environment.lock
            if lock and lock not in self._pythons:
                self._prepare(attempt, devices)
            else:
                self._begin(attempt, devices)

    def _begin(self, attempt: AttemptSpec, devices: dict[str, list[int]]) -> None:
        try:
            frame = self._frame(attempt, devices)
        except FairwayError as error:
            self._refuse(attempt, error)
        else:
            self._send(frame)

    def _refuse(self, attempt: AttemptSpec, error: FairwayError) -> None:
        self._machine().give_back(attempt.id)
        del self._running[attempt.id]
        self._conclude(attempt, ErrorInfo("input", error.code, error.message, error.hint, retryable=error.retryable))

    def _prepare(self, attempt: AttemptSpec, devices: dict[str, list[int]]) -> None:
        """Have its environment made in a thread: that may take minutes, and the driver goes on meanwhile."""
        waiting = self._preparing.setdefault(attempt.environment.lock, [])
        waiting.append((attempt, devices))
        self._changed.append(attempt.id)
        if len(waiting) == 1:
            from threading import Thread

            Thread(target=self._make_environment, args=(attempt,), daemon=True).start()

    def _make_environment(self, attempt: AttemptSpec) -> None:
        from pathlib import Path

        from fairway import envs

        made: str | FairwayError
        try:
            made = str(envs.ensure(attempt.environment, Path(self.home)))
        except FairwayError as error:
            made = error
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whoever waits for it would wait for ever
            made = InfraError(f"cannot make the environment: {error}", hint="is there room, and may you write to the home?")
        self._made.append((attempt.environment.lock, made))
        self.wake()

    def _start_prepared(self) -> None:
        while self._made:
            lock, made = self._made.pop(0)
            if isinstance(made, str):
                self._pythons[lock] = made
            for attempt, devices in self._preparing.pop(lock, ()):
                if isinstance(made, FairwayError):
                    self._refuse(attempt, made)
                else:
                    self._begin(attempt, devices)

    def _stop_preparing(self, id: str) -> bool:
        """Drop an attempt that waits for its environment; False if there is no such one. The environment is made all the same."""
        for waiting in self._preparing.values():
            for entry in waiting:
                if entry[0].id == id:
                    waiting.remove(entry)
                    self._machine().give_back(id)
                    del self._running[id]
                    self._conclude(entry[0], _not_started())
                    return True
        return False

    def _frame(self, attempt: AttemptSpec, devices: dict[str, list[int]]) -> dict[str, Any]:
        source, queued_at = self._settings.get("source", ""), self._queued_at.pop(attempt.id, 0.0)
        if self._settings.get("durability") == "power":
            attempt = replace(attempt, context={**attempt.context, "durability": "power"})
        frame = self._parcels.frame(attempt, grace_s=self._settings.get("grace", 10.0), queued_at=queued_at, source=source)
        if attempt.step.gang.replicas:
            frame["hold"] = True  # its ranks have ended when its process has
            frame["world"] = to_plain(self._world(attempt, devices))
            devices = {}
        for kind, numbers in devices.items():
            variable = "CUDA_VISIBLE_DEVICES" if kind.startswith("nvidia") else "HIP_VISIBLE_DEVICES" if kind.startswith("amd") else ""
            if variable and numbers:
                frame.setdefault("environ", {})[variable] = ",".join(map(str, numbers))
        frame["machine_bytes"] = self._machine().total.memory_bytes
        hidden = [name for name in self._settings.get("secrets", ()) if name not in attempt.step.secrets]
        if hidden:
            frame["hidden"] = hidden
        if attempt.secrets:
            from fairway.executors.secrets import get_secrets

            frame["secrets"] = get_secrets(attempt.secrets, self._settings.get("dotenv", ""))
        if attempt.environment.lock:
            frame["python"] = self._pythons[attempt.environment.lock]
        return frame

    def _world(self, attempt: AttemptSpec, devices: dict[str, list[int]]) -> World:
        """All replicas on this machine, each with its part of the devices. Ports are found by the gang's leader, when it needs them."""
        count = self._machine().count_replicas(attempt)
        numbers = next((given for kind, given in devices.items() if given and kind.startswith(("nvidia", "amd"))), [])
        each = len(numbers) // count
        parts = tuple(tuple(numbers[at * each : (at + 1) * each]) for at in range(count)) if each else ()
        return World((LOOPBACK,) * count, (), devices=parts)

    def _send(self, frame: dict[str, Any]) -> None:
        self._worker.send(frame)

    def _receive(self) -> None:
        frames = self._worker.receive()
        if frames is None:
            self._lose_worker()
            return
        for frame in frames:
            for id in frame["ids"]:
                attempt = self._running.pop(id, None)
                if attempt is not None:
                    self._free(attempt)
                    self._changed.append(id)
        self._dispatch()

    def _free(self, attempt: AttemptSpec) -> None:
        """Its room is for others, but for that of a gang which is about to start again."""
        again_s = self._find_restart(attempt) if attempt.step.gang.replicas else None
        if again_s is None:
            self._machine().give_back(attempt.id)
        else:
            self._machine().keep(attempt, time.monotonic() + again_s + _RESTART_S)

    def _find_restart(self, attempt: AttemptSpec) -> float | None:
        """After how long a gang that has ended starts again, by the rule that the engine goes by; None if it does not, or others may use
        the time."""
        task, retry = f"{attempt.run}/{attempt.items[0].task}", attempt.step.retry
        try:
            outcome = from_plain(Outcome, json.loads(self._store.get(outcome_key(attempt.run, attempt.id))))
        except (FairwayError, ValueError):
            return None
        error = outcome.error or next((item.error for item in outcome.items if item.status == "failed"), None)
        lost = self._lost.pop(task, 0)
        if error is None:
            return None
        lost += error.kind in LOSSES
        pause_s = wait_s(retry, attempt.id, attempt.n)
        if not may_retry(retry, error, attempt.n, lost) or pause_s > _LONG_S:
            return None
        self._lost[task] = lost
        return pause_s

    def _release(self) -> float:
        """Others get what a gang has not come back for. Returns when (monotonic) the next time runs out, 0 if none does."""
        if self._slots is None:
            return 0.0
        before = self._slots.free()
        due = self._slots.release(time.monotonic())
        if self._slots.free() != before:
            self._dispatch()
        return due

    def _lose_worker(self) -> None:
        """The worker died: nothing of what it started may go on, and its attempts are lost unless their outcomes are there."""
        lost, self._running = self._running, {}
        for attempt in lost.values():
            self._conclude(attempt, ErrorInfo("lost", "FW-LOST", "the worker that ran it died", hint="it is tried again by itself"))
            self._free(attempt)
        self._dispatch()

    def _conclude(self, attempt: AttemptSpec, error: ErrorInfo) -> None:
        outcome = Outcome(attempt.id, "failed", error=error)
        self._store.put(outcome_key(attempt.run, attempt.id), _encode(to_plain(outcome)).encode())
        self._changed.append(attempt.id)

    def _drain_wakes(self) -> None:
        try:
            while os.read(self._wake_reader, 4096):
                continue
        except BlockingIOError:
            return


def hint_for_excess(gang: Gang, cores: bool, *, one_fits: bool = True, devices: Mapping[str, int] | None = None) -> str:
    """What to do about an attempt that asks for more than this machine has: of cores, or of memory and devices. `one_fits`: it has enough
    for one of the gang's replicas. `devices`: those of which it has too few, and how many are asked for."""
    words: list[str] = []
    if devices:
        counts = ", ".join(f'"{name}" = {count}' for name, count in devices.items())
        words = [f"`accelerators = {{ {counts} }}` under [targets.local] in fairway.toml lets it start here without them"]
    if not gang.replicas:
        return "; ".join(["ask for less, or run it on a bigger target", *words])
    if gang.min_replicas == 0 and one_fits:
        words = ["min_replicas=1 of fw.gang lets it start with fewer here", *words]
    if cores:
        place = "there" if devices else "under [targets.local] in fairway.toml"
        return ", ".join([*words, f"cpu=0.5 of the step asks for less, and `cpu = 8` {place} lets ranks share cores"])
    return ", ".join([*(words or ["ask for less"]), "or run it on a target that has as much (--on)"])


def _not_started() -> ErrorInfo:
    return ErrorInfo("cancelled", "FW-TASK-CANCELLED", "cancelled before it started", retryable=False)
