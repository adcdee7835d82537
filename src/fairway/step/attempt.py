"""One attempt in this process: inputs by digest, the user's code, outputs by digest, and last, if absent, the outcome.

The same attempt started twice is executed once: it holds a lock while it runs and looks for an outcome before it starts.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError, StoreUnavailable
from fairway.spec.attempt import AttemptItem, AttemptSpec
from fairway.spec.gang import Place, World
from fairway.spec.layout import ATTEMPT_LOCKS, BLOBS, BUNDLES, CHECKPOINTS, LOCKS, SCRATCH, STREAMS
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome, Usage, outcome_key
from fairway.spec.record import from_plain, replace, to_plain
from fairway.step import context
from fairway.step.defeat import Terminated
from fairway.step.errors_report import Origin, describe_exception, explain_breakpoint, is_breakpoint
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.step.item import ItemRunner
from fairway.step.metrics import PointWriter

if TYPE_CHECKING:
    from fairway.spec.ports import Framework
    from fairway.step.gangreport import Report

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Attempt:
    """The parts of one attempt on this machine, under a Fairway home. `source` is the folder in which the user edits the bundle's files.

    `scratch` is the name of a working folder that is kept for the next attempt ("" = one of its own, removed at the end).
    """

    def __init__(
        self,
        spec: AttemptSpec,
        home: str,
        *,
        secrets: Mapping[str, str] | None = None,
        source: str = "",
        queued_at: float = 0.0,
        scratch: str = "",
        world: World | None = None,
    ) -> None:
        self.spec, self._world = spec, world
        self.home, self.source = home, source
        self.root = f"{home}/{BUNDLES}/{spec.bundle}" if spec.bundle else source
        self.origin = Origin(self.root, source, (secrets or {}).values())
        self.store = FolderArtifactStore(f"{home}/{BLOBS}", durability=spec.context.get("durability", "process"))
        self.streams = FolderStreamStore(f"{home}/{STREAMS}")
        self.scratch = f"{home}/{SCRATCH}/{scratch or spec.id}"
        self._keeps_scratch = bool(scratch)
        self.secrets = dict(secrets or {})
        self.key = outcome_key(spec.run, spec.id)
        self.usage = Usage(queued_at=queued_at, started_at=time.time(), host=os.uname().nodename)
        self.points = PointWriter(self.streams, f"{spec.run}/{spec.id}", self.origin.mask if self.secrets else None)
        self._cpu_before_s = time.process_time()
        self._gang_metrics: dict[str, float] = {}
        self._gang_peak_bytes = 0

    def run(self, *, debugger: Any = None) -> None:
        """Run it to its outcome. Returns without doing anything if there is one already. `debugger(exception)` is called where user code
        raised."""
        with Claim(self.home, self.spec.id) as claim:
            if self.store.stat(self.key) is not None:
                return
            prepare_scratch(self.scratch)
            before = os.getcwd()
            os.chdir(self.scratch)
            try:
                outcome = self._run_items(claim, debugger)
            finally:
                os.chdir(before)
            put_outcome(self.store, self.key, outcome, self.scratch)
            if self._keeps_scratch:
                prepare_scratch(self.scratch)
            else:
                remove_scratch(self.scratch)

    def _run_items(self, claim: Claim, debugger: Any) -> Outcome:
        spec, usage = self.spec, self.usage
        current = context.Context(spec, self.scratch, f"{self.home}/{CHECKPOINTS}")
        current.began_at = usage.started_at
        context.enter(current, self.points, trust=spec.step.trust, secrets=self.secrets)
        os.environ.update({name: self.secrets[name] for name in spec.step.secrets if name in self.secrets})
        runner = ItemRunner(spec, self.store, self.scratch, self.root, self.secrets, self.origin, usage)
        results = claim.read() if len(spec.items) > 1 else []
        try:
            for item in spec.items[len(results) :]:
                results.append(self._run_item(runner, item, current, debugger))
                if len(spec.items) > 1:
                    claim.add(results[-1])
        finally:
            context.leave()
            _flush_output()
            _remove_leftovers()
            self.points.flush()
        self._measure()
        return Outcome(spec.id, "ended", tuple(results), usage=usage, metrics=self._metrics(), worker=f"{usage.host}:{os.getpid()}")

    def _run_item(self, runner: ItemRunner, item: AttemptItem, current: context.Context, debugger: Any) -> ItemOutcome:
        return with_notes(self._run_plain_item(runner, item, current, debugger))

    def _run_plain_item(self, runner: ItemRunner, item: AttemptItem, current: context.Context, debugger: Any) -> ItemOutcome:
        current.task, current.seed = item.task, item.seed
        try:
            if self.spec.step.gang.replicas:
                return self._run_gang(item, current)
            return runner.run(item)
        except context.Skipped as skipped:
            return ItemOutcome("skipped", reason=self.origin.mask(skipped.reason))
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - the boundary of the attempt: whatever user code raises becomes data
            if debugger is not None and not is_breakpoint(error):
                debugger(error)
            return ItemOutcome("failed", error=self._describe(error, runner.phase))

    def _run_gang(self, item: AttemptItem, current: context.Context) -> ItemOutcome:
        from fairway.step.gang import GangRun
        from fairway.step.gangrank import get_framework
        from fairway.step.gangworld import alone

        row = get_framework(self.spec.step.gang.framework)
        gang = GangRun(self, self._world or alone(self.spec.step.gang))
        try:
            return gang.run(lambda place: self.run_rank(place, row, item, current))
        finally:
            self._gang_metrics, self._gang_peak_bytes = gang.metrics, gang.used.rss_bytes

    def run_rank(self, place: Place, row: Framework, item: AttemptItem | None = None, current: context.Context | None = None) -> Report:
        """One rank's part, in the rank's own process and working folder. Only rank 0 has outputs."""
        from fairway.step.gangrank import around, step_of
        from fairway.step.gangreport import Report

        spec, scratch = self.spec, os.getcwd()
        item = item or spec.items[0]
        current = current or context.Context(spec, scratch, f"{self.home}/{CHECKPOINTS}")
        current.task, current.seed, current.scratch = item.task, item.seed, scratch
        current.began_at = self.usage.started_at
        current.rank, current.world_size, current.place = place.rank, place.world_size, place
        spec = replace(spec, step=step_of(spec.step, place, row))
        usage = replace(self.usage, running_at=0.0)
        self.points = PointWriter(self.streams, f"{spec.run}/{spec.id}", self.origin.mask if self.secrets else None, rank=place.rank)
        context.enter(current, self.points, trust=spec.step.trust, secrets=self.secrets)
        runner = ItemRunner(spec, self.store, scratch, self.root, self.secrets, self.origin, usage)
        runner.around = around(row, place, spec.step.gang)
        # What a container sees is its working folder; what a launcher starts on other machines is told paths that are the same on all.
        sees_all = spec.step.kind != "container" and (spec.step.kind != "command" or getattr(row, "style", "ranks") == "ranks")
        if place.folder and sees_all:
            runner.opened = f"{os.path.dirname(place.folder)}/opened"
        at = 0.0
        try:
            outcome = runner.run(item)
        except context.Skipped as skipped:
            outcome = ItemOutcome("skipped", reason=self.origin.mask(skipped.reason))
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - the boundary of the rank: whatever user code raises becomes data
            at = time.time()
            outcome = ItemOutcome("failed", error=self._describe(error, runner.phase))
        finally:
            _remove_leftovers()
            self.points.flush()
        return Report(with_notes(outcome), at or time.time(), self._metrics(), usage.running_at, usage.writing_at)

    def lay_out(self, scratch: str) -> None:
        """Put a program's inputs into a folder, as where it runs."""
        os.makedirs(scratch, exist_ok=True)
        runner = ItemRunner(self.spec, self.store, scratch, self.root, self.secrets, self.origin, self.usage)
        runner.lay_out(self.spec.items[0])

    def _describe(self, error: BaseException, phase: str) -> ErrorInfo:
        info = describe_exception(error, self.origin)
        if isinstance(error, SystemExit):
            info.kind = f"exit:{error.code if isinstance(error.code, int) else 0 if error.code is None else 1}"
            info.message = f"the step called sys.exit({error.code!r})"
            info.hint = info.hint or "return from the step instead; what it returns becomes its outputs"
        elif is_breakpoint(error):
            info.message, info.hint = explain_breakpoint(self.spec)
            info.retryable = False
        elif phase and info.kind != "oom":
            info.kind = phase
        return info

    def _metrics(self) -> dict[str, float]:
        last = {name: value for name, value in self.points.last.items() if isinstance(value, int | float)}
        return {**self._gang_metrics, **last}

    def _measure(self) -> None:
        import resource

        usage, scale = self.usage, 1 if sys.platform == "darwin" else 1024
        mine, below = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        usage.ended_at = time.time()
        usage.wall_s = round(max(0.0, usage.ended_at - usage.started_at), 6)
        usage.cpu_s = round(time.process_time() - self._cpu_before_s + below.ru_utime + below.ru_stime, 6)
        usage.peak_memory_bytes = max(max(mine.ru_maxrss, below.ru_maxrss) * scale, self._gang_peak_bytes)


