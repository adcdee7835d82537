"""What a user names to be served, found: a path, a run's output, the newest output of a name, an artifact's digest, a zip.

`resolve_source` leads to something that `open_package` takes, on this machine; `pack_source` to what a revision runs: the package in the
artifact store, with where it came from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError, DefinitionError, NotFoundError
from fairway.serve.control import staging
from fairway.serve.package import open_package
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.endpoint import ServeSpec
from fairway.spec.event import address
from fairway.spec.layout import SCRATCH
from fairway.spec.record import Record, field, record, to_plain
from fairway.step import paths

if TYPE_CHECKING:
    from fairway.engine.workspace import Workspace

_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_RUNS_LOOKED_AT = 500


@record
class Source(Record):
    """`folder`: what `open_package` takes (a folder, a file, "file.py:Class"). `ref`: the artifact it came from, None for a path of the
    user's. `lineage`: {"run", "pipeline", "task", "output", "artifact", "metrics"} as far as known; `lock`: digest of the lock of the
    environment that made it."""

    folder: str
    name: str
    ref: ArtifactRef | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    lock: str = ""


def resolve_source(source: str, where: str | Workspace) -> Source:
    """What `source` names; `where` is the project's workspace, or a folder in it. A path that exists goes before a run's output of the same
    name. Raises NotFoundError, DefinitionError, ConfigError."""
    base = where if isinstance(where, str) else where.project.root
    path = _find_path(source, base)
    if path is not None:
        if zipfile.is_zipfile(path) and path.suffix == ".zip":
            return Source(_unzipped(path), path.stem)
        cls = source.rpartition(":")[2] if ".py:" in source else ""
        return Source(f"{path}:{cls}" if cls else str(path), path.stem if path.is_file() else path.absolute().name)
    workspace = where if not isinstance(where, str) else _open_workspace(where)
    found = _find_output(workspace, source)
    scratch = Path(workspace.project.home, SCRATCH, "served")
    scratch.mkdir(parents=True, exist_ok=True)
    assert found.ref is not None
    found.folder = staging.open_artifact(found.ref, workspace.artifacts, str(scratch), found.name)
    return found


def pack_source(source: str, workspace: Workspace, *, schema: str | None = None, options: dict[str, Any] | None = None) -> ServeSpec:
    """What a revision of `source` runs; its package is in the workspace's artifact store. The option `model`, which becomes a part of the
    package, is taken out of `options`. Raises as `resolve_source` and `open_package` do, and ConfigError for what must not travel."""
    options = options if options is not None else {}
    found = resolve_source(source, workspace)
    package = open_package(found.folder, schema=schema, options=options)
    ref = found.ref if found.ref is not None and (found.ref.format == "model" or found.ref.meta.get("folder")) else None
    packed = ref is None  # with the schema in it: it makes no other revision than the same schema beside the model
    if ref is None:
        with tempfile.TemporaryDirectory(prefix="fairway-") as folder:
            staged = Path(folder, package.name)
            staging.stage(package, staged, workspace.project.root)
            ref = paths.import_path(str(staged), workspace.artifacts, "fairway.Directory", scratch=folder, name=package.name)
    options.pop("model", None)
    digest = ""
    if schema and not packed and package.schema != open_package(found.folder, options=options).schema:
        text = Path(schema).read_bytes()
        digest = hashlib.sha256(text).hexdigest()
        workspace.artifacts.put(blob_key(digest), text)
    lineage = {**found.lineage, "package": ref.digest}
    return ServeSpec(
        source,
        to_plain(ref),
        lock=found.lock or package.lock,
        options=dict(options),
        schema=digest,
        framework=package.kind,
        lineage=lineage,
    )


def _find_path(source: str, base: str) -> Path | None:
    """The file or folder that `source` names, looked for here and then from the project's root."""
    plain = source.rpartition(":")[0] if ".py:" in source else source
    for path in (Path(plain).expanduser(), Path(base, plain)):
        if path.exists():
            return path.absolute()
    looks_like_path = plain.startswith((".", "/", "~")) or Path(plain).suffix.lower() in staging.SUFFIXES
    if looks_like_path:
        raise NotFoundError(f"there is no file {plain}", hint=f"looked in {Path.cwd()}")
    return None


