"""`fw.traffic("risk")`: captured traffic of an endpoint, from this project's home or from a target's server."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError, NotFoundError, UnsupportedError
from fairway.serve.feedback import raw
from fairway.serve.feedback.compact import Part, TrafficManifest, compact, read_manifest
from fairway.spec.artifact import ArtifactRef
from fairway.spec.endpoint import Capture
from fairway.spec.layout import CACHE
from fairway.step.context import context
from fairway.step.traffic import ABOUT, Traffic

if TYPE_CHECKING:
    from fairway.engine.workspace import Workspace
    from fairway.spec.ports import ArtifactStore

When = datetime | date | timedelta | float | str
SPOOL = "serve/spool"
"""Where, in a home, gateways of this machine leave what they captured."""
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)")
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def traffic(endpoint: str, *, since: When | None = None, until: When | None = None, revision: int = 0, on: str = "") -> Traffic:
    """The requests that the endpoint `endpoint` has answered and kept, with the labels that came for them, as a folder of Parquet files.

    `since` and `until`: a datetime or date, ISO text, seconds since 1970, or how long ago ("7d", "12h", a timedelta). `revision`: only its
    answers. `on`: another target than the project's. Labels count whenever they came.

    The result may be the input of a step or a parameter of a run; what is in it then never changes. Raises NotFoundError if none is kept.
    """
    if context().task:
        raise UnsupportedError(
            "fw.traffic is asked outside of steps: what a step reads must be among its inputs",
            hint="write `data: fw.Traffic` in the step, and pass fw.traffic(…) to it in the pipeline or with fw.run",
        )
    workspace = _open(on)
    try:
        if workspace.remote is None:
            _bring_in(workspace.project.home, workspace.artifacts, endpoint)
        manifest = read_manifest(workspace.artifacts, endpoint)
        if not manifest.parts:
            raise NotFoundError(f"no traffic of {endpoint!r} is kept {_where(workspace)}", hint=_hint(workspace, endpoint))
        about: dict[str, Any] = {"endpoint": endpoint, "since": to_seconds(since), "until": to_seconds(until), "revision": revision}
        return _lay_out(workspace.artifacts, manifest, about, Path(workspace.project.home, CACHE, "traffic"))
    finally:
        workspace.close()


def to_seconds(when: When | None) -> float:
    """Seconds since 1970; 0 for None. A time without a zone is this machine's; "7d" ago begins with a whole hour and "30m" ago with a whole
    minute, so that asking twice gives the same. Raises ConfigError."""
    if when is None:
        return 0.0
    if isinstance(when, timedelta):
        return time.time() - when.total_seconds()
    if isinstance(when, datetime):
        return when.timestamp()
    if isinstance(when, date):
        return datetime(when.year, when.month, when.day).astimezone().timestamp()
    if isinstance(when, int | float):
        return float(when)
    ago = _AGO.fullmatch(when.strip())
    if ago is not None:
        span, whole = float(ago[1]) * _UNITS[ago[2]], 3600.0 if _UNITS[ago[2]] >= 3600 else 60.0
        return (time.time() - span) // whole * whole
    try:
        return datetime.fromisoformat(when.strip()).timestamp()
    except ValueError as error:
        raise ConfigError(
            f"{when!r} is no time", hint='write it as "2026-01-31", "2026-01-31T12:30", or how long ago: "7d", "12h"'
        ) from error


@contextmanager
def open_parts(store: ArtifactStore, manifest: TrafficManifest, scratch: Path, *, since: float = 0.0) -> Generator[Traffic]:
    """The data set for as long as the context lasts, in a folder below `scratch`."""
    with tempfile.TemporaryDirectory(prefix=".traffic-", dir=scratch) as folder:
        about: dict[str, Any] = {"endpoint": manifest.endpoint, "since": since, "until": 0.0, "revision": 0}
        yield _lay_out(store, manifest, about, Path(folder))


def choose_parts(parts: Sequence[Part], since: float, until: float) -> list[Part]:
    """Files that may have something of that time; labels may have come long after."""
    return [part for part in parts if part.last >= since and (part.kind == "feedback" or not until or part.first < until)]


def _lay_out(store: ArtifactStore, manifest: TrafficManifest, about: dict[str, Any], folder: Path) -> Traffic:
    """A folder of links to the store's own files, named by what is in it: the same data gives the same folder."""
    from fairway.step.paths import local_path

    parts = choose_parts(manifest.parts, about["since"], about["until"])
    if about["since"] <= min((part.first for part in manifest.parts if part.kind == "traffic"), default=0.0):
        about = {**about, "since": 0.0}  # all there is
    text = json.dumps(about, separators=(",", ":"), sort_keys=True)
    digest = sha256("\n".join([text, *(part.digest for part in parts)]).encode()).hexdigest()
    target = folder / f"{manifest.endpoint}-{digest[:16]}"
    made = folder / f".{target.name}-{os.getpid()}-{time.monotonic_ns()}"
    made.mkdir(parents=True)
    _fetch(store, parts)
    for part in parts:
        path = made / part.path
        path.parent.mkdir(exist_ok=True)
        if part.is_raw:
            _convert(store, part, path.with_name(path.name.removesuffix(raw.SUFFIX) + ".parquet"))
            continue
        path.symlink_to(Path(local_path(ArtifactRef(part.digest, part.size_bytes, "file"), store, str(folder))).resolve())
    (made / ABOUT).write_text(text, encoding="utf-8")
    with suppress(FileNotFoundError):  # perhaps it has links to files that are gone by now
        target.rename(made.with_name(f"{made.name}-old"))
    with suppress(OSError):  # another process has made the same meanwhile
        made.rename(target)
    _clear(folder)
    return Traffic(target)


