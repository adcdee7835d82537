"""`fw.checkpoint`: what a task keeps for its next try."""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fairway.errors import DefinitionError, FairwayError, StoreUnavailable
from fairway.spec.record import replace
from fairway.step import artifacts, context, pulse
from fairway.step.folder import FolderArtifactStore
from fairway.step.metricvalues import plain_metrics
from fairway.step.saved import LAST, Manifest, Policy, Saved, best_of, find_other, find_saved, spell_ranks
from fairway.train.checkpoints.arena import Arena
from fairway.train.checkpoints.capture import Capture, Captured
from fairway.train.checkpoints.parts import GOOD, bring_all, check_others, check_part
from fairway.train.checkpoints.reading import Damaged, read_part
from fairway.train.checkpoints.writing import BLOBS, Job, clear, explain

_AT_ONCE_BYTES = 1 << 20
"""A smaller state is written before `save` returns: handing it over would take longer."""
_NICE = 19
_BEAT_EVERY_S = 1.0


class Kept:
    """One checkpoint that is there: `step`, `metrics`, `saved_at` (epoch seconds), `path` (its folder); `load()` gives what was saved."""

    def __init__(self, saved: Saved, path: Path, task: Task) -> None:
        self.step, self.metrics, self.path = saved.step, saved.metrics, path
        self.saved_at = max(one.saved_at for one in saved.manifests)
        self._saved, self._task = saved, task

    def load(self, *, parts: str = "own") -> Any:
        """What was saved; see `fw.checkpoint.load`. Raises StoreUnavailable if it is damaged."""
        try:
            return self._task.read(self._saved, parts)
        except Damaged as why:
            raise StoreUnavailable(f"the checkpoint of step {self.step} is damaged: {why}", hint="use fw.checkpoint.load()") from None

    def __repr__(self) -> str:
        return f"Kept(step={self.step}, metrics={self.metrics})"


