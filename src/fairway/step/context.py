"""What user code may call while it runs: `fw.log`, `fw.progress`, `fw.checkpoint`, `fw.context`, `fw.skip`.

Outside an attempt (a notebook, a test that calls the step as a function) they do something sensible instead of failing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NoReturn

from fairway.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fairway.spec.attempt import AttemptSpec
    from fairway.spec.gang import Place
    from fairway.step.metrics import PointWriter


class Skipped(Exception):
    """Raised by `fw.skip`: the task counts as skipped, and so does what needs its outputs."""

    def __init__(self, reason: str = "") -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


class Context:
    """What `fw.context()` tells a step about the task it is. All fields are empty outside a run.

    `run`, `task` ("train[3]"), `attempt`, `n` (the try, from 1), `pipeline`, `params` (the run's parameters), `seed` (depends on run and
    task only), `scratch` (the working folder, removed at the end), `project`, and `more`: whatever else the target tells. In a gang
    `rank` (from 0) and `world_size` say which of its processes this is, `place` what else is known of it; elsewhere 0 and 1.
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
        self.more: dict[str, Any] = known
        self.scratch = scratch
        self.checkpoints = checkpoints
        self.rank, self.world_size = 0, 1
        self.place: Place | None = None

    def __repr__(self) -> str:
        return f"Context(run={self.run!r}, task={self.task!r}, n={self.n}, seed={self.seed})" if self.run else "Context(outside a run)"


class Checkpoint:
    """A place that outlives a failed attempt: the next try of the same task in the same run finds what this one left.

    `.dir` is a folder for files of any kind; `.save(value)` keeps one value there as a whole or not at all, `.load()` brings it back.
    """

    @property
    def dir(self) -> Path:
        """The task's checkpoint folder, made when first asked for. Outside a run, a temporary folder of this process."""
        import hashlib
        from pathlib import Path

        now = _state.context
        if now.run:
            digest = hashlib.sha256(now.task.encode()).hexdigest()[:20]
            folder = Path(now.checkpoints) / now.run / digest
        else:
            import tempfile

            _state.outside = folder = _state.outside or Path(tempfile.mkdtemp(prefix="fairway-checkpoint-"))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def save(self, value: Any) -> None:
        """Keep `value` in place of what was saved before; a kill in between leaves the old one. Types as for a step's outputs."""
        import json

        from fairway.spec.artifact import blob_key
        from fairway.spec.record import to_plain
        from fairway.step import artifacts
        from fairway.step.folder import FolderArtifactStore

        folder = self.dir
        store = FolderArtifactStore(folder / ".saved")
        ref = artifacts.save(value, store, folder, name="checkpoint", trust=_state.trust)
        partial = folder / f".saved-{os.getpid()}.json"
        partial.write_text(json.dumps(to_plain(ref)), encoding="utf-8")
        partial.replace(folder / ".saved.json")
        kept = {blob_key(digest) for digest in artifacts.digests(ref, store)}
        for key in [blob.key for blob in store.list("sha256/") if blob.key not in kept]:
            store.delete(key)

    def load(self, default: Any = None) -> Any:
        """What the latest `save` of this task kept, `default` if there was none."""
        import json

        from fairway.spec.artifact import ArtifactRef
        from fairway.spec.record import from_plain
        from fairway.step import artifacts
        from fairway.step.folder import FolderArtifactStore

        folder = self.dir
        try:
            text = (folder / ".saved.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return default
        return artifacts.load(from_plain(ArtifactRef, json.loads(text)), FolderArtifactStore(folder / ".saved"), folder, trust=_state.trust)


class _State:
    """The attempt this process runs, if any. One per process: attempts are processes."""

    def __init__(self) -> None:
        self.context = Context()
        self.points: PointWriter | None = None
        self.trust = False
        self.secrets: Mapping[str, str] = {}
        self.outside: Path | None = None


_state = _State()
checkpoint = Checkpoint()


def enter(current: Context, points: PointWriter, *, trust: bool, secrets: Mapping[str, str] | None = None) -> None:
    """Make this process the one that runs `context`. `secrets` are those it was given, by name."""
    _state.context, _state.points, _state.trust, _state.secrets = current, points, trust, secrets or {}


def leave() -> None:
    """This process runs no attempt any more (only an attempt run in the foreground comes back from one)."""
    _state.context, _state.points, _state.secrets = Context(), None, {}


def log(metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **values: Any) -> None:
    """Record metric values at one moment: `fw.log(loss=0.31, step=epoch)`. Cheap enough for every batch of a training loop.

    `step` is the x of the curve; without it the points are drawn over time. The last value of each name becomes the task's metric.
    Names that are no Python names are given in a dict: `fw.log({"val/loss": 0.31}, step=epoch)`.
    """
    if metrics is not None:
        if not hasattr(metrics, "keys"):
            raise DefinitionError(f"fw.log takes values by name, not {metrics!r}", hint="write fw.log(loss=0.31, step=epoch)")
        values = {**{str(name): metrics[name] for name in metrics}, **values}
    points = _state.points
    if points is not None:
        points.log(step, values)
        return
    shown = "  ".join(f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items())
    print(shown if step is None else f"step {step}  {shown}")


def progress(done: float, total: float | None = None) -> None:
    """Say how far the step is, for people who watch. Nothing happens outside a run."""
    if _state.points is not None:
        _state.points.progress(done, total)


def context() -> Context:
    """What `fw.context()` gives: the task this process runs."""
    return _state.context


def find_secret(name: str) -> str | None:
    """The value of a secret that this task was given; outside a run that of the environment's variable."""
    return _state.secrets.get(name) if _state.context.run else os.environ.get(name)


def skip(reason: str = "") -> NoReturn:
    """End this task as skipped: not a failure, and what depends on it is skipped too."""
    raise Skipped(reason)
