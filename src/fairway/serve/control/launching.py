"""How a replica of this machine is started: which Python, which folder, which words; by a new process or by a fork of a warm one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fairway.errors import InfraError
from fairway.serve.control.processes import start_detached
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.endpoint import ServeSpec
from fairway.spec.environment import Environment
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import Record, from_plain, record, to_plain

_CODE = "import sys; sys.path.append(sys.argv.pop(1)); from fairway.serve.replica.__main__ import main; sys.exit(main())"
_HIDDEN = ("FAIRWAY_TOKEN",)
"""Variables of the server that are nothing for a model's code."""


@record
class Start(Record):
    """A replica to be started: its Python, the words after the program, its variables, the file that gets what it writes, the socket that
    it will listen on, and the folder of its package."""

    python: str
    words: tuple[str, ...]
    variables: dict[str, str]
    log: str
    uds: str
    folder: str


Launch = Callable[[Start], Awaitable[int]]
"""Starts it and returns its process id. Raises OSError, FairwayError."""


async def launch_process(start: Start) -> int:
    """A new process in a session of its own."""
    return start_detached([start.python, "-P", "-c", _CODE, package_root(), *start.words], Path(start.log), start.variables)


def package_root() -> str:
    """The folder that holds the package `fairway`, for the end of another Python's path."""
    import fairway

    return str(Path(fairway.__file__).resolve().parents[1])


class Launching:
    """Prepares starts: unpacks packages under `home`/serve/packages, finds Pythons of locked environments."""

    def __init__(self, home: str, artifacts: ArtifactStore, variables: Mapping[str, str] | None = None) -> None:
        self._home, self._artifacts = Path(home), artifacts
        self._variables = {name: value for name, value in (variables or os.environ).items() if name not in _HIDDEN}

    async def prepare(self, spec: ServeSpec, name: str, version: int, *, uds: str, log: str) -> Start:
        """What starts a replica. Raises FairwayError: NotFoundError where the package has gone, ConfigError where no Python can be had."""
        return await asyncio.to_thread(self._prepare, spec, name, version, uds, log)

    def _prepare(self, spec: ServeSpec, name: str, version: int, uds: str, log: str) -> Start:
        folder = unpack_package(spec, self._artifacts, self._home)
        options = {key: value for key, value in spec.options.items() if key not in ("env", "workers")}
        words = [folder, "--name", name, "--version", str(version), "--uds", uds, "--limits", json.dumps(to_plain(spec.limits))]
        words += ["--workers", str(spec.options.get("workers", 1)), "--options", json.dumps(options)]
        words += ["--drain", f"{spec.limits.deadline_s:g}", "--times"]
        if spec.schema:
            words += ["--schema", self._find_blob(spec.schema)]
        given: dict[str, Any] = spec.options.get("env") or {}
        variables = {**self._variables, **{key: str(value) for key, value in given.items()}}
        cores = spec.resources.get("cpu")
        if cores:
            for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                variables.setdefault(key, str(max(1, int(cores))))
        return Start(self._python(spec), tuple(words), variables, log, uds, folder)

    def _python(self, spec: ServeSpec) -> str:
        if not spec.lock:
            return sys.executable
        from fairway.envs.build import ensure

        return str(ensure(Environment(lock=spec.lock), self._home))

    def _find_blob(self, digest: str) -> str:
        found = self._artifacts.local_path(blob_key(digest))
        if found is not None:
            return str(found)
        path = self._home / "serve" / "packages" / f"{digest}.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{digest}.{os.getpid()}")
            part.write_bytes(self._artifacts.get(blob_key(digest)))
            part.replace(path)
        return str(path)


def unpack_package(spec: ServeSpec, artifacts: ArtifactStore, home: Path) -> str:
    """The folder of the model package: its files are links into the store. Raises NotFoundError, StoreUnavailable."""
    from fairway.step.paths import open_folder

    scratch = home / "serve" / "packages"
    ref = from_plain(ArtifactRef, spec.package)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        return str(open_folder(ref, artifacts, str(scratch)))
    except OSError as error:
        raise InfraError(f"cannot unpack the model package: {error}", hint=f"is there room in {scratch}?") from error