class Task:
    """The checkpoints of one task, as this process (one rank of it) sees them. One save is under way at a time."""

    def __init__(self, now: context.Context, root: str) -> None:
        self.run, self.task, self.n, self.root = now.run, now.task, now.n, root
        self.rank, self.world_size = now.rank, now.world_size
        self.scratch, self._began_at = now.scratch or root, now.began_at
        self.arena = Arena()
        self.step = -1
        self._is_apart = False
        self._count = self._first_count()
        self._thread: tuple[threading.Thread, Job] | None = None
        self._captured: Captured | None = None
        self._error: FairwayError | None = None

    def _first_count(self) -> int:
        """Saves of this try by earlier processes (the run was resumed, or its agent started again on the same disk): what was complete
        before the attempt began, so that all its ranks see it alike, whenever they look."""
        now = time.time()  # what seems to come from the future is older than a clock that was set back
        mine = [one for one in find_saved(self.root) if one.n == self.n and one.complete]
        whens = [(one.count, max(part.saved_at for part in one.manifests)) for one in mine]
        return max((count for count, saved_at in whens if saved_at <= self._began_at or saved_at > now), default=0)

    def save(self, state: Any, manifest: Manifest, *, synced: bool, beside: bool) -> None:
        """See `Checkpoints.save`; the manifest without what is the task's."""
        self.settle()
        self._count += 1
        if self.rank and not manifest.sharded:
            return
        step = manifest.step
        manifest = replace(manifest, n=self.n, count=self._count, rank=self.rank, world_size=self.world_size)
        job = Job(self.root, manifest, synced=synced)
        try:
            job.begin()
            captured = Capture(state, lambda value: self._keep(value, job)).run(self.arena, beside=beside)
        except OSError as error:
            job.undo()
            raise explain(error, step, self.root) from error
        except BaseException:
            job.undo()
            raise
        if captured.size_bytes + len(captured.tree) < _AT_ONCE_BYTES:
            self._write(job, captured)
            self._raise()
            return
        self._captured = captured if captured.beside else None
        thread = threading.Thread(target=self._write_beside, args=(job, captured), name="fairway-checkpoint")
        self._thread = thread, job
        thread.start()

    def _keep(self, value: Any, job: Job) -> Any:
        """What no tensor is, by its own serializer, now: only a copy would stay as it is."""
        store = FolderArtifactStore(f"{job.path}/{job.prefix}{BLOBS}")
        return artifacts.save(value, store, self.scratch, name="checkpoint", trust=context.is_trusted())

    def _write_beside(self, job: Job, captured: Captured) -> None:
        """In a thread that takes the time which the training leaves."""
        if captured.beside:  # for which the training may come to wait
            try:
                captured.await_copies()
            except FairwayError as error:
                self._error = error
                job.undo()
                return
        with suppress(OSError, AttributeError):  # a system whose threads have no priority of their own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        self._write(job, captured)

    def _write(self, job: Job, captured: Captured) -> None:
        try:
            job.write(captured, self.arena)
            self._look_for_others(clear(self.root, job.manifest.policy, job.manifest), job.manifest)
        except OSError as error:
            self._error = explain(error, job.manifest.step, self.root)
        except FairwayError as error:
            self._error = error
        except BaseException as error:  # noqa: BLE001 - raised where the next save begins
            self._error = StoreUnavailable(f"the checkpoint of step {job.manifest.step} cannot be written: {type(error).__name__}: {error}")

    def _look_for_others(self, found: list[Saved], mine: Manifest) -> None:
        """Say once that ranks have called `save` a different number of times: from then on nothing they save becomes whole."""
        other = find_other(found, mine, self._began_at) if mine.sharded and not self._is_apart else None
        if other is None:
            return
        self._is_apart = True
        ranks = [part.rank for part in other.manifests]
        others = f"{spell_ranks(ranks)} {'has' if len(ranks) == 1 else 'have'} saved step {other.step}"
        text = (
            f"fairway: save number {mine.count} of this try is of step {mine.step} on rank {self.rank}, while {others}: "
            "what ranks save in parts becomes a checkpoint only where all of them call save alike\n"
        )
        os.write(2, text.encode())

    def await_copied(self) -> None:
        """Until what is saved beside the training may be changed."""
        captured, self._captured = self._captured, None
        if captured is not None and not captured.copied.is_set():
            with pulse.waiting("checkpoint"):
                captured.copied.wait()

    def settle(self) -> None:
        """Wait for the save under way. Raises what went wrong with it."""
        (thread, job), self._thread = self._thread or (None, None), None
        if thread is not None and job is not None:
            with pulse.waiting("checkpoint"):
                written = -1
                while thread.is_alive():
                    thread.join(_BEAT_EVERY_S)
                    if job.written != written:  # a large one takes its time; a disk that hangs is a stall
                        written = job.written
                        pulse.beat()
        self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def forget_thread(self) -> None:
        """In a process forked from the one that saves: that one goes on with it."""
        self._thread = self._error = self._captured = None
        self.arena = Arena()

    def all(self, *, damaged: bool = False) -> list[Saved]:
        """Complete ones that every rank sees alike, the newest first: those of earlier tries, and of this one those this process took part
        in. `damaged`: those of damaged manifests, too."""
        found = [one for one in find_saved(self.root) if one.n < self.n or one.count <= self._count]
        return [one for one in reversed(found) if one.complete or (damaged and one.damaged)]

    def load(self, parts: str) -> tuple[bool, Any]:
        """(whether there is one, the newest good one)."""
        self.settle()
        failed = False
        for one in self.all(damaged=True):
            try:
                if one.damaged:
                    raise Damaged(f"{one.damaged[0]} is torn or altered")
                value = self.read(one, parts)
            except Damaged as why:
                failed = True
                warnings.warn(f"the checkpoint of step {one.step} is damaged and is not used: {why}", stacklevel=4)
                continue
            if failed:
                warnings.warn(f"going on from the checkpoint of step {one.step}, the newest that is whole", stacklevel=4)
            self.step = one.step
            return True, value
        if failed:
            warnings.warn("no whole checkpoint is left: starting anew", stacklevel=4)
        self.step = -1
        return False, None

    def read(self, one: Saved, parts: str) -> Any:
        """Raises Damaged; DefinitionError where parts of another world are asked for as one's own."""
        path, trust, first = f"{self.root}/{one.name}", context.is_trusted(), one.manifests[0]
        if parts == "all":
            bring_all(self.root, one)
            return [read_part(path, part, self.scratch, trust=trust) for part in one.manifests]
        if first.sharded and first.world_size != self.world_size:
            raise DefinitionError(
                f"the checkpoint of step {one.step} is in {first.world_size} parts, one a rank, and there are {self.world_size} ranks now",
                hint='load(parts="all") gives the parts of all ranks as a list: put them together, and take what is this rank\'s',
            )
        if not first.sharded:
            return read_part(path, first, self.scratch, trust=trust)
        mine = one.manifests[self.rank]
        try:
            value = read_part(path, mine, self.scratch, trust=trust)
        except Damaged as why:
            check_part(path, mine, self.n, str(why))
            raise
        check_part(path, mine, self.n, GOOD)
        check_others(self.root, one, self.rank, self.n)
        return value


