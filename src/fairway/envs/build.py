"""From a lock to a virtual environment: built once per machine, whole or not at all, with Fairway's runtime on its path."""

from __future__ import annotations

import shutil
from pathlib import Path

from fairway.envs.files import held, write_whole
from fairway.envs.pythons import get_python
from fairway.envs.resolve import LOCKS, get_lock_text
from fairway.envs.runtime import place_runtime
from fairway.envs.uv import run_uv
from fairway.errors import ConfigError
from fairway.spec import layout
from fairway.spec.environment import Environment

_PATH_FILE = "fairway-runtime.pth"


def ensure(environment: Environment, home: Path) -> Path:
    """The Python of the locked environment, which is built if it is not there. Any number of processes may ask at once; one builds.

    Raises ConfigError if it is not locked, NotFoundError for an unknown lock, and as `lock` does what uv cannot do.
    """
    digest = environment.lock
    if not digest:
        raise ConfigError("the environment is not locked", hint="lock it with `fairway.envs.lock`")
    folder = Path(home).absolute() / layout.ENVIRONMENTS
    target = folder / digest
    python = target / "bin" / "python"
    if not python.exists():  # follows the link: false also when the interpreter it was made from is gone
        with held(folder / LOCKS / f"{digest}.held") as lock:
            if not python.exists():
                _build(environment, folder, target, lock)
    _point_at_runtime(target, folder)
    return python


def _build(environment: Environment, folder: Path, target: Path, lock: int) -> None:
    """`lock` goes to uv too: if we are killed, nobody else begins before uv has ended."""
    get_lock_text(environment.lock, folder.parent)
    base = get_python(environment.python, folder)
    building = folder / f".building-{environment.lock}"
    shutil.rmtree(building, ignore_errors=True)  # what a killed build left; we are alone here
    shutil.rmtree(target, ignore_errors=True)
    try:
        run_uv(
            ["venv", "--quiet", "--no-project", "--relocatable", "--python", base, str(building)],
            cwd=folder,
            keep=(lock,),
            doing="cannot make an environment",
        )
        lock_file = folder / LOCKS / environment.lock
        inside = str(building / "bin" / "python")
        # The lock goes in as standard input: uv guesses a file's format from its name.
        text = lock_file.read_text(encoding="utf-8")
        run_uv(
            ["pip", "install", "--quiet", "--no-deps", "--python", inside, "-r", "-"],
            cwd=folder,
            text=text,
            keep=(lock,),
            doing="cannot install the locked packages",
        )
        building.replace(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _point_at_runtime(target: Path, folder: Path) -> None:
    """Let the environment import this version's runtime; an environment outlives the version that made it."""
    line = f"{place_runtime(folder)}\n"
    for site in (target / "lib").glob("python3.*/site-packages"):
        path_file = site / _PATH_FILE
        if not path_file.exists() or path_file.read_text(encoding="utf-8") != line:
            write_whole(path_file, line)
