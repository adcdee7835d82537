"""One attempt away from its server, from what the server says of it to its outcome: a thread of the agent for each.

It brings what the attempt reads (code, packages, inputs, checkpoints) to this machine, has the worker run it as on a laptop, ships its
streams meanwhile, and at the end its outputs and, last, its outcome. The attempt's own process touches nothing but this machine's disk
and knows no token. Whatever has been done is not done again when the agent was killed and is started once more on the same disk.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fairway.errors import FairwayError, NotFoundError, StoreUnavailable
from fairway.spec.attempt import AttemptSpec
from fairway.spec.layout import BUNDLES, STREAMS
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.record import from_plain, replace, to_plain
from fairway.step.bundles import unpack_bundle
from fairway.step.checkpoints import CheckpointShipper
from fairway.step.control import Control
from fairway.step.folder import FolderStreamStore
from fairway.step.install import IMAGE_LOCK, Environments
from fairway.step.link import Refused
from fairway.step.parcel import Parcels
from fairway.step.remote import RemoteArtifactStore
from fairway.step.shipping import LOG_EVERY_S, StreamShipper

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_OVER = 410
_HEAR_EVERY_S = 0.5
_RUNTIME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Site:
    """What all attempts of one agent share. `brought`: the folder with bundles that the image has brought along."""

    def __init__(self, home: str, store: RemoteArtifactStore, secrets: Mapping[str, str], brought: str = "") -> None:
        self.home, self.store, self.secrets, self.brought = home, store, secrets, brought
        self.environments = Environments(home)


class Tended(threading.Thread):
    """See the module. `start_frame` hands a frame to the worker, `cancel_frame` tells it to end the attempt, `done` is called last.

    `outcome_stands` says at the end whether the server has an outcome of the attempt.
    """

    def __init__(self, answer: Mapping[str, Any], control: Control, site: Site, worker: WorkerDesk) -> None:
        super().__init__(daemon=True)
        self.spec = _as_here(from_plain(AttemptSpec, answer["spec"]))
        self._others = self.spec.context.get("trial", {}).get("live", "")
        self._heard, self._hears_at = 0, 0.0
        self.control, self._answer, self._site, self._worker = control, answer, site, worker
        self._store = site.store.scoped(control)
        self._key = outcome_key(self.spec.run, self.spec.id)
        self._streams = StreamShipper(control, site.home, self.spec.run, self.spec.id, answer.get("streams"))
        self._checkpoints = CheckpointShipper(control, site.home, self.spec, self._say)
        self._ended = threading.Event()
        self._stopped = ""
        self._lock = threading.Lock()
        self._handed = False
        self.outcome_stands = False
        self.size_bytes = 0  # of its inputs and outputs

    def forget(self) -> None:
        """Remove what is with the server by now: a warm worker's disk must not grow with the attempts it has run."""
        spec, home = self.spec, self._site.home
        self._site.store.cache.delete(self._key)
        FolderStreamStore(f"{home}/{STREAMS}").delete(f"{spec.run}/{spec.id}")
        self._checkpoints.forget()

    @property
    def id(self) -> str:
        """The attempt's."""
        return self.spec.id

    def note_ended(self) -> None:
        """The worker says that the outcome is on this machine, or that the worker is gone."""
        self._ended.set()

    def stop(self, reason: str, grace_s: float) -> None:
        """End it: "cancelled" (by its driver; that becomes its outcome), "terminated" (this machine is taken away; no outcome but its own
        counts), or "over" (somebody gave it up; nothing of it counts any more)."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = reason
            if self._handed:
                self._worker.send({"op": "cancel", "id": self.id, "grace_s": grace_s})
            else:
                self._ended.set()

    def run(self) -> None:
        """The whole of it. Never raises: what cannot be told to the server goes to the pod's own log."""
        try:
            self._run()
        except Refused as error:
            if error.status != _OVER:
                self._worker.say(f"fairway: {self.id}: {error.message}")
            self.stop("over", 0.0)
            self.outcome_stands = error.status == _OVER
        except FairwayError as error:
            self._worker.say(f"fairway: {self.id}: {error.message}")
            self.stop("over", 0.0)
        finally:
            self._worker.done(self)

    def _run(self) -> None:
        if self._find_outcome() is None:
            try:
                frame = self._prepare()
            except Refused:
                raise
            except FairwayError as error:
                self._conclude(ErrorInfo("input", error.code, error.message, error.hint, retryable=error.retryable))
                return
            if not self._hand_over(frame):
                if self._stopped == "cancelled":
                    self._conclude(ErrorInfo("cancelled", "FW-TASK-CANCELLED", "cancelled before it started", retryable=False))
                return
            self._accompany()
        self._ship_outcome()

    def _find_outcome(self) -> Outcome | None:
        """On this machine."""
        try:
            return from_plain(Outcome, json.loads(self._store.get(self._key)))
        except NotFoundError:
            return None

    def _prepare(self) -> dict[str, Any]:
        """All that it reads, on this machine; returns the worker's frame."""
        spec, answer = self.spec, self._answer
        missing = [name for name in spec.secrets if name not in self._site.secrets]
        if missing:
            raise NotFoundError(f"there is no secret {missing[0]!r}", hint=f"set it: fairway secret set {missing[0]} --on TARGET")
        if spec.bundle:
            self._fetch_bundle()
        frame = Parcels().frame(
            spec, grace_s=answer.get("grace_s", 10.0), queued_at=answer.get("queued_at", 0.0), source=answer.get("source", "")
        )
        if spec.environment.lock and spec.environment.lock != os.environ.get(IMAGE_LOCK):
            frame["python"] = self._site.environments.ensure(spec.environment, answer.get("lock_text", ""), self._say)
            frame.setdefault("environ", {})["PYTHONPATH"] = _RUNTIME  # none of the image's own packages
        refs = [given.ref for inputs in (spec.inputs, *(item.inputs for item in spec.items)) for given in inputs.values() if given.ref]
        self.size_bytes += sum(ref.size_bytes for ref in refs)
        self._store.fetch_inputs(refs)
        self._restore()
        if spec.secrets:
            frame["secrets"] = {name: self._site.secrets[name] for name in spec.secrets}
        frame["machine_bytes"] = answer.get("machine", {}).get("memory_bytes", 0)
        return frame

    def _restore(self) -> None:
        """What earlier tries have saved, to this machine."""
        if self.spec.n > 1:
            self._checkpoints.restore()

    def _fetch_bundle(self) -> None:
        """To this machine, unless its image has brought it along."""
        target, digest = f"{self._site.home}/{BUNDLES}/{self.spec.bundle}", self.spec.bundle
        brought = f"{self._site.brought}/{digest}"
        if os.path.isdir(target):
            return
        if not os.path.isdir(brought):
            unpack_bundle(self._store.read_bundle(digest), digest, self._site.home)
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with suppress(FileExistsError):
            os.symlink(brought, target)

    def _hand_over(self, frame: dict[str, Any]) -> bool:
        """To the worker; False if it was stopped before."""
        with self._lock:
            if self._stopped:
                return False
            self._handed = True
            self._worker.send(frame)
            return True

    def _accompany(self) -> None:
        """Ship what it says while it runs. If nobody hears it for as long as we are patient, it runs on: its outcome may be heard."""
        troubled = False
        while not self._ended.wait(LOG_EVERY_S):
            try:
                self._streams.ship()
                self._checkpoints.ship()
                self._hear()
                troubled = False
            except Refused as error:
                if error.status == _OVER:
                    self.stop("over", 0.0)
                    self._ended.wait()
                    raise
                if not troubled:
                    self._worker.say(f"fairway: {self.id}: {error.message}")
                troubled = True
            except FairwayError as error:
                self._worker.say(f"fairway: {self.id}: {error.message}")

    def _hear(self) -> None:
        """Of a trial that may be ended early: bring what trials beside it say of themselves."""
        now = time.monotonic()
        if self._others and now >= self._hears_at:
            said = self.control.read_others(self.id, self._heard)
            FolderStreamStore(f"{self._site.home}/{STREAMS}").append(self._others, said)
            self._heard += len(said)
            self._hears_at = now + _HEAR_EVERY_S

    def _ship_outcome(self) -> None:
        outcome = self._find_outcome()
        if outcome is None:
            error = ErrorInfo("lost", "FW-LOST", "the worker that ran it died", hint="it is tried again by itself")
            outcome = Outcome(self.id, "failed", error=error)
        if self._stopped == "terminated" and outcome.error is not None and outcome.error.kind == "cancelled":
            outcome = self._as_taken_away(outcome)
        self._streams.ship(all=True)
        if outcome is None:
            self._checkpoints.ship(all=True)  # the next try begins there
            return
        if outcome.status != "ended" or any(item.status == "failed" for item in outcome.items):
            self._checkpoints.ship(all=True)
        self._put(self._upload(outcome))

    def _upload(self, outcome: Outcome) -> Outcome:
        """Its outputs, to the server. If the server's store does not take them, that is the outcome."""
        refs = [ref for item in outcome.items for ref in item.outputs.values()]
        self.size_bytes += sum(ref.size_bytes for ref in refs)
        try:
            self._store.upload_outputs(refs, [item.graph for item in outcome.items if item.graph])
        except (StoreUnavailable, Refused) as error:
            if isinstance(error, Refused) and error.status == _OVER:
                raise
            return Outcome(self.id, "failed", error=ErrorInfo("output", error.code, error.message, error.hint), usage=outcome.usage)
        return outcome

    def _as_taken_away(self, outcome: Outcome) -> Outcome | None:
        """It did not end by itself when it was asked to, because its machine goes. Why, the server knows better; here only what items of a
        batch have achieved is worth reporting."""
        if not outcome.items:
            return None
        assert outcome.error is not None
        outcome.error = ErrorInfo(
            "lost", "FW-PREEMPTED", "its pod was ended before all its items were done", hint="the rest is tried again by itself"
        )
        return outcome

    def _conclude(self, error: ErrorInfo) -> None:
        """It did not begin."""
        now = time.time()
        outcome = Outcome(self.id, "failed", error=error)
        outcome.usage.queued_at, outcome.usage.ended_at = self._answer.get("queued_at", 0.0), now
        self._streams.ship(all=True)
        self._put(outcome)

    def _put(self, outcome: Outcome) -> None:
        self.control.put_outcome(self.id, encode_outcome(outcome))
        self.outcome_stands = True

    def _say(self, text: str) -> None:
        """A line into the attempt's own log."""
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z "
        line = f"{stamp}fairway: {text}\n"
        FolderStreamStore(f"{self._site.home}/{STREAMS}").append(f"{self.spec.run}/{self.id}/log", line.encode())
        self._streams.ship(all=True)


def _as_here(spec: AttemptSpec) -> AttemptSpec:
    """The attempt, which reads and writes this machine's streams: of a trial what it says goes to the server from one of its own, and what
    it hears comes into another."""
    trial = spec.context.get("trial", {})
    if "live" not in trial:
        return spec
    own = f"{spec.run}/{spec.id}"
    return replace(spec, context={**spec.context, "trial": {**trial, "live": f"{own}/others", "says": f"{own}/reports"}})


def encode_outcome(outcome: Outcome) -> bytes:
    """Its bytes on the wire."""
    return _encode(to_plain(outcome)).encode("utf-8", "replace")


class WorkerDesk:
    """How the threads of attempts reach what is the agent's main thread's."""

    def __init__(self, send: Callable[[dict[str, Any]], None], done: Callable[[Tended], None], say: Callable[[str], None]) -> None:
        self.send, self.done, self.say = send, done, say
