"""The uv program: where it is, how it is called, and what its failures mean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from fairway.errors import ConfigError, FairwayError, InfraError, UnsupportedError

_UNREACHABLE = re.compile(
    r"error sending request|dns error|failed to fetch|connection (refused|reset)|network (is unreachable|connectivity)|timed out",
    re.IGNORECASE,
)
_ERROR_LINES = 12


def get_uv() -> str:
    """The uv beside the running interpreter, else the one on PATH. Raises UnsupportedError if there is none."""
    found = find_uv()
    if found is None:
        raise UnsupportedError("environments are made with uv, which is not on this machine", hint='pip install "fairway[env]"')
    return found


def find_uv() -> str | None:
    """As `get_uv`, None if there is none."""
    return shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def run_uv(arguments: list[str], *, cwd: Path, doing: str, text: str | None = None, keep: tuple[int, ...] = ()) -> str:
    """uv's standard output. Raises InfraError if the package index cannot be reached, else ConfigError with what uv said.

    `doing` opens the message; `keep` are file descriptors that stay open in uv.
    """
    done = call_uv(arguments, cwd=cwd, text=text, keep=keep)
    if done.returncode:
        raise explain_failure(doing, done.stderr)
    return done.stdout


def call_uv(
    arguments: list[str], *, cwd: Path, text: str | None = None, timeout_s: float | None = None, keep: tuple[int, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """One call of uv, in a folder whose own uv settings (indexes, constraints) then count."""
    variables = {**os.environ, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME"):
        variables.pop(name, None)
    command, reads = [get_uv(), *arguments], text or ""
    return subprocess.run(
        command, cwd=cwd, env=variables, input=reads, capture_output=True, text=True, check=False, timeout=timeout_s, pass_fds=keep
    )


def explain_failure(doing: str, said: str) -> FairwayError:
    """uv's complaint as one of our errors."""
    lines = [line.rstrip() for line in said.strip().splitlines() if line.strip() and not line.startswith("warning:")]
    shown = "\n".join(lines[:_ERROR_LINES]) or "uv said nothing"
    if _UNREACHABLE.search(said):
        return InfraError(f"{doing}: the package index cannot be reached\n{shown}", hint="try again when the network is there")
    if "needs to be updated" in said:
        return ConfigError(f"{doing}: uv.lock is older than pyproject.toml", hint="run `uv lock`")
    return ConfigError(f"{doing}:\n{shown}", hint="change the requirements or the Python version of the environment")
