"""Environments are built once, whole, by whoever comes first. An environment without packages needs no package index."""

import fcntl
import hashlib
import io
import multiprocessing
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fairway import envs
from fairway.envs import build
from fairway.spec import layout
from fairway.spec.environment import Environment

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def locked(tmp_path: Path, home: Path) -> Environment:
    return envs.lock(Environment(python=HERE), tmp_path, home)


def test_it_runs_the_runtime_and_nothing_of_ours_beside_it(locked: Environment, home: Path) -> None:
    python = envs.ensure(locked, home)
    code = "import sys, fairway.step, fairway.spec.attempt as a; print(sys.prefix, a.__file__, 'click' in sys.modules)\nimport click"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    prefix, file, _ = done.stdout.split()
    assert Path(prefix) == home / layout.ENVIRONMENTS / locked.lock
    assert Path(file).is_relative_to(home / layout.ENVIRONMENTS / "runtime")
    assert "No module named 'click'" in done.stderr


def _ensure(locked: Environment, home: Path, start: "multiprocessing.synchronize.Barrier", log: Path) -> None:
    real = build._build

    def build_and_note(*args: object) -> None:
        with log.open("a") as file:
            file.write("built\n")
        real(*args)  # type: ignore[arg-type]

    build._build = build_and_note  # type: ignore[assignment]
    start.wait(60)
    assert envs.ensure(locked, home).exists()


def test_many_ask_and_one_builds(locked: Environment, home: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, log = context.Barrier(5), tmp_path / "log"
    others = [context.Process(target=_ensure, args=(locked, home, start, log)) for _ in range(5)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0] * 5
    assert log.read_text() == "built\n"


def test_a_build_that_was_killed_is_begun_again(locked: Environment, home: Path) -> None:
    left = home / layout.ENVIRONMENTS / f".building-{locked.lock}"
    (left / "bin").mkdir(parents=True)
    (left / "bin" / "python").write_text("half")
    python = envs.ensure(locked, home)
    assert subprocess.run([python, "-c", "pass"], check=False).returncode == 0
    assert not left.exists()


def test_an_interpreter_that_went_away_is_replaced(locked: Environment, home: Path) -> None:
    python = envs.ensure(locked, home)
    python.unlink()
    python.symlink_to(home / "gone")
    assert envs.ensure(locked, home) == python
    assert subprocess.run([python, "-c", "pass"], check=False).returncode == 0


def test_another_version_of_ours_takes_over_the_environment(locked: Environment, home: Path) -> None:
    python = envs.ensure(locked, home)
    (path_file,) = python.parents[1].glob("lib/python*/site-packages/fairway-runtime.pth")
    current = path_file.read_text()
    path_file.write_text("/an/older/version\n")
    envs.ensure(locked, home)
    assert path_file.read_text() == current


BACKEND = """
import os

def build_wheel(*_, **__):
    os.write(os.open("{bell}", os.O_WRONLY), b"building")
    os.read(os.open("{gate}", os.O_RDONLY), 1)
    raise SystemExit("let go")

def build_sdist(*_, **__):
    raise SystemExit("not this way")
"""


def _slow_package(folder: Path) -> Path:
    """A source package whose build rings `bell` and then waits at `gate`."""
    backend = BACKEND.format(bell=folder / "bell", gate=folder / "gate")
    project = '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n[project]\nname = "slow"\nversion = "1"\n'
    metadata = "Metadata-Version: 2.2\nName: slow\nVersion: 1\n"
    with tarfile.open(folder / "slow-1.tar.gz", "w:gz") as archive:
        for name, text in (("pyproject.toml", project), ("b.py", backend), ("PKG-INFO", metadata)):
            info = tarfile.TarInfo(f"slow-1/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return folder / "slow-1.tar.gz"


def test_while_uv_outlives_a_killed_build_nobody_begins_another(home: Path, tmp_path: Path) -> None:
    for name in ("bell", "gate"):
        os.mkfifo(tmp_path / name)
    text = f"slow @ {_slow_package(tmp_path).as_uri()}\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    locks = home / layout.ENVIRONMENTS / "locks"
    locks.mkdir(parents=True)
    (locks / digest).write_text(text)
    builder = multiprocessing.get_context("fork").Process(target=envs.ensure, args=(Environment(lock=digest), home))
    builder.start()
    with (tmp_path / "bell").open("rb") as bell:
        assert bell.read(8) == b"building"
    builder.kill()
    builder.join()
    with (locks / f"{digest}.held").open("w") as held:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "gate").write_bytes(b"!")
        fcntl.flock(held, fcntl.LOCK_EX)
