"""An executor whose attempts are calls of a Python function in memory, in an order that a seed (or hypothesis) chooses.

Time is virtual: `executor.clock()` moves only in `wait`. Every run with the same choices is the same run.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from fairway.spec.artifact import INLINE_LIMIT_BYTES, ArtifactRef, blob_key
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome, Usage, outcome_key
from fairway.spec.ports import ArtifactStore, Inventory, Observation
from fairway.spec.record import Record, from_plain, record, to_plain
from fairway.spec.resources import Resources
from fairway.testing.faults import Killed
from fairway.testing.memory import json_text

Choose = Callable[[int, str], int]
"""`choose(n, what)`: a number from 0 to n - 1. Number 0 is always the undisturbed way."""


@record
class Call(Record):
    """What a scripted step sees of its task. `inputs` are values; `spec` is the whole attempt."""

    step: str
    node: str
    task: str
    n: int
    inputs: dict[str, Any]
    spec: AttemptSpec


Compute = Callable[[Call], Any]
"""Returns the step's value (for several outputs: a dict by name; for a dynamic step: a Graph), or raises; `Skip(reason)` skips."""


class Skip(Exception):
    """Raised by a scripted step in place of `fw.skip`."""


class Crash(Exception):
    """Raised by a scripted step: the whole attempt dies as if from a signal; items before it have ended."""


@record
class Faults(Record):
    """One in how many decisions goes wrong; 0 = never.

    `vanish`: the attempt is gone without an outcome and unknown here. `crash`: it dies, and says so. `stubborn`: a cancelled attempt runs
    on and ends late. `slow`: a wait ends by its timeout, though attempts are running.
    """

    vanish: int = 0
    crash: int = 0
    stubborn: int = 0
    slow: int = 0


def seeded(seed: int) -> Choose:
    """Choices drawn from a seed."""
    draw = random.Random(seed)
    return lambda n, what: draw.randrange(n)


def in_order(n: int, what: str) -> int:
    """The undisturbed schedule: first come, first served."""
    return 0


