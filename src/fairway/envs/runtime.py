"""Fairway's runtime as plain files in a folder of its own: what an attempt imports, and nothing of what is installed beside it."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from fairway import errors
from fairway.envs.files import held

PARTS = ("__init__.py", "errors.py", "spec", "dsl", "step")
"""What attempts need of the package `fairway`: standard library only."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def place_runtime(folder: Path) -> Path:
    """A folder for `sys.path` that holds the runtime of this very version; copied there the first time. Idempotent."""
    package = Path(errors.__file__).parent
    files = sorted(list_runtime(package))
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        digest.update(f"{file.relative_to(package)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    target = folder / "runtime" / digest.hexdigest()[:20]
    if target.exists():
        return target
    with held(folder / "runtime" / f"{target.name}.held"):
        if not target.exists():
            building = target.with_name(f".{target.name}")
            shutil.rmtree(building, ignore_errors=True)
            for file in files:
                copy = building / "fairway" / file.relative_to(package)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, copy)
            building.replace(target)
    return target


def build_runtime_zip() -> tuple[bytes, str]:
    """(the runtime of this very version as one zip, its SHA-256): what a worker's pod fetches. The same files give the same bytes."""
    package = Path(errors.__file__).parent
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(list_runtime(package)):
            entry = zipfile.ZipInfo(f"fairway/{file.relative_to(package).as_posix()}", _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3  # as on Unix, wherever it is built
            archive.writestr(entry, file.read_bytes())  # not compressed: zlib is not the same everywhere
    data = out.getvalue()
    return data, hashlib.sha256(data).hexdigest()


def list_runtime(package: Path) -> Iterator[Path]:
    """The runtime's files in the package's folder."""
    for part in PARTS:
        path = package / part
        if path.is_dir():
            yield from (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
        else:
            yield path
