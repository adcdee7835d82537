"""Locked packages, installed where the step runs: for images that do not bring a step's environment along."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from fairway.errors import ConfigError, InfraError, UnsupportedError
from fairway.spec.environment import Environment
from fairway.spec.layout import ENVIRONMENTS

_UNREACHABLE = re.compile(
    r"error sending request|dns error|failed to (fetch|establish)|connection (refused|reset|broken)|network (is unreachable|connectivity)|"
    r"timed out|temporary failure in name resolution|could not connect",
    re.IGNORECASE,
)
IMAGE_LOCK = "FAIRWAY_LOCK"
"""The variable of an image that was built with the packages of a lock: which lock."""
_SHOWN_LINES = 12
_MADE = ".fairway-made"
_WAY_OUT = "or give the target a registry, so that its image is built with them: `fairway image build`"


class Environments:
    """The virtual environments of one home, each made once, by whoever asks first. `say` takes a line for people."""

    def __init__(self, home: str) -> None:
        self._home = home
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def ensure(self, environment: Environment, lock_text: str, say: Callable[[str], None]) -> str:
        """The Python of the locked environment. Raises ConfigError for packages that cannot be installed here, InfraError if their index
        cannot be reached, UnsupportedError if there is no such Python."""
        folder = f"{self._home}/{ENVIRONMENTS}/{environment.lock}"
        with self._lock:
            mine = self._locks.setdefault(environment.lock, threading.Lock())
        with mine:
            if not os.path.exists(f"{folder}/{_MADE}"):
                self._install(environment, folder, lock_text, say)
        return f"{folder}/bin/python"

    def _install(self, environment: Environment, folder: str, lock_text: str, say: Callable[[str], None]) -> None:
        """In its final place, as an environment's scripts name their interpreter by its path."""
        if not lock_text:
            raise ConfigError("the server has not sent the environment's lock", hint="run the pipeline again, so that it is locked anew")
        shutil.rmtree(folder, ignore_errors=True)  # what a killed process of ours has left
        uv = shutil.which("uv")
        count = sum(1 for line in lock_text.splitlines() if line[:1].isalnum())
        say(f"installing {count} locked package{'s' * (count != 1)} with {'uv' if uv else 'pip'}: this image does not bring them along")
        began = time.monotonic()
        try:
            os.makedirs(os.path.dirname(folder), exist_ok=True)
            if uv:
                self._with_uv(uv, environment, lock_text, folder)
            else:
                self._with_pip(environment, lock_text, folder)
            with open(f"{folder}/{_MADE}", "w", encoding="ascii"):
                pass
        except OSError as error:
            raise InfraError(f"cannot make the environment: {error}", hint=f"is there room in {self._home}?") from error
        say(f"installed them in {time.monotonic() - began:.1f} s")

    def _with_uv(self, uv: str, environment: Environment, lock_text: str, folder: str) -> None:
        version = environment.python if environment.python and not _is_mine(environment.python) else sys.executable
        made = _call([uv, "venv", "--quiet", "--no-project", "--relocatable", "--python", version, folder], self._home)
        if made.returncode:
            raise self._no_python(environment, made.stderr) if version == environment.python else _explain(made.stderr)
        inside = f"{folder}/bin/python"
        done = _call([uv, "pip", "install", "--quiet", "--no-deps", "--python", inside, "-r", "-"], self._home, lock_text)
        if done.returncode:
            raise _explain(done.stderr)

    def _with_pip(self, environment: Environment, lock_text: str, folder: str) -> None:
        if environment.python and not _is_mine(environment.python):
            raise self._no_python(environment, "")
        made = _call([sys.executable, "-m", "venv", "--without-pip", folder], self._home)
        if not made.returncode:
            made = _call([sys.executable, "-m", "pip", "--version"], self._home)
        if made.returncode:
            raise UnsupportedError(
                f"this image can install no packages:\n{_last_lines(made.stdout + made.stderr)}",
                hint=f"use an image with uv, or with Python's pip and venv, {_WAY_OUT}",
            )
        requirements = f"{folder}/fairway-lock.txt"
        with open(requirements, "w", encoding="utf-8") as file:
            file.write(lock_text)
        hashes = ["--require-hashes"] if "--hash=" in lock_text else []
        options = ["--quiet", "--no-deps", "--disable-pip-version-check", "--no-input", *hashes]
        pip = [sys.executable, "-m", "pip", "--python", f"{folder}/bin/python"]  # of the image: making one of its own takes seconds
        done = _call([*pip, "install", *options, "-r", requirements], self._home)
        if done.returncode:
            raise _explain(done.stderr)

    def _no_python(self, environment: Environment, said: str) -> UnsupportedError:
        mine = ".".join(map(str, sys.version_info[:3]))
        return UnsupportedError(
            f"the step needs Python {environment.python}, and this image has {mine}" + (f"\n{_last_lines(said)}" if said else ""),
            hint='name an image that has it: fw.env(image="python:3.12-slim"), or the target\'s `image`',
        )


def _call(command: list[str], home: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Caches go where there is room and one may write: the image's own files are read-only."""
    variables = {**os.environ, "NO_COLOR": "1", "UV_NO_PROGRESS": "1", "PIP_NO_COLOR": "1"}
    variables.setdefault("UV_CACHE_DIR", f"{home}/cache/uv")
    variables.setdefault("PIP_CACHE_DIR", f"{home}/cache/pip")
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME"):
        variables.pop(name, None)
    return subprocess.run(command, env=variables, input=text, capture_output=True, text=True, check=False)


def _is_mine(version: str) -> bool:
    mine = ".".join(map(str, sys.version_info[:3]))
    return mine == version or mine.startswith(f"{version}.")


def _explain(said: str) -> ConfigError | InfraError:
    lines = _last_lines(said) or "the installer said nothing"
    if _UNREACHABLE.search(said):
        return InfraError(
            f"cannot install the locked packages: the package index cannot be reached\n{lines}",
            hint=f"may pods of this namespace reach it? Set PIP_INDEX_URL or UV_INDEX_URL, {_WAY_OUT}",
        )
    return ConfigError(f"cannot install the locked packages:\n{lines}", hint=f"use an image that has what they need, {_WAY_OUT}")


def _last_lines(said: str) -> str:
    lines = [line.rstrip() for line in said.strip().splitlines() if line.strip() and not line.startswith("warning:")]
    return "\n".join(lines[-_SHOWN_LINES:])
