"""From what was asked to a lock: exact versions with their hashes, the same on every machine, named by digest."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from fairway.envs.files import held, write_whole
from fairway.envs.pythons import get_python, minor_of
from fairway.envs.uv import run_uv
from fairway.errors import ConfigError, NotFoundError
from fairway.spec import layout
from fairway.spec.environment import Environment
from fairway.spec.record import replace

LOCKS = "locks"
REQUESTS = "requests"
_OPTIONS = ["--no-header", "--no-annotate", "--no-emit-package", "fairway", "--quiet"]
_PINNED = re.compile(r"^[A-Za-z0-9][\w.-]*(\[[^\]]*\])?\s*(==|@\s*(https?|git\+))")
_INCLUDE = re.compile(r"^(?:-r|-c|--requirement|--constraint)[ =]?\s*(\S+)")


def lock(environment: Environment, root: Path | str, home: Path | str) -> Environment:
    """The environment with its `lock` and Python version filled in; unchanged if it asks for no packages, project or Python.

    The same request gives the same lock for as long as the home remembers it, without asking the package index again. Raises
    ConfigError for requirements that cannot be met, NotFoundError for a missing file, UnsupportedError if uv or the Python is missing,
    InfraError if the index cannot be reached.
    """
    if not (environment.packages or environment.project or environment.python):
        return environment
    root, folder = Path(root), Path(home) / layout.ENVIRONMENTS
    python = environment.python or minor_of("")
    minor_of(python)
    request = _digest(json.dumps([1, python, *_read_request(environment, root)]))
    remembered = folder / REQUESTS / request
    with held(folder / REQUESTS / f"{request}.held"):
        known = remembered.read_text(encoding="ascii") if remembered.exists() else ""
        if not known or not (folder / LOCKS / known).exists():
            text = f"# Python {python}\n{_resolve(environment, root, python)}"
            known = _digest(text)
            write_whole(folder / LOCKS / known, text)
            write_whole(remembered, known)
    if not (folder / known / "bin" / "python").exists():
        get_python(environment.python, root)  # refuse now, not in the middle of the run
    return replace(environment, lock=known, python=python)


def get_lock_text(digest: str, home: Path) -> str:
    """The lock with this digest, as a requirements file. Raises NotFoundError."""
    path = Path(home) / layout.ENVIRONMENTS / LOCKS / digest
    if not path.exists():
        raise NotFoundError(
            f"this home has no environment with the lock {digest[:12]}", hint="run the pipeline again, so that it is locked anew"
        )
    return path.read_text(encoding="utf-8")


def keep_lock_text(digest: str, text: str, home: Path | str) -> None:
    """Let this home know a lock that was made elsewhere. Idempotent. Raises ConfigError if the text is not that lock."""
    path = Path(home) / layout.ENVIRONMENTS / LOCKS / digest
    if path.exists():
        return
    if _digest(text) != digest:
        raise ConfigError(f"what is called the lock {digest[:12]} is another", hint="run the pipeline again, so that it is locked anew")
    write_whole(path, text)


def _read_request(environment: Environment, root: Path) -> list[str]:
    """All that the resolution depends on, as texts."""
    if not environment.project:
        return ["packages", *sorted(map(_check_requirement, environment.packages))]
    path = _project_file(environment, root)
    beside = [path.parent / name for name in ("pyproject.toml", "uv.lock", "uv.toml")]
    files = [path, *_included(path), *(other for other in beside if path.suffix != ".txt" and other.exists() and other != path)]
    return ["project", path.name, *(file.read_text(encoding="utf-8") for file in files)]


def _project_file(environment: Environment, root: Path) -> Path:
    path = root / environment.project
    if path.is_dir():
        path /= "pyproject.toml"
    if not path.exists():
        raise NotFoundError(
            f"the environment's project file {environment.project} is not in {root}", hint="name it relative to the project's root"
        )
    if path.name not in ("uv.lock", "pyproject.toml") and path.suffix not in (".txt", ".in"):
        raise ConfigError(f"an environment cannot be made from {path.name}", hint="name a uv.lock, a pyproject.toml or a requirements.txt")
    if path.name == "uv.lock" and not path.with_name("pyproject.toml").exists():
        raise NotFoundError(
            f"{environment.project} has no pyproject.toml beside it", hint="uv.lock is only read together with its pyproject.toml"
        )
    return path


def _included(path: Path) -> list[Path]:
    """Files that a requirements file takes in, and theirs."""
    if path.suffix not in (".txt", ".in"):
        return []
    found: list[Path] = []
    waiting = [path]
    while waiting:
        current = waiting.pop()
        for line in current.read_text(encoding="utf-8").splitlines():
            match = _INCLUDE.match(line.strip())
            other = current.parent / match[1] if match else None
            if other and other.exists() and other not in found:
                found.append(other)
                waiting.append(other)
    return found


def _check_requirement(text: str) -> str:
    if text.lstrip().startswith(("-", ".", "/", "~")) or "\n" in text:
        raise ConfigError(
            f"not a requirement: {text!r}",
            hint='write packages=["scikit-learn==1.7.*"]; code of your own travels in the bundle, options belong into uv\'s settings',
        )
    return text.strip()


def _resolve(environment: Environment, root: Path, python: str) -> str:
    """The lines of a requirements file: exact versions with hashes."""
    choice = ["--python", get_python(environment.python, root), "--no-python-downloads"]
    compiled = ["--universal", "--python-version", python, "--generate-hashes", *choice, *_OPTIONS]
    if not environment.project:
        doing = f"cannot lock the packages {', '.join(environment.packages)} for Python {python}"
        return _check_pins(
            run_uv(["pip", "compile", "-", *compiled], cwd=root, doing=doing, text="\n".join(environment.packages)), "the packages"
        )
    path = _project_file(environment, root)
    doing = f"cannot lock {environment.project} for Python {python}"
    if path.name in ("uv.lock", "pyproject.toml") and path.with_name("uv.lock").exists():
        exported = ["--locked", "--no-dev", "--no-emit-workspace", "--format", "requirements.txt", *choice, *_OPTIONS]
        lines = run_uv(["export", *exported], cwd=path.parent, doing=doing)
    else:
        lines = run_uv(["pip", "compile", path.name, *compiled], cwd=path.parent, doing=doing)
    return _check_pins(lines, environment.project)


def _check_pins(lines: str, source: str) -> str:
    """Refuse what has no version: a folder of this machine may hold anything tomorrow."""
    for line in lines.splitlines():
        if line and not line.startswith((" ", "#")) and not _PINNED.match(line):
            named = line.removesuffix("\\").strip()
            hint = "code of your own travels in the bundle; leave it out of the environment"
            raise ConfigError(f"{source} cannot be locked: {named!r} is a folder of this machine", hint=hint)
    return lines


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