def with_notes(outcome: ItemOutcome) -> ItemOutcome:
    """The outcome of a trial of a search says how it went, too."""
    notes = context.end_trial(outcome.status)
    return outcome if notes is None else replace(outcome, trial=notes)


class Claim:
    """The right to run an attempt: a locked byte of a file that all attempts share, freed by the kernel if we die.

    Waits while another process runs the same attempt. A file for each attempt would be simpler, but a file system that has to create and
    delete thousands of them takes longer over it than a small attempt over all the rest. A batch keeps its items' results in a file of its
    own, as they come.
    """

    def __init__(self, home: str, attempt: str) -> None:
        self._path = f"{home}/{LOCKS}/{ATTEMPT_LOCKS}"
        self._items = items_path(home, attempt)
        self._byte = int.from_bytes(hashlib.sha256(attempt.encode()).digest()[:7], "big")
        self._lock = self._file = -1

    def __enter__(self) -> Claim:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            self._lock = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            self._lock = os.open(self._path, flags, 0o600)
        fcntl.lockf(self._lock, fcntl.LOCK_EX, 1, self._byte)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._file >= 0:
            os.close(self._file)
            if kind is None:
                os.unlink(self._items)
        os.close(self._lock)

    def read(self) -> list[ItemOutcome]:
        """Results of items that an earlier process of this attempt has left."""
        self._file = os.open(self._items, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return read_items(self._items)

    def add(self, result: ItemOutcome) -> None:
        """Keep one result; whole or not at all for a reader."""
        os.write(self._file, (_encode(to_plain(result)) + "\n").encode("utf-8", "replace"))


def items_path(home: str, attempt: str) -> str:
    """Where a batch's results are kept while it runs."""
    return f"{home}/{LOCKS}/{attempt}.items"


def read_items(path: str) -> list[ItemOutcome]:
    """The whole lines of a claim's file; a line cut short by a kill does not count."""
    try:
        with open(path, "rb") as file:
            whole, _, _ = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return []
    return [from_plain(ItemOutcome, json.loads(line)) for line in whole.split(b"\n") if line]


def prepare_scratch(path: str) -> None:
    """An empty working folder, whatever was there."""
    try:
        os.mkdir(path)
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        if os.listdir(path):
            remove_scratch(path)
            os.makedirs(path, exist_ok=True)


def remove_scratch(path: str) -> None:
    """Remove an attempt's working folder; what cannot be removed stays."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        import shutil

        shutil.rmtree(path, ignore_errors=True)


def remove_file(path: str) -> None:
    """Absent = success."""
    try:
        os.unlink(path)
    except OSError:
        return


def append_quietly(streams: FolderStreamStore, stream: str, data: bytes) -> None:
    """For what is worth keeping but no failure: samples."""
    try:
        streams.append(stream, data)
    except FairwayError:
        return


def put_outcome(store: FolderArtifactStore, key: str, outcome: Outcome, scratch: str) -> None:
    """Write how an attempt ended. Where that cannot be, what it left in its working folder goes first: that may be what fills the disk.

    Raises StoreUnavailable.
    """
    data = encode_outcome(to_plain(outcome))
    try:
        store.put(key, data)
    except StoreUnavailable:
        remove_scratch(scratch)
        store.put(key, data)


def encode_outcome(plain: dict[str, Any]) -> bytes:
    """An outcome's bytes in the artifact store."""
    return _encode(plain).encode("utf-8", "replace")


def _flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # user code may have closed it
            continue


def _remove_leftovers() -> None:
    made = sys.modules.get("fairway.step.leftovers")  # most attempts make none, and need not import it
    if made is not None:
        made.remove_leftovers()


def warm_up() -> None:
    """Do once, before any fork, what the first attempt would do otherwise: compile the records' readers, import what each attempt uses."""
    for name in ("resource", "fairway.step.artifacts"):
        __import__(name)
    from_plain(AttemptSpec, json.loads(_REHEARSED))
    from_plain(ItemOutcome, {"status": "succeeded", "outputs": {"result": {"digest": "0", "size_bytes": 1, "format": "json"}}})
    to_plain(Outcome("a", "ended", usage=Usage(wall_s=1.0)))


def rehearse(home: str) -> None:
    """Go through the motions of an attempt, leaving nothing behind but warm memory.

    A process that was forked shares every page with its parent until it first writes there, and those first writes cost more than most of
    what an attempt does.
    """
    attempt = Attempt(from_plain(AttemptSpec, json.loads(_REHEARSED)), home)
    runner = ItemRunner(attempt.spec, attempt.store, attempt.scratch, "", {}, attempt.origin, attempt.usage)
    context.enter(context.Context(attempt.spec, attempt.scratch, home), attempt.points, trust=False)
    try:
        result = runner.run(attempt.spec.items[0])
    finally:
        context.leave()
    attempt._measure()
    encode_outcome(to_plain(Outcome("a", "ended", (result,), usage=attempt.usage)))


def rehearsed(x: int) -> int:
    """The step of a rehearsal."""
    return x


_REHEARSED = _encode(
    {
        "id": "a",
        "run": "r",
        "node": "rehearsed",
        "n": 1,
        "step": {
            "name": "rehearsed",
            "module": __name__,
            "qualname": "rehearsed",
            "inputs": [{"name": "x"}],
            "outputs": [{"name": "result"}],
            "resources": {},
            "retry": {},
            "environment": {},
        },
        "bundle": "",
        "items": [{"task": "rehearsed[0]", "inputs": {"x": {"ref": {"digest": "0", "size_bytes": 1, "format": "json", "inline": "1"}}}}],
        "context": {"pipeline": "p", "params": {}, "project": "p"},
    }
)