class ScriptedExecutor:
    """See `spec.ports.Executor`.

    `executed` lists (attempt id, task) of every item whose function was called, in order. `slots` limits what runs at once.
    `attempt_store` is `artifacts` as attempts reach it: one that is `faults.watched` kills them in the middle of their work.
    With hypothesis: `ScriptedExecutor(store, compute, choose=lambda n, what: data.draw(st.integers(0, n - 1), label=what))`.
    """

    name = "scripted"
    capabilities: frozenset[str] = frozenset({"GANG", "GPU", "IMAGE"})

    def __init__(
        self,
        artifacts: ArtifactStore,
        compute: Compute,
        *,
        choose: Choose = in_order,
        faults: Faults | None = None,
        slots: int = 4,
        step_s: float = 0.01,
        attempt_store: ArtifactStore | None = None,
    ) -> None:
        self.artifacts = artifacts
        self._attempt_store = attempt_store or artifacts
        self.compute = compute
        self.executed: list[tuple[str, str]] = []
        self.submitted: list[str] = []
        self.now = 1_700_000_000.0
        self._choose = choose
        self._faults = faults or Faults()
        self._slots = slots
        self._step_s = step_s
        self._queued: dict[str, AttemptSpec] = {}
        self._running: dict[str, AttemptSpec] = {}
        self._changed: dict[str, None] = {}
        self._seen: set[str] = set()
        self._woken = False

    def clock(self) -> float:
        """Virtual epoch seconds: give it to the driver."""
        return self.now

    async def inventory(self) -> Inventory:
        most = Resources(cpu=1e6, memory_bytes=1 << 60, disk_bytes=1 << 60, accelerators={"nvidia.com/gpu": 1000})
        return Inventory(most, most, most, {})

    async def submit(self, attempts: Sequence[AttemptSpec]) -> None:
        """The same id twice is one execution, unless the attempt vanished meanwhile."""
        for spec in attempts:
            self.submitted.append(spec.id)
            if spec.id in self._seen:
                continue
            self._seen.add(spec.id)
            if self.artifacts.stat(outcome_key(spec.run, spec.id)) is None:
                self._queued[spec.id] = spec
            else:
                self._changed[spec.id] = None  # as a worker does that finds the outcome there

    async def observe(self, ids: Collection[str]) -> Mapping[str, Observation]:
        out: dict[str, Observation] = {}
        for id in ids:
            if id in self._queued:
                out[id] = Observation("queued", f"{self._slots} others are running")
            elif id in self._running:
                out[id] = Observation("running")
            elif id in self._seen:
                out[id] = Observation("ended")
        return out

    async def wait(self, timeout_s: float | None) -> Sequence[str]:
        """Let one thing happen (an attempt starts or ends) and say to whom; with nothing in progress let the time pass.

        Raises RuntimeError where a driver would wait for ever.
        """
        if self._woken:
            self._woken = False
            return []
        if not self._changed and (self._queued or self._running):
            if timeout_s is not None and self._strikes(self._faults.slow, "slow"):
                self.now += timeout_s
                return []
            self._advance()
        if self._changed:
            out = list(self._changed)
            self._changed.clear()
            return out
        if timeout_s is None:
            raise RuntimeError("nothing is queued or running: this wait would never end")
        self.now += max(timeout_s, 0.0)
        return []

    def wake(self) -> None:
        self._woken = True

    async def cancel(self, id: str, grace_s: float) -> None:
        self._queued.pop(id, None)
        if id in self._running and not self._strikes(self._faults.stubborn, "stubborn"):
            del self._running[id]
            self._changed[id] = None

    async def close(self) -> None:
        self._queued.clear()
        self._running.clear()

    def restart(self, *, lose: bool = False) -> None:
        """The driver is gone and comes back: what runs goes on; with `lose` this executor forgets every attempt (its machine was lost)."""
        self._changed.clear()
        self._woken = False
        if lose:
            self._queued.clear()
            self._running.clear()
            self._seen.clear()

    def _strikes(self, one_in: int, what: str) -> bool:
        # The last number strikes, so that the first one, to which hypothesis shrinks, is the undisturbed way.
        return one_in > 0 and self._choose(one_in, what) == one_in - 1

    def _advance(self) -> None:
        self.now += self._step_s
        startable = list(self._queued) if len(self._running) < self._slots else []
        moves = startable + list(self._running)
        id = moves[self._choose(len(moves), "next")]
        self._changed[id] = None
        if id in self._queued:
            self._running[id] = self._queued.pop(id)
            return
        spec = self._running.pop(id)
        if self._strikes(self._faults.vanish, f"vanish {id}"):
            self._seen.discard(id)
            return
        self.now += self._step_s * self._choose(4, f"duration {id}")
        try:
            outcome = self._run(spec)
            self._attempt_store.put(outcome_key(spec.run, spec.id), json_text(outcome).encode())
        except Killed:
            self._bury(spec)

    def _bury(self, spec: AttemptSpec) -> None:
        """The attempt's process was killed: its worker says so, unless it died too, with all that it ran."""
        if self._choose(2, f"who died with {spec.id}"):
            for id in [spec.id, *self._running]:
                self._seen.discard(id)
                self._changed[id] = None
            self._running.clear()
        else:
            outcome = Outcome(spec.id, "failed", error=ErrorInfo("crash", "FW-TASK-CRASHED", "killed by signal 9 (SIGKILL)"))
            self.artifacts.put(outcome_key(spec.run, spec.id), json_text(outcome).encode())

    def _run(self, spec: AttemptSpec) -> Outcome:
        if self._attempt_store.stat(outcome_key(spec.run, spec.id)) is not None:  # given up before it began
            return Outcome(spec.id, "abandoned")
        usage = Usage(wall_s=self._step_s, started_at=self.now, ended_at=self.now, host="scripted")
        crash = ErrorInfo("crash", "FW-TASK-CRASHED", "killed by signal 9 (SIGKILL)")
        fall = self._choose(len(spec.items) + 1, f"crash before {spec.id}") if self._strikes(self._faults.crash, f"crash {spec.id}") else -1
        done: list[ItemOutcome] = []
        for number, item in enumerate(spec.items):
            if number == fall:
                return Outcome(spec.id, "failed", tuple(done), crash, usage)
            self.executed.append((spec.id, item.task))
            try:
                done.append(self._run_item(spec, item))
            except Crash as error:
                return Outcome(spec.id, "failed", tuple(done), ErrorInfo("crash", "FW-TASK-CRASHED", str(error)), usage)
        return Outcome(spec.id, "ended", tuple(done), None, usage, worker="scripted")

    def _run_item(self, spec: AttemptSpec, item: AttemptItem) -> ItemOutcome:
        try:
            inputs = {name: self._load(given.ref) for name, given in {**spec.inputs, **item.inputs}.items() if given.ref is not None}
            value = self.compute(Call(spec.step.name, spec.node, item.task, spec.n, inputs, spec))
        except Skip as skip:
            return ItemOutcome("skipped", reason=str(skip))
        except Crash:
            raise
        except Exception as error:  # noqa: BLE001 - the attempt's boundary
            mro = tuple(cls.__name__ for cls in type(error).__mro__)
            return ItemOutcome("failed", error=ErrorInfo(type(error).__name__, "FW-TASK-FAILED", str(error), mro=mro))
        if isinstance(value, Graph):
            data = json_text(value).encode()
            digest = hashlib.sha256(data).hexdigest()
            self._attempt_store.put(blob_key(digest), data)
            return ItemOutcome("succeeded", graph=digest)
        outputs = spec.step.outputs
        values = {outputs[0].name: value} if len(outputs) == 1 else dict(value or {})
        return ItemOutcome("succeeded", {name: save_json(one, self._attempt_store, name) for name, one in values.items()})

    def _load(self, ref: ArtifactRef) -> Any:
        return load_json(ref, self._attempt_store)


def save_json(value: Any, store: ArtifactStore, name: str = "") -> ArtifactRef:
    """A JSON artifact, inline if small."""
    text = json_text(value)
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    inline = len(data) <= INLINE_LIMIT_BYTES
    if not inline:
        store.put(blob_key(digest), data)
    return ArtifactRef(digest, len(data), "json", type(value).__name__, name, text if inline else None)


def load_json(ref: ArtifactRef, store: ArtifactStore) -> Any:
    """The value of a JSON artifact or of a list of them."""
    data = ref.inline if ref.inline is not None else store.get(blob_key(ref.digest))
    value = json.loads(data)
    if ref.format == "list":
        return [load_json(from_plain(ArtifactRef, item), store) for item in value["items"]]
    return value


def read_outcome(store: ArtifactStore, run: str, attempt: str) -> Outcome | None:
    """The outcome an attempt has written, None if it has not."""
    key = outcome_key(run, attempt)
    return from_plain(Outcome, json.loads(store.get(key))) if store.stat(key) is not None else None


def render_outcome(outcome: Outcome) -> bytes:
    """The bytes kept under `outcome_key`."""
    return json_text(to_plain(outcome)).encode()
