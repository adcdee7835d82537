"""This very version of Fairway as code for the server of a cluster: one zip for a Python and a platform, made without a network where what
is installed here fits there."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError, InfraError, UnsupportedError
from fairway.spec.record import Record, record

if TYPE_CHECKING:
    from importlib.metadata import Distribution

_KEPT = 6
_LEVEL = 1  # half a second less than zlib's own choice, for a megabyte more
_OLD_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_UV_GLIBC = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
_PIP_GLIBC = (5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 38, 39)
_UNREACHABLE = re.compile(r"connection|network|timed out|resolve|temporary failure", re.IGNORECASE)


@record
class Release(Record):
    """Code of Fairway: its version, and an id that changes with any of its files or requirements."""

    version: str
    id: str
    requirements: tuple[str, ...]


@record
class Machine(Record):
    """What code must fit: a Python minor version ("3.11"), an architecture ("x86_64"), a C library ("glibc 2.36", "musl 1.2")."""

    python: str
    machine: str
    libc: str

    @property
    def libc_version(self) -> tuple[int, int]:
        """(2, 36); (0, 0) if it does not say."""
        found = re.search(r"(\d+)\.(\d+)", self.libc)
        return (int(found[1]), int(found[2])) if found else (0, 0)


def find_version() -> str:
    """The installed version, "unknown" where it was not installed as a distribution."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("fairway")
    except PackageNotFoundError:
        return "unknown"


