"""What a run ran on: Python, platform, hardware, installed distributions. Read from files, in a few milliseconds, without starting a
process.

`importlib.metadata` takes 100 ms to list what is installed; the names of the folders it would read say the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

CACHE = "cache"
_INFO_SUFFIXES = (".dist-info", ".egg-info")


def record() -> dict[str, Any]:
    """The interpreter and the machine as JSON: python, implementation, platform, libc, cpu, cpus, memory_bytes, gpus, distributions."""
    system = os.uname()
    return {
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "platform": f"{system.sysname} {system.release} {system.machine}",
        "host": system.nodename,
        "libc": _libc(),
        "cpu": _cpu_model() or system.machine,
        "cpus": os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(),
        "gpus": _gpus(),
        "distributions": distributions(),
    }


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):  # a libc that does not know the name (musl, macOS)
        return ""


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", "rb") as file:
            head = file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""
    for line in head.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Processor"):
            return value.strip()
    return ""


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _gpus() -> list[str]:
    """Models of NVIDIA devices, as the driver's files name them."""
    folder = "/proc/driver/nvidia/gpus"
    found: list[str] = []
    try:
        for name in sorted(os.listdir(folder)):
            with open(f"{folder}/{name}/information", encoding="utf-8") as file:
                found += [line.partition(":")[2].strip() for line in file if line.startswith("Model:")]
    except OSError:
        return found
    return found


def site_folders() -> list[str]:
    """The folders of the import path that hold installed distributions, in order."""
    return [f for f in dict.fromkeys(sys.path) if "-packages" in f and os.path.isdir(f)]


def normalise(name: str) -> str:
    """A distribution's name as compared: "scikit-learn" for "Scikit_Learn"."""
    parts = name.lower().replace("_", "-").replace(".", "-").split("-")
    return "-".join(part for part in parts if part)


def distributions(folders: Iterable[str] | None = None) -> dict[str, str]:
    """Name -> version of every installed distribution, sorted; the first on the import path counts."""
    found: dict[str, str] = {}
    for name, version, _ in _infos(site_folders() if folders is None else folders):
        found.setdefault(name, version)
    return dict(sorted(found.items()))


def _infos(folders: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """(name, version, metadata folder or file) of each distribution."""
    for folder in folders:
        for entry in os.listdir(folder):
            for suffix in _INFO_SUFFIXES:
                if entry.endswith(suffix):
                    name, _, rest = entry[: -len(suffix)].partition("-")
                    version = rest.partition("-py")[0] if suffix == ".egg-info" else rest
                    yield normalise(name), version, f"{folder}/{entry}"


def versions(imports: Iterable[str], home: str = "", installed: Mapping[str, str] | None = None) -> dict[str, str]:
    """Distribution -> version for top-level import names ("sklearn" -> scikit-learn). What no distribution owns stands under its own name.

    Which distribution a name belongs to is read from their metadata once and kept under `home` until the installed packages change.
    """
    folders = site_folders()
    known = distributions(folders) if installed is None else installed
    found: dict[str, str] = {}
    owners: Mapping[str, list[str]] | None = None
    for name in sorted(set(imports)):
        direct = normalise(name)
        if direct in known:
            found[direct] = known[direct]
            continue
        if owners is None:
            owners = _owners(folders, home)
        for owner in owners.get(name, ()):
            if owner in known:
                found[owner] = known[owner]
        if name not in owners:
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return dict(sorted(found.items()))


def _owners(folders: list[str], home: str) -> Mapping[str, list[str]]:
    """Import name -> distributions, from the cache under `home` if no site folder has changed since."""
    import hashlib

    stamp = [[folder, os.stat(folder).st_mtime_ns] for folder in folders]
    name = hashlib.sha256("\n".join(folders).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    path = f"{home}/{CACHE}/imports-{name}.json" if home else ""
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                kept = json.load(file)
            if kept["stamp"] == stamp:
                return kept["owners"]
        except (OSError, ValueError, KeyError, TypeError):  # not there yet, or half written by an older version: made anew
            kept = None
    owners = _read_owners(folders)
    if path:
        _keep(path, {"stamp": stamp, "owners": owners})
    return owners


def _read_owners(folders: Iterable[str]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for name, _, info in _infos(folders):
        for top in _top_levels(info):
            found = owners.setdefault(top, [])
            if name not in found:
                found.append(name)
    return {top: sorted(names) for top, names in sorted(owners.items())}


def _top_levels(info: str) -> set[str]:
    """The top-level import names of one distribution, from its list of files (RECORD), else from top_level.txt."""
    found: set[str] = set()
    try:
        with open(f"{info}/RECORD", encoding="utf-8") as file:
            for line in file:
                path = line.partition(",")[0].strip('"')
                top, slash, rest = path.partition("/")
                if slash:
                    if top.isidentifier() and rest.endswith((".py", ".so", ".pyd")):
                        found.add(top)
                elif path.endswith((".py", ".so", ".pyd")):
                    found.add(path.partition(".")[0])
    except OSError:
        found.clear()
    if not found:
        try:
            with open(f"{info}/top_level.txt", encoding="utf-8") as file:
                found.update(line.strip() for line in file if line.strip())
        except OSError:  # a distribution that lists nothing owns no name
            return found
    return found


def _keep(path: str, data: Any) -> None:
    part = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(part, "w", encoding="utf-8") as file:
            json.dump(data, file)
        os.replace(part, path)
    except OSError:  # a cache that cannot be kept is made again next time
        return
