"""Python interpreters by version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from fairway.envs.uv import call_uv
from fairway.errors import ConfigError, UnsupportedError

OLDEST = (3, 11)
_INSTALL_TIMEOUT_S = 300.0


def minor_of(version: str) -> str:
    """ "3.12" of "3.12.1"; the running interpreter's for "". Raises ConfigError if it is no version, or too old for Fairway's runtime."""
    if not version:
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    match = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?", version)
    if match is None:
        raise ConfigError(f"not a Python version: {version!r}", hint='write python="3.12"')
    if (int(match[1]), int(match[2])) < OLDEST:
        raise ConfigError(f"Python {version} is too old: steps need {OLDEST[0]}.{OLDEST[1]} or newer", hint='write python="3.12"')
    return f"{match[1]}.{match[2]}"


def get_python(version: str, cwd: Path) -> str:
    """An interpreter of that version ("3.12" or "3.12.1"), installed by uv if it can. Raises UnsupportedError naming what is there."""
    mine = ".".join(map(str, sys.version_info[:3]))
    if not version or mine == version or mine.startswith(f"{version}."):
        return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
    found = _find_in_pyenv(version) or _find_with_uv(version, cwd)
    if found is None and _install(version, cwd):
        found = _find_with_uv(version, cwd)
    if found is None:
        there = ", ".join(list_versions(cwd)) or "none"
        raise UnsupportedError(
            f"Python {version} is not on this machine, and uv could not install it; there is {there}",
            hint=f"install Python {version}, or ask for one that is there",
        )
    return found


def list_versions(cwd: Path) -> list[str]:
    """Versions that are on this machine and new enough, oldest first."""
    done = call_uv(["python", "list", "--only-installed"], cwd=cwd)
    found = {match[1] for match in re.finditer(r"^cpython-(\d+\.\d+\.\d+)-", done.stdout, re.MULTILINE)}
    found |= {path.name for path in _pyenv_versions()}
    found.add(".".join(map(str, sys.version_info[:3])))
    numbered = sorted(tuple(map(int, version.split("."))) for version in found)
    return [".".join(map(str, number)) for number in numbered if number >= OLDEST]


def _find_with_uv(version: str, cwd: Path) -> str | None:
    done = call_uv(["python", "find", "--no-project", "--system", version], cwd=cwd)
    return done.stdout.strip() or None if done.returncode == 0 else None


def _find_in_pyenv(version: str) -> str | None:
    """pyenv's shims run only the versions that it has switched on; the others are there all the same."""
    fitting = [path for path in _pyenv_versions() if path.name == version or path.name.startswith(f"{version}.")]
    newest = max(fitting, key=lambda path: int(path.name.split(".")[2]), default=None)
    return str(newest / "bin" / "python") if newest else None


def _pyenv_versions() -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or "~/.pyenv").expanduser() / "versions"
    return [path.parents[1] for path in root.glob("*/bin/python") if re.fullmatch(r"\d+\.\d+\.\d+", path.parents[1].name)]


def _install(version: str, cwd: Path) -> bool:
    try:
        return call_uv(["python", "install", "--quiet", version], cwd=cwd, timeout_s=_INSTALL_TIMEOUT_S).returncode == 0
    except subprocess.TimeoutExpired:
        return False
