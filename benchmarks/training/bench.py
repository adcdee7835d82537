"""One environment with all the frameworks, in which ours and theirs run; a project of a user in it; what a run's journal says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.peers import QUIET
from benchmarks.process import Command, CommandError, check, end_group, run, start
from benchmarks.serving import contenders as servers
from benchmarks.serving.bench import keep_fresh
from benchmarks.session import Session
from fairway.engine.client import Run
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace

FOLDER = "training"
PROGRAMS = Path(__file__).parent / "programs"
INSTALLS = (
    "{fairway}[tune]", "torch==2.13.0", "xgboost>=2.0", "distributed", "dask[array,dataframe]", "mpi4py", "joblib", "scikit-learn",
    "skops", "pandas", "ray[tune]",
)  # fmt: skip
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""torchrun says so by itself when it starts more than one rank; everybody gets the same here."""
_LOOK_S = 0.002


def install(names: Sequence[str], environments: Path) -> int:
    """Make the environment; returns how many could not be made."""
    return servers.install(names, environments, {FOLDER: INSTALLS})


def find_bin(session: Session) -> Path:
    """Where the environment's programs are; it holds this checkout. Raises CommandError if it is not installed."""
    found = session.peers.environments / FOLDER / "bin"
    if not (found / "python").exists():
        raise CommandError(f"not installed: python -m benchmarks peers install {FOLDER}")
    keep_fresh(session, (found / "python").absolute())
    return found.absolute()


def has(session: Session, module: str) -> bool:
    """Can that module be imported in the environment?"""
    words = [str(find_bin(session) / "python"), "-c", f"import {module}"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def project(session: Session, name: str) -> Path:
    """A folder with the programs, as a user's project of two cores; made when first asked for."""
    folder = session.work / f"training-{name}"
    if not folder.exists():
        shutil.copytree(PROGRAMS, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "fairway.toml").write_text("[targets.local]\ncpu = 2\n")
    return folder


def command(session: Session, folder: Path, *words: str, variables: Mapping[str, str] | None = None, timeout_s: float = 120.0) -> Command:
    """A program of the environment (or one of the system: mpirun), in `folder`."""
    program = find_bin(session) / words[0]
    argv = (str(program) if program.exists() else words[0], *words[1:])
    own = {**QUIET, **ONE_THREAD, "PATH": f"{find_bin(session)}:{os.environ.get('PATH', '')}", **(variables or {})}
    return Command(argv, folder, own, timeout_s=timeout_s)


def found_by(words: Command, file: Path) -> dict[str, Any]:
    """Run it; what it has written into `file`, which is JSON. Raises CommandError."""
    file.unlink(missing_ok=True)
    run(replace(words, variables={**words.variables, "FOUND": str(file)}))
    if not file.exists():
        raise CommandError(f"{' '.join(words.argv[1:3])}: it has measured nothing")
    return json.loads(file.read_text())


def last_run(folder: Path) -> Run:
    """The latest run of a project."""
    workspace = Workspace(load_project(str(folder), variables={}))
    return Run(workspace, workspace.get_run("last"))


class Watched:
    """A command that runs while somebody looks at it. Raises CommandError where it does not do what it should."""

    def __init__(self, words: Command) -> None:
        self.words, self.file = words, (words.folder / f"output-{time.monotonic_ns()}").open("w+b")
        self.process = start(words, self.file.fileno())

    def until(self, reached: Callable[[], Any]) -> Any:
        """What `reached` gives once it gives something."""
        end = time.monotonic() + self.words.timeout_s
        while not (found := reached()):
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise CommandError(f"{' '.join(self.words.argv[1:3])}: what was waited for did not come: {self.said()[-200:]}")
            time.sleep(_LOOK_S)
        return found

    def said(self) -> str:
        self.file.seek(0)
        return self.file.read().decode("utf-8", "replace")

    def finish(self) -> None:
        """Until it ends as it should."""
        try:
            status = self.process.wait(self.words.timeout_s)
        except subprocess.TimeoutExpired as error:
            self.close()
            raise CommandError(f"{' '.join(self.words.argv[1:3])}: it did not end") from error
        check(self.words, status, self.said())

    def close(self) -> None:
        end_group(self.process.pid)
        self.process.wait()


def marks(folder: Path, name: str) -> Path:
    """An empty folder for what ranks write down."""
    made = folder / f"marks-{name}"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    return made
