"""What user code may call while it runs: `fw.log`, `fw.progress`, `fw.context`, `fw.skip`.

Outside an attempt (a notebook, a test that calls the step as a function) they do something sensible instead of failing.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from fairway.errors import DefinitionError
from fairway.spec.layout import task_folder
from fairway.step.pulse import beat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fairway.spec.attempt import AttemptSpec
    from fairway.spec.gang import Place
    from fairway.spec.outcome import TrialNotes
    from fairway.step.metrics import PointWriter


_PLAIN = frozenset({float, int, bool, str, type(None)})
"""Values that `log` keeps as they are: looking at more of each than its type would cost a training loop more than the rest of the call."""


class Skipped(Exception):
    """Raised by `fw.skip`: the task counts as skipped, and so does what needs its outputs."""

    def __init__(self, reason: str = "") -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


class Context:
    """What `fw.context()` tells a step about the task it is. All fields are empty outside a run.

    `run`, `task` ("train[3]"), `attempt`, `n` (the try, from 1), `pipeline`, `params` (the run's parameters), `seed` (depends on run and
    task only), `trial` (its number if it is a trial of a search, else -1), `scratch` (the working folder, removed at the end), `project`,
    and `more`: whatever else the target tells. In a gang `rank` (from 0) and `world_size` say which of its processes this is, `place` what
    else is known of it; elsewhere 0 and 1.
    """

    def __init__(self, spec: AttemptSpec | None = None, scratch: str = "", checkpoints: str = "") -> None:
        known = dict(spec.context) if spec else {}
        self.run = spec.run if spec else ""
        self.attempt = spec.id if spec else ""
        self.n = spec.n if spec else 1
        self.task = ""
        self.seed = 0
        self.pipeline: str = known.pop("pipeline", "")
        self.params: dict[str, Any] = known.pop("params", {})
        self.project: str = known.pop("project", "")
        self.told: dict[str, Any] = known.pop("trial", {})
        self.durability: str = known.pop("durability", "process")  # the project's
        known.pop("grace_s", None)  # for a gang's leader
        self.trial: int = self.told.get("number", -1)
        self.more: dict[str, Any] = known
        self.scratch = scratch
        self.checkpoints = checkpoints
        self.rank, self.world_size = 0, 1
        self.began_at = time.time()  # the attempt; in a gang the leader, for all ranks alike
        self.place: Place | None = None

    @property
    def folder(self) -> str:
        """Where what the task keeps for its next try lies."""
        return f"{self.checkpoints}/{self.run}/{task_folder(self.task)}"

    def __repr__(self) -> str:
        return f"Context(run={self.run!r}, task={self.task!r}, n={self.n}, seed={self.seed})" if self.run else "Context(outside a run)"


class _State:
    """The attempt this process runs, if any. One per process: attempts are processes."""

    def __init__(self) -> None:
        self.context = Context()
        self.points: PointWriter | None = None
        self.trust = False
        self.secrets: Mapping[str, str] = {}
        self.watch: Any = None  # of a trial: `fairway.train.tune.pruners.Watch`


_state = _State()


def enter(current: Context, points: PointWriter, *, trust: bool, secrets: Mapping[str, str] | None = None) -> None:
    """Make this process the one that runs `context`. `secrets` are those it was given, by name."""
    _state.context, _state.points, _state.trust, _state.secrets = current, points, trust, secrets or {}
    _state.watch = None
    if current.told and not current.rank:
        _state.watch = import_module("fairway.train.tune.pruners").Watch(current.told, points.streams)  # a room above, but here


def leave() -> None:
    """This process runs no attempt any more (only an attempt run in the foreground comes back from one)."""
    _state.context, _state.points, _state.secrets, _state.watch = Context(), None, {}, None


def log(metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **values: Any) -> None:
    """Record metric values at one moment: `fw.log(loss=0.31, step=epoch)`. Cheap enough for every batch of a training loop.

    `step` is the x of the curve; without it the points are drawn over time. The last value of each name becomes the task's metric.
    Names that are no Python names are given in a dict: `fw.log({"val/loss": 0.31}, step=epoch)`. A tensor or array of one number is that
    number as it is now; raises DefinitionError for one of several.
    """
    if metrics is not None:
        if not hasattr(metrics, "keys"):
            raise DefinitionError(f"fw.log takes values by name, not {metrics!r}", hint="write fw.log(loss=0.31, step=epoch)")
        values = {**{str(name): metrics[name] for name in metrics}, **values}
    for value in values.values():
        if type(value) not in _PLAIN:
            from fairway.step.metricvalues import plain_metrics

            values = plain_metrics(values)
            break
    points = _state.points
    if points is not None:
        points.log(step, values)
        beat()
        if _state.watch is not None:
            _state.watch.report(step, values)
        return
    shown = "  ".join(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items())
    print(shown if step is None else f"step {step}  {shown}")


def end_trial(status: str) -> TrialNotes | None:
    """The trial that this process runs has ended: how it has gone; None where it runs none, or nothing was reported."""
    if _state.watch is None:
        return None
    _state.watch.end(status)
    return _state.watch.notes()


def progress(done: float, total: float | None = None, **worked: float) -> None:
    """Say how far the step is, for people who watch. Nothing happens outside a run.

    What was worked since the last call is given by any name, and shown a second: `fw.progress(step, steps, tokens=ids.numel())`. Of
    batches that come by `fw.shard` the samples are counted already.
    """
    if _state.points is not None:
        _state.points.progress(done, total, worked)
        beat()


def context() -> Context:
    """What `fw.context()` gives: the task this process runs."""
    return _state.context


def is_trusted() -> bool:
    """May this task keep pickles?"""
    return _state.trust


class Settled:
    """Around a step's function: a checkpoint that is still being written when it ends is waited for, and its failure is the step's."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        kept = sys.modules.get("fairway.train.checkpoints")  # a room above: only there if the step has used it
        if kept is not None:
            kept.checkpoint.leave(quietly=kind is not None)


def find_secret(name: str) -> str | None:
    """The value of a secret that this task was given; outside a run that of the environment's variable."""
    return _state.secrets.get(name) if _state.context.run else os.environ.get(name)


def skip(reason: str = "") -> NoReturn:
    """End this task as skipped: not a failure, and what depends on it is skipped too."""
    raise Skipped(reason)