def find_release(extras: Iterable[str] = ("server",)) -> Release:
    """The release that this process is part of. Raises UnsupportedError if it was not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        mine = distribution("fairway")
    except PackageNotFoundError:
        raise UnsupportedError("this Fairway was not installed, so it cannot be put elsewhere", hint="pip install fairway") from None
    wanted = tuple(sorted(_requirements(mine, set(extras))))
    digest = hashlib.sha256("\n".join([mine.version, *wanted]).encode())
    for name, path in _own_files():
        digest.update(f"\n{name}\n".encode())
        with open(path, "rb") as file:
            digest.update(file.read())
    return Release(mine.version, f"{mine.version}-{digest.hexdigest()[:12]}", wanted)


def collect(release: Release, machine: Machine, folder: str = "") -> str:
    """The path of a zip with the release and all it requires, importable on `machine`. Kept in `folder` (the user's cache) for next time.

    Raises InfraError if what must be fetched cannot be, ConfigError if nothing fits that machine, UnsupportedError without uv and pip.
    """
    folder = folder or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "fairway", "server")
    name = f"{release.id}-cp{machine.python}-{machine.machine}-{machine.libc.replace(' ', '-') or 'libc'}.zip"
    path = os.path.join(folder, name)
    if os.path.exists(path):
        os.utime(path)
        return path
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as making:
        tree = os.path.join(making, "tree")
        local = find_local(release, machine)
        if local is None:
            _download(release, machine, tree)
            files = [(os.path.relpath(file, tree), file) for file in _walk(tree)]
        else:
            files = [pair for one in local for pair in _installed_files(one)]
        part = os.path.join(making, "zip")
        _write_zip(part, [*files, *_own_tree()])
        os.replace(part, path)
    _forget_old(folder)
    return path


def find_local(release: Release, machine: Machine) -> list[Distribution] | None:
    """The installed distributions that the release requires, if all of them are here and fit that machine; else None."""
    from importlib.metadata import PackageNotFoundError, distribution

    found: dict[str, Distribution] = {}
    waiting = list(release.requirements)
    while waiting:
        requirement = _parse(waiting.pop())
        if requirement is None:
            return None
        if requirement.marker is not None and not requirement.marker.evaluate(_environment(machine, "")):
            continue
        try:
            one = distribution(requirement.name)
        except PackageNotFoundError:
            return None
        if not requirement.specifier.contains(one.version, prereleases=True) or not is_portable(one, machine):
            return None
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name not in found or requirement.extras:
            found[name] = one
            waiting += _needs(one, machine, requirement.extras)
    return list(found.values())


def is_portable(one: Distribution, machine: Machine) -> bool:
    """May its installed files be copied to that machine? Known by the tags of the wheel it came from."""
    about = one.read_text("WHEEL") or ""
    if '"editable"' in (one.read_text("direct_url.json") or "") or not one.files:
        return False
    return any(_fits(line.partition(":")[2].strip(), machine) for line in about.splitlines() if line.startswith("Tag:"))


def _fits(tag: str, machine: Machine) -> bool:
    python, abi, platform = [*tag.split("-", 2), "", ""][:3]
    minor = int(machine.python.partition(".")[2])
    this = re.fullmatch(r"cp3(\d+)", python)
    if abi == "abi3":
        fitting = this is not None and int(this[1]) <= minor
    elif abi == "none":
        fitting = python.startswith("py3") or (this is not None and int(this[1]) == minor)
    else:
        fitting = abi == f"cp3{minor}" and this is not None and int(this[1]) == minor
    return fitting and (platform == "any" or _fits_platform(platform, machine))


def _fits_platform(platform: str, machine: Machine) -> bool:
    kind, _, rest = platform.partition("_")
    if kind in _OLD_MANYLINUX:
        return machine.libc.startswith("glibc") and rest == machine.machine and _OLD_MANYLINUX[kind] <= machine.libc_version
    numbered = re.fullmatch(r"(\d+)_(\d+)_(\w+)", rest)
    if kind not in ("manylinux", "musllinux") or numbered is None:
        return False
    libc = "glibc" if kind == "manylinux" else "musl"
    return machine.libc.startswith(libc) and numbered[3] == machine.machine and (int(numbered[1]), int(numbered[2])) <= machine.libc_version


def _parse(text: str) -> Any:
    """A requirement, None where nothing here can read it."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        try:
            from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
        except ImportError:
            return None
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _environment(machine: Machine, extra: str) -> dict[str, str]:
    """What the markers of requirements ask about, on that machine."""
    return {
        "extra": extra,
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": machine.machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{machine.python}.0",
        "python_version": machine.python,
        "sys_platform": "linux",
    }


def _needs(one: Distribution, machine: Machine, extras: Iterable[str]) -> Iterator[str]:
    """The requirements of an installed distribution that hold on that machine, without their markers."""
    for text in one.requires or ():
        requirement = _parse(text)
        if requirement is None:
            yield text
            continue
        marker = requirement.marker
        if marker is None or any(marker.evaluate(_environment(machine, extra)) for extra in ("", *extras)):
            requirement.marker = None
            yield str(requirement)


def _requirements(mine: Distribution, extras: set[str]) -> set[str]:
    """What Fairway with these extras requires, other extras of its own resolved."""
    found: set[str] = set()
    for text in mine.requires or ():
        requirement, _, marker = (part.strip() for part in text.partition(";"))
        asked = re.search(r"""extra\s*==\s*['"]([\w.-]+)['"]""", marker)
        if asked is not None and asked[1] not in extras:
            continue
        own = re.fullmatch(r"fairway\[([\w., -]+)\]", requirement)
        if own is not None:
            found |= _requirements(mine, {name.strip() for name in own[1].split(",")})
        else:
            found.add(requirement)
    return found


def _download(release: Release, machine: Machine, tree: str) -> None:
    """What the release requires, for that machine, from the package index, unpacked into `tree`."""
    from fairway.envs.uv import find_uv, run_uv

    doing = f"cannot fetch the server's packages for Python {machine.python} on {machine.machine} ({machine.libc or 'unknown C library'})"
    if find_uv() is not None:
        from pathlib import Path

        chosen = ["--python-version", machine.python, "--python-platform", _uv_platform(machine), "--only-binary", ":all:"]
        run_uv(["pip", "install", "--quiet", "--target", tree, *chosen, *release.requirements], cwd=Path.cwd(), doing=doing)
        return
    platforms = [word for name in _pip_platforms(machine) for word in ("--platform", name)]
    chosen = ["--python-version", machine.python, "--implementation", "cp", *platforms, "--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", tree, *chosen]
    done = subprocess.run([*command, *release.requirements], capture_output=True, text=True, check=False)
    if done.returncode and "No module named pip" in done.stderr:
        raise UnsupportedError(f"{doing}: there is neither uv nor pip here", hint='pip install "fairway[env]"')
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
        kind = InfraError if _UNREACHABLE.search(done.stderr) else ConfigError
        raise kind(f"{doing}: {said[0]}", hint="or name a server-image that has Fairway in it")


def _uv_platform(machine: Machine) -> str:
    if machine.libc.startswith("musl"):
        return f"{machine.machine}-unknown-linux-musl"
    minor = max((known for known in _UV_GLIBC if (2, known) <= machine.libc_version), default=17)
    return f"{machine.machine}-manylinux_2_{minor}"


def _pip_platforms(machine: Machine) -> list[str]:
    if machine.libc.startswith("musl"):
        return [f"musllinux_1_{minor}_{machine.machine}" for minor in (2, 1)]
    known = [minor for minor in reversed(_PIP_GLIBC) if (2, minor) <= machine.libc_version] or [17]
    return [f"manylinux_2_{minor}_{machine.machine}" for minor in known] + [f"manylinux2014_{machine.machine}"]


def _own_files() -> list[tuple[str, str]]:
    """(name, path) of the files of the package `fairway`, in order."""
    from fairway import errors

    package = os.path.dirname(os.path.abspath(errors.__file__))
    return sorted((os.path.join("fairway", os.path.relpath(path, package)), path) for path in _walk(package))


def _own_tree() -> Iterator[tuple[str, str]]:
    """The package's files, and of its metadata what says its version and its entry points."""
    from importlib.metadata import distribution

    yield from _own_files()
    mine = distribution("fairway")
    for file in mine.files or ():
        if file.name in ("METADATA", "entry_points.txt") and file.parent.name.endswith(".dist-info"):
            yield str(file), str(mine.locate_file(file))


def _installed_files(one: Distribution) -> Iterator[tuple[str, str]]:
    for file in one.files or ():
        name = str(file)
        if not name.startswith(("..", "/")) and "__pycache__" not in file.parts:
            yield name, str(one.locate_file(file))


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (os.path.join(parent, name) for name in sorted(files) if not name.endswith(".pyc"))


def _write_zip(path: str, files: Iterable[tuple[str, str]]) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as made:
        for name, source in sorted(dict(files).items()):
            with open(source, "rb") as file:
                made.writestr(zipfile.ZipInfo(name), file.read(), zipfile.ZIP_DEFLATED, _LEVEL)


def _forget_old(folder: str) -> None:
    made = sorted((entry for entry in os.scandir(folder) if entry.name.endswith(".zip")), key=lambda entry: entry.stat().st_mtime)
    for entry in made[:-_KEPT]:
        os.unlink(entry.path)


def versions_apart(one: str, other: str) -> int | None:
    """By how many minor versions `other` is newer; None across major versions, or where one is no version."""
    numbers: list[Mapping[int, str]] = [found for text in (one, other) if (found := re.match(r"(\d+)\.(\d+)", text))]  # type: ignore[misc]
    if len(numbers) < 2 or numbers[0][1] != numbers[1][1]:
        return None
    return int(numbers[1][2]) - int(numbers[0][2])