def _unzipped(path: Path) -> str:
    """The zip's content in a folder of its own, kept by digest. Raises DefinitionError for one that would write outside it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    target = Path(tempfile.gettempdir(), f"fairway-{os.getuid()}", "unzipped", digest)
    if not target.is_dir():
        part = target.with_name(f"{digest}.{os.getpid()}")
        part.mkdir(parents=True, mode=0o700)
        with zipfile.ZipFile(path) as archive:
            for entry in archive.namelist():
                if entry.startswith("/") or ".." in Path(entry).parts:
                    shutil.rmtree(part)
                    raise DefinitionError(
                        f"{path} names a file outside itself: {entry!r}", hint="do not use it: somebody has tampered with it"
                    )
            archive.extractall(part)
        part.rename(target)
    inner = [one for one in target.iterdir() if not one.name.startswith(("__MACOSX", "."))]
    return str(inner[0] if len(inner) == 1 and inner[0].is_dir() else target)


def _open_workspace(folder: str) -> Workspace:
    from fairway.engine.project import load_project
    from fairway.engine.workspace import Workspace

    return Workspace(load_project(folder))


def _find_output(workspace: Workspace, source: str) -> Source:
    digest = _DIGEST.fullmatch(source)
    if digest:
        return _by_digest(workspace, digest[1])
    run, _, name = source.removeprefix("runs/").rpartition("/")
    if not run:
        return _newest(workspace, name)
    found = _output_of(workspace, workspace.get_run(run), name)
    if found is None:
        state = workspace.state(workspace.get_run(run))
        known = ", ".join(state.outputs) or "none"
        raise NotFoundError(f"run {state.run} has no output {name!r}", hint=f"its outputs: {known}; of a task: RUN/TASK.OUTPUT")
    return found


def _newest(workspace: Workspace, name: str) -> Source:
    """The output of that name of the newest run that succeeded and has one."""
    known: set[str] = set()
    if not workspace.is_new:
        for count, summary in enumerate(workspace.all_summaries()):
            if count >= _RUNS_LOOKED_AT:
                break
            if summary.status != "succeeded":
                continue
            found = _output_of(workspace, summary.run, name)
            if found is not None:
                return found
            known.update(workspace.state(summary.run).outputs if count < 5 else ())
    outputs = f"outputs of the last runs: {', '.join(sorted(known))}" if known else "no run of this project has succeeded yet"
    raise NotFoundError(f"there is no file {name!r}, and no run with an output of that name", hint=outputs)


def _output_of(workspace: Workspace, run: str, name: str) -> Source | None:
    """The run's output `name`, or TASK.OUTPUT of one of its tasks, with the task that made it."""
    state = workspace.state(run)
    ref: ArtifactRef | None = state.outputs.get(name)
    task, _, output = name.rpartition(".")
    for scope, node, index, one in state.tasks():
        outputs: dict[str, ArtifactRef] = one.outputs or {}
        called = address(scope, node, index)
        if ref is None and called in (task, name):
            ref = outputs.get(output if called == task else "result") or (next(iter(outputs.values())) if len(outputs) == 1 else None)
            if ref is None:
                continue
        elif ref is None or all(made.digest != ref.digest for made in outputs.values()):
            continue
        graph = state.scopes[scope].graph
        step = next(entry for entry in graph.nodes if entry.id == node).step
        lineage = {"run": run, "pipeline": state.graph.name, "task": called, "output": name, **_facts(ref)}
        return Source("", output or name, ref, lineage, graph.steps[step].environment.lock)
    return Source("", name, ref, {"run": run, "output": name, **_facts(ref)}) if ref is not None else None


def _by_digest(workspace: Workspace, digest: str) -> Source:
    import json

    text = workspace.artifacts.get(blob_key(digest))
    try:
        files = json.loads(text)["files"]
        size = len(text) + sum(int(one["size_bytes"]) for one in files)
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"the artifact {digest[:12]} is a single file, and its digest alone does not tell which kind", hint="name it as RUN/OUTPUT"
        ) from None
    is_model = any(one["path"] == "fairway-model.json" for one in files)
    ref = ArtifactRef(digest, size, "model" if is_model else "dir", "fairway.Model" if is_model else "fairway.Directory")
    return Source("", digest[:12], ref, _facts(ref))


def _facts(ref: ArtifactRef) -> dict[str, Any]:
    metrics = ref.meta.get("metrics")
    return {"artifact": ref.digest, **({"metrics": metrics} if metrics else {})}