class Checkpoints:
    """What outlives a failed attempt: the next try of the same task in the same run finds what this one has saved.

        state = fw.checkpoint.load(default={"epoch": 0, "weights": None})
        for epoch in range(state["epoch"], 100):
            ...
            fw.checkpoint.save(epoch, {"epoch": epoch + 1, "weights": weights}, metrics={"auc": auc})

    In a gang every rank calls `save` and `load` alike: rank 0 writes, or with `sharded=True` each rank its part.
    """

    def __init__(self) -> None:
        self._policy, self._durability = Policy(), ""
        self._task: Task | None = None
        self._outside: Path | None = None
        self._holds = False

    @property
    def dir(self) -> Path:
        """The task's checkpoint folder, for files of any kind beside what `save` keeps there. Outside a run, a temporary folder of this
        process."""
        now = context.context()
        if now.run:
            folder = Path(now.folder)
        else:
            import tempfile

            from fairway.step.leftovers import goes_with_process

            if self._outside is None:
                self._outside = Path(tempfile.mkdtemp(prefix="fairway-checkpoint-"))
                goes_with_process(str(self._outside))
            folder = self._outside
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def step(self) -> int:
        """The step of what `load` has given last; -1 if it gave the default."""
        return self._task.step if self._task is not None else -1

    def keep(self, *, last: int = LAST, best: tuple[str, str] | None = None, best_count: int = 1, durability: str = "") -> None:
        """Which checkpoints stay: the `last` ones and the `best_count` best by a metric, best=("auc", "max") or ("loss", "min"). Holds for
        later saves.

        `durability`: "power" writes each through to the disk, so that it survives a power cut; "process" survives the end of any process;
        "" is what the project's setting says.
        """
        name, mode = _read_best(best)
        for what, count in (("last", last), ("best_count", best_count)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise DefinitionError(f"{what} must be a whole number from 1: {count!r}", hint="the newest checkpoint always stays")
        if durability not in ("", "process", "power"):
            raise DefinitionError(f"unknown durability {durability!r}", hint='write "process" or "power"')
        self._policy, self._durability = Policy(last, name, mode, best_count), durability

    def save(self, step: int, state: Any, *, metrics: Mapping[str, Any] | None = None, sharded: bool = False, beside: bool = False) -> None:
        """Keep `state` as of this moment; it may be changed as soon as this returns, while a thread writes the copy.

        One save is written at a time: another waits for the one before it, so that none is left out. What is small is written at once.
        `state`: dicts, lists, tuples, numbers, text, bytes; tensors of PyTorch, NumPy, JAX, TensorFlow; what a step may return. `metrics`:
        by which `keep` finds the best. `sharded`: each rank gives its own part, and all parts are one checkpoint. `beside`: return at once;
        tensors are copied while the training goes on, and must not change before `copied` has returned, for which PyTorch's optimizers wait
        by themselves. A PyTorch tensor that has changed nevertheless fails the save.
        Raises DefinitionError, naming the place, for what cannot be kept; StoreUnavailable if this save or the one before it failed.
        """
        if isinstance(step, bool) or not hasattr(step, "__index__") or step < 0:
            raise DefinitionError(f"the step must be a whole number from 0, not {step!r}", hint="write fw.checkpoint.save(step, state)")
        pulse.beat()
        with pulse.waiting("checkpoint"):
            synced = (self._durability or context.context().durability) == "power"
            made = Manifest(int(step.__index__()), 0, 0, sharded=sharded, metrics=_numbers(metrics or {}), policy=self._policy)
            self._get().save(state, made, synced=synced, beside=beside)
        if beside:
            self._hold_optimizers()

    def copied(self, *_: Any) -> None:
        """Until the tensors of a save with `beside=True` are copied, and may be changed."""
        if self._task is not None:
            self._task.await_copied()

    def _hold_optimizers(self) -> None:
        """PyTorch's wait for the copy before they change anything."""
        optimizers: Any = sys.modules.get("torch.optim.optimizer")
        if not self._holds and hasattr(optimizers, "register_optimizer_step_pre_hook"):
            optimizers.register_optimizer_step_pre_hook(self.copied)
            self._holds = True

    def load(self, default: Any = None, *, parts: str = "own") -> Any:
        """What the newest good checkpoint of this task holds, `default` if there is none; `step` says of which step it is.

        Every byte is checked first. A damaged checkpoint is never used: a warning says so, and the one before it is loaded. Tensors are of
        the library that they were of, on the CPU. `parts="all"`: a list of what every rank has saved, whatever the world size is now.
        Raises DefinitionError where parts were saved by another number of ranks.
        """
        if parts not in ("own", "all"):
            raise DefinitionError(f"unknown parts {parts!r}", hint='write parts="own" (the default) or "all"')
        there, value = self._get().load(parts)
        return value if there else default

    def latest(self) -> Kept | None:
        """The newest complete checkpoint, None if there is none."""
        task = self._get()
        task.settle()
        return next((self._kept(one, task) for one in task.all()), None)

    def best(self, metric: str = "", mode: str = "") -> Kept | None:
        """The best checkpoint that is there, by the metric that `keep` was given, or by this one, "max" or "min"; None if there is none."""
        task = self._get()
        task.settle()
        found = task.all()
        policy = self._policy if self._policy.best or not found else found[0].policy
        if (metric and metric != policy.best) or mode:
            name, mode = _read_best((metric or policy.best, mode), 'fw.checkpoint.best({metric}, "{mode}")')
        else:
            name, mode = policy.best, policy.mode
        ranked = best_of(found, Policy(1, name, mode))
        return self._kept(ranked[0], task) if ranked else None

    def all(self) -> list[Kept]:
        """All complete ones, the newest first."""
        task = self._get()
        task.settle()
        return [self._kept(one, task) for one in task.all()]

    def wait(self) -> None:
        """Until what was saved is on disk. Raises what went wrong with it. The end of a step waits by itself."""
        if self._task is not None:
            self._task.settle()

    def leave(self, *, quietly: bool = False) -> None:
        """The step has ended: wait, and forget it. `quietly`: it has failed, and that is what people should hear of."""
        task, self._task = self._task, None
        if task is None:
            return
        try:
            task.settle()
        except FairwayError as error:
            if not quietly:
                raise
            warnings.warn(error.message, stacklevel=2)

    def _kept(self, one: Saved, task: Task) -> Kept:
        return Kept(one, Path(task.root, one.name), task)

    def _get(self) -> Task:
        """The task that this process runs now."""
        now = context.context()
        task = self._task
        if task is None or (task.run, task.task, task.n, task.rank) != (now.run, now.task, now.n, now.rank):
            if task is not None:
                task.settle()
            task = self._task = Task(now, os.fspath(self.dir))
        return task

    def _forked(self) -> None:
        if self._task is not None:
            self._task.forget_thread()


def _read_best(best: Any, written: str = 'best=({metric}, "{mode}")') -> tuple[str, str]:
    """(metric, "max" or "min"), ("", "max") for none. Nothing is guessed from a metric's name; a default would keep the worst of half of
    them. `written`: how it is said where it was asked for."""
    if not best:
        return "", "max"
    name, mode = best if isinstance(best, tuple | list) and len(best) == 2 else (best, "")
    if not isinstance(name, str):
        raise DefinitionError(f"best is a metric, and whether more of it is better: {best!r}", hint='write best=("auc", "max")')
    ways = " or ".join(written.format(metric=json.dumps(name), mode=mode) for mode in ("max", "min"))
    if mode == "":
        raise DefinitionError(f"whether more or less of {name!r} is better has to be said", hint=f"write {ways}")
    if mode not in ("max", "min"):
        raise DefinitionError(f'best is by "max" or "min", not {mode!r}', hint=f"write {ways}")
    return name, mode


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    given = plain_metrics({str(name): value for name, value in metrics.items()}, "metrics of a checkpoint")
    try:
        found = {name: float(value) for name, value in given.items()}
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"metrics of a checkpoint are numbers: {error}", hint='write metrics={"auc": 0.93}') from None
    return {name: value for name, value in found.items() if math.isfinite(value)}


checkpoint = Checkpoints()
os.register_at_fork(after_in_child=checkpoint._forked)  # pyright: ignore[reportPrivateUsage]
