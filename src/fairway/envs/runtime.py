"""Fairway's runtime as plain files in a folder of its own: what an attempt imports, and nothing of what is installed beside it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fairway import errors
from fairway.envs.files import held

PARTS = ("__init__.py", "errors.py", "spec", "dsl", "step", "data", "train")
"""What attempts need of the package `fairway`: standard library only, but for `data` and `train`, whose libraries an environment brings."""
SERVING_PARTS = (*PARTS, "serve")
"""What inference servers and gateways need of it, beside the libraries that the extra `serve` names: not what keeps endpoints."""
_STAYS = ("serve", "control")
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


def build_runtime_zip(parts: Sequence[str] = PARTS, *, is_compiled: bool = False) -> tuple[bytes, str]:
    """(the runtime of this very version as one zip, its SHA-256): what a worker's pod fetches, or with SERVING_PARTS a pod that serves.
    The same files give the same bytes. `is_compiled`: modules are there for this Python's version as well, which saves a pod that has
    the same a tenth of a second of its start."""
    package = Path(errors.__file__).parent
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(list_runtime(package, parts)):
            name, data = f"fairway/{file.relative_to(package).as_posix()}", file.read_bytes()
            _write(archive, name, data)  # not compressed: zlib is not the same everywhere
            if is_compiled and name.endswith(".py"):
                _write(archive, *compile_module(name, data))
    made = out.getvalue()
    return made, hashlib.sha256(made).hexdigest()


def compile_module(name: str, source: bytes) -> tuple[str, bytes]:
    """(name, bytes) of what this Python makes of a module's file `name`; it is not compared with the source, as a zip keeps no times.
    Always the same bytes. Raises SyntaxError, ValueError."""
    code = compile(source, name, "exec", dont_inherit=True)
    parent, _, last = name.rpartition("/")
    path = f"{parent}/__pycache__/{last.removesuffix('.py')}.{sys.implementation.cache_tag}.pyc".lstrip("/")
    head = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source)
    return path, head + marshal.dumps(code, 2)  # later versions write references as the memory happens to have them


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # as on Unix, wherever it is built
    archive.writestr(entry, data)


def list_runtime(package: Path, parts: Sequence[str] = PARTS) -> Iterator[Path]:
    """The runtime's files in the package's folder."""
    for part in parts:
        path = package / part
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
            yield from (file for file in files if file.relative_to(package).parts[:2] != _STAYS)
        else:
            yield path