def _convert(store: ArtifactStore, part: Part, path: Path) -> None:
    """A part that was kept where there is no pyarrow."""
    from fairway.spec.artifact import blob_key

    if not raw.has_arrow():
        raise UnsupportedError("captured traffic is read with pyarrow, which is not installed", hint="pip install pyarrow")
    with store.open(blob_key(part.digest)) as file:
        raw.write_table(path, raw.to_table(part.kind, raw.read_rows(file)))


def _clear(folder: Path) -> None:
    """What was half made or laid aside, and folders that nobody has asked for in a week: they hold links alone."""
    import shutil

    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            age = time.time() - path.stat().st_mtime
            if path.name != ".blobs" and (path.name.endswith("-old") or age > (3600 if path.name.startswith(".") else 7 * 86_400)):
                shutil.rmtree(path, ignore_errors=True)


def _fetch(store: ArtifactStore, parts: Sequence[Part]) -> None:
    """All at once, from a store that is far away."""
    from fairway.spec.artifact import blob_key

    fetch = getattr(store, "fetch", None)
    if fetch is not None:
        fetch(blob_key(part.digest) for part in parts)


def _bring_in(home: str, store: ArtifactStore, endpoint: str) -> None:
    """What gateways of this machine have written since the last time. The limits are the keeper's business."""
    spool = Path(home, SPOOL)
    if (spool / endpoint).is_dir():
        compact(spool, store, endpoint, Capture(max_bytes=0, max_age_s=0.0))


def _open(on: str) -> Workspace:
    from fairway.engine.project import load_project
    from fairway.engine.workspace import Workspace

    return Workspace(load_project(str(Path.cwd()), overrides={"target": on} if on else None))


def _where(workspace: Workspace) -> str:
    return f"at {workspace.project.target}" if workspace.remote is not None else f"in {workspace.project.home}"


def _hint(workspace: Workspace, endpoint: str) -> str:
    if workspace.remote is not None:
        return "it may not be captured, or be of a project that your token is not for; `fairway endpoints --on TARGET` says more"
    known = sorted(stat.key.partition("/")[2] for stat in workspace.artifacts.list("traffic/"))
    if known:
        return f"kept is traffic of {', '.join(known[:10])}"
    return f"have some of it kept: fairway deploy SOURCE --name {endpoint} --capture 0.1"
